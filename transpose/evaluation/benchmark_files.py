"""A benchmark in files that scripts read: `benchmark.csv`, a line a row, and `benchmark.json`, rows and their means."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transpose.evaluation.benchmark import Block, Line, Row
from transpose.evaluation.metrics import PERCENT_BOUNDS, RECALL_BOUNDS
from transpose.storage import replacing_file, write_json

CSV_FILE, JSON_FILE = "benchmark.csv", "benchmark.json"
_FORMAT = 1


def write_csv(blocks: Sequence[Block], out: Path) -> Path:
    """Writes a line a row; numbers that are infinite (failures) are `inf`, those that are not known are empty."""
    rows = [row_facts(row) for block in blocks for line in block.lines for row in line.rows]
    with replacing_file(out / CSV_FILE) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out / CSV_FILE


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def write_benchmark_json(blocks: Sequence[Block], out: Path) -> Path:
    """Writes rows with what they were made of, and each line's means over seeds; infinite numbers become `null`."""
    rows = [
        {**row_facts(row), "commands": list(row.record.commands), "inputs": dict(row.record.inputs)}
        for block in blocks
        for line in block.lines
        for row in line.rows
    ]
    lines = [line_facts(line, block) for block in blocks for line in block.lines]
    write_json(out / JSON_FILE, {"format": _FORMAT, "rows": rows, "lines": lines})
    return out / JSON_FILE


def row_facts(row: Row) -> dict[str, Any]:
    """A row as plain values; the same names for every row."""
    key, table = row.key, row.table
    metric = not table or row.unit.metric
    return {
        "scene": key.scene.name,
        "training": key.training,
        "method": key.method.name,
        "seed": key.seed,
        "status": "done" if row.record.failed is None else "failed",
        "reason": row.record.failed or "",
        "learned": row.record.learned,
        "truth": row.record.truth,
        "machine": row.record.machine,
        "frames": table.get("frames"),
        "median_m": row.told_median if metric else math.nan,
        "median_percent": math.nan if metric else row.told_median,
        "median_deg": row.error("median_deg"),
        "refused": table.get("failed"),
        "wrong": row.wrong if table else None,
        **{f"within_{name}": row.table.get("recall", {}).get(name) for name in (*RECALL_BOUNDS, *PERCENT_BOUNDS)},
        "seconds_per_frame": row.number("seconds_per_frame"),
        "train_seconds": row.number("train_seconds"),
        "model_bytes": row.number("model_bytes"),
        "nees_median": row.calibration("nees_median"),
        "coverage_90": row.calibration("coverage_90"),
    }


def line_facts(line: Line, block: Block) -> dict[str, Any]:
    """A line as plain values: each column's mean, standard deviation, least and largest number over the seeds."""
    return {
        "scene": block.scene,
        "training": block.training,
        "method": line.method.name,
        "seeds": [row.key.seed for row in line.rows],
        "seeds_done": [row.key.seed for row in line.done],
        "unit": line.unit.name,
        "wrong_beyond": block.bounds.wrong,
        **{column.name: asdict(line.spread(column)) for column in block.columns},
    }
