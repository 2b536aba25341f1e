"""Hedges, fences, walls, trees and bushes: where they stand."""

from __future__ import annotations

import numpy as np

from transpose.randomness import stream
from transpose.village.maps import HALF_M, rectangle, turned, walk
from transpose.village.plots import PLAN
from transpose.village.site_layout import Barrier, Building, Field, Plant, Road

_BARRIER_HEIGHT_M = {"hedge": (0.9, 1.7), "picket": (0.8, 1.1), "boards": (1.4, 1.8), "wall": (0.6, 1.3)}


CROWN_M = {"broad": 3.0, "round": 2.4, "poplar": 1.6, "fir": 2.0, "fruit": 1.7, "willow": 3.0, "bush": 0.6}
"""What a crown reaches at least from its trunk."""

_AROUND = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)


class Room:
    """Where plants may stand: clear of roads, buildings, the river, the square and each other."""

    def __init__(
        self, roads: list[Road], buildings: list[Building], river_n2: np.ndarray, river_m: float, square: np.ndarray
    ) -> None:
        self.hard = np.zeros((PLAN.size_px, PLAN.size_px), np.uint8)
        self.walls = np.zeros_like(self.hard)
        for road in roads:
            PLAN.line(self.hard, road.line_n2, road.width_m + 2.0, 1)
        PLAN.line(self.hard, river_n2, river_m + 1.5, 1)
        PLAN.fill(self.hard, square, 1)
        for building in buildings:
            for block in building.blocks:
                PLAN.fill(self.hard, building.to_map(block.corners_42), 1)
                PLAN.fill(self.walls, building.to_map(block.corners_42), 1)
                PLAN.line(self.hard, building.to_map(block.corners_42), 2.6, 1, closed=True)
            for corridor in corridors(building):
                PLAN.fill(self.hard, building.to_map(corridor), 1)
        self._points: list[np.ndarray] = []

    def offer(self, at_2: np.ndarray, spacing_m: float, kind: str) -> bool:
        """Takes a place for a kind of plant if it is free and the crown would touch no wall."""
        if np.abs(at_2).max() > HALF_M - 2.5 or PLAN.sample(self.hard, np.asarray(at_2)[None])[0]:
            return False
        if self._points and np.linalg.norm(np.array(self._points) - at_2, axis=1).min() < spacing_m:
            return False
        if PLAN.sample(self.walls, at_2 + CROWN_M[kind] * _AROUND).any():
            return False
        self._points.append(np.asarray(at_2))
        return True


def corridors(building: Building) -> list[np.ndarray]:
    """Rectangles in the building's frame that stay open: the path to the door and the drive (in this order)."""
    x0, x1, y0, _ = building.plot
    main, door = building.blocks[0], building.door_x
    path = rectangle(door - 0.65, door + 0.65, y0 - 1.2, main.y0)
    if building.kind == "church":
        return [path]
    beside = building.blocks[1] if len(building.blocks) > 1 and building.blocks[1].storeys == 1 else None
    if beside is not None and beside.y0 < main.y1 - 1.0 and not main.x0 <= (beside.x0 + beside.x1) / 2 <= main.x1:
        low, high, end = beside.x0 + 0.4, beside.x1 - 0.4, beside.y0
    else:
        low, high = (x0 + 0.3, x0 + 3.2) if door > (main.x0 + main.x1) / 2 else (x1 - 3.2, x1 - 0.3)
        end = main.y0 - 0.2 if low < main.x1 and high > main.x0 else main.y0 + 3.0
    return [path, rectangle(low, high, y0 - 1.2, end)]


def _runs(points_n2: np.ndarray, keep_n: np.ndarray, least: int) -> list[np.ndarray]:
    """The stretches of a line whose points are kept."""
    cuts = np.flatnonzero(np.diff(np.concatenate([[0], keep_n.astype(int), [0]])))
    return [points_n2[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True) if b - a >= least]


def plot_barriers(seed: int, building: Building) -> list[Barrier]:
    """What encloses a garden, with gaps for the path and the drive."""
    rng = stream(seed, "village", "barriers", str(building.number))
    x0, x1, y0, y1 = building.plot
    x0, x1, y0, y1 = x0 + 0.3, x1 - 0.3, y0 + 0.25, y1 - 0.3
    kinds = ["wall", "none"] if building.kind == "church" else ["hedge", "hedge", "picket", "boards", "wall", "none"]
    sides = [[[x0, y0], [x1, y0]], [[x1, y0], [x1, y1]], [[x1, y1], [x0, y1]], [[x0, y1], [x0, y0]]]
    rest, front = str(rng.choice(kinds)), str(rng.choice(kinds))
    barriers = []
    for number, side in enumerate(sides):
        kind = front if number == 0 else rest
        kind = "picket" if number == 0 and kind == "boards" else kind
        if kind == "none" or building.kind == "barn":
            continue
        points, _ = walk(np.array(side), 0.5)
        keep = np.ones(len(points), bool)
        for gap in corridors(building):
            low, high = gap.min(0) - 0.15, gap.max(0) + 0.15
            keep &= ~((points > low) & (points < high)).all(1)
        height = float(rng.uniform(*_BARRIER_HEIGHT_M[kind])) * (0.75 if number == 0 else 1.0)
        barriers += [Barrier(building.to_map(run), kind, height) for run in _runs(points, keep, 4)]
    return barriers


def field_hedges(rng: np.random.Generator, fields: list[Field], free: np.ndarray) -> list[Barrier]:
    """Hedges along some of the fields' sides, where the ground is open."""
    barriers = []
    for field in fields:
        side = int(rng.integers(0, 4))
        ends = field.corners_42[[side, (side + 1) % 4]]
        height = float(rng.uniform(1.2, 2.4))
        if rng.random() < 0.3:
            points, _ = walk(ends, 1.0)
            inside = (np.abs(points) < HALF_M - 2).all(1)
            keep = inside & (PLAN.sample(free, np.clip(points, 1 - HALF_M, HALF_M - 1)) > 0)
            barriers += [Barrier(run, "hedge", height) for run in _runs(points, keep, 6)]
    return barriers


def _garden_plants(seed: int, building: Building, room: Room) -> list[tuple[np.ndarray, str]]:
    rng = stream(seed, "village", "garden plants", str(building.number))
    x0, x1, y0, y1 = building.plot
    found: list[tuple[np.ndarray, str]] = []
    for kind, tries, spacing in (("tree", 4, 3.6), ("bush", 7, 1.4)):
        for _ in range(tries):
            at = building.to_map(np.array([rng.uniform(x0 + 1, x1 - 1), rng.uniform(y0 + 1, y1 - 1)]))
            chosen = "bush" if kind == "bush" else str(rng.choice(["fruit", "fruit", "round", "broad", "fir"]))
            if room.offer(at, spacing, chosen):
                found.append((at, chosen))
    return found


def _rows(
    rng: np.random.Generator, roads: list[Road], river_n2: np.ndarray, centre_2: np.ndarray, room: Room
) -> list[tuple[np.ndarray, str]]:
    """Avenues along the roads outside the core and trees on the river's banks."""
    found: list[tuple[np.ndarray, str]] = []
    avenues = [
        (road.line_n2, road.width_m / 2 + 2.2, 11.0, ("broad", "round"), 0.5) for road in roads if road.width_m > 5
    ]
    for line, offset, step, kinds, chance in [
        *avenues,
        (river_n2, 6.0, 8.0, ("willow", "willow", "poplar", "bush"), 0.55),
    ]:
        points, directions = walk(line, step)
        for point, direction in zip(points, directions, strict=True):
            for side in (-1, 1):
                at = (
                    point + side * (offset + rng.uniform(0, 2.0)) * turned(direction, np.pi / 2) + rng.uniform(-2, 2, 2)
                )
                kind = str(rng.choice(kinds))
                far = np.linalg.norm(at - centre_2) > 55 or line is river_n2
                if rng.random() < chance and far and room.offer(at, 5.0, kind):
                    found.append((at, kind))
    return found


def _wood(rng: np.random.Generator, free: np.ndarray, room: Room) -> list[tuple[np.ndarray, str]]:
    """A small wood in an open corner, an orchard in another open place."""
    rows, columns = np.nonzero(free)
    pixels = (np.column_stack([columns, rows]) + 0.5) / PLAN.px_per_m
    open_n2 = np.column_stack([pixels[:, 0] - HALF_M, HALF_M - pixels[:, 1]])
    wood = open_n2[np.argmax(np.abs(open_n2).sum(1) + 10 * rng.random(len(open_n2)))] * 0.88
    orchard = open_n2[rng.integers(0, len(open_n2))]
    found: list[tuple[np.ndarray, str]] = []
    for _ in range(70):
        at = wood + rng.normal(0, 9.0, 2)
        kind = str(rng.choice(["fir", "fir", "broad", "round", "poplar"]))
        if len(found) < 22 and room.offer(at, 4.0, kind):
            found += [(at, kind)]
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(3), indexing="ij"), -1).reshape(-1, 2) * 6.5 - [9, 6]
    for at in turned(grid + rng.uniform(-0.6, 0.6, grid.shape), rng.uniform(0, np.pi)) + orchard:
        if room.offer(at, 4.5, "fruit"):
            found += [(at, "fruit")]
    return found


_HEIGHT_M = {
    "broad": (7.5, 12.0),
    "round": (5.5, 8.5),
    "poplar": (11.0, 15.0),
    "fir": (8.0, 14.0),
    "fruit": (3.4, 5.0),
    "willow": (6.0, 9.0),
    "bush": (0.8, 1.8),
}


def plan_plants(
    seed: int,
    room: Room,
    buildings: list[Building],
    roads: list[Road],
    river_n2: np.ndarray,
    square_k2: np.ndarray,
    free: np.ndarray,
) -> list[Plant]:
    """All trees and bushes."""
    rng = stream(seed, "village", "plants")
    centre = square_k2.mean(0)
    found = [(at, "round") for at in centre + (square_k2 - centre) * 1.25 if room.offer(at, 4.0, "round")]
    for building in buildings:
        if building.kind != "barn":
            found += _garden_plants(seed, building, room)
    found += _rows(rng, roads, river_n2, centre, room) + _wood(rng, free, room)
    single = rng.uniform(-HALF_M + 4, HALF_M - 4, (16, 2))
    found += [(at, "broad") for at in single if PLAN.sample(free, at[None])[0] and room.offer(at, 7.0, "broad")]
    return [Plant(at, kind, float(rng.uniform(*_HEIGHT_M[kind])), number) for number, (at, kind) in enumerate(found)]
