"""Numbers and results as people say them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transpose.evaluation.metrics import (
    ERROR_PREFIX,
    PERCENT_BOUNDS,
    RECALL_BOUNDS,
    FrameResult,
    table_unit,
    told_median,
)
from transpose.runs import Checkpoint
from transpose.scenes.unit import METRE, SceneUnit

NONE = "–"


def length(told: float, unit: SceneUnit = METRE) -> str:
    """Such as "0.52 cm", "12.3 cm", "1.23 m", or "0.031 %" of the cameras' extent; a dash where there is none.

    Args:
        told: metres, or per cent of the extent where the scene is not in metres (`SceneUnit.told`).
        unit: of the scene.
    """
    if not math.isfinite(told):
        return NONE
    if not unit.metric:
        return f"{_percent(told)} %"
    if told < 0.995:
        return f"{_short(100 * told)} cm"
    return f"{_short(told)} m"


def round_length(told: float, unit: SceneUnit = METRE) -> str:
    """A round number without zeros behind it, see `length`: "5 cm", "0.2 cm", "2 m", "0.5 %"."""
    if not unit.metric:
        return f"{told:g} %"
    return f"{100 * told:g} cm" if told < 0.995 else f"{told:g} m"


def of_extent(unit: SceneUnit) -> str:
    """What per cent of a scene that is not in metres are of, behind a number; empty where it is in metres."""
    return "" if unit.metric else " of the cameras' extent"


def unit_sentence(unit: SceneUnit) -> str:
    """What a reader must know of the lengths of a scene that is not in metres; empty where it is."""
    if unit.metric:
        return ""
    return (
        f"This scene is not in metres. Lengths are per cent of the cameras' extent, the largest distance between two "
        f"cameras of the training: {unit.extent:.4g} of the scene's units."
    )


def angle(degrees: float) -> str:
    """Such as "0.52°"; a dash where there is none."""
    return f"{_short(degrees)}°" if math.isfinite(degrees) else NONE


def duration(seconds: float) -> str:
    """Such as "64 ms", "7 min 24 s", "2 h 5 min"."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def file_size(count: float) -> str:
    """Such as "1.8 MB" (a million bytes)."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def bound(name: str) -> str:
    """A recall bound in words, such as "5 cm and 5°", or "1 % and 1°" of the cameras' extent."""
    if name in RECALL_BOUNDS:
        metres, degrees = RECALL_BOUNDS[name]
        return f"{round_length(metres)} and {degrees:g}°"
    percent, degrees = PERCENT_BOUNDS[name]
    return f"{percent:g} % and {degrees:g}°"


def of(count: int, total: int) -> str:
    """A count out of a total: "all 30", "none of 30", "25 of 30"."""
    if count == total:
        return f"all {total}" if total > 1 else "the one"
    return f"none of {total}" if count == 0 else f"{count} of {total}"


def summary_line(table: Mapping[str, Any]) -> str:
    """The table of a test in one line."""
    told, unit = told_median(table), table_unit(table)
    if not unit.metric:
        median = f"{length(told, unit)} of the cameras' extent ({table['median']:.3g} of {unit.extent:.4g} units)"
        bound_name = next((name for name, (percent, _) in PERCENT_BOUNDS.items() if told < percent / 2), "10%10deg")
    elif told < 0.5:
        median, bound_name = f"{100 * told:.1f} cm", "5cm5deg"
    else:
        median, bound_name = f"{told:.2f} m", "3m5deg" if told < 3 else "10m7deg"
    hits = round(table["recall"][bound_name] * table["frames"])
    cut_off = "" if table.get("training_complete", True) else " (of a training that was cut off)"
    middle = f"median {median}, {table['median_deg']:.2f} deg"
    if not math.isfinite(told):
        middle = "no median, since half or more have no pose"
    return (
        f"{table['section']}: {middle}; "
        f"{hits} of {table['frames']} within {bound_name}"
        f"; {table['failed']} refused; {1000 * table['seconds_per_frame']:.0f} ms a frame{cut_off}"
    )


def task_lines(table: Mapping[str, Any]) -> list[str]:
    """What a test says of each task beside the poses, one line each; none where no task was measured."""
    lines, tasks = [], table.get("tasks", {})
    if depth := tasks.get("depth"):
        lines.append(
            f"depth: median {100 * depth['median_relative']:.1f} % off, {100 * depth['delta_1.25']:.1f} % within a "
            f"factor of 1.25; {100 * depth['covered_90']:.0f} % within the stated 90 % bound"
        )
    if normal := tasks.get("normal"):
        lines.append(
            f"normals: median {normal['median_deg']:.1f} deg, mean {normal['mean_deg']:.1f} deg "
            f"({normal['stated_mean_deg']:.1f} deg stated)"
        )
    if semantics := tasks.get("semantics"):
        each = ", ".join(f"{name} {100 * iou:.0f}" for name, iou in semantics["iou"].items() if iou is not None)
        lines.append(
            f"semantics: mIoU {100 * semantics['miou']:.1f} % ({each}), {100 * semantics['accuracy']:.1f} % right "
            f"({100 * semantics['stated_accuracy']:.1f} % stated)"
        )
    return lines


def errors_sentence(results: Sequence[FrameResult], name: str) -> str:
    """How many frames of a section raised, and what the first of them said; empty where none did."""
    raised = [result for result in results if result.raised]
    if not raised:
        return ""
    first, count = raised[0], f"{len(raised)} of {len(results)} frames"
    why = first.estimate.reason.removeprefix(ERROR_PREFIX)
    return f"{count} of {name} could not be worked on and count as failed; the first, {first.stem}: {why}"


def unfinished_sentence(checkpoint: Checkpoint, run: Path) -> str:
    """What is to be said of a run whose training was cut off; empty of one that is done."""
    done, planned = checkpoint.progress.steps_done, checkpoint.provenance.config.get("steps")
    if checkpoint.progress.complete:
        return ""
    steps = f" after {done} of {planned} steps" if done is not None and planned else ""
    return (
        f"warning: the training of {run} was cut off{steps}: poses are worse than they could be, and what is said of "
        "their uncertainty is not calibrated; go on with the same train command and --resume"
    )


def _percent(value: float) -> str:
    """Three significant digits, without zeros behind them; never as a power of ten."""
    return f"{value:.0f}" if value >= 99.95 else np.format_float_positional(float(f"{value:.3g}"), trim="-")


def _short(value: float) -> str:
    """Three significant digits, but never more than two decimals."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
