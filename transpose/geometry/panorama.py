"""Panoramas of the whole sphere: longitude across, latitude down (equirectangular)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Panorama:
    """An equirectangular image, 360 by 180 degrees; its middle looks along z, right of it lies x, below it y.

    Raises:
        ValueError: it is not twice as wide as it is high, so that it does not show the whole sphere.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise ValueError(f"image size must be positive, got {self.width} x {self.height}")
        if abs(self.width / self.height - 2) > 2 * _ASPECT_TOLERANCE:
            raise ValueError(
                f"an equirectangular panorama is twice as wide as high, this one is {self.width} x {self.height}; "
                "pad it to the whole sphere"
            )

    @property
    def is_pinhole(self) -> bool:
        """Never."""
        return False

    @property
    def focal_px(self) -> float:
        """Pixels a radian."""
        return self.width / (2 * math.pi)

    def resized(self, width: int, height: int) -> Panorama:
        """The same at another size."""
        return Panorama(width, height)

    def px_of_directions(self, directions_n3: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of directions (..., 3)."""
        x, y, z = np.moveaxis(np.asarray(directions_n3, np.float64), -1, 0)
        longitude, down = np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))
        return np.stack([(longitude / (2 * math.pi) + 0.5) * self.width, (down / math.pi + 0.5) * self.height], -1)

    def directions_of_px(self, px_n2: np.ndarray) -> np.ndarray:
        """Unit directions (..., 3) of pixels (..., 2)."""
        across, down = np.moveaxis(np.asarray(px_n2, np.float64), -1, 0)
        longitude, down = (across / self.width - 0.5) * 2 * math.pi, (down / self.height - 0.5) * math.pi
        return np.stack([np.cos(down) * np.sin(longitude), np.sin(down), np.cos(down) * np.cos(longitude)], -1)
