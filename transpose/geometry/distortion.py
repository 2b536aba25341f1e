"""Radial and tangential lens distortion (Brown 1966) of normalised points, its inverse, and where there is none.

The arithmetic is written once for NumPy arrays and PyTorch tensors: it asks of a point's coordinates only what both
kinds of array offer. A polynomial of strong distortion turns back far from the middle of the image: beyond that fold
two rays end at one pixel, and pixels farther out are reached by none. Rays up to the fold count, others do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Coordinate = TypeVar("Coordinate", np.ndarray, "Tensor")

_NEWTON_STEPS = 40
_SETTLED = 1e-9  # a step; what it leaves is its square
_SOLVED = 1e-10  # in the image at z = 1
_START, _WITHIN = 0.81, 1 - 1e-9  # of the fold's r^2: where Newton starts at most, and where it stays


@dataclass(frozen=True)
class Distortion:
    """Coefficients, each a number or an array that broadcasts with the points' coordinates.

    A point (x, y) at radius r lands at x (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + 2 p1 x y +
    p2 (r^2 + 2 x^2), and y with p1 and p2 exchanged (OpenCV's and COLMAP's models). `fold_r2` is r^2 of the ray at
    which the image turns back, from `fold_radius2`; infinite where it never does.
    """

    k1: Any
    k2: Any
    p1: Any = 0.0
    p2: Any = 0.0
    k3: Any = 0.0
    fold_r2: Any = math.inf
    k4: Any = 0.0
    k5: Any = 0.0
    k6: Any = 0.0

    def distorted(self, x: Coordinate, y: Coordinate) -> tuple[Coordinate, Coordinate]:
        """Where normalised points land; meaningless beyond the fold."""
        r2 = x * x + y * y
        radial, _ = self._radial(r2)
        across = x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x)
        down = y * radial + 2 * self.p2 * x * y + self.p1 * (r2 + 2 * y * y)
        return across, down

    def _radial(self, r2: Coordinate) -> tuple[Coordinate, Coordinate]:
        """The factor of the radius, and its derivative over r^2."""
        factor = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        rise = self.k1 + r2 * (2 * self.k2 + r2 * 3 * self.k3)
        if all(isinstance(k, float) and k == 0 for k in (self.k4, self.k5, self.k6)):
            return factor, rise
        below = 1 + r2 * (self.k4 + r2 * (self.k5 + r2 * self.k6))
        rise_below = self.k4 + r2 * (2 * self.k5 + r2 * 3 * self.k6)
        return factor / below, (rise - factor * rise_below / below) / below

    def before_fold(self, x: Coordinate, y: Coordinate) -> Coordinate:
        """Which normalised points a lens images: those nearer to the middle than the fold."""
        return x * x + y * y < self.fold_r2

    def undistorted(self, x: Coordinate, y: Coordinate) -> tuple[Coordinate, Coordinate, Coordinate]:
        """The normalised points that land at (x, y), by Newton's method, and which of them are solutions."""
        wanted_x, wanted_y = x, y
        # From the distorted point Newton comes to the root without stepping over the fold: a barrel's radius is
        # concave and reached from inside, a pincushion's convex and reached from outside.
        x, y = self._within(x, y, _START)
        for _ in range(_NEWTON_STEPS):
            r2 = x * x + y * y
            radial, rise = self._radial(r2)
            rise = 2 * rise  # over the coordinate
            xx = radial + x * x * rise + 2 * self.p1 * y + 6 * self.p2 * x
            yy = radial + y * y * rise + 2 * self.p2 * x + 6 * self.p1 * y
            xy = x * y * rise + 2 * self.p1 * x + 2 * self.p2 * y
            across, down = self.distorted(x, y)
            off_x, off_y = across - wanted_x, down - wanted_y
            determinant = xx * yy - xy * xy
            step_x, step_y = (yy * off_x - xy * off_y) / determinant, (xx * off_y - xy * off_x) / determinant
            x, y = self._within(x - step_x, y - step_y, _WITHIN)
            if not bool((abs(step_x) + abs(step_y) > _SETTLED).any()):
                break
        across, down = self.distorted(x, y)
        solved = (abs(across - wanted_x) < _SOLVED) & (abs(down - wanted_y) < _SOLVED) & self.before_fold(x, y)
        return x, y, solved

    def _within(self, x: Coordinate, y: Coordinate, fraction: float) -> tuple[Coordinate, Coordinate]:
        """The points, drawn towards the middle where they lie beyond a fraction of the fold's squared radius."""
        beyond = (x * x + y * y) / (fraction * self.fold_r2)
        shrink = 1 / (1 + (beyond > 1) * (beyond**0.5 - 1))
        return x * shrink, y * shrink


@lru_cache(maxsize=1024)
def fold_radius2(*radial: float, below: tuple[float, ...] = ()) -> float:
    """r^2 of the ray from which on the radius in the image no longer grows; infinite where it always does.

    The first positive root of d(r (1 + k1 r^2 + k2 r^4 + ...)) / dr.

    Args:
        radial: k1, k2, ...
        below: of the denominator (1 + k4 r^2 + ...), where there is one; its own first root counts too.
    """
    if not any(below):
        return _first_positive_root([1.0, *((2 * i + 3) * k for i, k in enumerate(radial))])
    above_s, below_s = (np.polynomial.Polynomial([1.0, *each]) for each in (radial, below))
    s = np.polynomial.Polynomial([0.0, 1.0])
    rise_s = (above_s + 2 * s * above_s.deriv()) * below_s - 2 * s * above_s * below_s.deriv()
    return min(_first_positive_root(each.coef.tolist()) for each in (rise_s, below_s))


def _first_positive_root(ascending: list[float]) -> float:
    """Of a polynomial that is 1 at zero; infinite where there is none."""
    inverse = np.roots(ascending)  # of the inverse: the leading coefficient never vanishes
    real = inverse.real[(np.abs(inverse.imag) <= 1e-9 * np.abs(inverse)) & (inverse.real > 0)]
    return 1 / float(real.max()) if len(real) else math.inf
