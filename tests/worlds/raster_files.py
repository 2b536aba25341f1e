"""Rasters of the small survey as other programs write them, and what is compared of the worlds they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.surveys import ORIGIN, colors, grid_points, surface, write_dsm, write_ortho, write_raster
from transpose.errors import TransposeError
from transpose.worlds.terrain import TerrainOptions, build_terrain
from transpose.worlds.world import World

WHOLE = (0.0, 0.0, 20.0, 20.0)
CELL_M = 0.5


def plain_files(folder: Path) -> tuple[Path, Path]:
    """Heights and an orthophoto as they are meant."""
    return write_dsm(folder / "d.tif", WHOLE), write_ortho(folder / "o.tif", WHOLE)


def heights(offset_m: float = ORIGIN[2]) -> np.ndarray:
    """(1, 40, 40) float64, metres."""
    xy, rows, columns = grid_points(WHOLE, CELL_M)
    return (surface(xy) + offset_m).reshape(1, rows, columns)


def picture() -> np.ndarray:
    """(3, 200, 200) uint8."""
    xy, rows, columns = grid_points(WHOLE, 0.1)
    return np.moveaxis(colors(xy).astype(np.uint8).reshape(rows, columns, 3), -1, 0)


def edited(path: Path, **fields: Any) -> Path:
    """A raster whose tags are set afterwards: scales, offsets, units, descriptions, crs, transform, nodata."""
    import rasterio

    with rasterio.open(path, "r+") as file:
        for name, value in fields.items():
            setattr(file, name, value)
    return path


def interpreted(path: Path, bands: np.ndarray, meanings: list[str], **more: Any) -> Path:
    """An orthophoto that calls its bands by their meanings."""
    import rasterio
    from rasterio.enums import ColorInterp

    with rasterio.open(write_raster(path, bands, WHOLE, photometric="MINISBLACK", alpha="unspecified", **more)) as file:
        profile = file.profile
    with rasterio.open(path, "w", **profile) as file:
        file.colorinterp = [ColorInterp[meaning] for meaning in meanings]
        file.write(bands)
    return path


def same_surface(a: World, b: World, within_m: float = 2e-3) -> None:
    for pick in (np.min, np.max):
        low_a, low_b = (pick(w.vertices_v3 + w.origin_3, axis=0) for w in (a, b))
        assert np.allclose(low_a, low_b, atol=within_m), (low_a, low_b)


def same_picture(a: World, b: World, within: float = 1.0) -> None:
    assert a.textures[0].shape == b.textures[0].shape
    assert np.abs(a.textures[0].astype(float) - b.textures[0].astype(float)).mean() <= within


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What this package has warned of, not GDAL."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("transpose")]


def refused(match: str, dsm: Path, ortho: Path, **options: Any) -> str:
    with pytest.raises(TransposeError, match=match) as caught:
        build_terrain([dsm], [ortho], options=TerrainOptions(**options))
    return str(caught.value)
