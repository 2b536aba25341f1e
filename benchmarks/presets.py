"""The presets against each other: same frames, same solver, on one machine.

    python benchmarks/presets.py SCENE --train train_sim --section test --val val --out DIR
        --rows fast:steps=3500 ace:steps=2000 dsacstar:steps=400 crossloc:steps=100,batch=4 [--height 240] [--seed 0]

Each row is a preset with settings (`name:key=value,...`). Steps are given and not seconds, so that a row means the same
on every machine; `step_cost.py` says how many of them a machine does in a time. All rows are tested by coordinates
alone; `fast`, as its users have it, with its landmarks as well. Prints wall-clock and CPU time of training, medians and
recalls; writes `presets.json`. What stands there is not measured again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from stages import cpu_seconds, machine, run, tested
from step_cost import settings_of

RECALLS = ("5cm5deg", "10cm5deg", "25cm2deg", "50cm5deg", "3m3deg")


def measure(args: argparse.Namespace, row: str) -> dict[str, Any]:
    """One training and its tests."""
    preset, settings = settings_of(row)
    name = row.replace(":", "-").replace(",", "-").replace("=", "")
    model = args.out / "runs" / name
    words = [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", value)]
    if args.height:
        words += ["--height", args.height]
    before = cpu_seconds()
    words += ["--val", args.val, "--preset", preset, "--seed", args.seed, "--overwrite"]
    seconds = run("train", args.scene, "--sections", *args.train, "--out", model, *words)
    record: dict[str, Any] = {"row": row, "seconds": seconds, "cpu_seconds": cpu_seconds() - before}
    for use in ("cells", "coordinates", "auto") if preset == "fast" else ("coordinates",):
        out = args.out / "results" / f"{name}-{use}"
        record[use] = tested(model, args.scene, args.section, out, "--use", use)
    return record


def print_table(records: list[dict[str, Any]]) -> None:
    """Markdown, a line a row and way of localizing."""
    columns = ("preset", "trained for", "CPU time", "by", "median", *RECALLS, "refused", "a photo", "model")
    print(f"\n{machine()}\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for record in records:
        for use in ("cells", "coordinates", "auto"):
            if use not in record:
                continue
            table = record[use]
            metres = table["median_m"]
            median = (
                "refused" if metres in (None, float("inf")) else _length(metres) + f", {table['median_deg']:.2f} deg"
            )
            recalls = " | ".join(f"{100 * table['recall'][name]:.0f} %" for name in RECALLS)
            print(
                f"| {record['row']} | {record['seconds']:.0f} s | {record['cpu_seconds']:.0f} s | {use} | {median} "
                f"| {recalls} | {table['failed']} of {table['frames']} | {1000 * table['seconds_per_frame']:.0f} ms "
                f"| {table['model_bytes'] / 1e6:.1f} MB |"
            )


def _length(metres: float) -> str:
    return f"{100 * metres:.1f} cm" if metres < 1 else f"{metres:.2f} m"


def main() -> None:
    """Measures all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--train", nargs="+", required=True, help="sections")
    parser.add_argument("--section", required=True, help="to test on")
    parser.add_argument("--val", required=True, help="section for calibration")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", required=True)
    parser.add_argument("--height", type=int, help="rows to which images are resized, for all alike")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "presets.json"
    records = json.loads(file.read_text(encoding="utf-8"))["records"] if file.exists() else []
    for row in args.rows:
        if row not in {record["row"] for record in records}:
            records.append(measure(args, row))
            file.write_text(json.dumps({"machine": machine(), "records": records}, indent=2) + "\n", encoding="utf-8")
    print_table([record for record in records if record["row"] in args.rows])


if __name__ == "__main__":
    main()
