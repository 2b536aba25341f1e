"""The Brighton benchmark: real drone photos localized by a network that saw only renders of a point cloud.

    python benchmarks/brighton.py --source ../shared/data/brighton --out results/brighton [--seeds 0 1 2]

Builds the world from `model.laz`, brings the photos' poses into its frame, renders 1200 views from 30 to 60 m above
ground with any heading and up to 20 degrees from straight down, trains on them alone, and tests on the 12 photos.
Prints each photo with the fraction of its pixels that the model covers, and the medians of photos with at least 40 %
in view. The photos' poses are good to about 0.4 m and 1 degree. Nothing is chosen by looking at the photos.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from stages import frame_errors, machine, run, tested

ENOUGH_IN_VIEW = 0.4  # of all pixels; holes of the model do not count
VIEWS = ("--views", 1200, "--size", 720, 405, "--focal", 400, "--above", 30, 60, "--pitch", -90, -70)
WHERE = ("--margin", 0, "--min-seen", 0.35)


def measure(out: Path, source: Path, seed: int) -> dict[str, Any]:
    """All stages with one seed."""
    scene, world, model = out / "datasets" / "brighton", out / "worlds" / "brighton", out / "runs" / f"{seed}"
    sim, results = scene / f"train_sim_{seed}", out / "results" / f"{seed}"
    seconds = {"build": run("build", "cloud", source / "model.laz", "--out", world)}
    if not (scene / "test").exists():
        run("setup", "photos", "--source", source, "--world", world, "--section", "test", "--out", scene)
        run("render", world, "--out", scene / "test_twin", "--viewpoints", f"at:{scene / 'test'}")
    seconds["render"] = run("render", world, "--out", sim, *VIEWS, *WHERE, "--seed", seed)
    seconds["train"] = run("train", scene, "--sections", sim.name, "--out", model, "--seed", seed, "--overwrite")
    table = tested(model, scene, "test", results)
    known = {"table": table, "errors": frame_errors(results), "in_view": in_view(scene / "test_twin")}
    return {"seed": seed, "seconds": seconds, **known}


def in_view(twin: Path) -> dict[str, float]:
    """Fraction of each photo's pixels that the model covers."""
    from transpose.scenes.layout import open_section

    return {frame.stem: float(np.isfinite(frame.depth()).mean()) for frame in open_section(twin).frames}


def main() -> None:
    """Measures every seed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with model.laz, images/ and poses.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    records = []
    for seed in args.seeds:
        records.append(measure(args.out, args.source, seed))
        (args.out / "brighton.json").write_text(
            json.dumps({"machine": machine(), "seeds": records}, indent=2) + "\n", encoding="utf-8"
        )
    print_table(records)


def print_table(records: list[dict[str, Any]]) -> None:
    """Markdown: a line a photo, a column a seed."""
    columns = " | ".join(f"seed {record['seed']}" for record in records)
    print(f"\n{machine()}\n\n| photo | model in view | {columns} |")
    print("|---" * (2 + len(records)) + "|")
    shares = records[0]["in_view"]
    for stem in sorted(shares, key=lambda stem: -shares[stem]):
        print(f"| {stem} | {100 * shares[stem]:.0f} % | {' | '.join(_error(r['errors'][stem]) for r in records)} |")
    good = [stem for stem, share in shares.items() if share >= ENOUGH_IN_VIEW]
    for record in records:
        metres, degrees = np.median([record["errors"][stem] for stem in good], axis=0)
        within = sum(record["errors"][stem][0] < 3 and record["errors"][stem][1] < 5 for stem in good)
        wrong = [s for s, (m, d) in record["errors"].items() if np.isfinite(m) and not (m < 3 and d < 5)]
        stages = record["seconds"]
        spent = " + ".join(f"{name} {stages[name]:.0f}" for name in stages)
        print(
            f"seed {record['seed']}: the {len(good)} photos with at least {100 * ENOUGH_IN_VIEW:.0f} % in view: median "
            f"{metres:.2f} m, {degrees:.2f} deg, {within} within 3 m 5 deg; of all, given but wrong: "
            f"{', '.join(wrong) or 'none'}; "
            f"{spent} = {sum(stages.values()):.0f} s; {1000 * record['table']['seconds_per_frame']:.0f} ms a photo"
        )


def _error(error: tuple[float, float]) -> str:
    return f"{error[0]:.2f} m, {error[1]:.1f} deg" if np.isfinite(error[0]) else "refused"


if __name__ == "__main__":
    main()
