"""Whether the bytes of an image file are all there, whatever follows them.

Cameras append previews, films and notes of their own to a photo; panoramas of some phones lack JPEG's end marker. What
counts is whether the pixels are there: decoders fill what a cut-off file lacks with grey, or with what stands behind.
"""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_SCAN, _END = 0xDA, 0xD9
# JPEG's markers without a segment, fill bytes and stuffed zeros; and what none of them is, which ends a scan.
_BARE = (0x00, 0x01, *range(0xD0, 0xD9), 0xFF)
_AFTER_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
# How what cameras append begins: a note of Samsung's with its type and the length of its name, their directory, a film.
_APPENDED = re.compile(rb"\0\0[\0-\xff]{2}[\x04-\x40]\0\0\0[A-Z][A-Za-z0-9_]{3}|SEFH|\0\0[\0-\xff]{2}ftyp", re.DOTALL)


def whole_image(data: bytes) -> bytes | None:
    """The bytes of an image as a decoder needs them; None for a JPEG, PNG or WebP file that ends before its pixels do.

    They are the bytes given, but for a JPEG without an end marker, which gets one.
    """
    if data[:2] == b"\xff\xd8":
        return _whole_jpeg(data)
    if data[:8] == _PNG:
        return data if _png_ends(data) else None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return data if len(data) >= 8 + int.from_bytes(data[4:8], "little") else None
    return data


def _whole_jpeg(data: bytes) -> bytes | None:
    """Walks over the segments, whose lengths are given, and the scans, which a marker ends."""
    at, scan = 2, 0
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        marker = data[at + 1]
        if marker == _END:
            return data
        if marker in _BARE:
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SCAN:
            scan = at
            found = _AFTER_SCAN.search(data, at)
            if found is None:
                break
            at = found.start()
    return _without_end_marker(data, scan) if scan else None


def _without_end_marker(data: bytes, scan: int) -> bytes | None:
    """A JPEG that lacks its end marker alone: its pixels do not depend on what would follow.

    Args:
        data: of the file.
        scan: where its last scan begins.
    """
    appended = _APPENDED.search(data, scan)
    kept = (data[: appended.start()] if appended else data).rstrip(b"\0")
    followed = [_decoded(kept + filling * 32 + b"\xff\xd9") for filling in (b"\0\0", b"\xaa\xaa", b"\x55\x55")]
    first = followed[0]
    if first is None or any(other is None or not np.array_equal(first, other) for other in followed[1:]):
        return None
    return kept + b"\xff\xd9"


def _decoded(data: bytes) -> np.ndarray | None:
    """By Pillow, which says nothing of what it skips on the way."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("RGB"))
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return None


def _png_ends(data: bytes) -> bool:
    at = len(_PNG)
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + size
        if kind == b"IEND":
            return at <= len(data)
    return False
