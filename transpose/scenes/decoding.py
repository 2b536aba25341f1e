"""From the bytes of an image file to its pixels: RGB in sRGB, upright, or refused with what is wrong."""

from __future__ import annotations

import io
import logging
from pathlib import PurePath

import cv2
import numpy as np
from PIL import Image

from transpose.errors import TransposeError
from transpose.scenes.colors import UnusableProfileError, in_srgb
from transpose.scenes.image_files import (
    UNREADABLE,
    ImageHeader,
    as_stored,
    header_of,
    is_tiff,
    known_orientation,
    turned,
)
from transpose.scenes.image_kinds import what_it_is_instead
from transpose.scenes.whole_images import whole_image
from transpose.untrusted.images import too_many_pixels

log = logging.getLogger(__name__)
_ISO_MEDIA = b"ftyp"  # HEIC and AVIF, which OpenCV turns or not, by version; Pillow leaves them and says so
_NO_PHOTO = ("I", "F")  # Pillow's modes of numbers that are no colours


def decoded(path: PurePath, data: bytes, upright: bool) -> np.ndarray:
    """The pixels of an image file, (height, width, 3) uint8, RGB in sRGB.

    Transparency is left out, 16 bits become 8, grey and CMYK become RGB. Of several images in a file the first counts.

    Args:
        path: of the file, for messages.
        data: of the file.
        upright: turned as its EXIF orientation says, or as it is stored.

    Raises:
        TransposeError: it is truncated, or no image that can be read; the message says what it is instead.
    """
    if what := what_it_is_instead(data, path.suffix):
        raise TransposeError(f"{path} is {what}")
    header = header_of(data)
    if header is not None and (harm := too_many_pixels(header.width, header.height, len(data))):
        raise TransposeError(f"{path} is {harm}")
    whole = whole_image(data)
    if whole is None:
        raise TransposeError(f"{path} is truncated; copy it again")
    image_hw3 = None if header is None else _pixels(whole)
    if header is None or image_hw3 is None:
        raise TransposeError(
            f"{path} is not a readable image (truncated, another format than its name says, or of numbers that are no "
            "colours, such as 32 bits each)"
        )
    try:
        image_hw3 = in_srgb(image_hw3, header, whole)
    except UnusableProfileError as error:
        log.warning("%s: its colour profile cannot be used (%s); its colours are taken for sRGB", path, error)
    return turned(image_hw3, header.orientation) if upright else image_hw3


def of_pil(image: Image.Image) -> np.ndarray:
    """The pixels of a PIL image as of a file of it: (height, width, 3) uint8, upright, RGB in sRGB.

    Raises:
        TransposeError: its numbers are no colours (mode I or F).
    """
    if image.mode.split(";")[0] in _NO_PHOTO:
        raise TransposeError(f"a PIL image of mode {image.mode} is no photo; convert it to RGB, in 0..255")
    try:
        tags = image.getexif()
        header = ImageHeader(
            image.width, image.height, known_orientation(tags), tags.tobytes(), image.info.get("icc_profile")
        )
    except UNREADABLE:
        header = ImageHeader(image.width, image.height, 1, None, image.info.get("icc_profile"))
    pixels_hw3 = np.array(image.convert("RGB"))
    try:
        pixels_hw3 = in_srgb(pixels_hw3, header, image)
    except UnusableProfileError as error:
        log.warning("an image's colour profile cannot be used (%s); its colours are taken for sRGB", error)
    return turned(pixels_hw3, header.orientation)


def _pixels(data: bytes) -> np.ndarray | None:
    """RGB as stored; None where neither OpenCV nor Pillow can read it."""
    stored = as_stored(data)
    # Where there is transparency in TIFF, OpenCV multiplies the colours by it.
    image_hw3 = _by_pillow(stored, only="RGBA") if is_tiff(data) else None
    if image_hw3 is None and data[4:8] != _ISO_MEDIA:
        try:
            image_hw3 = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:  # of more pixels than it takes
            return None
        if image_hw3 is not None:
            image_hw3 = cv2.cvtColor(image_hw3, cv2.COLOR_BGR2RGB)
    return _by_pillow(stored) if image_hw3 is None else image_hw3


def _by_pillow(data: bytes, only: str | None = None) -> np.ndarray | None:
    """RGB; None where Pillow cannot read it, or it is of another mode than the only one that is asked for."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.split(";")[0] in _NO_PHOTO or (only is not None and image.mode != only):
                return None
            return np.array(image.convert("RGB"))
    except UNREADABLE:
        return None
