"""Where people stand in a model of rooms: on floors, under ceilings where there are some, at eye height."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.randomness import stream
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import (
    HypercubeRanges,
    ViewCheck,
    Viewpoint,
    accepted_views,
    camera_area,
    hypercube,
    require_z_up,
    rotation_from_angles,
)

HEADROOM_M = 1.9  # that a person stands in
_LAYERS = 12  # surfaces below each other that are looked through
_STEP_M = 1e-3
_LEVEL_M = 0.25  # a floor is as even as this; tables and beds are no floors
_LEAST_SHARE = 0.12  # of the places, which a storey has
_PROBES = 4000


@dataclass(frozen=True)
class Floors:
    """Where one can stand below each of n places.

    Attributes:
        height_nk: float64 metres of up to k surfaces with headroom, relative to the world's origin; NaN of none.
        covered_nk: whether there is something above that surface.
    """

    height_nk: np.ndarray
    covered_nk: np.ndarray

    @property
    def covered(self) -> float:
        """The fraction of the places with a surface that have one under a cover."""
        there_n: np.ndarray = np.isfinite(self.height_nk).any(axis=1)
        return float(self.covered_nk.any(axis=1).sum() / max(1, there_n.sum()))


def floors_below(renderer: Renderer, xy_n2: np.ndarray) -> Floors:
    """All surfaces below places (n, 2), from the top, over which there is headroom.

    Rays go down through one surface after the other; those nearer than a person is tall to what is above them (the
    inside of a table, of a ceiling, of a bed) are left out.
    """
    above_n = np.full(len(xy_n2), float(renderer.world.bounds[1][2]) + 1)
    free_n = np.ones(len(xy_n2), bool)  # nothing was met yet
    heights, covers = [], []
    for _ in range(_LAYERS):
        height_n = renderer.surface_below(np.column_stack([xy_n2, above_n - _STEP_M]))
        met_n = np.isfinite(height_n)
        if not met_n.any():
            break
        heights.append(np.where(met_n & (free_n | (above_n - height_n >= HEADROOM_M)), height_n, np.nan))
        covers.append(np.isfinite(heights[-1]) & ~free_n)
        free_n, above_n = free_n & ~met_n, np.where(met_n, height_n, above_n)
    if not heights:
        return Floors(np.full((len(xy_n2), 1), np.nan), np.zeros((len(xy_n2), 1), bool))
    return Floors(np.stack(heights, 1), np.stack(covers, 1))


def storeys(floors: Floors, covered: bool) -> np.ndarray:
    """Heights (k,) of the storeys, lowest first: levels on which many places lie.

    Args:
        floors: of places all over the model.
        covered: only what has something above it counts: the roof and the ground outside are no rooms.
    """
    counted_nk = floors.covered_nk if covered else np.isfinite(floors.height_nk)
    left_m = np.sort(floors.height_nk[counted_nk])
    places = max(1, int(np.count_nonzero(counted_nk.any(axis=1))))
    found: list[float] = []
    while len(left_m):
        # The window of a level that holds most.
        ends_m = np.searchsorted(left_m, left_m + _LEVEL_M, side="right")
        best = int(np.argmax(ends_m - np.arange(len(left_m))))
        if ends_m[best] - best < _LEAST_SHARE * places:
            break
        level_m = float(np.median(left_m[best : ends_m[best]]))
        # A person on a table is on no storey of its own: the floor it stands on is nearer than a person is tall.
        if all(abs(level_m - other_m) >= HEADROOM_M for other_m in found):
            found.append(level_m)
        left_m = np.delete(left_m, slice(best, ends_m[best]))
    return np.sort(found)


def inside_rooms(
    renderer: Renderer, camera: Camera, count: int, seed: int, ranges: HypercubeRanges, check: ViewCheck
) -> list[Viewpoint]:
    """`count` views of someone who stands in the rooms of a model and looks around.

    Places are a Latin hypercube over the model's area; what lies there on the level of a storey, free to stand on, is
    where the camera stands, `ranges.above_m` over it. A model without ceilings is stood in as well.

    Raises:
        TransposeError: z is not up in this world, it has no floor, or too few views see it.
    """
    require_z_up(renderer.world, "inside")
    low, high = camera_area(renderer.world)
    covered, levels_m = rooms(renderer)
    if not len(levels_m):
        raise TransposeError(f"world {renderer.world.name} has no floor to stand on; use --viewpoints lhs")
    margin = ranges.margin * (high - low)
    bounds = np.array([ranges.above_m, ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg])

    def propose(round_: int) -> Iterator[Viewpoint]:
        sample_n6 = hypercube(6, 3 * count, seed, f"inside {round_}")  # walls and furniture take their share
        xy_n2 = low + margin + sample_n6[:, :2] * (high - low - 2 * margin)
        floor_n = _one_floor(floors_below(renderer, xy_n2), covered, levels_m, stream(seed, "storeys", str(round_)))
        values_n4 = bounds[:, 0] + sample_n6[:, 2:] * (bounds[:, 1] - bounds[:, 0])
        for xy, floor, (above, yaw, pitch, roll) in zip(xy_n2, floor_n, values_n4, strict=True):
            if np.isfinite(floor):
                center = np.array([*xy, floor + above]) + renderer.world.origin_3
                yield Viewpoint(camera, Pose(compose(rotation_from_angles(yaw, pitch, roll), center)))

    return accepted_views(renderer, propose, count, check, "inside its rooms")


def rooms(renderer: Renderer) -> tuple[bool, np.ndarray]:
    """Whether most of a world's area has something above it to stand under, and the heights (k,) of its storeys."""
    low, high = camera_area(renderer.world)
    floors = floors_below(renderer, low + hypercube(2, _PROBES, 0, "floors") * (high - low))
    covered = floors.covered >= 0.5
    return covered, storeys(floors, covered)


def _one_floor(floors: Floors, covered: bool, levels_m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One height (n,) to stand on at each place, drawn among its storeys; NaN where there is none."""
    usable_nk = floors.covered_nk if covered else np.isfinite(floors.height_nk)
    off_nkl = np.abs(floors.height_nk[:, :, None] - levels_m)
    usable_nk = usable_nk & (np.nan_to_num(off_nkl, nan=np.inf).min(2) <= _LEVEL_M)
    drawn_nk = np.where(usable_nk, rng.random(usable_nk.shape), -1.0)
    chosen_n = np.argmax(drawn_nk, axis=1)
    height_n = floors.height_nk[np.arange(len(chosen_n)), chosen_n]
    return np.where(usable_nk.any(1), height_n, np.nan)
