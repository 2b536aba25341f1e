"""What is seen of a point cloud from above: outliers out, then the topmost surface of each cell of a grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.scenes.classes import CLASS_NAMES
from transpose.worlds.drape import Grid, Relief
from transpose.worlds.heightfield import closed, filled
from transpose.worlds.landcover import class_table, says_something
from transpose.worlds.point_tiles import PointTiles, Survey

_GAP_SPACINGS = 16


def without_outliers(tiles: PointTiles, neighbors: int, ratio: float) -> Iterator[np.ndarray]:
    """The points of each tile, without those whose nearest neighbours are far.

    Statistical outlier removal (Rusu et al., Towards 3D point cloud based object maps, 2008): the mean distance of a
    point to its `neighbors` nearest may exceed the mean of all such distances by `ratio` standard deviations.

    Raises:
        TransposeError: no point has a neighbour.
    """
    distance_of_tiles = {tile: _neighbor_distances(tiles.read(tile), neighbors) for tile in tiles.tiles()}
    distance_n = np.concatenate(list(distance_of_tiles.values())).astype(np.float64)
    distance_n = distance_n[np.isfinite(distance_n)]
    if len(distance_n) == 0:
        raise TransposeError("every point of the cloud is alone; is its unit the metre?")
    # Where all distances are nearly the same, half again as far is no outlier either.
    mean_m = float(distance_n.mean())
    limit_m = max(mean_m + min(ratio, 1e9) * float(distance_n.std()), 1.5 * mean_m)
    for tile, tile_distance_n in distance_of_tiles.items():
        points_n = tiles.read(tile)
        yield points_n[: len(tile_distance_n)][tile_distance_n <= limit_m]


def _neighbor_distances(points_n: np.ndarray, neighbors: int) -> np.ndarray:
    """Mean distance (n,) of a tile's own points, which come first, to their nearest neighbours; infinite if alone."""
    from scipy.spatial import cKDTree

    home = int(points_n["home"].sum())
    k = min(neighbors, len(points_n) - 1)
    if k < 1 or home == 0:
        return np.full(home, np.inf, np.float32)
    xyz_n3 = points_n["xyz"]
    distance_nk, _ = cKDTree(xyz_n3, balanced_tree=False).query(xyz_n3[:home], k=k + 1, workers=-1)
    return distance_nk[:, 1:].mean(1).astype(np.float32)


class Topmost:
    """The topmost surface in each cell: mean height, mean colour and most frequent class of the points there."""

    def __init__(self, facts: Survey, cell_m: float) -> None:
        self._low_2, self._cell_m = facts.low_2, cell_m
        self._classified = says_something(facts.classes)
        columns, rows = np.ceil((facts.high_2 - facts.low_2) / cell_m).astype(int)
        self.grid = Grid(float(facts.low_2[0]), float(facts.low_2[1] + rows * cell_m), cell_m)
        self._height_hw = np.full((rows, columns), np.nan, np.float32)
        self._rgb_hw3 = np.zeros((rows, columns, 3), np.uint8)
        self._class_hw = np.zeros((rows, columns), np.uint8)

    def add(self, points_n: np.ndarray) -> None:
        """All points of some cells: a cell belongs to one tile, so no later call adds to it."""
        if len(points_n) == 0:
            return
        rows, columns = self._height_hw.shape
        at_n2 = ((points_n["xyz"][:, :2] - self._low_2) / self._cell_m).astype(np.int64)
        cell_n = (rows - 1 - np.clip(at_n2[:, 1], 0, rows - 1)) * columns + np.clip(at_n2[:, 0], 0, columns - 1)
        order_n = np.argsort(cell_n, kind="stable")
        cell_n, points_n = cell_n[order_n], points_n[order_n]
        first_n = np.r_[True, cell_n[1:] != cell_n[:-1]]
        group_n = np.cumsum(first_n) - 1
        z_n = points_n["xyz"][:, 2].astype(np.float64)
        top_g = np.maximum.reduceat(z_n, np.flatnonzero(first_n))
        # What lies more than a cell or two under the top is another surface: ground below leaves, wall below eaves.
        seen_n = z_n >= top_g[group_n] - 2 * self._cell_m
        group_n, points_n, z_n = group_n[seen_n], points_n[seen_n], z_n[seen_n]
        count_g = np.bincount(group_n).astype(np.float64)
        place_g = cell_n[first_n]
        self._height_hw.reshape(-1)[place_g] = np.bincount(group_n, z_n) / count_g
        for channel in range(3):
            mean_g = np.bincount(group_n, points_n["rgb"][:, channel].astype(np.float64)) / count_g
            self._rgb_hw3.reshape(-1, 3)[place_g, channel] = np.rint(mean_g / 257)
        if self._classified:
            class_n = class_table()[points_n["class"]]
            votes_gc = np.bincount(group_n * len(CLASS_NAMES) + class_n, minlength=len(count_g) * len(CLASS_NAMES))
            self._class_hw.reshape(-1)[place_g] = votes_gc.reshape(-1, len(CLASS_NAMES)).argmax(1)

    def finished(self, spacing_m: float, gap_m: float | None = None) -> tuple[Relief, np.ndarray]:
        """The relief without gaps up to `gap_m` wide (16 spacings by default) and without spikes, and its picture."""
        known_hw = np.isfinite(self._height_hw)
        gap_m = _GAP_SPACINGS * spacing_m if gap_m is None else gap_m
        wanted_hw = closed(known_hw, gap_m / self._cell_m)
        height_hw = filled(self._height_hw[..., None], known_hw)[..., 0]
        height_hw = np.where(wanted_hw, cv2.medianBlur(height_hw, 3), np.float32(np.nan))
        picture_hw3 = self._rgb_hw3
        for channel in range(3):
            whole_hw1 = filled(picture_hw3[..., channel : channel + 1], known_hw)
            picture_hw3[..., channel] = np.clip(np.rint(whole_hw1[..., 0]), 0, 255)
        class_hw = None
        if self._classified:
            class_hw = np.where(wanted_hw, most_frequent(nearest_known(self._class_hw, known_hw)), 0)
        return Relief(height_hw, self.grid, class_hw), picture_hw3


def nearest_known(values_hw: np.ndarray, known_hw: np.ndarray, reach: float = np.inf) -> np.ndarray:
    """Each cell's own value, or that of the nearest cell where it is known; 0 farther than `reach` cells from any."""
    distance_hw, nearest_hw = cv2.distanceTransformWithLabels(
        (~known_hw).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    value_of_label = np.zeros(int(nearest_hw.max()) + 1, values_hw.dtype)
    value_of_label[nearest_hw[known_hw]] = values_hw[known_hw]
    return np.where(distance_hw <= reach, value_of_label[nearest_hw], 0)


def most_frequent(class_hw: np.ndarray) -> np.ndarray:
    """The class that a cell and its eight neighbours have most of; 0 stays 0, and nothing becomes 0."""
    votes_chw = np.stack(
        [
            cv2.boxFilter((class_hw == c).astype(np.uint8), -1, (3, 3), normalize=False)
            for c in range(1, len(CLASS_NAMES))
        ]
    )
    return np.where(class_hw > 0, votes_chw.argmax(0) + 1, 0).astype(np.uint8)


def ground_facts(relief: Relief) -> dict[str, Any]:
    """Heights relative to the origin, and the plane through the lowest parts of the surface.

    `plane` is (a, b, c) of z = a x + b y + c: what viewpoints take for the ground where the world has a hole.
    """
    known_hw = np.isfinite(relief.height_hw)
    row_n, column_n = np.nonzero(known_hw)
    step = max(1, len(row_n) // 20_000)
    at_n2 = np.stack([row_n, column_n], axis=1)[::step]
    xy_n2, z_n = relief.grid.centers(at_n2), relief.height_hw[at_n2[:, 0], at_n2[:, 1]].astype(np.float64)
    terms_n3 = np.column_stack([xy_n2, np.ones(len(z_n))])
    weight_n = np.ones(len(z_n))
    for _ in range(10):  # expectiles: what stands on the ground counts a tenth of the ground
        plane_3 = np.linalg.lstsq(terms_n3 * weight_n[:, None] ** 0.5, z_n * weight_n**0.5, rcond=None)[0]
        weight_n = np.where(z_n > terms_n3 @ plane_3, 0.1, 1.0)
    low, high = np.percentile(z_n, [0.1, 99.9])
    return {"plane": [float(p) for p in plane_3], "height_range_m": [float(low), float(high)]}
