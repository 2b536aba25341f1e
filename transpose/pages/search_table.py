"""The comparison of several runs as a person reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transpose.evaluation.metrics import table_unit
from transpose.evaluation.search import EvaluatedRun, best_of, name_of
from transpose.pages.headline import bound_for
from transpose.pages.wording import angle, bound, duration, length
from transpose.scenes.unit import METRE, SceneUnit


def table_text(candidates: Sequence[EvaluatedRun], folder: Path) -> str:
    """The table as a person reads it, columns aligned, the best marked with a star."""
    best = best_of(candidates)
    tables = [each.table for each in candidates if each.table is not None]
    unit = table_unit(tables[0]) if tables else METRE
    marked = bound_for(_median(best.table, unit) if best is not None and best.table else math.inf, unit)
    rows = [("", "run", "median", "", f"within {bound(marked)}", "refused", "a frame")]
    for each in candidates:
        if each.table is None:
            continue
        table = each.table
        frames = table["frames"]
        rows.append(
            (
                "*" if each is best else "",
                name_of(each, folder),
                length(_median(table, unit), unit),
                angle(table["median_deg"]),
                f"{round(table['recall'][marked] * frames)} of {frames}",
                str(table["failed"]),
                duration(table["seconds_per_frame"]),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines = lines if len(rows) > 1 else []
    return "\n".join(lines + [f"broken: {name_of(e, folder)}: {e.problem}" for e in candidates if e.table is None])


def _median(table: Mapping[str, Any], unit: SceneUnit) -> float:
    """Metres, or per cent of one extent for all runs: each notes that of the views it learned from."""
    return float(table["median_m"] if unit.extent is None or unit.metric else 100 * table["median"] / unit.extent)
