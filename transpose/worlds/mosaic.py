"""Rasters joined on one grid, whatever their resolutions, projections and kinds of numbers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.color_bands import ColorBands, color_range, read_color_bands
from transpose.worlds.height_bands import HeightBand, Remarks, odd_cells, read_height_band
from transpose.worlds.rasters import RasterTile, Window, first_line, import_rasterio, opened

_STRIP_PX = 16_000_000
_MOST_CELLS = 2**31  # of a mosaic, some twenty times what `terrain` asks for


def read_heights(tiles: Sequence[RasterTile], crs: str, window: Window) -> np.ndarray:
    """Heights (rows, columns), float32 metres, NaN where no tile has any; of overlapping tiles the first counts.

    Raises:
        TransposeError: a tile is broken, or its numbers are no heights.
    """
    _refuse_endless(tiles, window)
    height_hw = np.full((window.rows, window.columns), np.nan, np.float32)
    remarks = Remarks()
    for tile in tiles:
        place = _place(tile, window)
        if place is None:
            continue
        with opened(tile.path) as source:
            band = read_height_band(tile.path, source, remarks)
            for strip, heights_hw in _warped_heights(tile.path, source, band, crs, window, place):
                part_hw = height_hw[strip]
                part_hw[:] = np.where(np.isfinite(part_hw), part_hw, heights_hw)
    remarks.say()
    return height_hw


def _warped_heights(
    path: Path, source: Any, band: HeightBand, crs: str, window: Window, place: tuple[slice, slice]
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Strips as of `_warped`, with heights (h, w), NaN where a number that is none has a share in them."""
    options = {"src_nodata": _nodata(source, band), "nodata": np.nan, "dtype": "float32"}
    if band.alpha is not None:
        options["src_alpha"] = band.alpha
    with ExitStack() as stack:
        shares: Iterator[Any] = repeat(None)
        if band.also:  # of several numbers resampling leaves out one
            odd = stack.enter_context(odd_cells(path, source, band))
            shares = _warped(path, odd, crs, window, place, [1], {"dtype": "float32"})
        for strip, (values_hw, mask_hw) in _warped(path, source, crs, window, place, [1], options):
            known_hw, share = mask_hw > 0, next(shares)
            if share is not None:
                known_hw &= share[1][0] == 0
            yield strip, np.where(known_hw, band.heights(values_hw), np.float32(np.nan))


def _nodata(source: Any, band: HeightBand) -> float | None:
    """What resampling must leave out: NaN where neither a number nor a mask says it."""
    masked = band.alpha is not None or source.mask_flag_enums[0][0].name != "all_valid"
    unsaid = band.nodata is None and not masked and np.dtype(source.dtypes[0]).kind == "f"
    return float("nan") if unsaid else band.nodata


def read_colors(
    tiles: Sequence[RasterTile],
    crs: str,
    window: Window,
    bands: tuple[int, int, int] | None = None,
    black_white: tuple[float, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (rows, columns, 3) uint8 and where there are any; of overlapping tiles the first counts.

    Args:
        tiles: of colours.
        crs: of the window.
        window: the grid.
        bands: of red, green and blue, counted from 1; None: as the files say.
        black_white: the numbers of black and white; None: as the files and the kind of their numbers say.

    Raises:
        TransposeError: a tile is broken, or does not tell what is red or white.
    """
    _refuse_endless(tiles, window)
    rgb_hw3 = np.zeros((window.rows, window.columns, 3), np.uint8)
    known_hw = np.zeros((window.rows, window.columns), bool)
    inside = [(tile.path, place) for tile in tiles if (place := _place(tile, window)) is not None]
    for (path, place), (meaning, (black, white)) in zip(
        inside, _meanings([path for path, _ in inside], bands, black_white), strict=True
    ):
        plain = meaning.dtype == "uint8" and (black, white) == (0, 255)
        with opened(path) as source:
            options = _alpha_options(source, meaning, plain)
            for strip, values_khw in _warped(path, source, crs, window, place, list(meaning.rgb), options):
                *values_3hw, alpha_hw = values_khw
                new_hw = ~known_hw[strip] & (alpha_hw > 0)
                if not plain:
                    new_hw &= np.isfinite(values_3hw).all(0)
                for channel, values_hw in enumerate(values_3hw):
                    if not plain:
                        color_hw = values_hw * meaning.scales_3[channel] + meaning.offsets_3[channel]
                        color_hw = np.nan_to_num((color_hw - black) * (255 / (white - black)))
                        values_hw = np.rint(np.clip(color_hw, 0, 255)).astype(np.uint8)
                    rgb_hw3[(*strip, channel)][new_hw] = values_hw[new_hw]
                known_hw[strip] |= new_hw
    return rgb_hw3, known_hw


def _refuse_endless(tiles: Sequence[RasterTile], window: Window) -> None:
    """A long, thin strip of cells, as of a tile whose header is broken, passes any bound of its area."""
    if window.rows * window.columns > _MOST_CELLS:
        others = f" and {len(tiles) - 1} others" if len(tiles) > 1 else ""
        raise TransposeError(
            f"{tiles[0].path}{others}: {window.rows} x {window.columns} cells are too many; is a tile elsewhere?"
        )


def _place(tile: RasterTile, window: Window) -> tuple[slice, slice] | None:
    """Rows and columns of the window that a tile reaches."""
    west, south, east, north = tile.bounds_4
    low_2, high_2 = window.grid.pixels(np.array([[west, north], [east, south]]))
    c0, r0 = np.maximum(np.floor(low_2 - 1e-6), 0).astype(int)
    c1, r1 = np.minimum(np.ceil(high_2 + 1e-6), (window.columns, window.rows)).astype(int)
    return (slice(r0, r1), slice(c0, c1)) if r0 < r1 and c0 < c1 else None


def _meanings(
    paths: Sequence[Path], bands: tuple[int, int, int] | None, black_white: tuple[float, float] | None
) -> list[tuple[ColorBands, tuple[float, float]]]:
    """Bands of each file, and its numbers of black and white: one choice for all files of one kind of number."""
    remarks = Remarks()
    meanings = []
    for path in paths:
        with opened(path) as source:
            try:
                meanings.append(read_color_bands(path, source, bands, remarks))
            except import_rasterio().errors.RasterioError as error:
                raise _broken(path, error) from None
    range_of = {}
    for dtype in {meaning.dtype for meaning in meanings}:
        alike = [index for index, meaning in enumerate(meanings) if meaning.dtype == dtype]
        range_of[dtype] = black_white or color_range([meanings[i] for i in alike], [paths[i] for i in alike], remarks)
    remarks.say()
    return [(meaning, range_of[meaning.dtype]) for meaning in meanings]


def _alpha_options(source: Any, meaning: ColorBands, plain: bool) -> dict[str, Any]:
    """How GDAL is to keep what is no colour out of the resampling."""
    options: dict[str, Any] = {} if plain else {"dtype": "float32"}
    if meaning.alpha is not None:
        options["src_alpha"] = meaning.alpha
    elif meaning.hole is not None:
        options |= {"src_nodata": meaning.hole, "nodata": meaning.hole}
    elif source.nodata is None and np.dtype(meaning.dtype).kind == "f":
        options |= {"src_nodata": np.nan, "nodata": np.nan}
    elif source.nodata is None:
        options["add_alpha"] = True
    return options


def _warped(
    path: Path,
    source: Any,
    crs: str,
    window: Window,
    place: tuple[slice, slice],
    indexes: list[int],
    options: dict[str, Any],
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Strips of a part of the window: their place, and the bands (k, h, w) of an open tile there, its mask last."""
    from rasterio.transform import from_origin
    from rasterio.vrt import WarpedVRT
    from rasterio.warp import Resampling
    from rasterio.windows import Window as Part

    rows, columns = place
    grid = window.grid
    west, north = grid.west_m + columns.start * grid.cell_m, grid.north_m - rows.start * grid.cell_m
    width, height = columns.stop - columns.start, rows.stop - rows.start
    where = {"transform": from_origin(west, north, grid.cell_m, grid.cell_m), "width": width, "height": height}
    step = max(1, _STRIP_PX // width)
    try:
        with WarpedVRT(source, crs=crs, resampling=Resampling.bilinear, **where, **options) as warped:
            for row in range(0, height, step):
                part = Part(0, row, width, min(step, height - row))
                values_khw = warped.read(indexes=indexes, window=part)
                alpha = options.get("src_alpha")
                mask_hw = warped.read(alpha, window=part) if alpha else warped.dataset_mask(window=part)
                strip = (slice(rows.start + row, rows.start + row + part.height), columns)
                yield strip, np.concatenate([values_khw, mask_hw[None]], dtype=values_khw.dtype, casting="unsafe")
    except import_rasterio().errors.RasterioError as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> TransposeError:
    return TransposeError(f"{path} is truncated or broken ({first_line(error)}); copy it again")
