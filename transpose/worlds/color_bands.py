"""What the bands of an orthophoto mean: which are red, green and blue, which tells holes, and which number is white.

Bands are taken for what the file calls them; what it leaves open is said, and where a guess could be wrong in colour or
brightness it is refused with the option that decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from transpose.errors import TransposeError, quoted
from transpose.worlds.height_bands import Remarks

_COLORS = ("red", "green", "blue")
_WORDS = {
    "red": {"red", "r"},
    "green": {"green", "g"},
    "blue": {"blue", "b"},
    "nir": {"nir", "infrared", "ir"},
    "rededge": {"rededge", "edge"},
    "alpha": {"alpha"},
}
_SAMPLE_PX = 1024
_BRIGHT = 0.995  # so many of the numbers lie below what is called bright
_EDGE_SHARE = 0.01
_SOFT_SHARE = 0.5  # a mask is 0 or full but for its edges


@dataclass(frozen=True)
class ColorBands:
    """Bands of one orthophoto, counted from 1.

    Attributes:
        rgb: of red, green and blue; thrice the same of a grey picture.
        alpha: of the band that is 0 in holes, or None.
        dtype: of the numbers.
        scales_3, offsets_3: colours are scale * number + offset.
        brightest: the largest colour that a sample saw, `bright` what nearly all are below.
        full: the number of white as the file says it, or None.
        hole: the number that all bands have around the picture, where the file does not say it, or None.
    """

    rgb: tuple[int, int, int]
    alpha: int | None
    dtype: str
    scales_3: np.ndarray
    offsets_3: np.ndarray
    brightest: float
    bright: float
    full: float | None
    hole: float | None


def read_color_bands(path: Path, source: Any, chosen: tuple[int, int, int] | None, remarks: Remarks) -> ColorBands:
    """The meaning of an open orthophoto's bands.

    Args:
        path: named in errors.
        source: the open file.
        chosen: bands of red, green and blue, counted from 1, or None: as the file says.
        remarks: what is assumed.

    Raises:
        TransposeError: the file does not say which bands are colours, or has false colours or a colour table.
    """
    meanings = _meanings(source)
    if "palette" in meanings:
        raise TransposeError(
            f"{path} has a colour table; make RGB of it: gdal_translate -expand rgb {quoted(path)} OUT"
        )
    if chosen is not None:
        if not 1 <= min(chosen) <= max(chosen) <= source.count:
            raise TransposeError(f"{path} has {source.count} bands, not all of {' '.join(map(str, chosen))}")
        rgb = chosen
    else:
        rgb = _rgb(path, source, meanings, remarks)
    dtype = source.dtypes[rgb[0] - 1]
    alpha = meanings.index("alpha") + 1 if "alpha" in meanings else None
    if alpha is not None and _varies(source, alpha):
        remarks.add("its alpha band looks like a picture, such as infrared; only where it is 0 is a hole", path)
    scales_3, offsets_3 = (np.array([of[band - 1] or 0.0 for band in rgb]) for of in (source.scales, source.offsets))
    scales_3[scales_3 == 0] = 1
    open_to_all = alpha is None and all(source.mask_flag_enums[band - 1][0].name == "all_valid" for band in rgb)
    sample_3hw = _sample(source, list(rgb))
    values = (sample_3hw * scales_3[:, None, None] + offsets_3[:, None, None]).compressed()
    values = values[np.isfinite(values)]
    bits = source.tags(rgb[0], ns="IMAGE_STRUCTURE").get("NBITS")
    return ColorBands(
        rgb,
        alpha,
        dtype,
        scales_3,
        offsets_3,
        float(values.max()) if len(values) else 0.0,
        float(np.quantile(values, _BRIGHT)) if len(values) else 0.0,
        float((1 << int(bits)) - 1) if bits and bits.isdigit() and np.dtype(dtype).kind == "u" else None,
        _black_edge(path, sample_3hw, remarks) if open_to_all else None,
    )


def color_range(bands: Sequence[ColorBands], paths: Sequence[Path], remarks: Remarks) -> tuple[float, float]:
    """Which colours are black and white in tiles of one kind of number.

    8-bit colours are what they are, real numbers from 0 to 1 and whole ones that use all of their bits, too.

    Raises:
        TransposeError: nothing tells which number is white.
    """
    first = bands[0]
    scaled = any((each.scales_3 != 1).any() or each.offsets_3.any() for each in bands)
    if first.dtype == "uint8" and not scaled:
        return 0.0, 255.0
    brightest, bright = max(each.brightest for each in bands), max(each.bright for each in bands)
    kind = np.dtype(first.dtype)
    if first.full is not None and not scaled:
        return 0.0, first.full
    if (kind.kind == "f" or scaled) and brightest <= 1.0:
        white = 1.0
    elif brightest <= 255:
        white = 255.0
    elif kind == np.uint16 and not scaled and brightest > 0.9 * 65535:
        white = 65535.0
    else:
        high = float(f"{bright:.3g}")
        raise TransposeError(
            f"{paths[0]} has {first.dtype} colours up to {brightest:.6g} ({100 * _BRIGHT:.1f} % are below {high:g}); "
            f"say which are black and white: --color-range 0 {high:g}, or make 8-bit ones: "
            f"gdal_translate -ot Byte -scale 0 {high:g} 0 255 {quoted(paths[0])} OUT"
        )
    remarks.add(
        f"its {first.dtype} colours are taken from 0, black, to {white:g}, white (else: --color-range)", paths[0]
    )
    return 0.0, white


def _meanings(source: Any) -> list[str]:
    """What each band is: as its description says, else by GDAL's colour interpretation."""
    described = [_described(text or "") for text in source.descriptions]
    interpreted = [meaning.name for meaning in source.colorinterp]
    if sum(name in _COLORS or name == "nir" for name in described) < 2:
        return interpreted
    return [
        name or ("undefined" if meaning in (*_COLORS, "gray") else meaning)
        for name, meaning in zip(described, interpreted, strict=True)
    ]


def _described(text: str) -> str:
    # A letter beside a number is a band's name (B2, B02), which stands for different colours in different cameras.
    words = set(re.findall(r"[a-z]{2,}|(?<![a-z0-9])[a-z](?![a-z0-9])", text.lower()))
    if words & _WORDS["rededge"]:
        return "rededge"
    found = [name for name, names in _WORDS.items() if words & names]
    return found[0] if len(found) == 1 else ""


def _rgb(path: Path, source: Any, meanings: list[str], remarks: Remarks) -> tuple[int, int, int]:
    if all(color in meanings for color in _COLORS):
        red, green, blue = (meanings.index(color) + 1 for color in _COLORS)
        return red, green, blue
    said = ", ".join(meanings)
    open_bands = [band for band, meaning in enumerate(meanings, 1) if meaning != "alpha"]
    if not set(meanings) <= {"gray", "undefined", "alpha", "pan"}:
        raise TransposeError(
            f"{path} has no bands of red, green and blue but {said}: photos have other colours; take an orthophoto in "
            "natural colours, or say which bands to take for them, such as --bands 1 2 3"
        )
    if len(open_bands) > 3:
        raise TransposeError(
            f"{path} does not say which of its {source.count} bands are red, green and blue ({said}); "
            "say it, such as --bands 3 2 1"
        )
    if len(open_bands) == 3:
        named = [text for text in source.descriptions if text]
        said = f" but for names, {', '.join(named)}" if named else ""
        remarks.add(f"does not say what its bands are{said}; they are taken for red, green, blue (else: --bands)", path)
        red, green, blue = open_bands
        return red, green, blue
    grey = open_bands[0]
    more = "" if len(open_bands) == 1 else f"; band {open_bands[1]}, of which it does not say what it is, is left out"
    remarks.add(f"is grey, and so will be what is rendered{more}", path)
    return grey, grey, grey


def _sample(source: Any, bands: int | list[int]) -> np.ma.MaskedArray[Any, Any]:
    """Some of the numbers of bands, float64, masked where the file masks them."""
    shape = tuple(min(side, _SAMPLE_PX) for side in (source.height, source.width))
    out_shape = shape if isinstance(bands, int) else (len(bands), *shape)
    values: np.ma.MaskedArray[Any, Any] = source.read(bands, out_shape=out_shape, masked=True)
    return values.astype(np.float64)  # type: ignore[return-value]


def _varies(source: Any, alpha: int) -> bool:
    """Whether a band that is called alpha is neither none nor full in most places: a picture, such as infrared."""
    values = _sample(source, alpha).filled(0)
    return bool(((values > 0) & (values < values.max())).mean() > _SOFT_SHARE)


def _black_edge(path: Path, sample_3hw: np.ma.MaskedArray[Any, Any], remarks: Remarks) -> float | None:
    """0 where much of a picture's edge is black in all bands, as around a place that fills no rectangle."""
    for number, color in ((0.0, "black"), (255.0, "white")):
        flat_hw = (sample_3hw.data == number).all(0)
        _, part_hw = cv2.connectedComponents(flat_hw.astype(np.uint8), connectivity=4)
        edge = np.concatenate([part_hw[0], part_hw[-1], part_hw[:, 0], part_hw[:, -1]])
        share = float(np.isin(part_hw, edge[edge > 0]).mean())
        if share <= _EDGE_SHARE or share == 1:
            continue
        if color == "black":
            remarks.add("its edge is black and taken for holes; if it is none: gdal_edit.py -a_nodata 255 FILE", path)
            return number
        remarks.add("its edge is white; where nothing was seen there, say so: gdal_edit.py -a_nodata 255 FILE", path)
    return None
