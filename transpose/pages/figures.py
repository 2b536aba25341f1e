"""The report's interactive figures, as the plain dictionaries that plotly.js draws: {"data": [...], "layout": {...}}.

Text from files is escaped here, because plotly.js reads labels as HTML.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transpose.evaluation.metrics import FrameResult, estimated_poses, split_refused
from transpose.pages import plots
from transpose.pages.headline import marked_bound
from transpose.pages.wording import angle, length
from transpose.worlds.top_down import TopDown, outside

_INK, _GRAY, _GRID = "#1d1d1f", "#6b6b70", "#e6e6e8"
_DASHES = {"solid": "solid", "dashed": "dash", "dotted": "dot", "dashdot": "dashdot"}
_FONT = {
    "family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif",
    "size": 13,
    "color": _INK,
}


@dataclass(frozen=True)
class Background:
    """A picture under the map: its data URI and the map's corners (2,) that it spans."""

    uri: str
    limits: tuple[np.ndarray, np.ndarray]


def error_figures(sections: Mapping[str, Sequence[FrameResult]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cumulative curves of position and of rotation errors, one line a section; failures keep them below 100 %."""
    everything = [result for results in sections.values() for result in results]
    factor, unit = plots.length_unit(everything)
    marked = marked_bound(everything)
    lengths_of = {name: factor * np.array([r.told_error[1] for r in results]) for name, results in sections.items()}
    degrees_of = {name: np.array([r.error[0] for r in results]) for name, results in sections.items()}
    return (
        _curve_figure(lengths_of, f"position error ({unit})", factor * marked.length, unit.split()[0]),
        _curve_figure(degrees_of, "rotation error (°)", marked.degrees, "°"),
    )


def _curve_figure(errors: Mapping[str, np.ndarray], title: str, bound: float, unit: str) -> dict[str, Any]:
    steps = {name: plots.error_steps(errors_n, 1e-4) for name, errors_n in errors.items()}
    low, high = plots.curve_range([float(x) for x_n, _ in steps.values() for x in x_n], bound)
    traces = []
    for index, (name, (x_n, y_n)) in enumerate(steps.items()):
        if len(x_n):
            x_n, y_n = np.array([x_n[0], *x_n, high]), np.array([0, *y_n, y_n[-1]])
        trace = line_trace(index, name, x_n, y_n)
        trace["line"]["shape"] = "hv"
        trace["hovertemplate"] = f"%{{y:.0f}} % of frames: at most %{{x:.3g}} {unit}<extra>{html.escape(name)}</extra>"
        traces.append(trace)
    layout = plain_layout(title, "share of frames (%)", legend=len(errors) > 1)
    layout["xaxis"] |= {"type": "log", "range": [float(np.log10(low)), float(np.log10(high))], **_log_ticks(low, high)}
    layout["yaxis"] |= {"range": [0, 103]}
    layout["shapes"] = [
        {
            "type": "line",
            "yref": "paper",
            "x0": bound,
            "x1": bound,
            "y0": 0,
            "y1": 1,
            "line": {"color": _GRAY, "width": 1, "dash": "dot"},
        }
    ]
    space = "" if unit == "°" else " "
    layout["annotations"] = [
        {
            "x": float(np.log10(bound)),
            "y": 0.02,
            "yref": "paper",
            "xanchor": "right",
            "yanchor": "bottom",
            "text": f"{bound:g}{space}{unit}",
            "showarrow": False,
            "font": {"color": _GRAY},
        }
    ]
    return {"data": traces, "layout": layout}


def training_figures(log: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Loss and coordinate error over the steps of `runs.read_log`."""
    entries = plots.unique_steps(log)
    errors = plots.error_curves(entries)
    loss = {
        "data": _log_traces(entries, plots.LOSS_CURVES, 1, "%{y:.2f}"),
        "layout": plain_layout("step", "loss", True),
    }
    layout = plain_layout("step", f"coordinate error ({errors.unit})", True)
    error_traces = _log_traces(entries, errors.labels, errors.factor, f"%{{y:.3g}} {errors.unit.split()[0]}")
    values = [value for trace in error_traces for value in trace["y"] if value > 0]  # of which there is a logarithm
    if values:
        low, high = 0.8 * min(values), 1.25 * max(values)
        ticks = _log_ticks(low, high)
        layout["yaxis"] |= {"type": "log", "range": [float(np.log10(low)), float(np.log10(high))], **ticks}
    return loss, {"data": error_traces, "layout": layout}


def _log_traces(
    entries: Sequence[Mapping[str, Any]], curves: Mapping[str, str], factor: float, template: str
) -> list[dict[str, Any]]:
    traces = []
    for index, (key, label) in enumerate(curves.items()):
        steps, values = plots.series(entries, key)
        trace = line_trace(index, label, steps, [factor * value for value in values])
        trace["mode"] = "lines+markers"
        trace["marker"] = {"size": 4}
        trace["hovertemplate"] = f"step %{{x}}: {template}<extra>{label}</extra>"
        traces.append(trace)
    return traces


def map_figure(
    results: Sequence[FrameResult],
    plan: TopDown,
    limits: tuple[np.ndarray, np.ndarray],
    background: Background | None,
) -> dict[str, Any]:
    """The map of one section's cameras, true and estimated; hovering names a frame and its error."""
    solved, refused = split_refused(results)
    true_n2 = plan.places(np.array([r.truth.center for r in results]))
    estimates = estimated_poses(solved)
    estimated_n2 = plan.places(np.array([pose.center for pose in estimates]))
    started_n2 = plan.places(np.array([r.truth.center for r in solved]))
    arrow = 0.05 * float((limits[1] - limits[0]).max())
    true_ahead_n2 = arrow * plan.directions([r.truth for r in results])
    ahead_n2 = arrow * plan.directions(estimates)
    traces = [
        _segments(started_n2, estimated_n2, "#8a8a8e", 1.2),
        _segments(true_n2, true_n2 + true_ahead_n2, plots.TRUE_COLOR, 1.5),
        _segments(estimated_n2, estimated_n2 + ahead_n2, plots.ESTIMATE_COLOR, 1.5),
        _points(true_n2, "true", [_hover(r, "true place") for r in results], symbol="circle-open", size=11),
        _points(estimated_n2, "estimated", [_hover(r, "estimate") for r in solved], symbol="circle", size=7),
    ]
    if refused:
        refused_n2 = plan.places(np.array([r.truth.center for r in refused]))
        traces.append(_points(refused_n2, "refused", [_hover(r, "true place") for r in refused], symbol="x", size=11))
    layout = plain_layout(plan.labels[0], plan.labels[1], legend=True)
    layout["hovermode"] = "closest"
    layout["dragmode"] = "pan"
    low_2, high_2 = limits
    layout["xaxis"] |= {"range": [low_2[0], high_2[0]], "constrain": "domain", "fixedrange": False}
    layout["yaxis"] |= {"range": [low_2[1], high_2[1]], "constrain": "domain", "fixedrange": False}
    layout["yaxis"] |= {"scaleanchor": "x"}
    if beyond := int(outside(estimated_n2, limits).sum()):
        text = f"{beyond} of {len(solved)} estimates lie outside this map; drag to move it, double-click to return"
        layout["title"] = {"text": text, "font": {"size": 12, "color": _GRAY}}
    if background is not None:
        layout["images"] = [_picture(background)]
    return {"data": traces, "layout": layout}


def _picture(background: Background) -> dict[str, Any]:
    low_2, high_2 = background.limits
    size_2 = high_2 - low_2
    place = {"xref": "x", "yref": "y", "x": low_2[0], "y": high_2[1], "sizex": size_2[0], "sizey": size_2[1]}
    return {"source": background.uri, "sizing": "stretch", "layer": "below", "opacity": 0.6, **place}


def _hover(result: FrameResult, which: str) -> str:
    degrees, told = result.told_error
    if result.estimate.pose is None:
        outcome = f"refused: {html.escape(result.estimate.reason)}"
    else:
        outcome = f"{length(told, result.unit)}, {angle(degrees)}"
    return f"<b>{html.escape(result.stem)}</b> ({which})<br>{outcome}"


def _segments(starts_n2: np.ndarray, ends_n2: np.ndarray, color: str, width: float) -> dict[str, Any]:
    """Many separate lines in one trace: nothing parts them."""
    x: list[float | None] = []
    y: list[float | None] = []
    for start, end in zip(starts_n2.tolist(), ends_n2.tolist(), strict=True):
        x += [start[0], end[0], None]
        y += [start[1], end[1], None]
    line = {"color": color, "width": width}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line, "hoverinfo": "skip", "showlegend": False}


_POINT_COLORS = {"true": plots.TRUE_COLOR, "estimated": plots.ESTIMATE_COLOR, "refused": plots.REFUSED_COLOR}


def _points(places_n2: np.ndarray, name: str, texts: list[str], symbol: str, size: int) -> dict[str, Any]:
    outline = {"width": 2} if symbol.endswith("open") else {"width": 1, "color": "#ffffff"}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name} ({len(places_n2)})",
        "x": places_n2[:, 0].tolist(),
        "y": places_n2[:, 1].tolist(),
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": _POINT_COLORS[name], "symbol": symbol, "size": size, "line": outline},
    }


def line_trace(index: int, name: str, x: Iterable[float], y: Iterable[float]) -> dict[str, Any]:
    """A line in the color and dash of its number."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": html.escape(name),
        "x": [float(value) for value in x],
        "y": [float(value) for value in y],
        "line": {"color": plots.series_color(index), "width": 2.2, "dash": _DASHES[plots.series_dash(index)]},
    }


def plain_layout(x_title: str, y_title: str, legend: bool) -> dict[str, Any]:
    """Two axes with titles, and a legend where it is wanted."""
    axis = {
        "gridcolor": _GRID,
        "linecolor": "#b5b5b9",
        "showline": True,
        "zeroline": False,
        "fixedrange": True,
        "ticks": "outside",
        "tickcolor": "#b5b5b9",
        "automargin": True,
    }
    return {
        "font": _FONT,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 12, "t": 24, "b": 48},
        "xaxis": {**axis, "title": {"text": html.escape(x_title), "standoff": 8}},
        "yaxis": {**axis, "title": {"text": html.escape(y_title), "standoff": 8}},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        "dragmode": False,
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": "#b5b5b9", "font": {**_FONT, "color": _INK}},
    }


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 of each decade; only the decades where there are many."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if len(decades) < 5 else (1,)
    values = [step * 10.0**decade for decade in decades for step in steps]
    values = [value for value in values if low <= value <= high]
    return {"tickvals": values, "ticktext": [f"{value:g}" for value in values]}
