"""The shape of the ground: rolling relief, levelled under roads and houses, cut by the river."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from transpose.randomness import stream
from transpose.village.maps import HALF_M
from transpose.village.noise import fractal
from transpose.village.parts import MeshBuilder, Texture
from transpose.village.plots import PLAN
from transpose.village.site_layout import Building, SiteLayout

CELLS = 120
"""Cells of the terrain mesh along each side."""

_CELL_M = 2 * HALF_M / CELLS
_WATER_DEPTH_M = 1.3


@dataclass(frozen=True)
class Terrain:
    """Heights at the mesh's vertices, (CELLS + 1, CELLS + 1), rows from north to south."""

    height_kk: np.ndarray

    def height(self, points_n2: np.ndarray) -> np.ndarray:
        """Height of the mesh itself (not of the smooth ground it approximates) under points, metres."""
        points = np.asarray(points_n2, float)
        grid = np.stack([points[..., 0] + HALF_M, HALF_M - points[..., 1]], -1) / _CELL_M
        cell = np.clip(np.floor(grid).astype(int), 0, CELLS - 1)
        u, v = np.clip(np.moveaxis(grid - cell, -1, 0), 0.0, 1.0)
        column, row = np.moveaxis(cell, -1, 0)
        z = self.height_kk
        nw, ne, sw, se = z[row, column], z[row, column + 1], z[row + 1, column], z[row + 1, column + 1]
        # Each cell is cut from its north-west to its south-east corner.
        return nw + np.where(u >= v, u * (ne - nw) + v * (se - ne), v * (sw - nw) + u * (se - sw))

    def on_ground(self, points_n2: np.ndarray) -> np.ndarray:
        """Points with the height of the ground, (n, 3)."""
        return np.concatenate([points_n2, self.height(points_n2)[..., None]], -1)


def _blend(height: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return height + (target - height) * weight


def _relief(seed: int, layout: SiteLayout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth hills with a valley, the distance to the river and the water's height nearest to each pixel."""
    rng = stream(seed, "village", "terrain")
    size, scale = PLAN.size_px, PLAN.px_per_m
    hills = fractal(rng, (size, size), [(70 * scale, 1.0), (34 * scale, 0.4), (15 * scale, 0.1)])
    east, north = PLAN.metres()
    slope = rng.uniform(-0.014, 0.014, 2)
    height = 2.2 * hills + slope[0] * east + slope[1] * north
    coarse = np.stack(np.meshgrid(east[0, ::4], north[::4, 0]), -1)
    distance, nearest = cKDTree(layout.river_n2).query(coarse)
    distance = cv2.resize(distance.astype(np.float32), (size, size))
    height += 4.5 * (1 - np.exp(-((distance / 50) ** 2)))
    bed = PLAN.sample(cv2.GaussianBlur(height, (0, 0), 12 * scale), layout.river_n2)
    # Water runs downhill, whichever end is lower.
    flow = bed if bed[0] > bed[-1] else bed[::-1]
    level = np.minimum.accumulate(flow)
    level = (level if bed[0] > bed[-1] else level[::-1]) - _WATER_DEPTH_M
    return height.astype(np.float32), distance, cv2.resize(level[nearest].astype(np.float32), (size, size))


def _level_roads(height: np.ndarray, layout: SiteLayout) -> np.ndarray:
    """Takes the bumps out of the ground under roads and the square."""
    scale = PLAN.px_per_m
    mask = np.zeros_like(height)
    for road in layout.roads:
        PLAN.line(mask, road.line_n2, road.width_m + 4.0, 1)
    PLAN.fill(mask, layout.square_k2, 1)
    return _blend(height, cv2.GaussianBlur(height, (0, 0), 5 * scale), cv2.GaussianBlur(mask, (0, 0), 2 * scale))


def _level_building(height: np.ndarray, building: Building) -> None:
    """Makes a pad under a building, in place."""
    corners = np.concatenate([building.to_map(block.corners_42) for block in building.blocks])
    rows, columns = PLAN.window(corners, 9.0)
    mask = np.zeros_like(height)
    for block in building.blocks:
        PLAN.fill(mask, building.to_map(block.corners_42), 1)
    mask = mask[rows, columns]
    level = height[rows, columns][mask > 0].mean()
    # The pad reaches a mesh cell beyond the walls, so that no triangle of the ground cuts into them.
    pad = cv2.dilate(mask, np.ones((9, 9)))
    weight = np.maximum(pad, cv2.GaussianBlur(cv2.dilate(pad, np.ones((7, 7))), (0, 0), 3.0))
    height[rows, columns] = _blend(height[rows, columns], level, weight)


def shape_terrain(seed: int, layout: SiteLayout) -> Terrain:
    """Heights of the whole ground."""
    height, distance, water = _relief(seed, layout)
    height = _level_roads(height, layout)
    for building in layout.buildings:
        _level_building(height, building)
    rise = np.clip((distance - layout.river_width_m / 2 - 0.9) / 4.5, 0, 1)
    weight = 1 - rise * rise * (3 - 2 * rise)
    height = _blend(height, np.minimum(water, height), weight)
    height -= np.median(height)
    knots = (np.linspace(0, PLAN.size_px, CELLS + 1) - 0.5).astype(np.float32)
    columns, rows = np.meshgrid(knots, knots)
    return Terrain(cv2.remap(height, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(float))


def base_height(terrain: Terrain, building: Building) -> float:
    """Height of a building's floor: that of its pad."""
    return float(terrain.height(building.to_map(building.blocks[0].corners_42.mean(0, keepdims=True)))[0])


def add_terrain(builder: MeshBuilder, terrain: Terrain, kind_hw: np.ndarray) -> None:
    """Adds the ground's mesh; `kind_hw` is a picture of the classes, as fine as the ground texture or coarser."""
    knots = np.linspace(-HALF_M, HALF_M, CELLS + 1)
    east, north = np.meshgrid(knots, knots[::-1])
    vertices = np.column_stack([east.ravel(), north.ravel(), terrain.height_kk.ravel()])
    index = np.arange((CELLS + 1) ** 2).reshape(CELLS + 1, -1)
    nw, ne, sw, se = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    faces = np.concatenate([np.stack([nw, se, ne], 1), np.stack([nw, sw, se], 1)])
    uv = np.column_stack([east.ravel() + HALF_M, HALF_M - north.ravel()]) / (2 * HALF_M)
    centres = vertices[faces].mean(1)[:, :2]
    frame_px = np.clip(((centres * [1, -1] + HALF_M) / (2 * HALF_M) * len(kind_hw)).astype(int), 0, len(kind_hw) - 1)
    kinds = kind_hw[frame_px[:, 1], frame_px[:, 0]]
    builder.add_by_kind(vertices, faces, kinds, Texture.GROUND, uv)
