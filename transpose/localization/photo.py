"""What a photo's own metadata says of its camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

_EXIF_IFD, _FOCAL_35MM = 0x8769, 0xA405
_DIAGONAL_35MM = math.hypot(36.0, 24.0)
_PLAUSIBLE_35MM = (8.0, 400.0)
_ROUNDED_MM = 0.5  # EXIF's 35 mm equivalent is a whole number of millimetres


@dataclass(frozen=True)
class ExifFocal:
    """A focal length that a photo's metadata say.

    Attributes:
        focal_px: in pixels of the photo.
        rounding: how far it may be off because it was rounded, relative: half of the interval.
    """

    focal_px: float
    rounding: float

    @property
    def sigma(self) -> float:
        """The standard deviation of that rounding, relative: a uniform distribution's."""
        return self.rounding / math.sqrt(3)


def focal_from_exif(path: Path) -> ExifFocal | None:
    """Focal length from EXIF's 35 mm equivalent, by the diagonal; None where missing or implausible."""
    try:
        with Image.open(path) as image:
            if image.format not in ("JPEG", "PNG", "TIFF", "WEBP", "HEIF", "MPO"):
                return None
            focal_35mm = float(image.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_35MM, 0) or 0)
            diagonal_px = math.hypot(*image.size)
    except (OSError, ValueError, TypeError, ZeroDivisionError):
        return None
    if not _PLAUSIBLE_35MM[0] <= focal_35mm <= _PLAUSIBLE_35MM[1]:
        return None
    return ExifFocal(focal_35mm * diagonal_px / _DIAGONAL_35MM, _ROUNDED_MM / focal_35mm)
