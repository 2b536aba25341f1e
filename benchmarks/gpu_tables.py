"""The tables of gpu.py."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


def markdown(facts: Record, results: dict[str, Record]) -> str:
    """The tables."""
    lines = [", ".join(f"{name} {value}" for name, value in facts.items()), ""]
    lines += ["| part | outcome | seconds |", "|---|---|---|"]
    for name, part in results.items():
        outcome = f"failed: {part['error'].splitlines()[0][:80]}" if "error" in part else "done"
        lines.append(f"| {name} | {outcome} | {part['part_s']:.0f} |")
    columns = (
        "steps", "wall_s", "before_steps_s", "step_ms", "imports_and_after_s", "val_median_m", "median_m", "median_deg",
        "5cm5deg", "failed", "frames", "test_wall_s",
    )  # fmt: skip
    trained = {name: part for name, part in results.items() if "step_ms" in part}
    trained |= {f"e2e {way}": row for way, row in results.get("e2e", {}).items() if isinstance(row, dict)}
    lines += [
        "",
        "| training | " + " | ".join(columns) + " | localize, ms a photo |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for name, part in trained.items():
        photos = [f"{key[9:-3]} {_number(part[key])}" for key in part if key.startswith("localize_")]
        cells = [_number(part.get(key)) for key in columns]
        lines.append(f"| {name} | {' | '.join(cells)} | {', '.join(photos)} |")
    lines += ["", "| solver | batch | CPU ms | device ms | apart |", "|---|---|---|---|---|"]
    for row in results.get("solvers", {}).get("rows", []):
        known = ("solver", "batch", "points", "cpu_ms", "device_ms", "where")
        rest = ", ".join(f"{key} {_number(value)}" for key, value in row.items() if key not in known)
        times = f"{_number(row.get('cpu_ms'))} | {_number(row.get('device_ms'))}"
        lines.append(f"| {row['solver']} | {row['batch']} | {times} | {rest} |")
    lines.append("")
    for name in ("torchrun", "resume", "tests"):
        facts = results.get(name, {})
        lines += [
            f"{name}: " + ", ".join(f"{key} {_number(value)}" for key, value in facts.items() if key != "error"),
            "",
        ]
    failed = [f"## {name}\n```\n{part['error']}\n```" for name, part in results.items() if "error" in part]
    return "\n".join([*lines, *failed]) + "\n"


def _number(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
