"""Where small things stand, and what differs on a later day: cars, market, laundry, a few trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from transpose.randomness import stream
from transpose.village import objects
from transpose.village.ground_shape import Terrain
from transpose.village.maps import HALF_M, turned, walk
from transpose.village.objects import Stand
from transpose.village.parts import MeshBuilder
from transpose.village.planting import corridors
from transpose.village.road_paint import fountain_place
from transpose.village.site_layout import Building, Plant, SiteLayout

Model = Callable[[Stand, np.random.Generator], None]


class Yard:
    """Puts things on the ground, with a random stream for each kind and day."""

    def __init__(self, builder: MeshBuilder, terrain: Terrain, layout: SiteLayout, seed: int, moved: int) -> None:
        self._builder, self._terrain = builder, terrain
        self.layout, self._seed, self._moved = layout, seed, moved

    def rng(self, *purpose: str, movable: bool = False) -> np.random.Generator:
        """A stream; that of a movable thing changes from day to day."""
        return stream(self._seed, "village", "things", *purpose, *([str(self._moved)] if movable else []))

    @property
    def is_market_day(self) -> bool:
        """The survey was made on a day without a market."""
        return self._moved % 2 == 1

    def place(self, model: Model, at_2: np.ndarray, yaw: float, rng: np.random.Generator) -> None:
        """Models a thing on the ground."""
        if np.abs(at_2).max() < HALF_M - 2:
            model(Stand(self._builder, np.append(at_2, self._terrain.height(at_2)), yaw), rng)


def road_gap(layout: SiteLayout, at_2: np.ndarray) -> float:
    """Distance to the nearest road's edge, metres; negative on a road."""
    return float(min(np.linalg.norm(road.line_n2 - at_2, axis=1).min() - road.width_m / 2 for road in layout.roads))


def _along_roads(yard: Yard) -> None:
    """Street lamps, and cars at the kerb."""
    for number, road in enumerate(yard.layout.roads):
        if road.kind == "track":
            continue
        rng = yard.rng("lamps", str(number))
        points, directions = walk(road.line_n2, 21.0)
        for point, direction in zip(points, directions, strict=True):
            away = turned(direction, np.pi / 2) * (1 if rng.random() < 0.5 else -1)
            inward = float(np.arctan2(away[0], -away[1]))
            at = point + away * (road.width_m / 2 + 1.0)
            if np.linalg.norm(point - yard.layout.centre_2) < 75 and road_gap(yard.layout, at) > 0.5:
                yard.place(objects.lamp, at, inward, rng)
        rng = yard.rng("kerb cars", str(number), movable=True)
        points, directions = walk(road.line_n2, 8.5)
        for point, direction in zip(points, directions, strict=True):
            distance = np.linalg.norm(point - yard.layout.centre_2)
            if road.kind in ("main", "street") and 17 < distance < 62 and rng.random() < 0.24:
                side = 1 if rng.random() < 0.5 else -1
                at = (
                    point
                    + side * (road.width_m / 2 - 1.05) * turned(direction, np.pi / 2)
                    + direction * rng.uniform(-1, 1)
                )
                heading = np.arctan2(direction[1], direction[0]) + (np.pi if side > 0 else 0) + rng.normal(0, 0.03)
                yard.place(objects.car, at, float(heading), rng)


def _square(yard: Yard) -> None:
    layout, rng = yard.layout, yard.rng("square")
    centre = layout.square_k2.mean(0)
    yard.place(objects.fountain, fountain_place(layout), 0.0, rng)
    for corner in layout.square_k2:
        at = centre + (corner - centre) * 0.84
        yaw = np.arctan2(*(centre - at)[::-1]) - np.pi / 2
        yard.place(objects.bench, at, float(yaw), rng)
    movable = yard.rng("market", movable=True)
    for corner, after in zip(layout.square_k2, np.roll(layout.square_k2, -1, axis=0), strict=True):
        for share in (0.3, 0.7):
            at = centre + (corner + share * (after - corner) - centre) * 0.72
            yaw = float(np.arctan2(*(centre - at)[::-1]) + np.pi / 2)
            near_fountain = np.linalg.norm(at - fountain_place(layout)) < 4.0
            if road_gap(layout, at) < 1.0 or near_fountain:
                continue
            if yard.is_market_day:
                yard.place(objects.stall, at, yaw, movable)
            elif movable.random() < 0.5:
                yard.place(objects.car, at, yaw + movable.normal(0, 0.1), movable)


def _garden_spot(rng: np.random.Generator, building: Building, clear_m: float) -> np.ndarray | None:
    """A place in the garden away from the house, the drive and the border, in the building's frame."""
    x0, x1, y0, y1 = building.plot
    keep_out = [block.corners_42 for block in building.blocks] + corridors(building)
    for _ in range(8):
        at = rng.uniform(
            [x0 + clear_m, y0 + clear_m], [max(x0 + clear_m, x1 - clear_m), max(y0 + clear_m, y1 - clear_m)]
        )
        if all(((at < box.min(0) - clear_m) | (at > box.max(0) + clear_m)).any() for box in keep_out):
            return at
    return None


_FIXED: tuple[tuple[Model, float, float], ...] = (
    (objects.shed, 0.4, 1.9),
    (objects.play_tower, 0.16, 2.4),
    (objects.woodpile, 0.25, 1.4),
)
_MOVABLE: tuple[tuple[Model, float, float], ...] = (
    (objects.laundry, 0.3, 1.6),
    (objects.trampoline, 0.22, 2.0),
    (objects.parasol, 0.4, 1.5),
    (objects.bins, 0.5, 0.8),
)


def _gardens(yard: Yard) -> None:
    for building in yard.layout.buildings:
        number = str(building.number)
        if building.kind == "house":
            for things, movable in ((_FIXED, False), (_MOVABLE, True)):
                rng = yard.rng("garden", number, movable=movable)
                for model, chance, clear_m in things:
                    spot = _garden_spot(rng, building, clear_m)
                    if rng.random() < chance and spot is not None:
                        turn = float(rng.choice([0, np.pi / 2, np.pi])) + rng.normal(0, 0.15)
                        yard.place(model, building.to_map(spot), building.yaw + turn, rng)
        rng = yard.rng("drive", number, movable=True)
        drives = corridors(building)[1:]
        for drive in drives:
            if rng.random() < 0.6 and drive[:, 1].max() - drive[:, 1].min() > 4.9:
                at = np.array([drive[:, 0].mean(), drive[:, 1].max() - 2.5]) + rng.normal(0, 0.12, 2)
                yaw = building.yaw + np.pi / 2 * (1 if rng.random() < 0.7 else -1) + rng.normal(0, 0.03)
                yard.place(objects.car, building.to_map(at), float(yaw), rng)


def _fields(yard: Yard, free_of: Callable[[np.ndarray], bool]) -> None:
    """Bales lie on some of the mown and harvested fields."""
    for number, field in enumerate(yard.layout.fields):
        rng = yard.rng("bales", str(number), movable=True)
        if field.crop in ("hay", "barley") and rng.random() < 0.8:
            for _ in range(int(rng.integers(3, 10))):
                weights = rng.dirichlet([1.5] * 4)
                at = weights @ field.corners_42
                if free_of(at):
                    yard.place(objects.bale, at, float(rng.uniform(0, np.pi)), rng)


def scatter(yard: Yard, free_of: Callable[[np.ndarray], bool]) -> None:
    """Models all small things; `free_of` says whether a place is open ground."""
    _along_roads(yard)
    _square(yard)
    _gardens(yard)
    _fields(yard, free_of)


def plants_on_day(plants: tuple[Plant, ...], seed: int, moved: int) -> list[Plant]:
    """On a later day some trees are gone, some have grown, some are new."""
    if moved == 0:
        return list(plants)
    rng = stream(seed, "village", "plants", "moved", str(moved))
    kept = []
    for plant in plants:
        draw = rng.random()
        if draw > 0.09:
            kept.append(replace(plant, height_m=plant.height_m * (rng.uniform(1.08, 1.3) if draw > 0.6 else 1.0)))
        if draw > 0.93:
            aside = plant.at_2 + rng.uniform(1.6, 2.4) * np.array([np.cos(draw * 999), np.sin(draw * 999)])
            new = Plant(aside, "bush", float(rng.uniform(0.8, 1.6)), 10_000 * moved + plant.number)
            kept.append(new)
    return kept
