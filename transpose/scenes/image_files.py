"""What the bytes of an image file say beside its pixels: size, which way is up, the camera, and what colours mean.

Decoders differ here from version to version and from format to format: one turns a photo by its EXIF orientation and
another does not. So all of it is read here, for every format alike.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from transpose.errors import TransposeError
from transpose.scenes.image_kinds import can_read_heif, what_it_is_instead

_HEAD_BYTES = 4096
_ORIENTATION = 0x0112
# Orientations that exchange width and height.
_SIDEWAYS = (5, 6, 7, 8)
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG, _APP1, _APP2, _EXIF, _ICC = b"\xff\xd8", 0xE1, 0xE2, b"Exif\0\0", b"ICC_PROFILE\0"
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))  # where JPEG's size stands
_BARE, _SCAN, _END = (0x00, 0x01, *range(0xD0, 0xD9)), 0xDA, 0xD9
_LARGEST_PROFILE = 1 << 24  # bytes; those of printers have a few millions
# What Pillow raises on files that are broken or something else.
UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    RuntimeError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    AttributeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its image before the pixels.

    Attributes:
        width, height: in pixels as they are stored.
        orientation: EXIF's, 1 to 8.
        exif: the block itself; None where there is none.
        profile: the ICC profile of its colours; None where there is none.
    """

    width: int
    height: int
    orientation: int
    exif: bytes | None = None
    profile: bytes | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) after the orientation."""
        return (self.height, self.width) if self.orientation in _SIDEWAYS else (self.width, self.height)


class _Clamped(io.BufferedReader):
    """A file that makes room for no more bytes than it has, whatever readers of formats ask it for."""

    def read(self, size: int | None = -1) -> bytes:
        """See `io.BufferedReader`."""
        if size is not None and size > _HEAD_BYTES:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def read_header(path: Path) -> ImageHeader:
    """Reads the header of an image file; no pixel is decoded.

    Raises:
        TransposeError: the file is missing or no image that can be read; the message says what it is instead.
    """
    try:
        with _Clamped(io.FileIO(path)) as file:
            if what := what_it_is_instead(file.read(_HEAD_BYTES), path.suffix):
                raise TransposeError(f"{path} is {what}")
            return _header(file)
    except FileNotFoundError:
        raise TransposeError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise TransposeError(f"{path} is a folder, not an image") from None
    except UnidentifiedImageError:  # its own words name an object of Python
        raise TransposeError(f"{path} is not a readable image (damaged, or not what its name says)") from None
    except UNREADABLE as error:
        raise TransposeError(f"{path} is not a readable image ({error})") from None


def header_of(data: bytes) -> ImageHeader | None:
    """The header in the bytes of an image file, None where there is none that is known."""
    try:
        return _header(io.BytesIO(data))
    except UNREADABLE:
        return None


def exif_of(header: ImageHeader) -> Image.Exif:
    """The tags of the EXIF that a header holds; empty where there are none, or none that can be read."""
    return _tags(header.exif)


def _header(file: BinaryIO) -> ImageHeader:
    file.seek(0)
    start = file.read(len(_PNG))
    if start == _PNG:
        return _png_header(file)
    if start[:2] == _JPEG:
        file.seek(2)
        return _jpeg_header(file)
    file.seek(0)
    can_read_heif()
    with Image.open(file) as image:
        (width, height), exif = image.size, image.info.get("exif")
        orientation = _tags(exif).get(_ORIENTATION, 1)
        if image.format == "TIFF":  # Pillow may have exchanged the sides already
            tags = image.tag_v2  # type: ignore[attr-defined]
            width, height, orientation = tags[0x0100], tags[0x0101], tags.get(_ORIENTATION, 1)
            with contextlib.suppress(*UNREADABLE):  # of tags that are broken
                exif = image.getexif().tobytes()
        profile = image.info.get("icc_profile")
    return ImageHeader(int(width), int(height), _known(orientation), exif, profile)


def _png_header(file: BinaryIO) -> ImageHeader:
    """Also of the EXIF that may stand behind the pixels, which Pillow would decode to find it."""
    width, height, exif, profile = 0, 0, None, None
    while len(start := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", start)
        if kind == b"IHDR":
            width, height, *_ = struct.unpack(">II5B", file.read(13))
            size -= 13
        elif kind == b"iCCP":
            profile, size = _inflated(file.read(size)), 0
        elif kind == b"eXIf":
            exif = file.read(size)
            break
        elif kind == b"IEND":
            break
        file.seek(size + 4, io.SEEK_CUR)
    if not width or not height:
        raise ValueError("its header is missing")
    return ImageHeader(width, height, known_orientation(_tags(exif)), exif, profile)


def _inflated(named: bytes) -> bytes | None:
    """The colour profile in an iCCP chunk, behind its name and the byte that says how it is packed."""
    try:
        unpacking = zlib.decompressobj()
        profile = unpacking.decompress(named[named.index(b"\0") + 2 :], _LARGEST_PROFILE)
    except (ValueError, zlib.error):
        return None
    return profile if unpacking.eof else None


def _jpeg_header(file: BinaryIO) -> ImageHeader:
    """By its segments: Pillow refuses the size of the largest phones' photos (200 megapixels)."""
    exif, profile = None, b""
    while byte := file.read(1):
        if byte != b"\xff":  # rubbish between segments, which decoders skip as well
            continue
        while (byte := file.read(1)) == b"\xff":
            pass
        marker = byte[0] if byte else 0
        if marker in _BARE:
            continue
        if marker in (_SCAN, _END):
            break
        (size,) = struct.unpack(">H", file.read(2))
        if marker in _FRAMES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            if not width or not height:
                break
            return ImageHeader(width, height, known_orientation(_tags(exif)), exif, profile or None)
        if marker in (_APP1, _APP2):
            segment = file.read(size - 2)
            if exif is None and segment.startswith(_EXIF):
                exif = segment
            elif segment.startswith(_ICC):
                profile += segment[len(_ICC) + 2 :]
        else:
            file.seek(size - 2, io.SEEK_CUR)
    raise ValueError("its header is missing")


def _tags(exif: bytes | None) -> Image.Exif:
    tags = Image.Exif()
    if exif:
        with warnings.catch_warnings(), contextlib.suppress(*UNREADABLE):
            warnings.simplefilter("ignore")  # of tags that are broken
            tags.load(exif)
    return tags


def known_orientation(tags: Image.Exif) -> int:
    """1 to 8; 1 where the tags say none that means anything."""
    return _known(tags.get(_ORIENTATION, 1))


def _known(orientation: Any) -> int:
    return int(orientation) if orientation in range(1, 9) else 1


def is_tiff(data: bytes) -> bool:
    """Whether an image file is TIFF, in either order of bytes and with offsets of either size."""
    return data[:4] in _TIFF


def as_stored(data: bytes) -> bytes:
    """The same file for a decoder that cannot be told to leave TIFF's pixels where they are: its orientation set to 1.

    Other formats come back as they are.
    """
    if not is_tiff(data):
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
