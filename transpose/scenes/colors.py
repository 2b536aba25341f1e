"""Colours of photos as sRGB, in which renders are made and all photos are learned from and localized.

Phones photograph in Display P3, cameras in Adobe RGB if they are told to; their numbers taken for sRGB are paler.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from transpose.scenes.image_files import ImageHeader, exif_of

_INTEROPERABILITY, _EXIF_IFD, _INDEX = 0xA005, 0x8769, 1
_ADOBE_GAMMA = 563 / 256
# From linear Adobe RGB (1998) to linear sRGB; both have the white point D65.
_ADOBE_TO_SRGB_33 = np.array([[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]])


class UnusableProfileError(Exception):
    """A colour profile is broken, or one of another kind of colours than the image has."""


def in_srgb(image_hw3: np.ndarray, header: ImageHeader, data: bytes) -> np.ndarray:
    """An image's colours as sRGB.

    Args:
        image_hw3: RGB uint8 as decoded, its numbers as they are stored.
        header: of its file.
        data: of its file, from which CMYK is decoded anew: its four inks cannot be had back from three colours.

    Raises:
        UnusableProfileError: the file has a colour profile that cannot be used.
    """
    if header.profile is None:
        return _from_adobe(image_hw3) if _says_adobe(header) else image_hw3
    kind = header.profile[16:20]
    try:
        if kind == b"CMYK":
            with Image.open(io.BytesIO(data)) as image:
                if image.mode != "CMYK":
                    raise UnusableProfileError("it is one of CMYK, the image is not")
                return np.asarray(_transform(header.profile, "CMYK").apply(image))
        if kind == b"GRAY":
            return np.asarray(_transform(header.profile, "L").apply(Image.fromarray(image_hw3[..., 0])))
        if kind != b"RGB ":
            raise UnusableProfileError(f"it is one of {kind.decode('latin-1').strip() or 'nothing'}")
        transform = _transform(header.profile, "RGB")
        return image_hw3 if transform is None else np.asarray(transform.apply(Image.fromarray(image_hw3)))
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnusableProfileError(str(error)) from None


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile's colours to sRGB; None where that changes nothing."""
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(
        given, srgb, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.NOCACHE
    )
    if mode == "RGB" and np.abs(np.asarray(transform.apply(_probe())).astype(int) - np.asarray(_probe())).max() <= 1:
        return None
    return transform


def _probe() -> Image.Image:
    """Some colours all over the cube."""
    steps = np.linspace(0, 255, 6).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(12, 18, 3))


def _says_adobe(header: ImageHeader) -> bool:
    """Whether EXIF says Adobe RGB in the way of cameras, which write no profile."""
    if header.exif is None or b"R03" not in header.exif:
        return False
    tags = exif_of(header).get_ifd(_EXIF_IFD).get(_INTEROPERABILITY)
    return isinstance(tags, dict) and str(tags.get(_INDEX, "")).strip("\0 ") == "R03"


def _from_adobe(image_hw3: np.ndarray) -> np.ndarray:
    linear_256 = (np.arange(256) / 255) ** _ADOBE_GAMMA
    linear_hw3 = np.clip(linear_256.astype(np.float32)[image_hw3] @ _ADOBE_TO_SRGB_33.T.astype(np.float32), 0, 1)
    curve_4096 = np.linspace(0, 1, 4096)
    curve_4096 = np.where(curve_4096 <= 0.0031308, 12.92 * curve_4096, 1.055 * curve_4096 ** (1 / 2.4) - 0.055)
    return np.rint(255 * curve_4096).astype(np.uint8)[np.rint(4095 * linear_hw3).astype(np.int32)]
