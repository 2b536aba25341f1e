"""The pinhole cameras that stand in for another projection: one, or several that look about from the same place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.lens import Lens
from transpose.geometry.panorama import Panorama
from transpose.geometry.projection import Projection

_BORDER_POINTS = 256  # a side; what a border bulges between two of them is far below a pixel
# Degrees. A flat image of more than twice the first stretches its border too far; a view's own width is about the
# second, and it reaches the third over its neighbour. Nothing behind the camera's plane is asked of a fisheye.
_ONE_VIEW, _A_VIEW, _OVERLAP, _FARTHEST = 55.0, 80.0, 4.0, 90.0
# Where there are views on all four sides: half of the middle view's width, what it may be instead of a view beside it,
# and the least width of that.
_FRONT, _WIDE_FRONT, _SIDE = 42.0, 60.0, 40.0
_STEP = 0.25
_LEAST_TANGENT = math.tan(math.radians(8.0))
_BISECTIONS = 24


@dataclass(frozen=True)
class PinholeView:
    """One view: a camera without distortion, and how it is turned.

    `name` is empty where it is the only one. `turn` are the rows of R_lv (3, 3), from the view's axes to those of the
    projection that it was cut of.
    """

    name: str
    camera: Camera
    turn: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    @property
    def R_lv(self) -> np.ndarray:
        """From the view's axes to those of the projection."""
        return np.array(self.turn)


@lru_cache(maxsize=64)
def pinhole_views(projection: Projection) -> tuple[PinholeView, ...]:
    """The views that an image is cut into, each filled by it, at the resolution of its middle.

    One where the field of view is no wider than about 110 degrees, or the lens is no fisheye; of wider ones as many as
    it takes for none to be much wider than 90 degrees, so that what is seen far aside is not lost: side by side, above
    each other, or one ahead and four around it; of a panorama the six faces of a cube.

    Raises:
        ValueError: the distortion folds the image, so that there is none.
    """
    if projection.is_pinhole and isinstance(projection, Lens):
        return (PinholeView("", projection.camera),)
    if isinstance(projection, Lens) and not any((projection.k4, projection.k5, projection.k6)):
        return (PinholeView("", pinhole_for(projection)),)
    if isinstance(projection, Panorama):
        turns = {"front": (0, 0), "right": (90, 0), "back": (180, 0), "left": (-90, 0), "up": (0, 90), "down": (0, -90)}
        side_px = max(1, math.floor(2 * projection.focal_px))
        camera = Camera.from_focal(side_px / 2, side_px, side_px)
        return tuple(PinholeView(name, camera, _turn(*angles)) for name, angles in turns.items())
    left, right, up, down = (_reach(projection, *axis) for axis in ((-1, 0), (1, 0), (0, -1), (0, 1)))
    wide, high = max(left, right) > _ONE_VIEW, max(up, down) > _ONE_VIEW
    if isinstance(projection, Lens) and not (wide or high):
        return (PinholeView("", pinhole_for(projection)),)
    if wide and high:
        asked = _cross(left, right, up, down)
    elif wide:
        half = min(up, down)
        asked = [(name, middle, 0.0, reach, half) for name, middle, reach in _beside("left", "right", left, right)]
    elif high:
        half = min(left, right)
        asked = [(name, 0.0, -middle, half, reach) for name, middle, reach in _beside("up", "down", up, down)]
    else:
        asked = [("", 0.0, 0.0, min(left, right), min(up, down))]
    return tuple(_view(projection, *each) for each in asked)


def pinhole_for(projection: Projection, width: int | None = None, height: int | None = None) -> Camera:
    """The one pinhole camera that an image is brought to: the principal point in the middle, square pixels.

    The image is scaled to cover `width` x `height` (its own size by default) and cropped in the middle, and zoomed into
    by no more than it takes for every pixel to come from inside the photo.

    Raises:
        ValueError: the distortion folds the image, so that no such camera exists.
    """
    width, height = width or projection.width, height or projection.height
    cover = max(width / projection.width, height / projection.height)
    # Every ray of the photo's border must leave the pinhole image, by one of its sides at least.
    border_n3 = projection.directions_of_px(_border(projection.width, projection.height))
    border_n3 = border_n3[np.isfinite(border_n3).all(1) & (np.nan_to_num(border_n3[:, 2]) > 1e-6)]
    with np.errstate(divide="ignore"):
        needed_n = (np.array([width / 2, height / 2]) / np.abs(border_n3[:, :2] / border_n3[:, 2:])).min(1)
    focal_px = max(projection.focal_px * cover, float(needed_n.max(initial=0)))
    camera = Camera.from_focal(focal_px, width, height)
    if not np.isfinite(projection.px_of_directions(camera.unproject(np.zeros(2)))).all():
        raise ValueError("its distortion folds the image over; are k1, k2, k3 in the order of the model?")
    return camera


def _border(width: int, height: int) -> np.ndarray:
    """Points (n, 2) along the four sides of an image."""
    along = np.linspace(0, 1, _BORDER_POINTS)
    zero = np.zeros_like(along)
    sides = ((along, zero), (along, zero + 1), (zero, along), (zero + 1, along))
    return np.concatenate([np.stack(pair, -1) for pair in sides]) * (width, height)


def _turn(right_deg: float, up_deg: float) -> tuple[tuple[float, ...], ...]:
    """Rows of the rotation from a view to the axes about it: first up by an angle, then about the vertical."""
    cos_r, sin_r = math.cos(math.radians(right_deg)), math.sin(math.radians(right_deg))
    cos_u, sin_u = math.cos(math.radians(up_deg)), math.sin(math.radians(up_deg))
    about = np.array([[cos_r, 0, sin_r], [0, 1, 0], [-sin_r, 0, cos_r]])
    upward = np.array([[1, 0, 0], [0, cos_u, -sin_u], [0, sin_u, cos_u]])
    return tuple(tuple(row) for row in (about @ upward).tolist())


def _reach(projection: Projection, x: float, y: float) -> float:
    """Degrees from the axis up to which an image shows what lies in a direction across it."""
    angle_n = np.radians(np.arange(0, _FARTHEST + _STEP / 2, _STEP))
    directions_n3 = np.stack([x * np.sin(angle_n), y * np.sin(angle_n), np.cos(angle_n)], 1)
    outside_n = ~_imaged(projection, directions_n3)
    shown = int(outside_n.argmax()) if outside_n.any() else len(angle_n)
    if shown < 2:
        raise ValueError("its principal point lies outside the image, or its distortion folds it over")
    return (shown - 1) * _STEP


def _imaged(projection: Projection, directions_n3: np.ndarray) -> np.ndarray:
    px_n2 = projection.px_of_directions(directions_n3)
    with np.errstate(invalid="ignore"):
        return np.asarray(((px_n2 >= 0) & (px_n2 <= (projection.width, projection.height))).all(-1))


def _beside(first: str, last: str, before: float, after: float) -> list[tuple[str, float, float]]:
    """Names, middles and half widths, in degrees, of two or three views side by side from -before to after."""
    count = max(2, math.ceil((before + after) / _A_VIEW))
    edges = np.linspace(-before, after, count + 1)
    names = (first, last) if count == 2 else (first, "middle", last)
    views = []
    for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
        low, high = max(low - _OVERLAP, -before), min(high + _OVERLAP, after)
        views.append((name, float(low + high) / 2, float(high - low) / 2))
    return views


def _cross(left: float, right: float, up: float, down: float) -> list[tuple[str, float, float, float, float]]:
    """A view ahead and one to each wide side: names, degrees to the right and up, half widths and heights."""
    across, upward = (min(first, last, _WIDE_FRONT) for first, last in ((left, right), (up, down)))
    across, upward = (_FRONT if each == _WIDE_FRONT else each for each in (across, upward))
    views = [("front", 0.0, 0.0, across, upward)]
    for name, reach, x, y in (("left", left, -1, 0), ("right", right, 1, 0), ("up", up, 0, 1), ("down", down, 0, -1)):
        if reach > _WIDE_FRONT:
            inner = min(_FRONT - _OVERLAP, reach - _SIDE)
            middle, half = (inner + reach) / 2, (reach - inner) / 2
            views.append((name, x * middle, y * middle, half if x else _FRONT, half if y else _FRONT))
    return views


def _view(
    projection: Projection, name: str, right_deg: float, up_deg: float, half_width: float, half_height: float
) -> PinholeView:
    """A view whose every pixel the image shows: as asked, or less wide across the way it is turned, or less wide."""
    turn = _turn(right_deg, up_deg)
    x, y = (math.tan(math.radians(half)) for half in (half_width, half_height))

    def shown(x: float, y: float) -> bool:
        border_n2 = _border(2, 2) * (x, y) - (x, y)
        rays_n3 = np.concatenate([border_n2, np.ones_like(border_n2[:, :1])], 1)
        return bool(_imaged(projection, rays_n3 @ np.array(turn).T).all())

    sideways = abs(right_deg) >= abs(up_deg)
    along = (lambda s: (x, y * s)) if sideways else (lambda s: (x * s, y))
    scale = _largest(lambda s: shown(*along(s)))
    if min(along(scale)) < min(x, y, _LEAST_TANGENT):
        along, scale = (lambda s: (x * s, y * s)), _largest(lambda s: shown(x * s, y * s))
    x, y = along(scale)
    focal_px = projection.focal_px
    width, height = math.floor(2 * focal_px * x), math.floor(2 * focal_px * y)
    if min(width, height) < 8:
        raise ValueError("its distortion folds the image over; are its coefficients in the order of the model?")
    return PinholeView(name, Camera.from_focal(focal_px, width, height), turn)


def _largest(holds: Callable[[float], bool]) -> float:
    """The largest scale up to 1 that holds; 0 where none does."""
    if holds(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
