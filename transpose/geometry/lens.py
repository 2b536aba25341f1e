"""Lenses with radial and tangential distortion (Brown 1966), and the pinhole cameras that stand in for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from transpose.geometry.cameras import Camera

# COLMAP's models that a Brown lens covers, and what their parameters are, in order.
MODELS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
}
_BORDER_POINTS = 64
_ZOOM_ROUNDS = 30


@dataclass(frozen=True)
class Lens:
    """A lens as OpenCV and COLMAP describe it, in continuous pixels (first pixel centre at 0.5, 0.5; COLMAP's too).

    A normalised point (x, y) at radius r lands at x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2), y
    alike with p1 and p2 exchanged. OpenCV's own cx and cy count pixel centres at integers: add 0.5 to them.
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
        x, y = np.asarray(xy_n2, np.float64)[..., 0], np.asarray(xy_n2, np.float64)[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        across = x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x)
        down = y * radial + 2 * self.p2 * x * y + self.p1 * (r2 + 2 * y * y)
        return np.stack([across * self.fx + self.cx, down * self.fy + self.cy], -1)


def pinhole_for(lens: Lens, width: int | None = None, height: int | None = None) -> Camera:
    """The pinhole camera that a lens's image is brought to: the principal point in the middle, square pixels.

    The image is scaled to cover `width` x `height` (its own size by default) and cropped in the middle, and zoomed into
    by no more than it takes for every pixel to come from inside the photo.

    Raises:
        ValueError: the distortion folds the image, so that no such camera exists.
    """
    width, height = width or lens.width, height or lens.height
    cover = max(width / lens.width, height / lens.height)
    start = (lens.fx * lens.fy) ** 0.5 * cover
    focal_px = start
    for _ in range(_ZOOM_ROUNDS):
        source_n2 = lens.px_of_rays(_border_rays(Camera.from_focal(focal_px, width, height)))
        # How far out of the photo the border reaches, relative to its distance from the centre of projection.
        over = np.maximum(source_n2 - (lens.width, lens.height), -source_n2) / np.abs(source_n2 - (lens.cx, lens.cy))
        if not np.isfinite(over).all() or focal_px > 4 * start:
            break
        if over.max() <= 1e-9:
            if _folds(lens, Camera.from_focal(focal_px, width, height)):
                break
            return Camera.from_focal(focal_px, width, height)
        focal_px *= 1 + 1.0001 * over.max() + 1e-9
    raise ValueError("its distortion folds the image over; are k1, k2, k3 in the order of the model?")


def _folds(lens: Lens, camera: Camera) -> bool:
    """Whether the lens puts a point farther out nearer to the middle than another, within the camera's view."""
    r = np.linspace(0, float(np.linalg.norm(_border_rays(camera), axis=1).max()), 4 * _BORDER_POINTS)
    return bool((np.diff(r * (1 + r**2 * (lens.k1 + r**2 * (lens.k2 + r**2 * lens.k3)))) <= 0).any())


def _border_rays(camera: Camera) -> np.ndarray:
    along = np.linspace(0, 1, _BORDER_POINTS)
    zero = np.zeros_like(along)
    square_n2 = np.concatenate(
        [np.stack(pair, -1) for pair in ((along, zero), (along, zero + 1), (zero, along), (zero + 1, along))]
    )
    return camera.unproject(square_n2 * (camera.width, camera.height))[:, :2]
