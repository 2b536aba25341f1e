"""The kitchen benchmark: real photos of a room localized by a network that saw only renders of its RGB-D scan.

    python benchmarks/kitchen.py --source ../shared/data/kitchen --out results/kitchen [--seeds 0 1 2]
    python benchmarks/kitchen.py --source ../shared/data/tum_fr1_rpy --out results/desk

Sets up RedKitchen with the SfM pseudo ground truth, or a recording in TUM's layout whose `train.txt` and `test.txt`
name images, fuses the training frames, renders 960 views around them, trains on the renders alone and on renders and
photos, and tests on photos of a stretch that neither saw, also with --refine. Writes `NAME.json`, named as the
source's folder, and prints the table: k of n within 5 cm 5 deg and medians, each seed and their mean, with the
wall-clock time of each stage. Villages and, where they are at hand, other places' photos measure how often a foreign
image is refused. Nothing is chosen by looking at the test frames.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stages import machine, run, tested


def scene_of(out: Path, source: Path) -> Path:
    """The scene folder of a source."""
    return out / "datasets" / source.resolve().name


def set_up(source: Path, scene: Path) -> None:
    """`train` and `test` of either layout, where they are not there."""
    if (scene / "test").exists():
        return
    if not (source / "rgb.txt").exists():
        run("setup", "7scenes", "--source", source, "--poses", source / "pgt_sfm.txt", "--out", scene)
        return
    for name in ("train", "test"):
        words = ("--section", name, "--list", source / f"{name}.txt")
        run("setup", "tum", "--source", source, "--out", scene, *words)


def measure(out: Path, source: Path, seed: int) -> dict[str, object]:
    """All stages with one seed."""
    scene, world = scene_of(out, source), out / "worlds" / f"{source.resolve().name}-{seed}"
    sim = f"train_sim_{seed}"
    seconds = {
        "build": run("build", "rgbd", scene / "train", "--out", world),
        "render": run(
            "render", world, "--out", scene / sim, "--views", 960, "--viewpoints", f"near:{scene / 'train'}",
            "--seed", seed,
        ),
    }  # fmt: skip
    record: dict[str, object] = {"seed": seed, "seconds": seconds}
    for name, sections in {"renders": [sim], "renders+photos": [sim, "train"]}.items():
        model = out / "runs" / f"{name}-{seed}"
        words = ("--sections", *sections, "--out", model, "--seed", seed, "--overwrite")
        seconds[f"train {name}"] = run("train", scene, *words)
        for refining in ("", " --refine"):
            results = out / "results" / f"{name}-{seed}{'-refined' if refining else ''}"
            table = tested(model, scene, "test", results, *refining.split())
            table["hits_5cm5deg"] = round(table["recall"]["5cm5deg"] * table["frames"])
            record[name + refining] = table
    return record


def refusals(out: Path, source: Path, seed: int) -> dict[str, tuple[int, int]]:
    """(refused, shown) of foreign images by the localizer that saw only renders."""
    import transpose
    from transpose.evaluation.rejection import count_refused, foreign_images

    village, scene = out / "worlds" / "village", out / "datasets" / "village"
    if not (scene / "foreign" / "rgb").exists():
        run("build", "village", "--out", village)
        run("render", village, "--out", scene / "foreign", "--views", 60, "--viewpoints", "lhs")
    localizer = transpose.load(out / "runs" / f"renders-{seed}")
    folders = {"village renders": scene / "foreign", "Brighton photos": source.parent / "brighton" / "images"}
    return {
        name: count_refused(localizer, foreign_images(folder)) for name, folder in folders.items() if folder.is_dir()
    }


def main() -> None:
    """Measures every seed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="RedKitchen in 7-Scenes' raw layout, or TUM's")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    out, source = arguments.out, arguments.source
    set_up(source, scene_of(out, source))
    records = []
    for seed in arguments.seeds:
        records.append(measure(out, source, seed))
        records[-1]["refused"] = refusals(out, source, seed)
        (out / f"{source.resolve().name}.json").write_text(
            json.dumps({"machine": machine(), "seeds": records}, indent=2) + "\n", encoding="utf-8"
        )
    print_table(records)


def print_table(records: list[dict]) -> None:
    """Markdown, a line for each seed and training set, and their means."""
    print(
        f"\n{machine()}\n\n| trained on | seed | median | 5 cm 5 deg | refused | ms a photo | build + render + train |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in ("renders", "renders --refine", "renders+photos", "renders+photos --refine"):
        for record in records:
            table, seconds = record[name], record["seconds"]
            total = seconds["build"] + seconds["render"] + seconds[f"train {name.split()[0]}"]
            print(
                f"| {name} | {record['seed']} | {100 * table['median_m']:.1f} cm, {table['median_deg']:.2f} deg "
                f"| {table['hits_5cm5deg']} of {table['frames']} | {table['failed']} "
                f"| {1000 * table['seconds_per_frame']:.0f} | {total:.0f} s |"
            )
        count = len(records)
        metres = sum(record[name]["median_m"] for record in records) / count
        degrees = sum(record[name]["median_deg"] for record in records) / count
        hits = sum(record[name]["hits_5cm5deg"] for record in records) / count
        print(f"| {name} | mean | {100 * metres:.1f} cm, {degrees:.2f} deg | {hits:.1f} | | | |")
    for record in records:
        print(f"seed {record['seed']}, foreign images refused: {record['refused']}")


if __name__ == "__main__":
    main()
