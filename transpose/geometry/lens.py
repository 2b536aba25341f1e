"""Lenses with radial and tangential distortion (Brown 1966), their radial factor a polynomial or a fraction of two."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.distortion import Distortion, fold_radius2


@dataclass(frozen=True)
class Lens:
    """A lens as OpenCV and COLMAP describe it, in continuous pixels (first pixel centre at 0.5, 0.5; COLMAP's too).

    `Distortion` says what the coefficients mean. OpenCV's own cx and cy count pixel centres at integers: add 0.5.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0

    def __post_init__(self) -> None:
        values = [getattr(self, each.name) for each in fields(self)]
        if not all(math.isfinite(value) for value in values) or min(self.fx, self.fy) <= 0:
            raise ValueError(f"focal lengths must be positive and all parameters finite, got {values}")
        if min(self.width, self.height) < 1:
            raise ValueError(f"image size must be positive, got {self.width} x {self.height}")

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""
        return not any((self.k1, self.k2, self.p1, self.p2, self.k3, self.k4, self.k5, self.k6))

    @property
    def focal_px(self) -> float:
        """Pixels a radian in the middle of the image."""
        return math.sqrt(self.fx * self.fy)

    @property
    def camera(self) -> Camera:
        """The same without distortion."""
        return Camera(self.width, self.height, self.fx, self.fy, self.cx, self.cy)

    def resized(self, width: int, height: int) -> Lens:
        """The same lens for its image at another size, such as that of a file that was made smaller."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )

    def px_of_rays(self, xy_n2: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) at which the lens puts normalised points (..., 2)."""
        xy_n2 = np.asarray(xy_n2, np.float64)
        across_down_n2 = np.stack(self._distortion.distorted(xy_n2[..., 0], xy_n2[..., 1]), -1)
        return across_down_n2 * (self.fx, self.fy) + (self.cx, self.cy)

    def rays_of_px(self, px_n2: np.ndarray) -> np.ndarray:
        """Normalised points (..., 2) that the lens puts at pixels (..., 2), the inverse of `px_of_rays`.

        NaN where no ray ends: far from the middle of the image, a polynomial of strong distortion turns back.
        """
        xy_n2 = (np.asarray(px_n2, np.float64) - (self.cx, self.cy)) / (self.fx, self.fy)
        if self.is_pinhole:
            return xy_n2
        with np.errstate(all="ignore"):
            x, y, solved = self._distortion.undistorted(xy_n2[..., 0], xy_n2[..., 1])
        return np.where(solved[..., None], np.stack([x, y], -1), np.nan)

    def px_of_directions(self, directions_n3: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) at which the lens puts directions (..., 3); NaN beside and behind what it images."""
        directions_n3 = np.asarray(directions_n3, np.float64)
        with np.errstate(all="ignore"):
            xy_n2 = directions_n3[..., :2] / directions_n3[..., 2:]
            imaged_n = (directions_n3[..., 2] > 0) & self._distortion.before_fold(xy_n2[..., 0], xy_n2[..., 1])
            return np.where(imaged_n[..., None], self.px_of_rays(xy_n2), np.nan)

    def directions_of_px(self, px_n2: np.ndarray) -> np.ndarray:
        """Unit directions (..., 3) that the lens puts at pixels (..., 2); NaN where no ray ends."""
        xy_n2 = self.rays_of_px(px_n2)
        directions_n3 = np.concatenate([xy_n2, np.ones_like(xy_n2[..., :1])], -1)
        return directions_n3 / np.linalg.norm(directions_n3, axis=-1, keepdims=True)

    @property
    def _distortion(self) -> Distortion:
        below = (self.k4, self.k5, self.k6)
        fold_r2 = fold_radius2(self.k1, self.k2, self.k3, below=below)
        return Distortion(self.k1, self.k2, self.p1, self.p2, self.k3, fold_r2, *below)
