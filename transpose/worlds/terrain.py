"""From a surface model and an orthophoto to a world, with classes from classified points where there are any."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.scenes.classes import CLASS_NAMES
from transpose.worlds.drape import Grid, Relief, draped
from transpose.worlds.georeference import metric_map, same_map
from transpose.worlds.heightfield import closed, filled
from transpose.worlds.landcover import class_table, says_something
from transpose.worlds.las_points import LasFile
from transpose.worlds.mosaic import read_colors, read_heights
from transpose.worlds.rasters import Window, refuse_islands, survey_tiles, union
from transpose.worlds.topmost import ground_facts, most_frequent, nearest_known
from transpose.worlds.world import World

log = logging.getLogger(__name__)

_MAX_CELLS = 36_000_000
_MAX_PIXELS = 110_000_000
_GAP_CELLS = 4
_COARSEST_CELLS = 20
_CLASS_REACH_M = 2.0  # a cell without a point takes the class of the nearest one, up to here
_PIXEL_ANGLE = 1 / 480  # radians a pixel of the cameras that such worlds are made for


@dataclass(frozen=True)
class TerrainOptions:
    """How rasters become a world; lengths in metres, None chooses by the files."""

    cell_m: float | None = None  # of the heights: the finest tile's
    pixel_m: float | None = None  # of the texture: the finest orthophoto's, if that fits into memory
    tolerance_m: float | None = None  # how far triangles may leave the heights: a tenth of a cell
    detail_area: tuple[float, float, float, float] | None = None  # west, south, east, north where cameras will be
    max_triangles: int = 8_000_000
    bands: tuple[int, int, int] | None = None  # of the orthophoto that are red, green and blue: as it says itself
    color_range: tuple[float, float] | None = None  # its numbers of black and white: by the kind of its numbers

    def __post_init__(self) -> None:
        lengths = [v for v in (self.cell_m, self.pixel_m, self.tolerance_m) if v is not None]
        if lengths and min(lengths) <= 0:
            raise TransposeError(f"cell, pixel and tolerance must be positive, got {self}")
        if self.max_triangles < 1000:
            raise TransposeError(f"a terrain needs more than {self.max_triangles} triangles")
        if self.detail_area is not None:
            west, south, east, north = self.detail_area
            if not (west < east and south < north):
                raise TransposeError(f"the detail area is west, south, east, north in the map, not {self.detail_area}")
        if self.color_range is not None and not self.color_range[0] < self.color_range[1]:
            raise TransposeError(f"the colour range goes from black to a larger number, white, not {self.color_range}")


def build_terrain(
    dsm: Sequence[Path],
    ortho: Sequence[Path],
    las: Sequence[Path] = (),
    options: TerrainOptions | None = None,
) -> World:
    """A world of height tiles with orthophoto tiles on them, z up, in the projection of the first height tile.

    Detail is where it is seen: triangles stay within about `tolerance_m` of the heights (see `heightfield`), and beyond
    the detail area within a pixel as seen from it. They form one triangulation, so there are no cracks between levels.

    Raises:
        TransposeError: a file is broken, not georeferenced, not metric or apart from the others.
        MissingPackageError: the extra `geo` is missing.
    """
    options = options or TerrainOptions()
    height_tiles, crs = survey_tiles(dsm)
    refuse_islands(height_tiles)
    color_tiles, _ = survey_tiles(ortho, crs)
    around_4 = union(height_tiles)
    window = _window(around_4, options.cell_m or min(t.cell_m for t in height_tiles), _MAX_CELLS, "heights")
    height_hw = read_heights(height_tiles, crs, window)
    if not np.isfinite(height_hw).any():
        raise TransposeError(f"{dsm[0]} has no heights: every cell is nodata")
    pixels = _window(around_4, options.pixel_m or min(t.cell_m for t in color_tiles), _MAX_PIXELS, "colours")
    picture_hw3, colored_hw = read_colors(color_tiles, crs, pixels, options.bands, options.color_range)
    origin_3 = np.array([*np.round((around_4[:2] + around_4[2:]) / 2), np.round(np.nanmedian(height_hw))])
    height_hw = _usable(height_hw - np.float32(origin_3[2]), window, colored_hw, pixels, (dsm[0], ortho[0]))
    del colored_hw
    class_hw = _classes(las, crs, window, dsm[0]) if las else None
    files = {"dsm": dsm, "ortho": ortho, "las": las}
    facts: dict[str, Any] = {"kind": "terrain", "crs": crs}
    facts |= {name: [path.name for path in paths] for name, paths in files.items()}
    facts |= {"cell_m": window.grid.cell_m, "pixel_m": pixels.grid.cell_m}
    more: dict[str, Any] = {"origin_3": origin_3, "facts": facts}
    if class_hw is not None:
        more["class_names"] = CLASS_NAMES
    relief = Relief(height_hw, _local(window.grid, origin_3), class_hw)
    facts["ground"] = ground_facts(relief)
    if options.detail_area is not None:
        facts["area_m"] = (np.reshape(options.detail_area, (2, 2)) - origin_3[:2]).tolist()
    name = dsm[0].stem if len(dsm) == 1 else f"{dsm[0].stem} and {len(dsm) - 1} more"
    tolerance_m = options.tolerance_m or window.grid.cell_m / 10
    while True:
        tolerance = _tolerance(relief, tolerance_m, facts.get("area_m"))
        world = draped(name, relief, picture_hw3, _local(pixels.grid, origin_3), tolerance, **more)
        facts["tolerance_m"] = tolerance_m
        if len(world.faces_f3) <= options.max_triangles:
            return world
        log.info("%d triangles at a tolerance of %.2f m are too many", len(world.faces_f3), tolerance_m)
        tolerance_m *= 1.5
        if tolerance_m > _COARSEST_CELLS * window.grid.cell_m:
            raise TransposeError(
                f"{dsm[0]}: {len(world.faces_f3)} triangles are needed for edges of classes and holes alone, more than "
                f"--max-triangles {options.max_triangles}; take a coarser --cell"
            )


def _window(bounds_4: np.ndarray, cell_m: float, most: int, what: str) -> Window:
    least_m = float(np.sqrt(np.prod(bounds_4[2:] - bounds_4[:2]) / most))
    if cell_m < least_m:
        log.warning("the area is too wide for %s every %.2f m; they get %.2f m", what, cell_m, least_m)
    return Window.around(bounds_4, max(cell_m, least_m))


def _local(grid: Grid, origin_3: np.ndarray) -> Grid:
    return Grid(grid.west_m - float(origin_3[0]), grid.north_m - float(origin_3[1]), grid.cell_m)


def _usable(
    height_hw: np.ndarray, window: Window, colored_hw: np.ndarray, pixels: Window, sources: tuple[Path, Path]
) -> np.ndarray:
    """Heights with small gaps closed, and none where there is no colour."""
    known_hw = np.isfinite(height_hw)
    wanted_hw = closed(known_hw, _GAP_CELLS)
    height_hw = np.where(wanted_hw, filled(height_hw[..., None], known_hw)[..., 0], np.float32(np.nan))
    ratio = window.grid.cell_m / pixels.grid.cell_m
    row_h = np.minimum(((np.arange(window.rows) + 0.5) * ratio).astype(int), pixels.rows - 1)
    column_w = np.minimum(((np.arange(window.columns) + 0.5) * ratio).astype(int), pixels.columns - 1)
    seen_hw = closed(colored_hw[np.ix_(row_h, column_w)], _GAP_CELLS)
    covered = float(seen_hw[wanted_hw].mean())
    if covered == 0:
        raise TransposeError(
            f"{sources[1]} and {sources[0]} show different areas (they do not overlap); "
            "take the orthophoto tiles of the same place"
        )
    if covered < 0.999:
        log.warning("the orthophoto covers %.3g %% of the heights; the rest is left out", 100 * covered)
    return np.where(seen_hw, height_hw, np.float32(np.nan))


def _tolerance(relief: Relief, tolerance_m: float, area_m: list[list[float]] | None) -> float | np.ndarray:
    """One tolerance, or one that grows with the distance from the area where cameras are, by a pixel."""
    if area_m is None:
        return tolerance_m
    rows, columns = relief.height_hw.shape
    (west, south), (east, north) = area_m
    x_w = relief.grid.west_m + (np.arange(columns) + 0.5) * relief.grid.cell_m
    y_h = relief.grid.north_m - (np.arange(rows) + 0.5) * relief.grid.cell_m
    dx_w = np.maximum(np.maximum(west - x_w, x_w - east), 0)
    dy_h = np.maximum(np.maximum(south - y_h, y_h - north), 0)
    return np.maximum(tolerance_m, _PIXEL_ANGLE * np.hypot(dx_w, dy_h[:, None])).astype(np.float32)


def _classes(las: Sequence[Path], crs: str, window: Window, dsm: Path) -> np.ndarray:
    """Class of the topmost point in each cell, else of the nearest cell with points; 0 where none is near."""
    shape = (window.rows, window.columns)
    top_n = np.full(window.rows * window.columns, -np.inf, np.float32)
    class_n = np.zeros(window.rows * window.columns, np.uint8)
    table, seen = class_table(), set()
    for path in las:
        file = LasFile(path, needs_color=False)
        if file.count == 0:
            log.warning("%s holds no points and is left out", path)
            continue
        if file.crs is not None and not same_map(metric_map(file.crs, path)[0], crs):
            raise TransposeError(f"{path} is in another projection than {dsm}; reproject it to {crs} first")
        inside = 0
        for points in file.chunks():
            px_n2 = np.floor(window.grid.pixels(points.xyz_n3[:, :2])).astype(np.int64)
            within_n = ((px_n2 >= 0) & (px_n2 < (window.columns, window.rows))).all(1)
            inside += int(within_n.sum())
            asprs_n = points.class_n[within_n]  # type: ignore[index]
            seen |= set(np.unique(asprs_n).tolist())
            cell_n = px_n2[within_n, 1] * window.columns + px_n2[within_n, 0]
            # By cell, then height, then class, so that the order of the file does not matter.
            z_n = points.xyz_n3[within_n, 2].astype(np.float32)
            order_n = np.lexsort((asprs_n, z_n, cell_n))
            order_n = order_n[np.r_[cell_n[order_n][1:] != cell_n[order_n][:-1], True]] if len(order_n) else order_n
            cell_n, z_n, asprs_n = cell_n[order_n], z_n[order_n], asprs_n[order_n]
            higher_n = z_n > top_n[cell_n]
            top_n[cell_n[higher_n]] = z_n[higher_n]
            class_n[cell_n[higher_n]] = table[asprs_n[higher_n]]
        if inside == 0:
            raise TransposeError(f"{path} lies outside the area of {dsm}; take the points of the same place")
    if not says_something(frozenset(seen)):
        raise TransposeError(f"{las[0]} is not classified (classes {sorted(seen)}); leave --las out")
    class_hw = class_n.reshape(shape)
    return most_frequent(nearest_known(class_hw, class_hw > 0, _CLASS_REACH_M / window.grid.cell_m))
