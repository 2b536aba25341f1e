"""Maps of a frame, and errors beside their predicted uncertainty, as PNG with scales: for papers and slides.

matplotlib takes a second to import, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transpose.evaluation.maps import SavedMap
from transpose.evaluation.uncertainty import sparsification
from transpose.pages.calibration_plot import draw_sparsification
from transpose.pages.canvas import clean_axes, new_figure, plain_text, plain_ticks, save_png
from transpose.pages.gallery import ColorRanges
from transpose.pages.wording import NONE, length
from transpose.scenes.unit import SceneUnit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAP_INCHES = 4.4  # of the longer side
_MARGINS_IN = 0.15, 0.5, 0.4  # left, below, above
_BAR_IN, _SCALE_IN = 0.14, 0.75  # a colour bar's thickness, and the room beside a map for it and its numbers
_LARGE_M = 10_000.0  # of such coordinates two do not fit under a bar
_FEWEST_CELLS = 100
_BINS = 90
_BANDS = 14


def draw_coordinates(each: SavedMap, ranges: ColorRanges, path: Path) -> Path:
    """Writes the predicted coordinates as PNG, with what red, green and blue stand for under it."""
    rows, columns = each.coordinates_hw3.shape[:2]
    figure = _map_figure(ranges.coordinates(each.coordinates_hw3), f"{each.stem}: predicted coordinates", right_in=0.15)
    width_in = _size_in(rows, columns)[0]
    left_in = _MARGINS_IN[0]
    figure_in = figure.get_size_inches()
    for axis, name in enumerate("xyz"):
        ramp_13 = np.zeros((1, 64, 3))
        ramp_13[..., axis] = np.linspace(0, 1, 64)
        third_in = width_in / 3
        spot = (left_in + axis * third_in, 0.28, third_in - 0.12, _BAR_IN)
        axes = figure.add_axes(tuple(np.array(spot) / np.tile(figure_in, 2)))
        axes.imshow(ramp_13, aspect="auto")
        low, high = float(ranges.low_3[axis]), float(ranges.high_3[axis])
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(f"{name}: {_range(low, high, 'm' if ranges.unit.metric else 'units')}", fontsize=8, labelpad=3)
    return save_png(figure, path)


def draw_errors(error_hw: np.ndarray, title: str, ranges: ColorRanges, path: Path) -> Path:
    """Writes a map (rows, columns) of errors, as they are told, as PNG with its colour bar; grey is unknown.

    `title` is followed by the map's median.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    known_n = error_hw[np.isfinite(error_hw)]
    median = length(float(np.median(known_n)), ranges.unit) if len(known_n) else NONE
    figure = _map_figure(ranges.errors(error_hw), f"{title}, median {median}", right_in=_SCALE_IN, below_in=0.15)
    rows, columns = error_hw.shape
    width_in, height_in = _size_in(rows, columns)
    spot = np.array([_MARGINS_IN[0] + width_in + 0.12, 0.15, _BAR_IN, height_in])
    axes = figure.add_axes(tuple(spot / np.tile(figure.get_size_inches(), 2)))
    factor, unit = _fitting(ranges.scale, ranges.unit)
    colors = ScalarMappable(Normalize(0, factor * ranges.scale), "viridis")
    bar = figure.colorbar(colors, cax=axes, extend="max", extendfrac=0.03)
    bar.set_label(f"{unit}{'' if len(known_n) == error_hw.size else ', grey: unknown'}", fontsize=8, labelpad=2)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.outline.set_visible(False)
    return save_png(figure, path)


def draw_scatter(maps: Sequence[SavedMap], path: Path) -> Path | None:
    """Writes errors beside the predicted ones, and the sparsification curve, as PNG.

    Args:
        maps: whose cells are taken together.
        path: of the PNG.

    Returns:
        The path; None where too few cells have both a label and a predicted error.
    """
    error_n = np.concatenate([each.error_hw.ravel() for each in maps])
    expected_n = np.concatenate([each.expected_hw.ravel() for each in maps]).astype(np.float64)
    known_n = np.isfinite(error_n) & np.isfinite(expected_n) & (error_n > 0)
    if int(known_n.sum()) < _FEWEST_CELLS:
        return None
    error_n, expected_n = error_n[known_n], expected_n[known_n]
    figure = new_figure(9.6, 4.2)
    left, right = figure.subplots(1, 2)
    _draw_density(left, error_n, expected_n, maps[0].result.unit)
    sparse = sparsification(error_n, expected_n)
    draw_sparsification(right, sparse)
    right.axhline(1, color="#b0b0b0", linewidth=1, linestyle=":")
    right.set_title(f"area between: {sparse.ause:.2f}; of a random order: {sparse.ause_random:.2f}")
    for axes in (left, right):
        axes.title.set_fontsize(9)
        clean_axes(axes)
    return save_png(figure, path)


def _draw_density(axes: Axes, error_n: np.ndarray, expected_n: np.ndarray, of_scene: SceneUnit) -> None:
    """How many cells have which error where which is expected, and the errors' median and quantiles."""
    from matplotlib.colors import LogNorm

    factor, unit = _fitting(float(np.median(error_n)), of_scene)
    error_n, expected_n = factor * error_n, factor * expected_n
    low_x, high_x = np.quantile(expected_n, [0.001, 0.999]) * (0.9, 1.1)
    low_y, high_y = np.quantile(error_n, [0.002, 0.999]) * (0.8, 1.25)
    edges = np.geomspace(low_x, high_x, _BINS), np.geomspace(low_y, high_y, _BINS)
    counts_xy, *_ = np.histogram2d(expected_n, error_n, bins=edges)
    shown = np.ma.masked_less(counts_xy.T, 1)
    axes.pcolormesh(*edges, shown, cmap="Blues", norm=LogNorm(0.3, max(2.0, shown.max())), rasterized=True)
    middle_k, quantiles_k3 = _running_quantiles(expected_n, error_n)
    for k, label in enumerate(("10 and 90 % of the errors", "median error", None)):
        style = {"linewidth": 2.0} if k == 1 else {"linewidth": 1.2, "linestyle": ":"}
        axes.plot(middle_k, quantiles_k3[:, k], color="#d55e00", label=label, **style)
    ends = np.array([max(low_x, low_y), min(high_x, high_y)])
    axes.plot(ends, ends, color="#333333", linewidth=1, linestyle="--", label="as large as expected")
    axes.set(xscale="log", yscale="log", xlim=(low_x, high_x), ylim=(low_y, high_y))
    axes.set(xlabel=f"expected error ({unit})", ylabel=f"error ({unit})")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.set_title(f"{len(error_n)} cells")


def _running_quantiles(expected_n: np.ndarray, error_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of k equal groups of cells by expected error: its median (k,), and the errors at 10, 50 and 90 % (k, 3)."""
    groups = np.array_split(np.argsort(expected_n, kind="stable"), _BANDS)
    middle_k = np.array([np.median(expected_n[group]) for group in groups])
    return middle_k, np.array([np.quantile(error_n[group], [0.1, 0.5, 0.9]) for group in groups])


def _size_in(rows: int, columns: int) -> tuple[float, float]:
    """Width and height of a map in a figure, inches."""
    longer = max(rows, columns)
    return _MAP_INCHES * columns / longer, _MAP_INCHES * rows / longer


def _map_figure(rgb_hw3: np.ndarray, title: str, right_in: float, below_in: float | None = None) -> Figure:
    """A figure with a map of cells, and room on its right or below it for a scale."""
    left_in, usual_in, above_in = _MARGINS_IN
    below_in = usual_in if below_in is None else below_in
    width_in, height_in = _size_in(*rgb_hw3.shape[:2])
    total_in = np.array([left_in + width_in + right_in, below_in + height_in + above_in])
    figure: Any = new_figure(total_in[0], total_in[1], layout=None)
    axes = figure.add_axes((*(np.array([left_in, below_in]) / total_in), *(np.array([width_in, height_in]) / total_in)))
    axes.imshow(rgb_hw3, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    axes.set_title(plain_text(title), fontsize=9, loc="left")
    return figure


def _fitting(told: float, unit: SceneUnit) -> tuple[float, str]:
    """What brings told lengths of this size into a unit that fits them, and its name."""
    if not unit.metric:
        return 1.0, "% of the extent"
    return (100.0, "cm") if told < 1 else (1.0, "m")


def _range(low: float, high: float, symbol: str) -> str:
    if max(abs(low), abs(high)) >= _LARGE_M:
        return f"{low:.0f} + {high - low:.0f} {symbol}"
    least = 1e-3 if symbol == "m" else 1e-9
    digits = max(0, 1 - int(np.floor(np.log10(max(high - low, least)))))
    return f"{low:.{digits}f} to {high:.{digits}f} {symbol}"
