"""The figures of a benchmark: recall curves, and accuracy against what it costs, drawn without a screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transpose.evaluation.benchmark import Block, Column, Line
from transpose.pages.canvas import clean_axes, new_figure, plain_text, plain_ticks, save_png
from transpose.pages.plots import curve_range, length_unit, plot_error_curve, series_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What accuracy is held against: a column, its axis, and what brings its number into the axis's unit.
_COSTS = (
    ("seconds_per_frame", "time a photo (ms)", 1e3),
    ("train_seconds", "training time (s)", 1.0),
    ("model_bytes", "model (MB)", 1e-6),
)
_MARKERS = "osD^vP*X"


def plot_recall(block: Block, path: Path) -> Path | None:
    """Writes the share of photos below each error, a curve a method, seeds together, as PNG.

    Returns:
        The path; None where no method has a result.
    """
    results = {line.method.name: [frame for row in line.done for frame in row.frames] for line in block.lines}
    results = {name: frames for name, frames in results.items() if frames}
    return plot_error_curve(results, path) if results else None


def plot_costs(block: Block, path: Path) -> Path | None:
    """Writes the median position error against time a photo, training time and size of the model, as PNG.

    A point is a method's mean over seeds, its bars go from the least to the largest of them. Methods whose error is
    infinite are named above.

    Returns:
        The path; None where no method has a finite error.
    """
    by_name = {column.name: column for column in block.columns}
    error = by_name["median_length"]
    shown = [line for line in block.lines if line.done and math.isfinite(line.spread(error).mean)]
    if not shown:
        return None
    factor, unit = length_unit([frame for line in shown for row in line.done for frame in row.frames])
    figure = new_figure(11.0, 4.0)
    height = [factor * end for line in shown for end in (line.spread(error).low, line.spread(error).high)]
    for axes, (name, label, cost_factor) in zip(figure.subplots(1, 3, sharey=True), _COSTS, strict=True):
        for index, line in enumerate(block.lines):
            if line in shown:
                _draw_point(axes, line, (by_name[name], cost_factor), (error, factor), index)
        axes.set_xlabel(label)
        _log_axes(axes, [cost_factor * line.spread(by_name[name]).mean for line in shown], height)
    first = figure.axes[0]
    first.set_ylabel(f"median position error ({unit})")
    missing = [line.method.name for line in block.lines if line not in shown]
    if missing:
        figure.suptitle(plain_text(f"without a median error: {', '.join(missing)}"), fontsize=9, color="#767676")
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return save_png(figure, path)


def _draw_point(axes: Axes, line: Line, cost: tuple[Column, float], error: tuple[Column, float], index: int) -> None:
    (across, scale), (up, factor) = cost, error
    x, y = line.spread(across), line.spread(up)
    if not math.isfinite(x.mean) or x.mean <= 0:
        axes.plot([], [], _MARKERS[index % len(_MARKERS)], color=series_color(index), label=line.method.name)
        return
    bars = [[factor * (y.mean - y.low)], [factor * (y.high - y.mean)]]
    axes.errorbar(
        [scale * x.mean],
        [factor * y.mean],
        yerr=bars,
        fmt=_MARKERS[index % len(_MARKERS)],
        color=series_color(index),
        markersize=7,
        capsize=3,
        label=line.method.name,
    )


def _log_axes(axes: Axes, across: Sequence[float], up: Sequence[float]) -> None:
    """Logarithmic both ways, with room around the values, and ticks as people write them."""
    for values, scale, limits in ((across, axes.set_xscale, axes.set_xlim), (up, axes.set_yscale, axes.set_ylim)):
        positive = [value for value in values if math.isfinite(value) and value > 0]
        scale("log")
        limits(*curve_range(positive, positive[0]) if positive else (0.5, 2.0))
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    clean_axes(axes)
