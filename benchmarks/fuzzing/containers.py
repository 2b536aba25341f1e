"""Changes inside of what packs other things, packed again: ZIP, PNG, JPEG, GLB, JSON, PyTorch's files."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PNG_START = b"\x89PNG\r\n\x1a\n"
NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
HOSTILE_NAMES = (
    "../../../../etc/passwd", "/etc/passwd", "..\\..\\outside.png", "C:\\outside.png", "../outside.png", "./", "..", "",
    "/dev/zero", "/proc/self/environ", "a" * 5000, "a\0b", "\udcff", "file:///etc/passwd", "http://127.0.0.1:9/x.png",
    "%2e%2e/outside.png", "CON", "~root", "$(touch x)", "-rf", "a\nb", "\u202egnp.exe",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, -(10**400), 0.5, 1e308, 1e-320, float("nan"),
    float("inf"), float("-inf"), "", "x", "1", "NaN", [], [[]], {}, [0] * 4, [None], ["x"], {"": 0}, *HOSTILE_NAMES,
)  # fmt: skip
Plain = Callable[..., bytes]


def inside(rng: random.Random, name: str, data: bytes, plain: Plain) -> bytes | None:
    """A file with something changed in it; None of a kind that packs nothing.

    Args:
        rng: all that decides.
        name: of the file.
        data: of the file.
        plain: changes bytes.
    """
    ending = name.rpartition(".")[2]
    if ending in ("pt", "dat", "net") and rng.random() < 0.7:
        return _tensors(rng, data, plain)
    for start, change in ((b"PK", _zip), (PNG_START, _png), (b"glTF", _glb), (b"\xff\xd8", _jpeg)):
        if data.startswith(start):
            return change(rng, data, plain)
    if data[:1] in b"{[" and ending in ("json", "geojson", "gltf", "jsonl"):
        return _json(rng, data, plain)
    return None


def _tensors(rng: random.Random, data: bytes, plain: Plain) -> bytes:
    """A value or tensor of PyTorch's file replaced, and the file written again."""
    import torch

    try:
        content = torch.load(io.BytesIO(data), weights_only=True)
    except Exception:  # it is broken already
        return plain(rng, data, False)
    content = content if isinstance(content, dict) else {"": content}
    one = torch.ones(1)
    values: tuple[Any, ...] = (
        *(one.expand(10**5, 10**5), torch.zeros(0), torch.zeros(3, 0), one * float("nan"), torch.zeros((1,) * 20)),
        *(torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, dtype=torch.complex64), one.to_sparse(), one.to("meta")),
        *(
            torch.ones(3, 2, 2, dtype=torch.bfloat16),
            torch.tensor(10**18),
            torch.zeros(4, 4),
            torch.zeros(2, dtype=torch.bool),
        ),
    )
    nodes = _nodes(content)
    holder, key = rng.choice(nodes) if nodes else (content, "x")
    held = holder.get(key) if isinstance(holder, dict) else None
    is_plain = isinstance(held, torch.Tensor) and held.layout == torch.strided and held.device.type == "cpu"
    is_plain = is_plain and held.numel() < 10**6  # it may be one that an earlier change put there
    if is_plain and rng.random() < 0.3:
        values = (held.flatten()[:1], held.flatten(), held.double(), held[..., None], held.clone().zero_())
    holder[key] = rng.choice((*values, *(each for each in _VALUES if each != "\udcff")))
    if rng.random() < 0.2:
        del holder[key]
    made = io.BytesIO()
    try:
        torch.save(
            content[""] if list(content) == [""] else content, made, _use_new_zipfile_serialization=data[:2] == b"PK"
        )
    except Exception:  # a tensor whose own parts an earlier change has replaced
        return plain(rng, data, False)
    return made.getvalue()


def _json(rng: random.Random, data: bytes, plain: Plain) -> bytes:
    """One node replaced, removed, doubled or nested too deeply."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return plain(rng, data)
    if rng.random() < 0.02:
        deep = rng.choice((900, 3000, 200_000))
        return rng.choice((b"[" * deep + b"]" * deep, b'{"a":' * deep, b"[" * deep))
    nodes = _nodes(content)
    holder, key = rng.choice(nodes) if nodes else ([content], 0)
    match rng.randrange(8):
        case 0:
            del holder[key]
        case 1:
            other, there = rng.choice(nodes) if nodes else (holder, key)
            with suppress(LookupError, ValueError):
                holder[key] = json.loads(json.dumps(other[there]))
        case 2 if isinstance(holder, list):
            holder += holder[:1] * rng.choice((1, 3, 1000))
        case 3 if isinstance(holder, dict):
            holder[rng.choice(HOSTILE_NAMES)] = holder[key]
        case 4:
            holder[key] = _nested(rng.choice((3, 100, 400)))
        case _:
            holder[key] = rng.choice(_VALUES)
    return _dumped(content if nodes else holder)


def _dumped(content: Any) -> bytes:
    try:
        return json.dumps(content).encode("utf-8", "surrogatepass")
    except (RecursionError, ValueError):  # of numbers of more than 4300 digits
        return b"[" * 2000


def _nested(depth: int) -> Any:
    content: Any = 0
    for _ in range(depth):
        content = [content]
    return content


def _nodes(content: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [content]
    while waiting:
        node = waiting.pop()
        items = (
            list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
        )
        found += [(node, key) for key, _ in items]
        waiting += [value for _, value in items]
    return found


def _zip(rng: random.Random, data: bytes, plain: Plain) -> bytes:
    """A member changed and packed again, or names and sizes that lie."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # it is broken already
        return plain(rng, data, False)
    names = list(members)
    if not names:
        return data
    name = rng.choice(names)
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    match rng.randrange(10):
        case 0:
            del members[name]
        case 1:
            members[rng.choice(HOSTILE_NAMES).replace("\udcff", "\xff") or "x"] = members[name]
        case 2:
            members[name] = members[rng.choice(names)]
        case 3:
            members[name], packing = bytes(rng.choice((1 << 20, 1 << 24))), zipfile.ZIP_DEFLATED
        case _:
            member = members[name]
            members[name] = _header(rng, member, plain) if rng.random() < 0.2 else plain(rng, member)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packing) as archive:
        for each, content in members.items():
            archive.writestr(zipfile.ZipInfo(each), content, packing)
    return made.getvalue()


def _header(rng: random.Random, data: bytes, plain: Plain) -> bytes:
    """Numbers in the first part alone, such as the shape in an .npy."""
    head, rest = data[:128], data[128:]
    found = list(NUMBER.finditer(head[10:]))
    if not found:
        return plain(rng, data)
    match = rng.choice(found)
    said = rng.choice((b"0", b"7", b"-1", b"99999", b"2147483648", b"1" + b"0" * 18))
    head = head[: 10 + match.start()] + said + head[10 + match.end() :]
    return head + rest if len(said) != len(match[0]) and rng.random() < 0.1 else _refitted(head, len(data[:128])) + rest


def _refitted(head: bytes, length: int) -> bytes:
    """As long as before, by the blanks that fill an .npy's header up."""
    while len(head) > length and b"  " in head:
        head = head.replace(b"  ", b" ", 1)
    at = head.rfind(b"\n")
    return head if at < 0 or len(head) >= length else head[:at] + b" " * (length - len(head)) + head[at:]


def _png(rng: random.Random, data: bytes, plain: Plain) -> bytes:
    """A chunk changed, with its checksum made right."""
    chunks, at = [], len(PNG_START)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return data
    k = rng.randrange(len(chunks))
    kind, content = chunks[k]
    match rng.randrange(6):
        case 0:
            del chunks[k]
        case 1:
            chunks.insert(rng.randrange(len(chunks) + 1), (kind, content))
        case 2 if kind == b"IDAT":
            chunks[k] = kind, zlib.compress(plain(rng, _inflated(content), False))
        case _:
            chunks[k] = kind, plain(rng, content, False)
    return PNG_START + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content


def _jpeg(rng: random.Random, data: bytes, plain: Plain) -> bytes:
    """A segment before the pixels changed, with its length made right: EXIF and profiles keep their place."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xDA, 0xD9):
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append((data[at + 1], data[at + 4 : at + 2 + size]))
        at += 2 + max(size, 2)
    if not segments:
        return plain(rng, data, False)
    k = next((k for k, (kind, _) in enumerate(segments) if kind == 0xE1), 0)
    k = k if rng.random() < 0.5 else rng.randrange(len(segments))
    kind, content = segments[k]
    segments[k] = kind, plain(rng, content, False)[:65000]
    head = b"".join(bytes((0xFF, each)) + struct.pack(">H", len(c) + 2) + c for each, c in segments)
    return data[:2] + head + data[at:]


def _glb(rng: random.Random, data: bytes, plain: Plain) -> bytes:
    """The JSON changed and packed again, with lengths made right."""
    if len(data) < 20:
        return data
    (size,) = struct.unpack_from("<I", data, 12)
    text = _json(rng, data[20 : 20 + size].rstrip(), plain)
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest
