"""Lines of a PLY's header, and what its elements take at least."""

from __future__ import annotations

from collections.abc import Iterable

_FORMATS = ("ascii", "binary_little_endian", "binary_big_endian")
_BYTES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("double", "float64"), 8),
}


def is_whole(words: list[str]) -> bool:
    """Whether a line, by its words, has all those of its kind."""
    match words:
        case ["format", kind, *_]:
            return kind in _FORMATS
        case ["element", _, count]:
            return count.isascii() and count.isdigit() and len(count) < 16
        case ["property", "list", _, _, _]:
            return True
        case ["property", kind, _]:
            return kind != "list"
    return words[:1] not in (["format"], ["element"], ["property"])


def least_bytes(lines: Iterable[list[str]]) -> int:
    """The bytes that all elements take at least: of text a digit and a blank a number, of a list its length alone.

    Args:
        lines: of the header, as words; each `is_whole`.
    """
    is_text, total, count, row = False, 0, 0, 0
    for words in lines:
        if words[:1] == ["format"]:
            is_text = words[1] == "ascii"
        elif words[:1] == ["element"]:
            total, count, row = total + count * row, int(words[2]), 0
        elif words[:1] == ["property"]:
            kind = words[2] if words[1] == "list" else words[1]
            row += 2 if is_text else _BYTES.get(kind, 4)
    return total + count * row
