"""Whether it pays that a network predicts the uncertainty of its points.

    python benchmarks/uncertainty.py SCENE --train train_sim --section test --val val --out DIR
        [--seeds 0 1 2] [--kinds none isotropic diagonal full] [--steps N] [--passes N] [--foreign FOLDER ...]

Trains the preset `fast` once for each kind and seed, and localizes the section by coordinates alone, so that landmarks
do not hide the difference. Prints a line a kind: medians, recalls and the fraction of true poses in the 90 % ellipsoid
(on the section and on the validation section), over all seeds, and how many images of other places and of
this one are refused. Writes `uncertainty.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from stages import machine, run, tested

KINDS = ("none", "isotropic", "diagonal", "full")
RECALLS = ("2cm2deg", "5cm5deg", "10cm5deg", "25cm2deg", "50cm5deg", "3m3deg")


def measure(args: argparse.Namespace, kind: str, seed: int) -> dict[str, Any]:
    """One training and its tests."""
    model = args.out / "runs" / f"{kind}-{seed}"
    given = {"--steps": args.steps, "--passes": args.passes}
    steps = [word for flag, value in given.items() if value for word in (flag, value)]
    tail = ("--tail", args.tail) if args.tail and kind != "none" else ()
    words = ("--uncertainty", kind, *tail, "--seed", seed, *steps, "--overwrite")
    run("train", args.scene, "--sections", *args.train, "--val", args.val, "--out", model, *words)
    record: dict[str, Any] = {"kind": kind, "seed": seed}
    for name in {args.section, args.val}:
        out = args.out / "results" / f"{kind}-{seed}-{name}"
        record[name] = tested(model, args.scene, name, out, "--use", "cells")
    record["foreign"] = refused(model, args.foreign)
    return record


def refused(model: Path, folders: list[Path]) -> dict[str, tuple[int, int]]:
    """(refused, shown) of foreign images by coordinates alone."""
    from transpose.evaluation.rejection import count_refused, foreign_images
    from transpose.localization import load

    localizer = load(model, use="cells")
    return {str(folder): count_refused(localizer, foreign_images(folder)) for folder in folders}


def print_table(records: list[dict[str, Any]], section: str, val: str) -> None:
    """Markdown, a line a kind."""
    seeds = sorted({record["seed"] for record in records})
    print(f"\n{machine()}; seeds {seeds}; medians are the median over them, the rest the mean\n")
    columns = ("uncertainty", "median", *RECALLS, "NEES", "in 90 %", f"{val}: in 90 %", "refused", "foreign refused")
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for kind in dict.fromkeys(record["kind"] for record in records):
        own = [record for record in records if record["kind"] == kind]
        tables = [record[section] for record in own]
        # A median is infinite, null in the file, where half of the frames were refused.
        metres, degrees = (
            np.median([np.inf if table[key] is None else table[key] for table in tables])
            for key in ("median_m", "median_deg")
        )
        recalls = " | ".join(f"{100 * np.mean([t['recall'][name] for t in tables]):.0f} %" for name in RECALLS)
        nees = np.mean([table["calibration"].get("nees_median", np.nan) for table in tables])
        covered, val_covered = (
            100 * np.mean([record[name]["calibration"].get("coverage_90", np.nan) for record in own])
            for name in (section, val)
        )
        lost = sum(table["failed"] for table in tables), sum(table["frames"] for table in tables)
        foreign = np.sum([count for record in own for count in record["foreign"].values()] or [(0, 0)], axis=0)
        print(
            f"| {kind} | {100 * metres:.2f} cm, {degrees:.2f} deg | {recalls} | {nees:.1f} | {covered:.0f} % "
            f"| {val_covered:.0f} % | {lost[0]} of {lost[1]} | {foreign[0]} of {foreign[1]} |"
        )


def main() -> None:
    """Measures all kinds and seeds; what was measured before under `--out` is not measured again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--train", nargs="+", required=True, help="sections")
    parser.add_argument("--section", required=True, help="to test on")
    parser.add_argument("--val", required=True, help="section for calibration")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--tail", choices=("gaussian", "laplace", "student"))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--passes", type=int, help="augmented views of each frame")
    parser.add_argument("--foreign", type=Path, nargs="*", default=[], help="folders of images of other places")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "uncertainty.json"
    records = json.loads(file.read_text(encoding="utf-8"))["records"] if file.exists() else []
    done = {(record["kind"], record["seed"]) for record in records}
    for seed in args.seeds:
        for kind in args.kinds:
            if (kind, seed) not in done:
                records.append(measure(args, kind, seed))
                file.write_text(
                    json.dumps({"machine": machine(), "records": records}, indent=2) + "\n", encoding="utf-8"
                )
    print_table(records, args.section, args.val)


if __name__ == "__main__":
    main()
