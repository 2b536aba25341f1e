"""Lenses with radial and tangential distortion (Brown 1966), and the pinhole cameras that stand in for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.distortion import Distortion, fold_radius2

# COLMAP's models that a Brown lens covers, and what their parameters are, in order.
MODELS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
}
_BORDER_POINTS = 256  # a side; what a border bulges between two of them is far below a pixel


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

    def __post_init__(self) -> None:
        values = [getattr(self, each.name) for each in fields(self)]
        if not all(math.isfinite(value) for value in values) or min(self.fx, self.fy) <= 0:
            raise ValueError(f"focal lengths must be positive and all parameters finite, got {values}")
        if min(self.width, self.height) < 1:
            raise ValueError(f"image size must be positive, got {self.width} x {self.height}")

    @classmethod
    def from_model(cls, model: str, parameters: Sequence[float], width: int, height: int) -> Lens:
        """From one of COLMAP's models.

        Raises:
            ValueError: the model is not one of `MODELS`, or has another number of parameters.
        """
        if model not in MODELS:
            raise ValueError(f"camera model {model} is not one of {', '.join(MODELS)}")
        if len(parameters) != len(MODELS[model]):
            raise ValueError(f"camera model {model} has {len(MODELS[model])} parameters, got {len(parameters)}")
        values = dict(zip(MODELS[model], map(float, parameters), strict=True))
        if any(values.pop(name, 0.0) for name in ("k4", "k5", "k6")):
            raise ValueError(
                "FULL_OPENCV with a denominator (k4, k5, k6) is not supported; undistort with COLMAP first"
            )
        if "f" in values:
            values["fx"] = values["fy"] = values.pop("f")
        return cls(width, height, **values)

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""
        return not (self.k1 or self.k2 or self.p1 or self.p2 or self.k3)

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

    @property
    def _distortion(self) -> Distortion:
        fold_r2 = fold_radius2(self.k1, self.k2, self.k3)
        return Distortion(self.k1, self.k2, self.p1, self.p2, self.k3, fold_r2)


def pinhole_for(lens: Lens, width: int | None = None, height: int | None = None) -> Camera:
    """The pinhole camera that a lens's image is brought to: the principal point in the middle, square pixels.

    The image is scaled to cover `width` x `height` (its own size by default) and cropped in the middle, and zoomed into
    by no more than it takes for every pixel to come from inside the photo.

    Raises:
        ValueError: the distortion folds the image, so that no such camera exists.
    """
    width, height = width or lens.width, height or lens.height
    cover = max(width / lens.width, height / lens.height)
    # Every ray of the photo's border must leave the pinhole image, by one of its sides at least.
    border_n2 = lens.rays_of_px(_border(lens.width, lens.height))
    border_n2 = np.abs(border_n2[np.isfinite(border_n2).all(1)])
    with np.errstate(divide="ignore"):
        needed_n = (np.array([width / 2, height / 2]) / border_n2).min(1)
    focal_px = max(math.sqrt(lens.fx * lens.fy) * cover, float(needed_n.max(initial=0)))
    camera = Camera.from_focal(focal_px, width, height)
    corner_r2 = float(np.square(camera.unproject(np.zeros(2))[:2]).sum())
    if corner_r2 >= fold_radius2(lens.k1, lens.k2, lens.k3):
        raise ValueError("its distortion folds the image over; are k1, k2, k3 in the order of the model?")
    return camera


def _border(width: int, height: int) -> np.ndarray:
    """Points (n, 2) along the four sides of an image."""
    along = np.linspace(0, 1, _BORDER_POINTS)
    zero = np.zeros_like(along)
    sides = ((along, zero), (along, zero + 1), (zero, along), (zero + 1, along))
    return np.concatenate([np.stack(pair, -1) for pair in sides]) * (width, height)
