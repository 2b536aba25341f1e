"""Buildings along the roads, fields in what is left."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.randomness import stream
from transpose.village.houses import barn_blocks, church_blocks, house_blocks, plot_of
from transpose.village.maps import HALF_M, MapFrame, turned, walk
from transpose.village.site_layout import Block, Building, Field, Road

PLAN = MapFrame(440)
"""Half a metre per pixel."""

_MARGIN_M = 5.0
_MOST_BUILDINGS = 53
_CROPS = ("wheat", "barley", "maize", "ploughed", "hay", "potato", "clover", "rape", "meadow")


class Ground:
    """Which ground is taken."""

    def __init__(self, roads: list[Road], river_n2: np.ndarray, river_width_m: float, square_k2: np.ndarray) -> None:
        self.taken = np.ones((PLAN.size_px, PLAN.size_px), np.uint8)
        inset = int(_MARGIN_M * PLAN.px_per_m)
        self.taken[inset:-inset, inset:-inset] = 0
        for road in roads:
            PLAN.line(self.taken, road.line_n2, road.width_m + 0.8, 1)
        PLAN.line(self.taken, river_n2, river_width_m + 9.0, 1)
        PLAN.fill(self.taken, square_k2, 1)

    def is_free(self, polygon_k2: np.ndarray) -> bool:
        """Whether no pixel of a polygon is taken."""
        if np.abs(polygon_k2).max() > HALF_M - _MARGIN_M:
            return False
        rows, columns = PLAN.window(polygon_k2, 1.0)
        # Most sites fail here, and cheaply.
        if PLAN.sample(self.taken, polygon_k2).any():
            return False
        mask = np.zeros_like(self.taken)
        PLAN.fill(mask, polygon_k2, 1)
        return not (mask[rows, columns] & self.taken[rows, columns]).any()

    def take(self, polygon_k2: np.ndarray) -> None:
        """Marks a polygon as taken."""
        PLAN.fill(self.taken, polygon_k2, 1)


def _door_x(seed: int, number: int, main: Block) -> float:
    """Middle of the door in the main block's front, of the building with this number."""
    return main.x0 + (main.x1 - main.x0) * float(stream(seed, "village", "door", str(number)).uniform(0.3, 0.7))


def _try_to_build(
    seed: int,
    rng: np.random.Generator,
    ground: Ground,
    buildings: list[Building],
    kind: str,
    blocks: tuple[Block, ...],
    edge_2: np.ndarray,
    away_2: np.ndarray,
    gardens_m: tuple[float, ...],
) -> bool:
    """Puts a building behind a point of the road's edge if there is room, with the deepest garden that fits."""
    front = rng.uniform(1.2, 3.0) if kind == "house" and np.linalg.norm(edge_2) < 40 else rng.uniform(2.4, 5.5)
    yaw = float(np.arctan2(-away_2[0], away_2[1]))
    lowest = min(block.y0 for block in blocks)
    for back in gardens_m:
        plot = plot_of(rng, blocks, front, back)
        centre = edge_2 + away_2 * (front - lowest)
        door_x = _door_x(seed, len(buildings), blocks[0])
        building = Building(len(buildings), kind, centre, yaw, blocks, (plot[0], plot[1], plot[2], plot[3]), door_x)
        if ground.is_free(building.plot_42):
            ground.take(building.plot_42)
            buildings.append(building)
            return True
    return False


def _along(roads: list[Road], kinds: tuple[str, ...], centre_2: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points of the roads' edges and the directions away from the road, nearest to the centre first."""
    sites = []
    for road in roads:
        if road.kind in kinds:
            points, directions = walk(road.line_n2, 2.5)
            for side in (-1, 1):
                away = side * turned(directions, np.pi / 2)
                sites += list(zip(points + away * (road.width_m / 2 + 1.5), away, strict=True))
    return sorted(sites, key=lambda site: float(np.linalg.norm(site[0] - centre_2)))


def plan_buildings(seed: int, ground: Ground, roads: list[Road], centre_2: np.ndarray) -> list[Building]:
    """The church at the square, barns at the outskirts, houses along the streets."""
    rng = stream(seed, "village", "buildings")
    buildings: list[Building] = []
    streets = _along(roads, ("main", "street", "lane"), centre_2)
    church = church_blocks(rng)
    for edge, away in [site for site in streets if np.linalg.norm(site[0] - centre_2) > 9]:
        if _try_to_build(seed, rng, ground, buildings, "church", church, edge, away, (5.0, 2.0)):
            break
    outskirts = [site for site in streets if np.linalg.norm(site[0] - centre_2) > 52]
    for _ in range(2):
        barn = barn_blocks(rng)
        for index in rng.permutation(len(outskirts))[:60]:
            edge, away = outskirts[index]
            if _try_to_build(seed, rng, ground, buildings, "barn", barn, edge, away, (5.0, 2.0)):
                break
    # A gap too small for one house may hold another: the later rounds fill them.
    tracks = [site for site in _along(roads, ("track",), centre_2) if np.linalg.norm(site[0] - centre_2) < 85]
    for edge, away in (streets + tracks) * 4:
        if len(buildings) >= _MOST_BUILDINGS:
            break
        # Most sites have a house already.
        if PLAN.sample(ground.taken, edge + away * np.array([[1.0], [4.0], [9.0]])).any():
            continue
        blocks = house_blocks(rng, bool(np.linalg.norm(edge - centre_2) < 38))
        _try_to_build(seed, rng, ground, buildings, "house", blocks, edge, away, (rng.uniform(5, 10), 3.5, 1.5))
    return buildings


def open_ground(ground: Ground) -> np.ndarray:
    """Ground left for fields, uint8 mask on `PLAN`: no slivers between gardens."""
    free = (1 - ground.taken).astype(np.uint8)
    inset = int(_MARGIN_M * PLAN.px_per_m)
    free = np.pad(free[inset:-inset, inset:-inset], inset, mode="edge")
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))
    rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    border = cv2.BORDER_REPLICATE
    opened = cv2.dilate(cv2.erode(free, disc, borderType=border), disc, borderType=border)
    return cv2.erode(opened, rim, borderType=border)


def plan_fields(rng: np.random.Generator, free: np.ndarray) -> tuple[list[Field], list[Field]]:
    """A jittered, turned grid of fields: those on the open ground of the village, and those around it."""
    yaw, size = rng.uniform(0, np.pi), np.array([rng.uniform(36, 46), rng.uniform(24, 32)])
    count = np.array([12, 17])
    index = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in count), indexing="ij"), -1)
    knots = turned(index * size + rng.uniform(-4, 4, index.shape), yaw)
    fields, around = [], []
    for i in range(2 * count[0]):
        for j in range(2 * count[1]):
            corners = np.array([knots[i, j], knots[i + 1, j], knots[i + 1, j + 1], knots[i, j + 1]])
            crop = str(rng.choice(_CROPS))
            if np.abs(corners).max() > HALF_M:
                around.append(Field(corners, crop))
            if np.abs(corners.mean(0)).max() > HALF_M + 15:
                continue
            inside = corners.mean(0) + (corners - corners.mean(0)) * 0.6
            if PLAN.sample(free, np.clip(inside, 1 - HALF_M, HALF_M - 1)).mean() > 0.4:
                inset = corners.mean(0) + (corners - corners.mean(0)) * (1 - 1.8 / size.mean())
                fields.append(Field(inset, crop))
    return fields, around
