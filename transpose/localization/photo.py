"""What a photo's own metadata says of its camera."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image

_EXIF_IFD, _FOCAL_35MM = 0x8769, 0xA405
_DIAGONAL_35MM = math.hypot(36.0, 24.0)
_PLAUSIBLE_35MM = (8.0, 400.0)


def focal_from_exif(path: Path) -> float | None:
    """Focal length in pixels from EXIF's 35 mm equivalent, by the diagonal; None where missing or implausible."""
    try:
        with Image.open(path) as image:
            if image.format not in ("JPEG", "TIFF", "WEBP", "HEIF", "MPO"):
                return None
            focal_35mm = float(image.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_35MM, 0) or 0)
            diagonal_px = math.hypot(*image.size)
    except (OSError, ValueError, TypeError, ZeroDivisionError):
        return None
    if not _PLAUSIBLE_35MM[0] <= focal_35mm <= _PLAUSIBLE_35MM[1]:
        return None
    return focal_35mm * diagonal_px / _DIAGONAL_35MM
