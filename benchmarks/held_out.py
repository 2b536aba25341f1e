"""Photos that are as hard as those of another day, out of a section that a scan was made of: what each way is worth.

    python benchmarks/held_out.py SCENE --photos train --out results/held_out [--seeds 0 1 2] [--flags --steps 3500]

Photos that were fused into a model are easy: renders near them look as they do. So all photos about one of them are
kept out of the scan (which one: that with most photos far from the others), the rest is fused and rendered, `fast`
learns from these renders, and those of the photos kept out are localized that are far from all others: by landmarks,
by what the network says (recognition, else cells), and by cells alone. Distances count 1 for each 50 cm and for each
20 degrees. Whatever is chosen by looking at these figures leaves a test section untouched. Writes `held_out.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from stages import linked_section, machine, run, tested

from transpose.geometry.poses import Pose
from transpose.scenes.layout import Section, open_section

UNIT_M, UNIT_DEG = 0.5, 20.0
ABOUT, FAR = 2.0, 1.2  # distances: kept out about one photo; far from all that were not
MOST_KEPT_OUT = 0.35
USES = ("auto", "coordinates", "cells")


def distances(poses: list[Pose]) -> np.ndarray:
    """Between all poses, (n, n)."""
    centers_n3, R_n33 = np.stack([each.center for each in poses]), np.stack([each.R_wc for each in poses])
    metres_nn = np.linalg.norm(centers_n3[:, None] - centers_n3, axis=2)
    cosine_nn = (np.einsum("iab,jab->ij", R_n33, R_n33) - 1) / 2
    degrees_nn = np.degrees(np.arccos(np.clip(cosine_nn, -1, 1)))
    return metres_nn / UNIT_M + degrees_nn / UNIT_DEG


def split(section: Section) -> tuple[list[int], list[int]]:
    """Frames that are fused, and those of the others that lie far from these."""
    distance_nn = distances([frame.pose for frame in section.frames])
    best: tuple[list[int], list[int]] = [], []
    for row_n in distance_nn:
        out_n = row_n < ABOUT
        if out_n.mean() > MOST_KEPT_OUT:
            continue
        far_n = out_n & (distance_nn[:, ~out_n].min(1) > FAR)
        if far_n.sum() > len(best[1]):
            best = np.flatnonzero(~out_n).tolist(), np.flatnonzero(far_n).tolist()
    if not best[1]:
        raise SystemExit("no photo of this section is far from the others when those about it are kept out")
    return best


def measure(scene: Path, seed: int, out: Path, flags: list[str]) -> dict[str, Any]:
    """Renders, a run, and its tests."""
    world, name = out / "world", f"renders_{seed}"
    words = ["--views", 960, "--viewpoints", f"near:{scene / 'fused'}", "--seed", seed]
    run("render", world, "--out", scene / name, *words)
    model = out / "runs" / str(seed)
    words = ["--sections", name, "--out", model, "--seed", seed, "--overwrite", *flags]
    seconds = run("train", scene, *words)
    results = out / "results" / str(seed)
    tables = {use: tested(model, scene, "far", results / use, "--use", use) for use in USES}
    return {"seed": seed, "seconds": seconds, **tables}


def main() -> None:
    """Splits, builds, measures each seed, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--photos", default="train", help="a section with depth")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--bound", default="5cm5deg", help="of recall, as results.json names it")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more flags for transpose train; last")
    arguments = parser.parse_args()
    section, scene = open_section(arguments.scene / arguments.photos), arguments.out / "scene"
    fused, far = split(section)
    for name, frames in (("fused", fused), ("far", far)):
        if not (scene / name).exists():
            linked_section(section, frames, scene, name)
    print(f"{len(fused)} of {len(section)} photos are fused, {len(far)} of the others are tested")
    if not (arguments.out / "world").exists():
        run("build", "rgbd", scene / "fused", "--out", arguments.out / "world")
    records = []
    for seed in arguments.seeds:
        records.append(measure(scene, seed, arguments.out, arguments.flags))
        text = json.dumps({"machine": machine(), "flags": arguments.flags, "runs": records}, indent=2) + "\n"
        (arguments.out / "held_out.json").write_text(text, encoding="utf-8")
    print(f"\n{machine()}\n\n| seed | by | median | {arguments.bound} | refused | a photo |\n|---|---|---|---|---|---|")
    for record in records:
        for use in USES:
            table = record[use]
            median = (
                "" if table["median_m"] is None else f"{100 * table['median_m']:.2f} cm, {table['median_deg']:.2f} deg"
            )
            recall, ms = 100 * table["recall"][arguments.bound], 1000 * table["seconds_per_frame"]
            print(f"| {record['seed']} | {use} | {median} | {recall:.0f} % | {table['failed']} | {ms:.0f} ms |")


if __name__ == "__main__":
    main()
