"""Numbers and results as people say them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transpose.evaluation.metrics import ERROR_PREFIX, RECALL_BOUNDS, FrameResult, summarize
from transpose.runs import Checkpoint

NONE = "–"


def length(metres: float) -> str:
    """Such as "0.52 cm", "12.3 cm", "1.23 m"; a dash where there is none."""
    if not math.isfinite(metres):
        return NONE
    if metres < 0.995:
        return f"{_short(100 * metres)} cm"
    return f"{_short(metres)} m"


def round_length(metres: float) -> str:
    """A round number without zeros behind it: "5 cm", "0.2 cm", "2 m"."""
    return f"{100 * metres:g} cm" if metres < 0.995 else f"{metres:g} m"


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
    """A recall bound in words, such as "5 cm and 5°"."""
    metres, degrees = RECALL_BOUNDS[name]
    return f"{round_length(metres)} and {degrees:g}°"


def of(count: int, total: int) -> str:
    """A count out of a total: "all 30", "none of 30", "25 of 30"."""
    if count == total:
        return f"all {total}" if total > 1 else "the one"
    return f"none of {total}" if count == 0 else f"{count} of {total}"


def headline(results: Sequence[FrameResult], name: str, kind: str, bound_name: str) -> str:
    """A section's result in a sentence or two. `kind` is the plural that names its frames, such as "photos"."""
    table = summarize(results)
    frames, failed = table["frames"], table["failed"]
    subject = f"{frames} {kind if frames > 1 else kind.removesuffix('s')} of {name}"
    if failed == frames:
        return f"Nothing was localized: of {subject}, every one was refused."
    within = round(table["recall"][bound_name] * frames)
    refused = "none was refused" if failed == 0 else f"{failed} {'was' if failed == 1 else 'were'} refused"
    counts = f"{of(within, frames)} {'lies' if within == 1 else 'lie'} within {bound(bound_name)}, and {refused}."
    if not math.isfinite(table["median_m"]):
        return f"More than half of {subject} were refused, so there is no median error: {counts}"
    return f"The median error over {subject} is {length(table['median_m'])} and {angle(table['median_deg'])}: {counts}"


def summary_line(table: Mapping[str, Any]) -> str:
    """The table of a test in one line."""
    metres = table["median_m"]
    if metres < 0.5:
        median, bound_name = f"{100 * metres:.1f} cm", "5cm5deg"
    else:
        median, bound_name = f"{metres:.2f} m", "3m5deg" if metres < 3 else "10m7deg"
    hits = round(table["recall"][bound_name] * table["frames"])
    cut_off = "" if table.get("training_complete", True) else " (of a training that was cut off)"
    return (
        f"{table['section']}: median {median}, {table['median_deg']:.2f} deg; "
        f"{hits} of {table['frames']} within {bound_name}"
        f"; {table['failed']} refused; {1000 * table['seconds_per_frame']:.0f} ms a frame{cut_off}"
    )


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
        f"warning: the training of {run} was cut off{steps}, and its uncertainty is not calibrated; poses are worse "
        "than they could be, their covariances too small: go on with the same train command and --resume"
    )


def _short(value: float) -> str:
    """Three significant digits, but never more than two decimals."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
