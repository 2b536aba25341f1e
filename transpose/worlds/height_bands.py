"""What the numbers of a raster of heights mean: scale, offset and unit of its band, and which of them are no heights.

Files often mark cells without a height by a number and do not say by which. What no place on land has is left out, and
so is a number such as 0 where it is a cliff: nothing lies between it and the heights around. Both are said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.georeference import height_unit_m, import_pyproj

log = logging.getLogger(__name__)

_LAND_M = (-500.0, 9000.0)  # the shore of the Dead Sea lies at -430 m, Mount Everest below 8850 m
_CLIFF_M = 20.0
_CLIFF_SHARE = 0.005  # of as many cells as have the number, so many may lie near it: resampling blends edges
_FEWEST_OTHERS = 0.01  # of the same: a calm sea with one tower on it is no hole
_MOST_NUMBERS = 1000
_MARKS = (0.0, -9999.0, 9999.0, -999.0, 999.0, -99.0, -32768.0, -32767.0, 32767.0, 65535.0)
_STRIP_CELLS = 4_000_000
_UNITS_M = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters", "unknown"), 1.0),
    **dict.fromkeys(("ft", "foot", "feet", "international foot"), 0.3048),
    **dict.fromkeys(("us survey foot", "us survey feet", "us-ft", "ftus", "us_survey_foot", "foot_us"), 1200 / 3937),
    **dict.fromkeys(("dm", "decimetre", "decimeter"), 0.1),
    **dict.fromkeys(("cm", "centimetre", "centimeter", "centimetres", "centimeters"), 0.01),
    **dict.fromkeys(("mm", "millimetre", "millimeter", "millimetres", "millimeters"), 0.001),
    **dict.fromkeys(("km", "kilometre", "kilometer"), 1000.0),
}


@dataclass(frozen=True)
class HeightBand:
    """A band of heights: metres are `factor` * number + `offset_m`.

    `nodata` is the number without a height that resampling must know, `also` are further ones, of which it can know
    by `odd_cells` alone. The band `alpha`, counted from 1, is 0 in holes.
    """

    factor: float
    offset_m: float
    nodata: float | None
    also: tuple[float, ...] = ()
    alpha: int | None = None

    def heights(self, values_hw: np.ndarray) -> np.ndarray:
        """Metres, float32, NaN where a number is no height of any land."""
        height_hw = np.asarray(values_hw * self.factor + self.offset_m, np.float32)
        height_hw[_beyond_land(height_hw)] = np.nan
        return height_hw

    def odd(self, values_hw: np.ndarray) -> np.ndarray:
        """Where numbers of the file have no height, those apart of which resampling knows."""
        odd_hw = _beyond_land(values_hw * np.float64(self.factor) + self.offset_m) | np.isin(values_hw, self.also)
        return odd_hw & (values_hw != self.nodata)


def _beyond_land(height_hw: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        beyond_hw: np.ndarray = (height_hw < _LAND_M[0]) | (height_hw > _LAND_M[1])
    return beyond_hw


@dataclass
class Remarks:
    """What was left out of files or assumed about them, so that many tiles are spoken of in one line."""

    paths: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, remark: str, path: Path) -> None:
        """Notes a remark on a file; files of the same remark share its line."""
        self.paths.setdefault(remark, []).append(path)

    def say(self) -> None:
        """Warns once for each remark."""
        for remark, paths in self.paths.items():
            others = f" and {len(paths) - 1} other files" if len(paths) > 1 else ""
            log.warning("%s%s: %s", paths[0], others, remark)


def read_height_band(path: Path, source: Any, remarks: Remarks) -> HeightBand:
    """The meaning of an open raster's first band; every number is looked at once.

    Raises:
        TransposeError: it is a picture, its unit is unknown, or no number in it is a height on land.
    """
    _refuse_pictures(path, source, remarks)
    unit_m = _unit_m(path, source, remarks)
    factor, offset_m = (source.scales[0] or 1.0) * unit_m, source.offsets[0] * unit_m
    alpha = next((band for band, meaning in enumerate(source.colorinterp, 1) if meaning.name == "alpha"), None)
    numbers = _Numbers(factor, offset_m)
    for _, values_hw in _strips(path, source, alpha):
        values_n = values_hw.compressed()
        numbers.add(values_n[np.isfinite(values_n)].astype(np.float64))
    if numbers.known and not numbers.land:
        low, high = numbers.range_m
        raise TransposeError(
            f"{path} has no heights of land: its numbers say {low:.6g} to {high:.6g} m; if they are centimetres, for "
            f"example, say so: gdal_edit.py -units cm {path}"
        )
    if odd := numbers.odd():
        shown = ", ".join(f"{number:.6g}" for number in odd[:3]) + (", ..." if len(odd) > 3 else "")
        remarks.add(f"cells of {shown} have no height of any land and are left out", path)
    says_holes = alpha is not None or "all_valid" not in [flag.name for flag in source.mask_flag_enums[0]]
    marks = numbers.cliffs()
    for mark in marks:
        remarks.add(_said_of_cliff(mark, source.dtypes[0], says_holes), path)
    if says_holes:
        marks = []
    without = ([] if source.nodata is None else [source.nodata]) + sorted(
        [*odd, *marks], key=lambda number: -numbers.count(number)
    )
    return HeightBand(factor, offset_m, without[0] if without else None, tuple(without[1:]), alpha)


@contextmanager
def odd_cells(path: Path, source: Any, band: HeightBand) -> Iterator[Any]:
    """An open raster in the place of another one: 1 where that has `odd` numbers, 0 elsewhere.

    Resampled like it, it tells which heights such a number has a share in, however much coarser the tile's cells are.
    """
    import rasterio
    from rasterio.io import MemoryFile

    form = {"driver": "GTiff", "count": 1, "dtype": "uint8", "compress": "deflate", "BIGTIFF": "IF_SAFER"}
    place = {"width": source.width, "height": source.height, "crs": source.crs, "transform": source.transform}
    with MemoryFile() as memory:
        with rasterio.open(memory.name, "w", **form, **place) as file:
            for window, values_hw in _strips(path, source, band.alpha):
                odd_hw = band.odd(values_hw.data) & ~np.ma.getmaskarray(values_hw)
                file.write(odd_hw.astype(np.uint8), 1, window=window)
        with rasterio.open(memory.name) as odd:
            yield odd


def _said_of_cliff(mark: float, dtype: str, says_holes: bool) -> str:
    where = f"cells of exactly {mark:g} lie {_CLIFF_M:.0f} m and more from all others and are taken for"
    if says_holes:
        return f"{where} heights, since the file marks holes otherwise; if not: gdal_edit.py -a_nodata {mark:g} FILE"
    kind = np.dtype(dtype)
    other = np.iinfo(kind).max if kind.kind == "u" else -9999 if mark != -9999 else -32768
    return f"{where} holes; if they are heights, name any other number for holes: gdal_edit.py -a_nodata {other} FILE"


@dataclass
class _Numbers:
    """How often numbers occur: `odd_of` those that are no height on land, `mark_of` those that often mark holes, and
    how many heights there are in each metre from the lowest on."""

    factor: float
    offset_m: float
    known: int = 0
    range_m: tuple[float, float] = (np.inf, -np.inf)
    odd_of: dict[float, int] = field(default_factory=dict)
    mark_of: dict[float, int] = field(default_factory=dict)
    per_metre: np.ndarray = field(default_factory=lambda: np.zeros(int(_LAND_M[1] - _LAND_M[0]) + 1, np.int64))

    def add(self, values_n: np.ndarray) -> None:
        """Counts some numbers."""
        if len(values_n) == 0:
            return
        height_n = values_n * self.factor + self.offset_m
        self.known += len(values_n)
        low, high = self.range_m
        self.range_m = min(low, float(height_n.min())), max(high, float(height_n.max()))
        land_n = (height_n >= _LAND_M[0]) & (height_n <= _LAND_M[1])
        for number, count in zip(*np.unique(values_n[~land_n], return_counts=True), strict=True):
            if number in self.odd_of or len(self.odd_of) < _MOST_NUMBERS:
                self.odd_of[float(number)] = self.odd_of.get(float(number), 0) + int(count)
        bins_n = (height_n[land_n] - _LAND_M[0]).astype(np.int64)
        self.per_metre += np.bincount(bins_n, minlength=len(self.per_metre))
        for mark in _MARKS:
            self.mark_of[mark] = self.mark_of.get(mark, 0) + int(np.count_nonzero(values_n == mark))

    @property
    def land(self) -> int:
        return int(self.per_metre.sum())

    def count(self, number: float) -> int:
        return self.odd_of.get(number, 0) or self.mark_of.get(number, 0)

    def odd(self) -> list[float]:
        """Numbers that are no height on land, the most frequent first."""
        return sorted(self.odd_of, key=lambda number: -self.odd_of[number])

    def cliffs(self) -> list[float]:
        """Marks that are a possible height with hardly another one near it."""
        found = []
        for mark, count in self.mark_of.items():
            at = mark * self.factor + self.offset_m - _LAND_M[0]
            if count == 0 or not 0 <= at < len(self.per_metre):
                continue
            near = int(self.per_metre[max(0, int(at - _CLIFF_M)) : int(at + _CLIFF_M) + 1].sum()) - count
            if near <= _CLIFF_SHARE * count and self.land - count >= _FEWEST_OTHERS * count:
                found.append(mark)
        return found


def _strips(path: Path, source: Any, alpha: int | None) -> Iterator[tuple[Any, np.ma.MaskedArray]]:
    """Some rows at a time, their window and the numbers of the first band, masked where the file masks them."""
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    step = max(1, _STRIP_CELLS // source.width)
    for row in range(0, source.height, step):
        window = Window(0, row, source.width, min(step, source.height - row))
        try:
            values_hw = source.read(1, window=window, masked=True)
            if alpha is not None:  # GDAL takes it for a mask in files of 8 and 16 bits alone
                values_hw = np.ma.masked_where(source.read(alpha, window=window) == 0, values_hw)
        except RasterioError as error:
            raise TransposeError(
                f"{path} is truncated or broken ({str(error).splitlines()[0]}); copy it again"
            ) from None
        yield window, values_hw


def _refuse_pictures(path: Path, source: Any, remarks: Remarks) -> None:
    meanings = [meaning.name for meaning in source.colorinterp]
    if meanings[0] in ("red", "green", "blue", "palette") or np.dtype(source.dtypes[0]).kind == "c":
        raise TransposeError(
            f"{path} is a picture ({', '.join(meanings)}), not heights; is it the orthophoto? "
            "transpose build terrain DSM --ortho PICTURE"
        )
    if len([meaning for meaning in meanings if meaning != "alpha"]) > 1:
        remarks.add(f"of its {source.count} bands the first is taken for the heights", path)
    if source.dtypes[0] == "uint8":
        remarks.add("its heights are whole numbers of 8 bits; is it a shaded picture of them?", path)


def _unit_m(path: Path, source: Any, remarks: Remarks) -> float:
    """Metres in the unit of heights, as the band says it, or else the vertical part of the reference system."""
    said = (source.units[0] or "").strip()
    if said:
        if said.lower() not in _UNITS_M:
            raise TransposeError(
                f"{path}: the unit of its heights, {said}, is not known; name one: gdal_edit.py -units m {path}"
            )
        unit_m = _UNITS_M[said.lower()]
    else:
        system = import_pyproj().CRS.from_user_input(source.crs.to_wkt())
        unit_m, said = height_unit_m(system), "the unit of its vertical system"
    if unit_m != 1:
        remarks.add(f"its heights are converted from {said} to metres", path)
    return unit_m
