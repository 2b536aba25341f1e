"""Pinhole cameras with radial distortion, pixel grids, and the way from depth to points and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

CELL_STRIDE = 8
_UNDISTORT_ITERATIONS = 20


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with two radial coefficients, in continuous pixels (first pixel centre at 0.5, 0.5).

    `fx, fy, cx, cy` are pixels; `k1, k2` scale the normalised point by 1 + k1 r^2 + k2 r^4 (OpenCV's and COLMAP's
    RADIAL model).
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    k1: float = 0.0
    k2: float = 0.0

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"image size must be positive, got {self.width} x {self.height}")
        values = (self.fx, self.fy, self.cx, self.cy, self.k1, self.k2)
        if not all(math.isfinite(v) for v in values) or self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"focal lengths must be positive and all intrinsics finite, got {values}")

    @classmethod
    def from_focal(cls, focal_px: float, width: int, height: int) -> Camera:
        """Square pixels and the principal point in the middle of the image."""
        return cls(width, height, focal_px, focal_px, width / 2, height / 2)

    @classmethod
    def from_K(cls, K_33: np.ndarray, width: int, height: int) -> Camera:
        """From a 3x3 matrix without skew, whose principal point is in continuous pixels."""
        K_33 = np.asarray(K_33, dtype=np.float64)
        return cls(width, height, float(K_33[0, 0]), float(K_33[1, 1]), float(K_33[0, 2]), float(K_33[1, 2]))

    @property
    def K_33(self) -> np.ndarray:
        """The 3x3 intrinsic matrix (no distortion in it)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> Camera:
        """The same camera after its image is resized to `width` x `height`."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )

    def unproject(self, px_n2: np.ndarray) -> np.ndarray:
        """Viewing rays (..., 3) with z = 1 of pixels (..., 2); a ray times its depth is the camera-frame point."""
        px_n2 = np.asarray(px_n2, dtype=np.float64)
        xy_n2 = (px_n2 - (self.cx, self.cy)) / (self.fx, self.fy)
        if self.k1 or self.k2:
            distorted_n2 = xy_n2
            for _ in range(_UNDISTORT_ITERATIONS):  # fixed point; converges for the mild distortion of real lenses
                xy_n2 = distorted_n2 / self._radial_factor(xy_n2)
        return np.concatenate([xy_n2, np.ones_like(xy_n2[..., :1])], axis=-1)

    def project(self, points_n3: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of camera-frame points (..., 3); NaN where a point is not in front of the camera."""
        points_n3 = np.asarray(points_n3, dtype=np.float64)
        z_n1 = points_n3[..., 2:]
        with np.errstate(divide="ignore", invalid="ignore"):
            xy_n2 = np.where(z_n1 > 0, points_n3[..., :2] / z_n1, np.nan)
        if self.k1 or self.k2:
            xy_n2 = xy_n2 * self._radial_factor(xy_n2)
        return xy_n2 * (self.fx, self.fy) + (self.cx, self.cy)

    def _radial_factor(self, xy_n2: np.ndarray) -> np.ndarray:
        r2_n1 = (xy_n2**2).sum(-1, keepdims=True)
        return 1 + r2_n1 * (self.k1 + r2_n1 * self.k2)


def pixel_centers(width: int, height: int) -> np.ndarray:
    """Continuous coordinates (height, width, 2) of all pixel centres, x first."""
    x_w, y_h = np.arange(width) + 0.5, np.arange(height) + 0.5
    return np.stack(np.meshgrid(x_w, y_h), axis=-1)


def grid_shape(width: int, height: int, stride: int = CELL_STRIDE) -> tuple[int, int]:
    """Rows and columns of a network's map: the image divided by the stride, rounded up."""
    return -(-height // stride), -(-width // stride)


def cell_points(width: int, height: int, stride: int = CELL_STRIDE) -> np.ndarray:
    """Continuous pixels (rows, columns, 2) that the cells of a map stand for: the middle of each stride x stride block.

    Cells of the last row or column may stand for points outside the image where its size is no multiple of the stride.
    """
    rows, columns = grid_shape(width, height, stride)
    x_w, y_h = np.arange(columns) * stride + stride / 2, np.arange(rows) * stride + stride / 2
    return np.stack(np.meshgrid(x_w, y_h), axis=-1)
