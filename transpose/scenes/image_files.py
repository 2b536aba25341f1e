"""What the bytes of an image file say beside its pixels: size, which way is up, and whether the file is whole.

Decoders differ here from version to version and from format to format: one turns a photo by its EXIF orientation and
another does not, one fills what a cut-off file lacks with grey and another refuses it. So all of it is read here, for
every format alike.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from transpose.errors import TransposeError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
_ORIENTATION = 0x0112
# Orientations that exchange width and height.
_SIDEWAYS = (5, 6, 7, 8)
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SCAN, _END = 0xDA, 0xD9
# JPEG's markers without a segment, fill bytes and stuffed zeros; and what none of them is, which ends a scan.
_BARE = (0x00, 0x01, *range(0xD0, 0xD9), 0xFF)
_AFTER_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
# What Pillow raises on files that are broken or something else.
_UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    SyntaxError,
    struct.error,
)


@dataclass(frozen=True)
class ImageHeader:
    """Width and height in pixels as they are stored, and the EXIF orientation, 1 to 8."""

    width: int
    height: int
    orientation: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) after the orientation."""
        return (self.height, self.width) if self.orientation in _SIDEWAYS else (self.width, self.height)


def is_image(path: Path) -> bool:
    """Whether a file's name is one of an image that a section may hold, in small or capital letters.

    Hidden files are none: macOS leaves a `._x.jpg` beside each `x.jpg` on foreign disks.
    """
    return path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".")


def read_header(path: Path) -> ImageHeader:
    """Reads the header of an image file; no pixel is decoded.

    Raises:
        TransposeError: the file is missing or no image.
    """
    try:
        with path.open("rb") as file:
            return _header(file)
    except FileNotFoundError:
        raise TransposeError(f"{path} does not exist") from None
    except _UNREADABLE as error:
        raise TransposeError(f"{path} is not a readable image ({error})") from None


def orientation_of(data: bytes) -> int:
    """The EXIF orientation in the bytes of an image file, 1 where it says none that is known."""
    try:
        return _header(io.BytesIO(data)).orientation
    except _UNREADABLE:
        return 1


def _header(file: BinaryIO) -> ImageHeader:
    if file.read(len(_PNG)) == _PNG:
        return _png_header(file)
    file.seek(0)
    with Image.open(file) as image:
        (width, height), orientation = image.size, 1
        if image.format == "TIFF":  # Pillow may have exchanged the sides already
            tags = image.tag_v2  # type: ignore[attr-defined]
            width, height, orientation = tags[0x0100], tags[0x0101], tags.get(_ORIENTATION, 1)
        else:
            orientation = _exif_orientation(image.info.get("exif"))
    return ImageHeader(int(width), int(height), _known(orientation))


def _png_header(file: BinaryIO) -> ImageHeader:
    """Also of the EXIF that may stand behind the pixels, which Pillow would decode to find it."""
    width, height, exif = 0, 0, None
    while len(start := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", start)
        if kind == b"IHDR":
            width, height, *_ = struct.unpack(">II5B", file.read(size))
            size = 0
        elif kind == b"eXIf":
            exif = file.read(size)
            break
        elif kind == b"IEND":
            break
        file.seek(size + 4, io.SEEK_CUR)
    if not width or not height:
        raise ValueError("its header is missing")
    return ImageHeader(width, height, _known(_exif_orientation(exif)))


def _exif_orientation(exif: bytes | None) -> Any:
    if not exif:
        return 1
    tags = Image.Exif()
    tags.load(exif)
    return tags.get(_ORIENTATION, 1)


def _known(orientation: Any) -> int:
    return int(orientation) if orientation in range(1, 9) else 1


def is_truncated(data: bytes) -> bool:
    """Whether the bytes of a JPEG, PNG or WebP file end before the image does.

    What follows the image is no matter: cameras append previews, films and notes of their own.
    """
    if data[:2] == b"\xff\xd8":
        return not _jpeg_ends(data)
    if data[:8] == _PNG:
        return not _png_ends(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False


def _jpeg_ends(data: bytes) -> bool:
    """Walks over the segments, whose lengths are given, and the scans, which a marker ends."""
    at = 2
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 1:
        marker = data[at + 1]
        if marker == _END:
            return True
        if marker in _BARE:
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SCAN:
            found = _AFTER_SCAN.search(data, at)
            if found is None:
                return False
            at = found.start()
    return False


def _png_ends(data: bytes) -> bool:
    at = len(_PNG)
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + size
        if kind == b"IEND":
            return at <= len(data)
    return False


def as_stored(data: bytes) -> bytes:
    """The same file for a decoder that cannot be told to leave TIFF's pixels where they are: its orientation set to 1.

    Other formats come back as they are.
    """
    if data[:4] not in _TIFF:
        return data
    order, big = "<" if data[:1] == b"I" else ">", b"+" in data[2:4]
    offset, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    try:
        (at,) = struct.unpack_from(order + offset, data, 8 if big else 4)
        (tags,) = struct.unpack_from(order + count, data, at)
        at += struct.calcsize(count)
        for start in range(at, at + min(tags, 65535) * entry, entry):
            if struct.unpack_from(order + "H", data, start)[0] == _ORIENTATION:
                value = start + entry - struct.calcsize(offset)
                return data[:value] + struct.pack(order + "H", 1) + data[value + 2 :]
    except (struct.error, OverflowError):
        pass  # truncated or broken; the decoder says so
    return data


def turned(image_hw3: np.ndarray, orientation: int) -> np.ndarray:
    """An image turned and mirrored from how it is stored to how its EXIF orientation says it was seen."""
    match orientation:
        case 2:
            image_hw3 = cv2.flip(image_hw3, 1)
        case 3:
            image_hw3 = cv2.rotate(image_hw3, cv2.ROTATE_180)
        case 4:
            image_hw3 = cv2.flip(image_hw3, 0)
        case 5:
            image_hw3 = cv2.transpose(image_hw3)
        case 6:
            image_hw3 = cv2.rotate(image_hw3, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            image_hw3 = cv2.flip(cv2.transpose(image_hw3), -1)
        case 8:
            image_hw3 = cv2.rotate(image_hw3, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return image_hw3
