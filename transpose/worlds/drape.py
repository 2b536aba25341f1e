"""A picture draped over a grid of heights: how surveyed worlds, clouds and terrains alike, become triangles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.scenes.classes import UNKNOWN_CLASS
from transpose.worlds.heightfield import triangulate
from transpose.worlds.world import World

_TILE_PX = 2048
_TILE_MARGIN_PX = 16  # neighbours' pixels around a tile's own, so that mip levels meet without a seam


@dataclass(frozen=True)
class Grid:
    """Where a north-up raster lies: the west and north edge of its first cell and the cell's edge, metres."""

    west_m: float
    north_m: float
    cell_m: float

    def centers(self, rows_columns_n2: np.ndarray) -> np.ndarray:
        """x and y (n, 2) of the middles of cells, float64."""
        row_n, column_n = rows_columns_n2[:, 0], rows_columns_n2[:, 1]
        return np.stack(
            [self.west_m + (column_n + 0.5) * self.cell_m, self.north_m - (row_n + 0.5) * self.cell_m], axis=1
        )

    def pixels(self, xy_n2: np.ndarray) -> np.ndarray:
        """Continuous column and row (n, 2) of places, the first cell's middle at (0.5, 0.5)."""
        return np.stack([xy_n2[:, 0] - self.west_m, self.north_m - xy_n2[:, 1]], axis=1) / self.cell_m


@dataclass(frozen=True)
class Relief:
    """Heights in a grid, one vertex a cell: metres, NaN where there is nothing; classes 0 where unknown, or None."""

    height_hw: np.ndarray
    grid: Grid
    class_hw: np.ndarray | None = None


def draped(
    name: str,
    relief: Relief,
    picture_hw3: np.ndarray,
    picture_grid: Grid,
    tolerance: float | np.ndarray,
    **more: Any,
) -> World:
    """The world of a relief with a picture on it.

    Args:
        name: of the world.
        relief: heights; coordinates are relative to the origin that `more` gives.
        picture_hw3: uint8 colours, in `picture_grid`; it covers the relief.
        picture_grid: where the picture lies, in the same frame.
        tolerance: see `heightfield.triangulate`.
        more: further fields of the world.

    Raises:
        TransposeError: there is no surface.
    """
    ratio = relief.grid.cell_m / picture_grid.cell_m
    block = 1 << max(2, int(np.floor(np.log2(max(_TILE_PX / ratio, 4)))))
    at_v2, faces_f3 = triangulate(relief.height_hw, tolerance, relief.class_hw, block)
    if len(faces_f3) == 0:
        raise TransposeError(f"{name} has no surface: nowhere are neighbouring cells known")
    xy_v2 = relief.grid.centers(at_v2)
    vertices_v3 = np.column_stack([xy_v2, relief.height_hw[at_v2[:, 0], at_v2[:, 1]]]).astype(np.float32)
    px_v2 = picture_grid.pixels(xy_v2)
    height, width = picture_hw3.shape[:2]
    nearest_v2 = np.clip(px_v2.astype(np.int32), 0, (width - 1, height - 1))
    uv_f32, texture_f, textures = _textured(picture_hw3, px_v2, at_v2, faces_f3, block)
    if relief.class_hw is not None:
        # Triangles end where the class changes, so any corner's class is the face's; the first known one is taken.
        corners_f3 = relief.class_hw[at_v2[:, 0], at_v2[:, 1]][faces_f3]
        class_f = np.take_along_axis(corners_f3, (corners_f3 > 0).argmax(1)[:, None], axis=1)[:, 0]
        more["face_class_f"] = np.where(class_f > 0, class_f, UNKNOWN_CLASS).astype(np.uint8)
    return World(
        name,
        vertices_v3,
        faces_f3,
        picture_hw3[nearest_v2[:, 1], nearest_v2[:, 0]],
        uv_f32,
        texture_f,
        textures,
        **more,
    )


def _textured(
    picture_hw3: np.ndarray, px_v2: np.ndarray, at_v2: np.ndarray, faces_f3: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Texture coordinates and texture of each face, the picture cut into one texture for each block of the grid."""
    height, width = picture_hw3.shape[:2]
    # No triangle crosses a block's edge, so the lowest row and column of its corners tell the block.
    tile_f2 = at_v2[faces_f3].min(1) // block
    columns = int(tile_f2[:, 1].max()) + 1
    tile_ids, tile_f = np.unique(tile_f2[:, 0] * columns + tile_f2[:, 1], return_inverse=True)
    order_f = np.argsort(tile_f, kind="stable")
    ends = np.cumsum(np.bincount(tile_f))
    uv_f32 = np.empty((len(faces_f3), 3, 2), np.float32)
    textures = []
    for tile, end in enumerate(ends):
        mine_f = order_f[ends[tile - 1] if tile else 0 : end]
        px_f32 = px_v2[faces_f3[mine_f]]
        low = np.maximum(np.floor(px_f32.min((0, 1))).astype(int) - _TILE_MARGIN_PX, 0)
        high = np.minimum(np.ceil(px_f32.max((0, 1))).astype(int) + _TILE_MARGIN_PX, (width, height))
        uv_f32[mine_f] = (px_f32 - low) / (high - low)
        textures.append(np.ascontiguousarray(picture_hw3[low[1] : high[1], low[0] : high[0]]))
    assert len(textures) == len(tile_ids)
    return uv_f32, tile_f.astype(np.int32), tuple(textures)
