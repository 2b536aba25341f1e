"""Pinhole cameras with radial distortion, pixel grids, and the way from depth to points and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.distortion import Distortion, fold_radius2

CELL_STRIDE = 8
_SAME_SHAPE = 0.01  # by which ratios of width to height of two images of one camera may differ
MOST_SKEW = 1e-6  # of the focal length: below a thousandth of a pixel, such as rounding leaves


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
        """From a 3x3 matrix without skew, whose principal point is in continuous pixels.

        Raises:
            ValueError: it is none, or has skew, which no camera here models.
        """
        K_33 = np.asarray(K_33, dtype=np.float64)
        if K_33.shape != (3, 3) or not np.isfinite(K_33).all():
            raise ValueError(f"intrinsics must be a finite 3x3 matrix, got {K_33.tolist()}")
        if not np.allclose(K_33[(1, 2, 2, 2), (0, 0, 1, 2)], (0, 0, 0, 1), rtol=0, atol=1e-9):
            raise ValueError(f"intrinsics must be fx s cx / 0 fy cy / 0 0 1, got {K_33.tolist()}")
        if abs(K_33[0, 1]) > MOST_SKEW * abs(K_33[0, 0]):
            raise ValueError(
                f"the matrix has a skew of {K_33[0, 1]:g} px, which is not supported; set it to 0 if it is an artefact "
                "of calibration, or undistort the images to square pixels first"
            )
        return cls(width, height, float(K_33[0, 0]), float(K_33[1, 1]), float(K_33[0, 2]), float(K_33[1, 2]))

    @property
    def K_33(self) -> np.ndarray:
        """The 3x3 intrinsic matrix (no distortion in it)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def has_shape_of(self, width: int, height: int) -> bool:
        """Whether an image of `width` x `height` may be one of this camera, resized: the sides' ratio is the same."""
        return abs(self.width / self.height * height / width - 1) <= _SAME_SHAPE

    def resized(self, width: int, height: int) -> Camera:
        """The same camera after its image is resized to `width` x `height`."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )

    def zoomed(self, factor: float) -> Camera:
        """The camera with its focal lengths times a factor, and its distortion where it is in the image.

        What bends straight lines is seen in the image, whatever the focal length is taken to be: a pixel comes off
        from the middle by as many pixels as before, so k1 goes by the factor's square and k2 by its fourth power.
        """
        return replace(self, fx=self.fx * factor, fy=self.fy * factor, k1=self.k1 * factor**2, k2=self.k2 * factor**4)

    def unproject(self, px_n2: np.ndarray) -> np.ndarray:
        """Viewing rays (..., 3) with z = 1 of pixels (..., 2); a ray times its depth is the camera-frame point.

        NaN where no ray ends: far from the middle of the image strong distortion turns back (see `Distortion`).
        """
        px_n2 = np.asarray(px_n2, dtype=np.float64)
        xy_n2 = (px_n2 - (self.cx, self.cy)) / (self.fx, self.fy)
        if self.k1 or self.k2:
            with np.errstate(all="ignore"):
                x, y, solved = self._distortion.undistorted(xy_n2[..., 0], xy_n2[..., 1])
            xy_n2 = np.where(solved[..., None], np.stack([x, y], -1), np.nan)
        return np.concatenate([xy_n2, np.ones_like(xy_n2[..., :1])], axis=-1)

    def project(self, points_n3: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of camera-frame points (..., 3); NaN where a point is not in front of the camera.

        Nor has a point a pixel that stands so far aside that its ray ends beyond the fold of the distortion.
        """
        points_n3 = np.asarray(points_n3, dtype=np.float64)
        z_n1 = points_n3[..., 2:]
        with np.errstate(divide="ignore", invalid="ignore"):
            xy_n2 = np.where(z_n1 > 0, points_n3[..., :2] / z_n1, np.nan)
        if self.k1 or self.k2:
            lens, x, y = self._distortion, xy_n2[..., 0], xy_n2[..., 1]
            with np.errstate(over="ignore", invalid="ignore"):
                imaged = lens.before_fold(x, y)
                xy_n2 = np.where(imaged[..., None], np.stack(lens.distorted(x, y), -1), np.nan)
        return xy_n2 * (self.fx, self.fy) + (self.cx, self.cy)

    @property
    def _distortion(self) -> Distortion:
        return Distortion(self.k1, self.k2, fold_r2=fold_radius2(self.k1, self.k2))


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
