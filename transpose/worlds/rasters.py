"""GeoTIFF tiles: where each lies, and the grid that holds them all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError, TransposeError, quoted
from transpose.storage import refuse_pointer
from transpose.untrusted.values import BAD_VALUES
from transpose.worlds.drape import Grid
from transpose.worlds.georeference import metric_map, utm_zone
from transpose.worlds.raster_sources import DRIVERS, bytes_of, refuse_empty

log = logging.getLogger(__name__)

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
    """Where tiles lie, in `crs`, whatever their own systems are, or in that of the first, and that system.

    Raises:
        TransposeError: a tile is missing, broken or without a reference system, or the first is in none of metres.
    """
    tiles = []
    for path in paths:
        with ExitStack() as stack:
            source = stack.enter_context(opened(path))
            _refuse_ungeoreferenced(path, source)
            if crs is None:
                bounds_23 = np.pad(np.reshape(_bounds(source), (2, 2)), [(0, 0), (0, 1)])
                crs, _ = metric_map(source.crs.to_wkt(), path, bounds_23)
            if crs is None:
                raise TransposeError(
                    f"{path} is in a local system of coordinates ({_name(source)}); name the map that it is in: "
                    f"gdal_translate -a_srs EPSG:CODE {quoted(path)} OUT.tif"
                )
            tiles.append(_tile(path, source, crs))
    assert crs is not None
    return tiles, crs


def _on_map(source: Any, pixels_n2: Sequence[tuple[float, float]]) -> np.ndarray:
    """x and y (n, 2) of pixels (column, row); the rows of a file may run north or south, or be turned."""
    t = source.transform
    return np.asarray(pixels_n2, np.float64) @ np.array([[t.a, t.d], [t.b, t.e]]) + np.array([t.c, t.f])


def _name(source: Any) -> str:
    return source.crs.to_wkt().split('"')[1]


def _bounds(source: Any) -> np.ndarray:
    """Lowest x and y, highest x and y, in the file's own system."""
    width, height = source.width, source.height
    corners_42 = _on_map(source, [(0, 0), (width, 0), (width, height), (0, height)])
    return np.concatenate([corners_42.min(0), corners_42.max(0)])


def _tile(path: Path, source: Any, crs: str) -> RasterTile:
    from rasterio.warp import transform, transform_bounds

    own = _bounds(source)
    try:
        bounds_4 = np.array(own if source.crs == crs else transform_bounds(source.crs, crs, *own))
    except Exception as error:  # GDAL and PROJ raise what they like
        raise TransposeError(
            f"{path} cannot be brought from {_name(source)} into {crs} ({first_line(error)})"
        ) from None
    if not np.isfinite(bounds_4).all():
        raise TransposeError(f"{path} cannot be brought into {crs}; does it lie in another part of the world?")
    column, row = source.width / 2, source.height / 2
    around_32 = _on_map(source, [(column, row), (column + 1, row), (column, row + 1)])
    x_3, y_3 = (np.array(each) for each in transform(source.crs, crs, *around_32.T)[:2])
    return RasterTile(path, bounds_4, float(np.hypot(x_3[1:] - x_3[0], y_3[1:] - y_3[0]).min()))


def _refuse_ungeoreferenced(path: Path, source: Any) -> None:
    """Raises `TransposeError` for a raster that does not say where its pixels lie, with the command that places it."""
    points, points_crs = source.gcps
    if source.transform.is_identity and (points or source.rpcs is not None):
        target = "EPSG:CODE"
        if points and points_crs is not None and points_crs.is_geographic:
            target = utm_zone(points[0].x, points[0].y)[0]
        elif points and points_crs is not None:
            target = points_crs.to_string()
        said = "ground control points" if points else "a camera model (RPC)"
        option = "" if points else " -rpc"
        raise TransposeError(
            f"{path} says where it lies by {said} alone; make a map of it: "
            f"gdalwarp{option} -t_srs {target} {quoted(path)} OUT.tif"
        )
    if source.crs is None:
        raise TransposeError(
            f"{path} has no coordinate reference system; set it with: "
            + (
                f"gdal_edit.py -a_srs EPSG:CODE {path}"
                if source.driver == "GTiff"
                else f"gdal_translate -a_srs EPSG:CODE {quoted(path)} OUT.tif"
            )
        )
    if source.transform.is_identity:
        raise TransposeError(f"{path} does not say where it lies (no geotransform)")


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


def opened(path: Path) -> Any:
    """An open GeoTIFF, or another raster that GDAL reads; raises `TransposeError` where there is none."""
    rasterio = import_rasterio()
    if path.is_dir():
        raise TransposeError(f"{path} is a folder; name the GeoTIFFs in it, as with {path}/*.tif")
    if not path.is_file():
        raise TransposeError(f"{path} does not exist")
    refuse_pointer(path)
    size = bytes_of(path)
    try:
        source = rasterio.open(path)
    except (rasterio.errors.RasterioError, *BAD_VALUES) as error:
        raise TransposeError(f"{path} is no readable GeoTIFF ({first_line(error)})") from None
    if source.driver not in DRIVERS:
        source.close()
        raise TransposeError(f"{path} is of GDAL's kind {source.driver}, which is not read; make a GeoTIFF of it")
    refuse_empty(path, size, source.width, source.height)
    return source


def first_line(error: Exception) -> str:
    """The line of an error that says most."""
    return (str(error).splitlines() or [type(error).__name__])[0]
