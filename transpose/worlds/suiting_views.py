"""Which views suit a model: a room is stood in, a terrain is flown over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from transpose.worlds.inside import rooms
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import camera_area, require_z_up

Setting = Literal["indoor", "aerial"]
_LARGEST_ROOM_M, _LOWEST_WALL_M, _HIGHEST_ROOM_M = 30.0, 1.6, 6.0
_FLOWN_AT = 0.3  # of the side of the area, to twice that
_LOWEST_M = 0.5
_DRONES_M = (30.0, 100.0)  # what is large is flown over as drones fly
_PLAIN, _WIDEST_MARGIN = 0.03, 0.4  # of the vertices; of the length
# Eyes of people who stand or sit, and phones in their hands.
_EYES_M, _INDOOR_PITCH_DEG, _INDOOR_ROLL_DEG = (1.0, 1.8), (-35.0, 15.0), (-10.0, 10.0)
_AERIAL_PITCH_DEG = (-90.0, -45.0)
_PHONE_PX, _DRONE_PX = 480.0, 420.0  # focal lengths at 640 pixels: 67 and 75 degrees wide


@dataclass(frozen=True)
class SuitingViews:
    """How a world is best rendered.

    Attributes:
        setting: whether one stands in it or flies over it.
        because: why, in words.
        flags: of `transpose render`, in its order.
    """

    setting: Setting
    because: str
    flags: tuple[str, ...]


def suiting_views(renderer: Renderer, wanted: Setting | None = None) -> SuitingViews:
    """Views that suit a world whose z is up.

    It is taken for rooms where more than half of its area has something above it that a person can stand under, or
    where it has the size of a room: at most 30 m long and as high as walls are. Else it is flown over, from 0.3 to 0.6
    of the side of its area above ground, at most 30 to 100 m.

    Args:
        renderer: of the world.
        wanted: what somebody says it is.

    Raises:
        TransposeError: z is not up in this world.
    """
    world = renderer.world
    require_z_up(world, "guessed")
    low_2, high_2 = camera_area(world)
    size_2, height_m = high_2 - low_2, float(np.ptp(world.vertices_v3[:, 2]))
    told = f"it is {size_2[0]:.3g} x {size_2[1]:.3g} m and {height_m:.2g} m high"
    if wanted is not None:
        return _indoor("as you say") if wanted == "indoor" else _aerial(renderer, "as you say")
    covered, levels_m = rooms(renderer)
    if covered and len(levels_m):
        storeys = f", {len(levels_m)} storeys" if len(levels_m) > 1 else ""
        return _indoor(f"{told}, and most of its floor has a ceiling above it{storeys}")
    if size_2.max() <= _LARGEST_ROOM_M and _LOWEST_WALL_M <= height_m <= _HIGHEST_ROOM_M and len(levels_m):
        return _indoor(f"{told}, as a room is, without a ceiling")
    return _aerial(renderer, f"{told}, and open to the sky")


def _indoor(because: str) -> SuitingViews:
    flags = ("--viewpoints", "inside", *_range("--above", *_EYES_M), *_range("--pitch", *_INDOOR_PITCH_DEG))
    return SuitingViews(
        "indoor",
        because,
        (*flags, *_range("--roll", *_INDOOR_ROLL_DEG), "--margin", "0.02", *_camera(_PHONE_PX)),
    )


def _aerial(renderer: Renderer, because: str) -> SuitingViews:
    low_2, high_2 = camera_area(renderer.world)
    margin = _plain_margin(renderer, low_2, high_2)
    side_m = (1 - 2 * margin) * np.sqrt((high_2 - low_2).prod())
    lowest_m = max(_FLOWN_AT * side_m, _LOWEST_M)
    above_m = (_rounded(min(lowest_m, _DRONES_M[0])), _rounded(min(2 * lowest_m, _DRONES_M[1])))
    if margin:
        because += f", and its detail is in the middle {100 * (1 - 2 * margin):.0f} % of its length"
    flags = (*_range("--above", *above_m), *_range("--pitch", *_AERIAL_PITCH_DEG), "--north-up")
    # Photos of the edge of a model show little of it.
    more = ("--margin", f"{margin:g}", "--min-seen", "0.35", *_camera(_DRONE_PX))
    return SuitingViews("aerial", because, (*flags, *more))


def _plain_margin(renderer: Renderer, low_2: np.ndarray, high_2: np.ndarray) -> float:
    """The fraction of the area, at each side, that has hardly any vertices: fields around, added for the horizon."""
    vertices_v2 = renderer.world.vertices_v3[:, :2]
    vertices_v2 = vertices_v2[((vertices_v2 >= low_2) & (vertices_v2 <= high_2)).all(axis=1)]
    if not len(vertices_v2) or not (high_2 > low_2).all():
        return 0.0
    inner_22 = np.quantile(vertices_v2, [_PLAIN, 1 - _PLAIN], axis=0)
    gap = min(((inner_22[0] - low_2) / (high_2 - low_2)).min(), ((high_2 - inner_22[1]) / (high_2 - low_2)).min())
    return round(float(np.clip(gap - 2 * _PLAIN, 0, _WIDEST_MARGIN)), 2)


def _rounded(value_m: float) -> float:
    return float(f"{value_m:.1g}") if value_m < 1 else float(f"{value_m:.2g}")


def _camera(focal_px: float) -> tuple[str, ...]:
    return "--focal", f"{focal_px:g}", "--any-camera"


def _range(flag: str, low: float, high: float) -> tuple[str, str, str]:
    return flag, f"{low:g}", f"{high:g}"
