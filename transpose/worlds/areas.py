"""Views over a place given in degrees: CrossLoc's areas, and Latin hypercubes and random walks within them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.randomness import stream
from transpose.worlds.georeference import Geodesist
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import (
    HypercubeRanges,
    ViewCheck,
    Viewpoint,
    accepted_views,
    camera_area,
    ground_height,
    hypercube,
    require_z_up,
    rotation_from_angles,
)
from transpose.worlds.world import World

_WALK_STEPS = 1000


@dataclass(frozen=True)
class Area:
    """Ranges of views in degrees; heights are ellipsoidal metres, or metres over the surface."""

    longitude: tuple[float, float]
    latitude: tuple[float, float]
    height_m: tuple[float, float]
    over_surface: bool
    pitch_deg: tuple[float, float]
    yaw_deg: tuple[float, float] = (0.0, 360.0)
    roll_deg: tuple[float, float] = (-15.0, 15.0)


# The presets of TOPO-DataGen (Yan et al., CrossLoc, CVPR 2022).
AREAS = {
    "epfl": Area((6.561020, 6.577407), (46.518102, 46.521380), (500.0, 600.0), False, (-90.0, -30.0)),
    "comballaz": Area((7.065, 7.077), (46.3705, 46.3825), (100.0, 200.0), True, (-90.0, -45.0)),
    "demo": Area((6.146512, 6.151228), (46.200211, 46.202720), (600.0, 700.0), False, (-90.0, -60.0)),
}


@dataclass(frozen=True)
class Pace:
    """How far a random walk goes in a step at most; TOPO-DataGen's bounds."""

    step_m: tuple[float, float, float] = (30.0, 30.0, 5.0)
    turn_deg: tuple[float, float, float] = (5.0, 2.0, 1.0)  # yaw, pitch, roll


def geodesist_of(world: World, geoid_m: float) -> Geodesist:
    """From degrees to the world's frame; `geoid_m` is how much ellipsoidal heights exceed the world's.

    Raises:
        TransposeError: the world does not say where on earth it is.
    """
    crs = world.facts.get("crs")
    if not crs:
        raise TransposeError(
            f"world {world.name} has no coordinate reference system, so degrees mean nothing in it; "
            "build it from georeferenced files, or name theirs with --crs"
        )
    return Geodesist(crs, -geoid_m)


@dataclass(frozen=True)
class _Box:
    """Ranges (6, 2) of x, y, height, yaw, pitch, roll in the world's frame, relative to its origin."""

    bounds_62: np.ndarray
    over_surface: bool


def _box_of_area(world: World, area: Area, geoid_m: float) -> tuple[_Box, Geodesist]:
    geodesist = geodesist_of(world, geoid_m)
    low, high = world.bounds
    center_2 = (np.array(area.longitude).mean(), np.array(area.latitude).mean())
    place_3 = geodesist.from_geographic(np.array([[*center_2, 0.0]]))[0] - world.origin_3
    reach_2 = (high - low)[:2]
    if ((place_3[:2] < low[:2] - reach_2) | (place_3[:2] > high[:2] + reach_2)).any():
        lon, lat = geodesist.to_geographic((world.origin_3 + (low + high) / 2)[None, :2])[0]
        raise TransposeError(
            f"world {world.name} lies around longitude {lon:.4f}, latitude {lat:.4f}; the area is around "
            f"{center_2[0]:.4f}, {center_2[1]:.4f}"
        )
    heights = area.height_m
    bounds = [area.longitude, area.latitude, heights, area.yaw_deg, area.pitch_deg, area.roll_deg]
    return _Box(np.array(bounds), area.over_surface), geodesist


def _poses(
    renderer: Renderer, values_n6: np.ndarray, over_surface: bool, geodesist: Geodesist | None
) -> Iterator[Pose]:
    """Poses of rows of place (degrees where there is a geodesist, else metres), height, yaw, pitch and roll."""
    origin_3 = renderer.world.origin_3
    place_n3, yaw_n = values_n6[:, :3], values_n6[:, 3]
    if geodesist is not None:
        yaw_n = yaw_n + geodesist.north_of_map_deg(place_n3)
        place_n3 = geodesist.from_geographic(place_n3) - origin_3
    height_n = values_n6[:, 2] + ground_height(renderer, place_n3[:, :2]) if over_surface else place_n3[:, 2]
    for xy, z, yaw, (pitch, roll) in zip(place_n3[:, :2], height_n, yaw_n, values_n6[:, 4:], strict=True):
        if np.isfinite(z):
            yield Pose(compose(rotation_from_angles(yaw, pitch, roll), np.array([*xy, z]) + origin_3))


def area_hypercube(
    renderer: Renderer,
    camera: Camera,
    count: int,
    seed: int,
    area: Area,
    check: ViewCheck,
    geoid_m: float = 0.0,
) -> list[Viewpoint]:
    """`count` views of a Latin hypercube over an area in degrees, yaw from true north.

    Raises:
        TransposeError: the world is not georeferenced, is elsewhere, or too few views see it.
    """
    box, geodesist = _box_of_area(renderer.world, area, geoid_m)

    def propose(round_: int) -> Iterator[Viewpoint]:
        low_6, high_6 = box.bounds_62.T
        values_n6 = low_6 + hypercube(6, count, seed, f"area {round_}") * (high_6 - low_6)
        for pose in _poses(renderer, values_n6, box.over_surface, geodesist):
            yield Viewpoint(camera, pose)

    return accepted_views(renderer, propose, count, check, "in this area")


def random_walk(
    renderer: Renderer,
    camera: Camera,
    count: int,
    seed: int,
    ranges: HypercubeRanges | Area,
    check: ViewCheck,
    pace: Pace | None = None,
    geoid_m: float = 0.0,
) -> list[Viewpoint]:
    """`count` views along random walks of up to a thousand steps, which turn back at the edge of the ranges.

    Position and angles move with velocities that change at random and stay within `pace`: consecutive views overlap.

    Raises:
        TransposeError: as `area_hypercube`.
    """
    world = renderer.world
    pace = pace or Pace()
    geodesist: Geodesist | None = None
    most_6 = np.array([*pace.step_m, *pace.turn_deg], np.float64)
    if isinstance(ranges, Area):
        box, geodesist = _box_of_area(world, ranges, geoid_m)
        middle_n3 = np.array([[*box.bounds_62[:2].mean(1), 0.0]])
        for axis in (0, 1):  # metres a step become degrees
            ahead_n3 = middle_n3 + np.eye(3)[axis] * 1e-4
            way = geodesist.from_geographic(ahead_n3) - geodesist.from_geographic(middle_n3)
            most_6[axis] *= 1e-4 / np.linalg.norm(way)
    else:
        require_z_up(world, "walk")
        low, high = camera_area(world)
        margin = ranges.margin * (high - low)
        spans = np.stack([low + margin, high - margin], axis=1)
        angles = [ranges.above_m, ranges.yaw_deg, ranges.pitch_deg, ranges.roll_deg]
        box = _Box(np.concatenate([spans, angles]), over_surface=True)

    def propose(round_: int) -> Iterator[Viewpoint]:
        for walk in range(-(-count // _WALK_STEPS)):
            rng = stream(seed, "walk", str(round_), str(walk))
            steps = min(count - walk * _WALK_STEPS, _WALK_STEPS)
            values_n6 = walk_within(box.bounds_62, most_6, steps, rng)
            for pose in _poses(renderer, values_n6, box.over_surface, geodesist):
                yield Viewpoint(camera, pose)

    return accepted_views(renderer, propose, count, check, "along random walks")


def walk_within(bounds_k2: np.ndarray, most_k: np.ndarray, steps: int, rng: np.random.Generator) -> np.ndarray:
    """(steps, k) values that start anywhere within bounds, move by at most `most_k` a step and are mirrored at the
    bounds. A range of a full turn or more has no bounds: yaw goes round."""
    low_k, high_k = bounds_k2.T
    acceleration_nk = rng.uniform(-1, 1, (steps, len(low_k))) * most_k * 0.4
    velocity_nk = np.empty_like(acceleration_nk)
    velocity_k = rng.uniform(-1, 1, len(low_k)) * most_k
    for step, push_k in enumerate(acceleration_nk):
        velocity_k = np.clip(velocity_k + push_k, -most_k, most_k)
        velocity_nk[step] = velocity_k
    free_nk = rng.uniform(low_k, high_k) + np.cumsum(velocity_nk, axis=0)
    width_k = np.maximum(high_k - low_k, 1e-12)
    folded_nk = np.abs((free_nk - low_k + width_k) % (2 * width_k) - width_k)  # a triangle wave: mirrors at both ends
    turns_k = np.arange(len(low_k)) == 3
    round_k = turns_k & (width_k >= 360)
    return np.where(round_k, low_k + (free_nk - low_k) % 360, low_k + folded_nk)
