"""GeoTIFF tiles of heights and colours, joined on one grid whatever their resolutions and projections are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError, TransposeError
from transpose.storage import refuse_pointer
from transpose.worlds.drape import Grid
from transpose.worlds.georeference import metric_crs

log = logging.getLogger(__name__)

_LOWEST_M = -1000.0  # nothing on land is lower; files without a nodata value mark it by such numbers
_TOUCH_CELLS = 1.5


@dataclass(frozen=True)
class RasterTile:
    """A GeoTIFF's place: bounds (west, south, east, north) and cell in the system of the mosaic, metres."""

    path: Path
    bounds_4: np.ndarray
    cell_m: float


@dataclass(frozen=True)
class Window:
    """The grid of a mosaic: `grid` in full map coordinates, and how many cells."""

    grid: Grid
    rows: int
    columns: int

    @classmethod
    def around(cls, bounds_4: np.ndarray, cell_m: float) -> Window:
        """The smallest whole number of cells from the north-west corner that covers the bounds."""
        west, south, east, north = bounds_4
        rows, columns = (max(1, round(extent / cell_m + 0.499)) for extent in (north - south, east - west))
        return cls(Grid(float(west), float(north), cell_m), rows, columns)


def import_rasterio() -> Any:
    """rasterio, or an error that says how to get it."""
    try:
        import rasterio
    except ImportError as error:
        raise MissingPackageError(f"rasterio ({error})", "geo", "to read GeoTIFF files") from None
    return rasterio


def survey_tiles(paths: Sequence[Path], crs: str | None = None) -> tuple[list[RasterTile], str]:
    """Where tiles lie, in `crs` or that of the first, and that system.

    Raises:
        TransposeError: a tile is missing, broken or without a metric reference system.
    """
    rasterio = import_rasterio()
    from rasterio.warp import transform_bounds

    tiles = []
    for path in paths:
        with ExitStack() as stack:
            source = stack.enter_context(_opened(rasterio, path))
            if source.crs is None:
                raise TransposeError(
                    f"{path} has no coordinate reference system; set it with: gdal_edit.py -a_srs EPSG:CODE {path}"
                )
            bounds_23 = np.array(
                [[source.bounds.left, source.bounds.bottom, 0], [source.bounds.right, source.bounds.top, 0]]
            )
            own = metric_crs(source.crs.to_wkt(), path, bounds_23)
            if source.transform.is_identity:
                raise TransposeError(f"{path} does not say where it lies (no geotransform)")
            crs = crs or own
            bounds = tuple(source.bounds) if own == crs else transform_bounds(source.crs, crs, *source.bounds)
            tiles.append(RasterTile(path, np.array(bounds), float(abs(source.transform.a))))
    assert crs is not None
    return tiles, crs


def refuse_islands(tiles: Sequence[RasterTile]) -> None:
    """Raises `TransposeError` if some tiles touch none of the others: a forgotten tile or the wrong place."""
    reached, waiting = {0}, [0]
    while waiting:
        a = tiles[waiting.pop()]
        for index, b in enumerate(tiles):
            slack = _TOUCH_CELLS * max(a.cell_m, b.cell_m)
            low, high = np.maximum(a.bounds_4[:2], b.bounds_4[:2]), np.minimum(a.bounds_4[2:], b.bounds_4[2:])
            if index not in reached and (low <= high + slack).all():
                reached.add(index)
                waiting.append(index)
    alone = [tile.path for index, tile in enumerate(tiles) if index not in reached]
    if alone:
        raise TransposeError(
            f"{alone[0]} does not touch {tiles[0].path} or its neighbours; "
            "are the tiles between them missing, or is it another place?"
        )


def union(tiles: Sequence[RasterTile]) -> np.ndarray:
    """West, south, east and north around all tiles."""
    bounds_n4 = np.stack([tile.bounds_4 for tile in tiles])
    return np.concatenate([bounds_n4[:, :2].min(0), bounds_n4[:, 2:].max(0)])


def read_heights(tiles: Sequence[RasterTile], crs: str, window: Window) -> np.ndarray:
    """Heights (rows, columns), float32 metres, NaN where no tile has any; of overlapping tiles the first counts."""
    height_hw = np.full((window.rows, window.columns), np.nan, np.float32)
    for tile in tiles:
        place = _place(tile, window)
        if place is None:
            continue
        values = _warped(tile.path, crs, window, place, bands=1)[0]
        values[~np.isfinite(values) | (values < _LOWEST_M)] = np.nan
        part = height_hw[place]
        part[:] = np.where(np.isfinite(part), part, values)
    return height_hw


def read_colors(tiles: Sequence[RasterTile], crs: str, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Colours (rows, columns, 3) uint8 and where there are any; of overlapping tiles the first counts."""
    rgb_hw3 = np.zeros((window.rows, window.columns, 3), np.uint8)
    known_hw = np.zeros((window.rows, window.columns), bool)
    for tile in tiles:
        place = _place(tile, window)
        if place is None:
            continue
        *bands, alpha = _warped(tile.path, crs, window, place, bands=3)
        new_hw = ~known_hw[place] & (alpha > 0)
        for channel, band in enumerate(bands):
            rgb_hw3[(*place, channel)][new_hw] = band[new_hw]
        known_hw[place] |= new_hw
    return rgb_hw3, known_hw


def _place(tile: RasterTile, window: Window) -> tuple[slice, slice] | None:
    """Rows and columns of the window that a tile reaches."""
    west, south, east, north = tile.bounds_4
    low_2, high_2 = window.grid.pixels(np.array([[west, north], [east, south]]))
    c0, r0 = np.maximum(np.floor(low_2 - 1e-6), 0).astype(int)
    c1, r1 = np.minimum(np.ceil(high_2 + 1e-6), (window.columns, window.rows)).astype(int)
    return (slice(r0, r1), slice(c0, c1)) if r0 < r1 and c0 < c1 else None


def _warped(path: Path, crs: str, window: Window, place: tuple[slice, slice], bands: int) -> np.ndarray:
    """Bands (k, h, w) of a tile on a part of the window; for three bands an alpha band follows."""
    rasterio = import_rasterio()
    from rasterio.transform import from_origin
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import Resampling

    rows, columns = place
    grid = window.grid
    west, north = grid.west_m + columns.start * grid.cell_m, grid.north_m - rows.start * grid.cell_m
    options: dict[str, Any] = {
        "crs": crs,
        "transform": from_origin(west, north, grid.cell_m, grid.cell_m),
        "width": columns.stop - columns.start,
        "height": rows.stop - rows.start,
        "resampling": Resampling.bilinear,
    }
    with _opened(rasterio, path) as source:
        if bands == 1:
            options |= {"src_nodata": source.nodata, "nodata": np.nan, "dtype": "float32"}
        else:
            _check_colors(path, source)
            if source.nodata is None and "alpha" not in [c.name for c in source.colorinterp]:
                options["add_alpha"] = True
        try:
            with WarpedVRT(source, **options) as warped:
                if bands == 1:
                    return np.asarray(warped.read(indexes=[1]), np.float32)
                indexes = [1, 2, 3] if source.count >= 3 else [1, 1, 1]
                return np.concatenate([warped.read(indexes=indexes), warped.dataset_mask()[None]])
        except rasterio.errors.RasterioError as error:
            raise TransposeError(f"{path} is truncated or broken ({_first_line(error)}); copy it again") from None


def _check_colors(path: Path, source: Any) -> None:
    if any(kind != "uint8" for kind in source.dtypes[:3]):
        raise TransposeError(
            f"{path} has {source.dtypes[0]} colours; make 8-bit ones of them: gdal_translate -ot Byte -scale {path} OUT"
        )
    if source.colorinterp[0].name == "palette":
        raise TransposeError(f"{path} has a colour table; make RGB of it: gdal_translate -expand rgb {path} OUT")


def _opened(rasterio: Any, path: Path) -> Any:
    if not path.is_file():
        raise TransposeError(f"{path} does not exist")
    refuse_pointer(path)
    try:
        return rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise TransposeError(f"{path} is no readable GeoTIFF ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
