"""Roads, the square and the river."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from transpose.village.maps import HALF_M, turned
from transpose.village.site_layout import Bridge, Road

_EDGE_M = HALF_M + 6.0
_STEP_M = 1.5


def smooth_line(points_n2: list | np.ndarray) -> np.ndarray:
    """A smooth curve through points, sampled every 1.5 m."""
    points = np.asarray(points_n2, float)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return CubicSpline(along, points, bc_type="natural")(np.linspace(0, along[-1], max(2, round(along[-1] / _STEP_M))))


def _through(rng: np.random.Generator, centre_2: np.ndarray) -> np.ndarray:
    """A road from west to east through the centre."""
    west, east = rng.uniform(-38, 38, 2)
    left = [-52, 0.55 * west + 0.45 * centre_2[1] + rng.uniform(-7, 7)]
    right = [52, 0.55 * east + 0.45 * centre_2[1] + rng.uniform(-7, 7)]
    near = centre_2 + np.array([[-14, rng.uniform(-2, 2)], [14, rng.uniform(-2, 2)]])
    return smooth_line([[-_EDGE_M, west], left, near[0], near[1], right, [_EDGE_M, east]])


def _nearest(line_n2: np.ndarray, axis: int, value: float) -> np.ndarray:
    return line_n2[np.argmin(np.abs(line_n2[:, axis] - value))]


def _quarter(rng: np.random.Generator, main: np.ndarray, cross: np.ndarray, east: int, north: int) -> list[Road]:
    """The side lanes of one quarter: a loop between the two through roads or a dead end, and a track to the fields."""
    start = _nearest(main, 0, east * rng.uniform(44, 64))
    end = _nearest(cross, 1, north * rng.uniform(38, 54))
    bend = np.array([east * rng.uniform(40, 56), north * rng.uniform(38, 52)])
    aside = np.array([rng.uniform(-3, 3), 13.0 * north])
    if rng.random() < 0.85:
        points = [start, start + aside, bend, end + np.array([13.0 * east, 0.0]), end]
    else:
        points = [start, start + aside, bend + rng.uniform(-6, 6, 2)]
    out = np.array([east * _EDGE_M, north * rng.uniform(50, 100)])
    middle = (bend + out) / 2 + rng.uniform(-9, 9, 2)
    return [
        Road(smooth_line(points), rng.uniform(3.6, 4.4), "lane"),
        Road(smooth_line([points[2], middle, out]), rng.uniform(2.6, 3.1), "track"),
    ]


def plan_roads(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[Road]]:
    """The centre, the square's outline (k, 2) and the roads; tracks first, so that better roads are painted over."""
    centre = rng.uniform(-9, 9, 2)
    main = _through(rng, centre)
    cross = _through(rng, centre[::-1])[:, ::-1]
    roads = [Road(main, rng.uniform(6.0, 6.8), "main"), Road(cross, rng.uniform(5.0, 5.6), "street")]
    for east in (-1, 1):
        for north in (-1, 1):
            roads += _quarter(rng, main, cross, east, north)
    order = {"track": 0, "lane": 1, "street": 2, "main": 3}
    square = rng.uniform([11, 9], [15, 12]) * [[-1, -1], [0.1, -1.12], [1, -0.9], [1.1, 0.2], [0.9, 1], [-1.05, 1.05]]
    return centre, turned(square, rng.uniform(-0.2, 0.2)) + centre, sorted(roads, key=lambda road: order[road.kind])


def plan_river(rng: np.random.Generator) -> np.ndarray:
    """The river's centre line, flowing from west to east in the south."""
    x = np.linspace(-_EDGE_M, _EDGE_M, 9)
    y = -76 + rng.uniform(-6, 6) + 5.0 * np.sin(x / rng.uniform(18, 28) + rng.uniform(0, 6)) + rng.uniform(-3, 3, 9)
    return smooth_line(np.column_stack([x, y]))


def crossing_bridges(roads: list[Road], river_n2: np.ndarray, river_width_m: float) -> list[Bridge]:
    """A bridge wherever a road crosses the river."""
    bridges = []
    for road in roads:
        gap = np.linalg.norm(road.line_n2[:, None] - river_n2[None], axis=2).min(1)
        lowest = np.flatnonzero((gap < 1.6) & (gap <= np.roll(gap, 1)) & (gap < np.roll(gap, -1)))
        inside = np.abs(road.line_n2[lowest]).max(1) < HALF_M - 9
        for index in lowest[inside]:
            along = road.line_n2[index + 3] - road.line_n2[index - 3]
            direction = along / np.linalg.norm(along)
            bridges.append(Bridge(road.line_n2[index], direction, river_width_m + 8.0, road.width_m))
    return bridges


def mirrored(line_n2: np.ndarray, code: int) -> np.ndarray:
    """One of the eight mirror images and quarter turns of the plan."""
    flipped = line_n2 * [1 - 2 * (code & 1), 1 - (code & 2)]
    return flipped[:, ::-1] if code & 4 else flipped
