"""Fisheye lenses: the distance from the middle of the image follows the angle from the axis, not its tangent.

So a direction beside or behind the camera has a pixel too. Models are those of OpenCV's `fisheye` (Kannala and Brandt
2006), COLMAP (docs: camera models) and Project Aria, and the field-of-view model (Devernay and Faugeras 2001).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from transpose.geometry.distortion import fold_radius2

_BISECTIONS = 60
_ROUNDS = 40  # of what is not radial, which is small
_SETTLED = 1e-9


@dataclass(frozen=True)
class Fisheye:
    """An equidistant fisheye with radial, tangential and thin-prism distortion, in continuous pixels.

    A direction at the angle t from the axis lands at the radius t (1 + radial[0] t^2 + radial[1] t^4 + ...). Tangential
    (a, b) adds a (r^2 + 2 x^2) + 2 b x y to x, and to y with a and b, x and y exchanged; prism (c, d, e, f) adds
    c r^2 + d r^4 to x and e r^2 + f r^4 to y. Both are of the point before the radial distortion, or after it where
    `after_radial`.

    Attributes:
        rim_px: radius about the principal point, in pixels, beyond which the photo shows nothing.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    radial: tuple[float, ...] = ()
    tangential: tuple[float, float] = (0.0, 0.0)
    prism: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    after_radial: bool = False
    rim_px: float = math.inf

    def __post_init__(self) -> None:
        values = [getattr(self, each.name) for each in fields(self) if each.name not in ("after_radial", "rim_px")]
        flat = [number for value in values for number in (value if isinstance(value, tuple) else (value,))]
        if not all(math.isfinite(number) for number in flat) or min(self.fx, self.fy) <= 0:
            raise ValueError(f"focal lengths must be positive and all parameters finite, got {flat}")
        if min(self.width, self.height) < 1 or not self.rim_px > 0:
            raise ValueError(f"image size and rim must be positive, got {self.width} x {self.height}, {self.rim_px}")

    @property
    def is_pinhole(self) -> bool:
        """Never."""
        return False

    @property
    def focal_px(self) -> float:
        """Pixels a radian in the middle of the image."""
        return math.sqrt(self.fx * self.fy)

    def resized(self, width: int, height: int) -> Fisheye:
        """The same lens for its image at another size."""
        sx, sy = width / self.width, height / self.height
        fx, fy, cx, cy = self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy
        rim_px = self.rim_px * math.sqrt(sx * sy)
        return replace(self, width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy, rim_px=rim_px)

    def px_of_directions(self, directions_n3: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of directions (..., 3); NaN beyond the angle up to which the radius grows, and the rim."""
        directions_n3 = np.asarray(directions_n3, np.float64)
        x, y, z = np.moveaxis(directions_n3, -1, 0)
        across = np.hypot(x, y)
        angle = np.arctan2(across, z)
        scale = np.where(across > 0, angle / np.where(across > 0, across, 1), 0)
        point_n2 = self._distorted(np.stack([x * scale, y * scale], -1))
        off_n2 = point_n2 * (self.fx, self.fy)
        with np.errstate(invalid="ignore"):
            imaged = (angle < self._widest) & (np.hypot(off_n2[..., 0], off_n2[..., 1]) <= self.rim_px)
        return np.where(imaged[..., None], off_n2 + np.array([self.cx, self.cy]), np.nan)

    def directions_of_px(self, px_n2: np.ndarray) -> np.ndarray:
        """Unit directions (..., 3) of pixels (..., 2); NaN where no ray ends."""
        off_n2 = np.asarray(px_n2, np.float64) - (self.cx, self.cy)
        wanted_n2 = off_n2 / (self.fx, self.fy)
        point_n2 = self._without_radial(wanted_n2)
        if any((*self.tangential, *self.prism)):
            for _ in range(_ROUNDS):
                point_n2 = self._without_radial(wanted_n2 - self._aside(point_n2))
        angle = np.linalg.norm(point_n2, axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            sine = np.where(angle > 0, np.sin(angle) / angle, 1.0)
            found = np.abs(self._distorted(point_n2) - wanted_n2).max(-1) < _SETTLED
            found &= np.hypot(off_n2[..., 0], off_n2[..., 1]) <= self.rim_px
        directions_n3 = np.concatenate([point_n2 * sine[..., None], np.cos(angle)[..., None]], -1)
        return np.where(found[..., None], directions_n3, np.nan)

    @property
    def _widest(self) -> float:
        """The angle up to which the radius in the image grows."""
        return min(math.pi, math.sqrt(fold_radius2(*self.radial)))

    def _radius(self, angle: np.ndarray) -> np.ndarray:
        """Of the image of an angle, by the radial part alone."""
        factor = np.zeros_like(angle)
        for k in reversed(self.radial):
            factor = (factor + k) * angle * angle
        return angle * (1 + factor)

    def _distorted(self, point_n2: np.ndarray) -> np.ndarray:
        return self._with_radial(point_n2) + self._aside(point_n2)

    def _with_radial(self, point_n2: np.ndarray) -> np.ndarray:
        angle = np.linalg.norm(point_n2, axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", over="ignore"):
            tiny = angle < 1e-9
            reach = np.where(tiny, 1e-9, angle)
            return point_n2 * (self._radius(reach) / reach)

    def _aside(self, point_n2: np.ndarray) -> np.ndarray:
        """What tangential and prism terms add to a point before its radial distortion."""
        if not any((*self.tangential, *self.prism)):
            return np.zeros_like(point_n2)
        if self.after_radial:
            point_n2 = self._with_radial(point_n2)
        (a, b), (c, d, e, f) = self.tangential, self.prism
        x, y = np.moveaxis(point_n2, -1, 0)
        r2 = x * x + y * y
        across = a * (r2 + 2 * x * x) + 2 * b * x * y + c * r2 + d * r2 * r2
        down = b * (r2 + 2 * y * y) + 2 * a * x * y + e * r2 + f * r2 * r2
        return np.stack([across, down], -1)

    def _without_radial(self, point_n2: np.ndarray) -> np.ndarray:
        """The points whose radial distortion is `point_n2`, by bisection: the radius grows up to the widest angle."""
        reach = np.linalg.norm(point_n2, axis=-1, keepdims=True)
        low, high = np.zeros_like(reach), np.full_like(reach, self._widest)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            with np.errstate(invalid="ignore"):
                beyond = self._radius(middle) > reach
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        near = reach < 1e-12
        return np.where(near, point_n2, point_n2 / np.where(near, 1, reach) * high)


@dataclass(frozen=True)
class FieldOfView(Fisheye):
    """COLMAP's FOV model: the radius is atan(2 tan(omega / 2) tan t) / omega."""

    omega: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1e-6 < abs(self.omega) < math.pi:
            raise ValueError(f"omega must be an angle between 0 and pi, got {self.omega}")

    @property
    def focal_px(self) -> float:
        """Pixels a radian in the middle of the image."""
        return math.sqrt(self.fx * self.fy) * 2 * math.tan(self.omega / 2) / self.omega

    @property
    def _widest(self) -> float:
        return math.pi

    def _radius(self, angle: np.ndarray) -> np.ndarray:
        omega = abs(self.omega)
        return np.asarray(np.arctan2(2 * math.tan(omega / 2) * np.sin(angle), np.cos(angle)) / omega)


@dataclass(frozen=True)
class Division(Fisheye):
    """COLMAP's division model (Fitzgibbon 2001): a point at radius r of the image is of the ray r / (1 + k r^2)."""

    k: float = 0.0

    @property
    def _widest(self) -> float:
        return math.pi if self.k < 0 else math.atan2(1, 2 * math.sqrt(self.k))

    def _radius(self, angle: np.ndarray) -> np.ndarray:
        sine, cosine = np.sin(angle), np.cos(angle)
        with np.errstate(invalid="ignore"):
            return np.asarray(2 * sine / (cosine + np.sqrt(cosine * cosine - 4 * self.k * sine * sine)))
