"""Every checkpoint below a folder tested on one section, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transpose import runs
from transpose.errors import TransposeError
from transpose.storage import replacing_file


@dataclass(frozen=True)
class Candidate:
    """A run that was tested: its table, or why there is none."""

    run: Path
    table: dict[str, Any] | None
    problem: str = ""

    @property
    def median_m(self) -> float:
        """Infinite where it could not be tested or half of the frames were refused."""
        return math.inf if self.table is None else float(self.table["median_m"])


def tested_below(
    folder: Path, tested: Callable[[Path], dict[str, Any]], progress: Callable[[Sequence[Path]], Iterable[Path]]
) -> list[Candidate]:
    """Tests every run below a folder; one that is broken is listed and does not keep the others from being tested.

    Args:
        folder: where to look for run folders.
        tested: tests one of them.
        progress: wraps the runs as they are worked through.

    Returns:
        All of them, the best first (median distance, then median angle).

    Raises:
        TransposeError: there is none.
    """
    found = sorted(path.parent for path in folder.rglob(runs.MODEL_FILE)) if folder.is_dir() else []
    if not found:
        raise TransposeError(f"{folder} holds no run ({runs.MODEL_FILE}), itself or below it")
    candidates = []
    for run in progress(found):
        try:
            candidates.append(Candidate(run, tested(run)))
        except TransposeError as error:
            candidates.append(Candidate(run, None, " ".join(str(error).split())))
    return sorted(candidates, key=lambda each: (each.table is None, each.median_m, _degrees(each)))


def _degrees(candidate: Candidate) -> float:
    return math.inf if candidate.table is None else float(candidate.table["median_deg"])


def write_table(candidates: Sequence[Candidate], path: Path) -> str:
    """Writes the table, tab-separated, and returns it: the best is marked with a star."""
    recalls = ("5cm5deg", "25cm2deg", "5m10deg")
    lines = ["\t".join(("best", "run", "median_m", "median_deg", *recalls, "refused", "problem"))]
    for rank, each in enumerate(candidates):
        star = "*" if rank == 0 and each.table is not None else ""
        values = [""] * (3 + len(recalls))
        if each.table is not None:
            values = [f"{each.table['median_m']:.4g}", f"{each.table['median_deg']:.3g}"]
            values += [f"{each.table['recall'][name]:.3f}" for name in recalls] + [str(each.table["failed"])]
        lines.append("\t".join((star, str(each.run), *values, each.problem)))
    text = "\n".join(lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary:
        temporary.write_text(text + "\n")
    return text
