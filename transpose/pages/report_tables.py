"""The report's tables and lists as HTML. All text that comes from files is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transpose.evaluation.metrics import (
    CHI2_6_MEDIAN,
    PERCENT_BOUNDS,
    RECALL_BOUNDS,
    FrameResult,
    summarize,
    table_unit,
    told_median,
)
from transpose.losses.calibration import chi2_quantile
from transpose.pages.headline import MarkedBound
from transpose.pages.wording import NONE, angle, bound, duration, file_size, length
from transpose.scenes.truth_error import TruthError

_CALIBRATED = 1.25  # errors up to this factor more or less than predicted are called well calibrated


def accuracy_table(sections: Mapping[str, Sequence[FrameResult]], model_bytes: int | None, marked: MarkedBound) -> str:
    """Sections as columns: frames, refusals, medians, every recall bound that tells sections or frames apart.

    `model_bytes` is left out where the columns have several models.
    """
    tables = [summarize(results) for results in sections.values()]
    rows = [
        ("Frames", [str(t["frames"]) for t in tables]),
        ("Refused (no pose)", [str(t["failed"]) for t in tables]),
        ("Median position error", [_median(t) for t in tables]),
        ("Median rotation error", [angle(t["median_deg"]) for t in tables]),
        *(
            (f"Within {bound(name)}", [_fraction(t["recall"].get(name), t["frames"]) for t in tables])
            for name in telling_bounds(tables, marked.name)
        ),
        *([] if marked.name else [_marked_row(marked, list(sections.values()))]),
        ("Time a frame", [duration(t["seconds_per_frame"]) for t in tables]),
    ]
    if model_bytes is not None:
        rows.append(("Model size", [file_size(model_bytes)] * len(tables)))
    body = "".join(row(name, cells) for name, cells in rows)
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in sections)
    return _scrolling(f'<table><thead><tr><th scope="col"></th>{heads}</tr></thead><tbody>{body}</tbody></table>')


def telling_bounds(tables: Sequence[Mapping[str, Any]], marked: str | None) -> list[str]:
    """Recall bounds, tightest first, that tell something: left out are those that every frame meets or every frame
    misses, and those that count the same frames as a tighter one. The marked one, if any, is always there."""
    everywhere = [bounds for bounds in (RECALL_BOUNDS, PERCENT_BOUNDS) if any(_has(t, bounds) for t in tables)]
    names = [name for bounds in everywhere for name in sorted(bounds, key=lambda name: bounds[name])]
    told = {(0.0,), (1.0,), ()}
    telling = {marked}
    for name in names:
        recalls = tuple(table["recall"][name] for table in tables if name in table["recall"])
        if tuple(dict.fromkeys(recalls)) not in told and recalls not in told:
            telling.add(name)
            told.add(recalls)
    return [name for name in names if name in telling]


def _marked_row(marked: MarkedBound, sections: Sequence[Sequence[FrameResult]]) -> tuple[str, list[str]]:
    """The row of a bound that no table of `summarize` has."""
    cells = [_fraction(marked.count(results) / len(results), len(results)) for results in sections]
    return f"Within {marked.words}", cells


def _has(table: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]]) -> bool:
    return any(name in table["recall"] for name in bounds)


def _median(table: Mapping[str, Any]) -> str:
    """The median position error; where the scene is not in metres, in its units as well."""
    unit = table_unit(table)
    told = length(told_median(table), unit)
    return told if unit.metric or told == NONE else f"{told} <small>{table['median']:.3g} units</small>"


def _fraction(fraction: float | None, frames: int) -> str:
    if fraction is None:  # a bound in metres, and a scene that is not
        return NONE
    return f"{100 * fraction:.0f} % <small>{round(fraction * frames)} of {frames}</small>"


def calibration_part(sections: Mapping[str, Sequence[FrameResult]]) -> str:
    """In plain words first, then as a table."""
    words = "".join(f"<p>{html.escape(text)}</p>" for text in calibration_sentences(sections))
    return words + calibration_table(sections)


def calibration_table(sections: Mapping[str, Sequence[FrameResult]]) -> str:
    """Whether the pose covariances tell the truth; empty where no section has any."""
    rows = []
    for name, results in sections.items():
        facts = summarize(results)["calibration"]
        if not facts:
            rows.append(row(name, ["0", NONE, NONE, "no covariances"]))
            continue
        coverage = f"{100 * facts['coverage_90']:.0f} %"
        median = f"{facts['nees_median']:.2f}"
        rows.append(row(name, [str(facts["poses"]), median, coverage, calibration_words(facts["nees_median"])]))
    heads = ("Section", "Poses", "Median NEES", "In the 90 % ellipsoid", "In words")
    ideal = row("Ideal", ["", f"{CHI2_6_MEDIAN:.2f}", "90 %", "errors as large as predicted"], 'class="ideal"')
    return table(heads, [*rows, ideal])


def calibration_sentences(sections: Mapping[str, Sequence[FrameResult]]) -> list[str]:
    """What the covariances of each section come to, in lengths and counts; none where there are no covariances."""
    sentences = []
    for name, results in sections.items():
        posed = [r for r in results if r.estimate.pose is not None and r.estimate.covariance_66 is not None]
        if not posed:
            continue
        traces = [float(np.trace(r.estimate.covariance_66[3:, 3:])) for r in posed]  # type: ignore[index]
        unit = posed[0].unit
        stated = unit.told(math.sqrt(float(np.median(traces))))
        typical = float(np.median([r.told_error[1] for r in posed]))
        inside = sum(r.nees <= chi2_quantile(0.9, 6) for r in posed)
        sentences.append(
            f"{name}: the position error that is stated of a typical pose is {length(stated, unit)}, the one that it "
            f"has {length(typical, unit)}. Of {len(posed)} poses, {inside} lie in the region that should hold 9 of 10."
            f"{_of_the_truth(posed[0].truth_error)}"
        )
    return sentences


def _of_the_truth(off: TruthError | None) -> str:
    """That the truth has errors of its own, where that is known."""
    if off is None:
        return ""
    return (
        f" The true poses are themselves off by {length(off.metres)} and {angle(off.degrees)} (root mean square, as "
        "the scene states): that is part of every error here, and is added to each pose's covariance before NEES and "
        "the 90 % ellipsoid are told."
    )


def calibration_words(nees_median: float) -> str:
    """What a median NEES says: by which factor errors differ from the covariances."""
    factor = math.sqrt(max(nees_median, 1e-12) / CHI2_6_MEDIAN)
    if factor > _CALIBRATED:
        return f"over-confident: errors are {factor:.1f} times as large as predicted"
    if factor < 1 / _CALIBRATED:
        return f"cautious: errors are {1 / factor:.1f} times smaller than predicted"
    return "well calibrated"


def rejection_table(rejection: Mapping[str, tuple[int, int]], sections: Mapping[str, Sequence[FrameResult]]) -> str:
    """Refusals of images from elsewhere, where refusing is right, and of the place itself, where it is not."""
    rows = [row(name, [f"refused {k} of {n}", _percent(k, n), "all refused"]) for name, (k, n) in rejection.items()]
    for name, results in sections.items():
        refused = sum(result.estimate.pose is None for result in results)
        cells = [f"refused {refused} of {len(results)}", _percent(refused, len(results)), "none refused"]
        rows.append(row(f"{name} (this place)", cells))
    return table(("Images", "Outcome", "Refused", "Ideal"), rows)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.0f} %" if total else NONE


def facts_list(facts: Sequence[tuple[str, str]]) -> str:
    """Names and values as a definition list."""
    items = (f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{"".join(items)}</dl>'


def notes_list(notes: Sequence[str]) -> str:
    """The notes, one an item."""
    return f"<ul>{''.join(f'<li>{html.escape(note)}</li>' for note in notes)}</ul>"


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """Rows under heads."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    body = "".join(rows)
    return _scrolling(f'<table class="words"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def row(name: str, cells: Sequence[str], attributes: str = "") -> str:
    """A table row. The name is escaped; the cells are made here and hold no foreign text."""
    data = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr {attributes}><th scope="row">{html.escape(name)}</th>{data}</tr>'


def _scrolling(table: str) -> str:
    return f'<div class="scroll" tabindex="0">{table}</div>'
