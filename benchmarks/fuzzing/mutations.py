"""Broken files made of whole ones, by a seeded generator: what disks, networks, programs and attackers make of them.

Half of all mutations know the format: they change what is packed inside (a member of a ZIP, a chunk of a PNG, the JSON
of a GLB) and pack it again, so that checksums do not refuse it before a reader has looked at it.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence

from fuzzing.containers import HOSTILE_NAMES, NUMBER, inside

_NUMBERS = (
    b"0", b"-1", b"1", b"255", b"65536", b"2147483647", b"2147483648", b"4294967295", b"9223372036854775808",
    b"18446744073709551615", b"1" + b"0" * 30, b"9" * 400, b"9" * 5000, b"1e308", b"-1e308", b"1e-320", b"1e999",
    b"nan", b"inf", b"-inf", b"-0.0", b"0.5", b"1_0", b"0x10", b"\xd9\xa3", b"1#INF", b"", b"x",
)  # fmt: skip
_WHOLE = (0, 1, 2, 3, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
_WHOLE_64 = (*_WHOLE, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_REAL = (0.0, -0.0, 1.0, -1.0, 1e-320, 1e30, 1e300, float("inf"), float("-inf"), float("nan"))
Mutation = Callable[[random.Random, bytes], bytes]


def mutated(rng: random.Random, name: str, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A broken version of a file: one to three changes.

    Args:
        rng: all that decides.
        name: of the file, whose ending says what it holds where its first bytes do not.
        data: of the whole file.
        others: files of the same kind, parts of which may come in.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if others and rng.random() < 0.05:
            data = _spliced(rng, data, rng.choice(others))
        elif rng.random() < 0.5 and (changed := inside(rng, name, data, plain)) is not None:
            data = changed
        else:
            data = plain(rng, data)
    return data


def plain(rng: random.Random, data: bytes, text: bool = True) -> bytes:
    """A change of bytes, or of words and numbers where they are text and may be taken for such."""
    return rng.choice(_TEXT if text and is_text(data) and rng.random() < 0.8 else _BINARY)(rng, data)


def is_text(data: bytes) -> bool:
    """Whether the first bytes are printed ones."""
    return all(byte >= 32 or byte in (9, 10, 13) for byte in data[:200])


def _spliced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice((rng.randrange(len(data) + 1), rng.randrange(min(len(data), 64) + 1)))]


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        changed[_place(rng, len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _place(rng: random.Random, length: int) -> int:
    """Mostly anywhere, often near the start, where headers are."""
    return rng.randrange(length if rng.random() < 0.6 else min(length, 256))


def _bytes(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 16)) if data else 0):
        changed[_place(rng, len(data))] = rng.choice((0, 255, 128, rng.randrange(256)))
    return bytes(changed)


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = _place(rng, len(data) + 1)
    piece = rng.choice(
        (rng.randbytes(rng.randrange(1, 32)), b"\0" * rng.randrange(1, 300), b"\xff" * 4, data[at : at + 64])
    )
    return data[:at] + piece + data[at:]


def _delete(rng: random.Random, data: bytes) -> bytes:
    at = _place(rng, len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 2, 4, 8, 64)) :]


def _field(rng: random.Random, data: bytes) -> bytes:
    """A number of a header replaced by one at the border of what its type holds."""
    if len(data) < 8:
        return data + b"\xff"
    order = rng.choice("<>")
    packed = rng.choice(
        (
            lambda: struct.pack(order + "H", rng.choice(_WHOLE) & 0xFFFF),
            lambda: struct.pack(order + "I", rng.choice(_WHOLE)),
            lambda: struct.pack(order + "Q", rng.choice(_WHOLE_64)),
            lambda: struct.pack(order + "f", min(rng.choice(_REAL), 1e30)),
            lambda: struct.pack(order + "d", rng.choice(_REAL)),
        )
    )()
    at = _place(rng, len(data) - 7)
    at = at & ~3 if rng.random() < 0.5 else at
    return data[:at] + packed + data[at + len(packed) :]


_BINARY: tuple[Mutation, ...] = (_cut, _flip, _flip, _bytes, _bytes, _insert, _delete, _field, _field, _field)


def _number(rng: random.Random, data: bytes) -> bytes:
    found = list(NUMBER.finditer(data[:20000]))
    if not found:
        return _bytes(rng, data)
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(_NUMBERS) + data[match.end() :]


def _lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[to])
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case 3:
            lines[at] += rng.choice((b" x", b" 1", b" " * 300, b"\0", b"\\", b",", b"#"))
        case _:
            lines = lines[:at]
    return b"\n".join(lines)


def _words(rng: random.Random, data: bytes) -> bytes:
    words = re.split(rb"(\s+)", data)
    at, to = rng.randrange(len(words)), rng.randrange(len(words))
    hostile = rng.choice(HOSTILE_NAMES).encode("utf-8", "replace")
    match rng.randrange(5):
        case 0:
            words[at] = b""
        case 1:
            words[at] = words[to]
        case 2:
            words[at] = rng.choice(_NUMBERS)
        case 3:
            words[at] = hostile
        case _:
            words.insert(at, rng.choice((b" ", b"\n", b"\r\n", b";", b"/", b'"', b"-")))
    return b"".join(words)


def _encoding(rng: random.Random, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    return rng.choice(
        (
            lambda: text.encode("utf-16"),
            lambda: text.encode("utf-16-be"),
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data.replace(b"\n", b"\r\n"),
            lambda: data.replace(b"\n", b"\r"),
            lambda: data.replace(b".", b","),
            lambda: data.replace(b" ", b"\t"),
            lambda: data.replace(b"\n", b" "),
            lambda: data + b"\xff\xfe\xfd",
        )
    )()


_TEXT: tuple[Mutation, ...] = (_number, _number, _number, _lines, _lines, _words, _words, _encoding, _cut, _bytes)
