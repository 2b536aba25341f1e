"""Pictures of a test for files and papers: error curve, trajectory, training. Drawn with matplotlib, without a screen.

matplotlib takes a second to import, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transpose.evaluation.metrics import FrameResult, estimated_poses, split_refused
from transpose.geometry.poses import Pose
from transpose.pages.canvas import clean_axes, new_figure, plain_text, plain_ticks, save_png
from transpose.pages.headline import marked_bound, typical_error
from transpose.worlds.top_down import TopDown, map_limits, outside, top_down

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by people with any kind of colour vision.
SERIES_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SERIES_DASHES = ("solid", "dashed", "dotted", "dashdot")
TRUE_COLOR, ESTIMATE_COLOR, REFUSED_COLOR = "#222222", "#0072b2", "#d55e00"
_GRAY = "#767676"
_CENTIMETRES_BELOW_M = 0.5  # errors whose median is below are shown in centimetres
_LEAST_M, _LEAST_DEG = 1e-5, 1e-4  # an error of zero has no place on a logarithmic axis


def plot_error_curve(results: Mapping[str, Sequence[FrameResult]], path: Path) -> Path:
    """Writes the fraction of frames (%) below each position error, and beside it below each rotation error, as PNG.

    Frames without a pose count as infinitely wrong: their section's curve ends below 100 %.

    Args:
        results: of each section, by its name. A section without frames is left out.
        path: of the PNG; its folder is made.

    Returns:
        The path.

    Raises:
        ValueError: there is no frame at all.
    """
    sections = {name: some for name, some in results.items() if some}
    if not sections:
        raise ValueError("no results to plot")
    everything = [result for some in sections.values() for result in some]
    factor, unit = length_unit(everything)
    marked = marked_bound(everything)
    figure = new_figure(9.6, 4.0)
    position, rotation = figure.subplots(1, 2, sharey=True)
    for index, (name, some) in enumerate(sections.items()):
        errors_n2 = np.array([result.told_error for result in some])
        refused = int(np.isinf(errors_n2[:, 1]).sum())
        style: dict[str, Any] = {"color": series_color(index), "linestyle": series_dash(index), "linewidth": 1.8}
        label = plain_text(f"{name} ({len(some)} frames, {refused} refused)")
        _draw_steps(position, error_steps(factor * errors_n2[:, 1], factor * _LEAST_M), label, style)
        _draw_steps(rotation, error_steps(errors_n2[:, 0], _LEAST_DEG), label, style)
    _finish_curve(
        position, f"position error ({unit})", factor * marked.length, f"{factor * marked.length:g} {unit.split()[0]}"
    )
    _finish_curve(rotation, "rotation error (deg)", marked.degrees, f"{marked.degrees:g} deg")
    position.set_ylabel("share of frames (%)")
    figure.legend(*position.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return save_png(figure, path)


def plot_trajectory(results: Sequence[FrameResult], path: Path, *, up_3: np.ndarray | None = None) -> Path:
    """Writes a map of true and estimated cameras as PNG: equal axes, refused frames as crosses.

    Args:
        results: of one section.
        path: of the PNG; its folder is made.
        up_3: which way is up in the world; without it the map shows the two world axes along which the true centres
            extend most.

    Returns:
        The path.

    Raises:
        ValueError: there is no frame at all.
    """
    if not results:
        raise ValueError("no results to plot")
    solved, refused = split_refused(results)
    centers_n3 = np.array([result.truth.center for result in results])
    plan = top_down(centers_n3, up_3, results[0].unit)
    estimates = estimated_poses(solved)
    true_n2, estimated_n2 = plan.places(centers_n3), plan.places(_centers(estimates))
    limits = map_limits(true_n2, estimated_n2, results[0].unit)
    size_2 = limits[1] - limits[0]
    figure = new_figure(*_map_inches(size_2))
    axes = figure.add_subplot()
    arrow = 0.06 * float(size_2.max())
    for start, end in zip(plan.places(_centers([r.truth for r in solved])), estimated_n2, strict=True):
        axes.plot(*zip(start, end, strict=True), color=_GRAY, linewidth=0.7, zorder=1)
    _draw_cameras(axes, plan, [r.truth for r in results], TRUE_COLOR, arrow, f"true ({len(results)})")
    _draw_cameras(axes, plan, estimates, ESTIMATE_COLOR, arrow, f"estimated ({len(solved)})", filled=True)
    refused_n2 = plan.places(_centers([r.truth for r in refused]))
    if refused:
        label = f"refused ({len(refused)})"
        axes.plot(*refused_n2.T, "x", color=REFUSED_COLOR, markersize=9, markeredgewidth=2, label=label, zorder=4)
    if beyond := int(outside(estimated_n2, limits).sum()):
        axes.set_title(f"{beyond} of {len(solved)} estimates lie outside this map", fontsize=9, color=_GRAY)
    axes.set(xlim=(limits[0][0], limits[1][0]), ylim=(limits[0][1], limits[1][1]), aspect="equal")
    axes.set(xlabel=plan.labels[0], ylabel=plan.labels[1])
    clean_axes(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return save_png(figure, path)


def plot_training(log: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Writes loss and coordinate error over the training steps as PNG.

    Args:
        log: entries of `runs.read_log`; values that an entry lacks or that are not finite are left out.
        path: of the PNG; its folder is made.

    Returns:
        The path.

    Raises:
        ValueError: the log has no entry with a step.
    """
    entries = unique_steps(log)
    if not entries:
        raise ValueError("the log has no step to plot")
    figure = new_figure(9.6, 3.8)
    loss_axes, error_axes = figure.subplots(1, 2)
    errors = error_curves(entries)
    for axes, curves, factor in ((loss_axes, LOSS_CURVES, 1), (error_axes, errors.labels, errors.factor)):
        for index, (key, label) in enumerate(curves.items()):
            steps, values = series(entries, key)
            if steps:
                style = {"color": series_color(index), "linestyle": series_dash(index), "linewidth": 1.8}
                axes.plot(steps, [factor * v for v in values], label=label, marker=".", markersize=4, **style)
        axes.set_xlabel(f"step ({training_span(entries)})")
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
        clean_axes(axes)
    loss_axes.set_ylabel("loss")
    error_axes.set_ylabel(f"coordinate error ({errors.unit})")
    if error_axes.lines:
        error_axes.set_yscale("log")
        plain_ticks(error_axes.yaxis)
    return save_png(figure, path)


LOSS_CURVES = {"loss": "training", "val_loss": "validation"}
_ERROR_CURVES = {
    "train_median": "training, median",
    "val_median": "validation, median",
    "val_sure_median": "validation, median of the most confident quartile",
}
_OF_EXTENT = "% of the extent"


@dataclass(frozen=True)
class ErrorCurves:
    """The curves of coordinate errors in a training's log: labels by key, and what brings values into a named unit."""

    labels: dict[str, str]
    factor: float
    unit: str


def error_curves(entries: Sequence[Mapping[str, Any]]) -> ErrorCurves:
    """Those of a log: in centimetres, or in per cent of the cameras' extent where the scene is not in metres."""
    percent = {f"{name}_percent": label for name, label in _ERROR_CURVES.items()}
    if any(key in entry for entry in entries for key in percent):
        return ErrorCurves(percent, 1.0, _OF_EXTENT)
    return ErrorCurves({f"{name}_m": label for name, label in _ERROR_CURVES.items()}, 100.0, "cm")


def unique_steps(log: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Entries that have a step, in the order of their steps; a resumed run's later entry replaces the older."""
    by_step = {entry["step"]: entry for entry in log if isinstance(entry.get("step"), int)}
    return [by_step[step] for step in sorted(by_step)]


def series(entries: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Steps and values of one quantity, where it is there and finite."""
    known = [(e["step"], float(e[key])) for e in entries if isinstance(e.get(key), int | float) and np.isfinite(e[key])]
    return [step for step, _ in known], [value for _, value in known]


def training_span(entries: Sequence[Mapping[str, Any]]) -> str:
    """How far and how long, such as "3000 in 7.4 min"."""
    last = entries[-1]
    return f"{last['step']} in {last['seconds'] / 60:.1f} min" if "seconds" in last else str(last["step"])


def length_unit(results: Sequence[FrameResult]) -> tuple[float, str]:
    """What brings told errors into a unit that fits them, and its name: "cm", "m", or "% of the extent"."""
    if results and not results[0].unit.metric:
        return 1.0, _OF_EXTENT
    return (100.0, "cm") if typical_error(results) < _CENTIMETRES_BELOW_M else (1.0, "m")


def error_steps(errors_n: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the cumulative curve: sorted finite errors, not below `least`, and the share (%) reached at each.

    The share counts all frames, so failures (infinite) keep the last one below 100.
    """
    finite_n = np.sort(errors_n[np.isfinite(errors_n)])
    return np.maximum(finite_n, least), 100 * np.arange(1, len(finite_n) + 1) / max(len(errors_n), 1)


def series_color(index: int) -> str:
    """Colour of the n-th curve."""
    return SERIES_COLORS[index % len(SERIES_COLORS)]


def series_dash(index: int) -> str:
    """Line style of the n-th curve, in matplotlib's words."""
    return SERIES_DASHES[index % len(SERIES_DASHES)]


def _draw_steps(axes: Axes, steps: tuple[np.ndarray, np.ndarray], label: str, style: dict[str, Any]) -> None:
    x_n, y_n = steps
    if len(x_n) == 0:
        axes.plot([], [], label=label, **style)
        return
    # Far beyond the last error the curve stays where it is; the axis ends before.
    x_n, y_n = np.concatenate([x_n[:1], x_n, [1e6 * x_n[-1]]]), np.concatenate([[0], y_n, y_n[-1:]])
    axes.plot(x_n, y_n, drawstyle="steps-post", label=label, **style)


def curve_range(errors: Sequence[float], bound: float) -> tuple[float, float]:
    """Ends of a logarithmic axis that shows all errors and the bound."""
    shown = [*errors, bound]
    return 0.6 * min(shown), 1.7 * max(shown)


def _finish_curve(axes: Axes, label: str, bound: float, bound_label: str) -> None:
    errors = [float(x) for line in axes.lines for x in np.asarray(line.get_xdata())[:-1]]
    axes.set_xscale("log")
    axes.set_xlim(*curve_range(errors, bound))
    axes.set_ylim(0, 103)
    plain_ticks(axes.xaxis)
    axes.axvline(bound, color=_GRAY, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0)
    axes.annotate(bound_label, (bound, 4), xytext=(-4, 0), textcoords="offset points", ha="right", color=_GRAY)
    axes.set_xlabel(label)
    clean_axes(axes)


def _centers(poses: Sequence[Pose]) -> np.ndarray:
    return np.array([pose.center for pose in poses]).reshape(-1, 3)


def _map_inches(size_2: np.ndarray) -> tuple[float, float]:
    width, height = 6.4 * size_2 / size_2.max()
    return max(float(width), 4.4) + 0.8, max(float(height), 2.4) + 1.0


def _draw_cameras(
    axes: Axes, plan: TopDown, poses: Sequence[Pose], color: str, arrow: float, label: str, filled: bool = False
) -> None:
    places_n2 = plan.places(_centers(poses))
    face, size = (color, 3.5) if filled else ("none", 6.5)
    axes.plot(*places_n2.T, "o", color=color, markerfacecolor=face, markersize=size, label=label, zorder=3)
    for place_2, ahead_2 in zip(places_n2, arrow * plan.directions(poses), strict=True):
        tip_2 = place_2 + ahead_2
        axes.plot(*zip(place_2, tip_2, strict=True), color=color, linewidth=0.9, zorder=2)
