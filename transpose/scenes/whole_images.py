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
_PROGRESSIVE, _SCAN, _END = 0xC2, 0xDA, 0xD9
_SEQUENTIAL, _INTERVAL = (0xC0, 0xC1), 0xDD
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_UNSEEN = 16  # bits of a coefficient
# Tables of a scan and the scan's own header: where one of them is cut off, a scan is missing, as of progressive files.
_BEFORE_SCANS = (_SCAN, 0xC4, 0xDB, 0xDD)
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
    at, scan, refined, frame, interval = 2, 0, dict[int, list[int]](), b"", 0
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        marker = data[at + 1]
        if marker == _END:
            return data
        if marker in _BARE:
            at += 1
            continue
        segment = data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _BEFORE_SCANS and at > len(data):
            return None
        if marker == _PROGRESSIVE:
            refined = {component: [_UNSEEN] * 64 for component in segment[6::3]}
        elif marker in _SEQUENTIAL:
            frame = segment
        elif marker == _INTERVAL:
            interval = int.from_bytes(segment[:2], "big")
        if marker == _SCAN:
            _refine(refined, segment)
            scan = at
            found = _AFTER_SCAN.search(data, at)
            if found is None:
                break
            at = found.start()
    whole = scan and not any(any(bits) for bits in refined.values())
    whole = whole and len(_RESTART.findall(data, scan)) >= _restarts(frame, interval)
    return _without_end_marker(data, scan) if whole else None


def _restarts(frame: bytes, interval: int) -> int:
    """How many restart markers stand in the scan of a sequential JPEG.

    Args:
        frame: its header: precision, height, width, count, (component, sampling, table) each.
        interval: blocks between two of them; 0: there are none.
    """
    sampling = frame[7::3]
    if not interval or not sampling:
        return 0
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    across, down = (8 * max(1, *(each >> shift & 15 for each in sampling)) for shift in (4, 0))
    across, down = (8, 8) if len(sampling) == 1 else (across, down)
    return -(-(-(-width // across) * -(-height // down)) // interval) - 1


def _refine(refined: dict[int, list[int]], scan: bytes) -> None:
    """Notes what a scan of a progressive JPEG brings: of its components' coefficients, how many bits are still to come.

    Args:
        refined: by component, of its 64 coefficients; empty of files that are not progressive.
        scan: its header: count, (component, tables) each, first and last coefficient, bits known and still to come.
    """
    if not refined or not scan or len(scan) < 4 + 2 * scan[0]:
        return
    first, last, bits = scan[1 + 2 * scan[0] : 4 + 2 * scan[0]]
    for component in scan[1 : 1 + 2 * scan[0] : 2]:
        if component in refined:
            refined[component][first : last + 1] = [bits & 15] * len(refined[component][first : last + 1])


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
