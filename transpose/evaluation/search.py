"""Every checkpoint below a folder tested on one section, and the best of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transpose import runs
from transpose.errors import TransposeError
from transpose.evaluation.metrics import recall_bounds, table_unit
from transpose.scenes.unit import METRE
from transpose.storage import replacing_file

log = logging.getLogger(__name__)
_RUN_FILES = (runs.MODEL_FILE, runs.STATE_FILE, runs.LOG_FILE, runs.CONFIG_FILE)
# The original's weights. They need converting, and a table that left them out would hide that they were not tested.
_FOREIGN_ENDINGS = (".net", ".pth")


@dataclass(frozen=True)
class EvaluatedRun:
    """A run that was tested: its table, or why there is none."""

    run: Path
    table: dict[str, Any] | None
    problem: str = ""

    @property
    def rank(self) -> tuple[bool, float, float, str]:
        """Sorts the best first: by median distance, then median angle; what could not be tested comes last."""
        if self.table is None:
            return True, math.inf, math.inf, str(self.run)
        return False, float(self.table[_median(self.table)]), float(self.table["median_deg"]), str(self.run)


def _median(table: dict[str, Any]) -> str:
    """The median that runs of one scene can be held against each other by: a length. Per cent are of the extent of the
    views that each of them learned from."""
    return "median_m" if table_unit(table).metric else "median"


def checkpoints_below(folder: Path) -> list[Path]:
    """Run folders, also those that never got as far as a model, and weights of the original, itself or below it.

    Raises:
        TransposeError: there is none.
    """
    if not folder.is_dir():
        raise TransposeError(f"{folder} is not a folder; --search_dir needs one with runs below it")
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    found = {path.parent for path in files if path.name in _RUN_FILES}
    found |= {path for path in files if path.suffix in _FOREIGN_ENDINGS}
    if not found:
        raise TransposeError(f"{folder} holds no run ({runs.MODEL_FILE}), itself or below it")
    return sorted(found)


def evaluate_below(
    folder: Path,
    evaluate: Callable[[Path], dict[str, Any]],
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> list[EvaluatedRun]:
    """Tests every run below a folder; one that is broken is listed and does not keep the others from being tested.

    Args:
        folder: where to look for runs.
        evaluate: tests one of them and returns the table of `evaluation.testing.write_results`.
        progress: wraps the runs as they are worked through.

    Returns:
        All of them, the best first.

    Raises:
        TransposeError: there is none.
    """
    candidates = []
    for run in progress(checkpoints_below(folder)):
        try:
            candidates.append(EvaluatedRun(run, evaluate(run)))
        except Exception as error:  # whatever is wrong with one checkpoint is a line of the table
            log.debug("%s", run, exc_info=True)
            kind = "" if isinstance(error, TransposeError) else f"unreadable or damaged: {type(error).__name__}: "
            candidates.append(EvaluatedRun(run, None, kind + " ".join(str(error).split())))
    return sorted(candidates, key=lambda each: each.rank)


def best_of(candidates: Sequence[EvaluatedRun]) -> EvaluatedRun | None:
    """The run of least median distance; None where no run has one, since half of the frames were refused."""
    best = min(candidates, key=lambda each: each.rank, default=None)
    return best if best is not None and math.isfinite(best.rank[1]) else None


def name_of(candidate: EvaluatedRun, folder: Path) -> str:
    """What tables call a run that was found below a folder."""
    relative = candidate.run.relative_to(folder)
    return str(relative) if relative.parts else candidate.run.resolve().name


def write_table(candidates: Sequence[EvaluatedRun], folder: Path, path: Path) -> Path:
    """Writes the table, tab-separated, with one line a run; the best is marked with a star.

    Args:
        candidates: in the order of the lines.
        folder: below which they were found; runs are named relative to it.
        path: of the table.
    """
    tables = [each.table for each in candidates if each.table is not None]
    bounds = recall_bounds(table_unit(tables[0]) if tables else METRE)  # one section was tested, so all have the same
    medians = ("median", "median_percent") if tables and _median(tables[0]) == "median" else ("median_m",)
    facts = ("frames", "failed", *medians, "median_deg", "seconds_per_frame", "model_bytes", "train_seconds")
    best = best_of(candidates)
    lines = [("best", "run", *facts, *bounds, "problem")]
    for each in candidates:
        values = [""] * (len(facts) + len(bounds))
        if each.table is not None:
            numbers = [each.table[name] for name in facts] + [each.table["recall"][name] for name in bounds]
            values = ["" if number is None else f"{number:.6g}" for number in numbers]
        lines.append(("*" if each is best else "", name_of(each, folder), *values, each.problem))
    with replacing_file(path) as temporary:
        temporary.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path
