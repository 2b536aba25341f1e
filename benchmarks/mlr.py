"""What depth, normals and classes are worth to coordinates: the preset mlr beside fast, by coordinates alone.

    python benchmarks/mlr.py --out results/mlr --kitchen KITCHEN --village VILLAGE
        [--seeds 0 1 2] [--steps N] [--variants fast mlr mlr-depth mlr-normal] [--photos 0 10 100]

The kitchen's scene folder is that of benchmarks/kitchen.py (renders train_sim_SEED, photos train and test), the
village's that of `transpose demo` (train_sim, test_flight). Every variant learns from the same renders, in the kitchen
also with 10 and 100 % of the photos where asked for, and is tested by coordinates alone. Writes `mlr.json` after each
run, goes on from it, and prints the table: mean and standard deviation over the seeds. Nothing is chosen by looking at
the test frames.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stages import machine, run, tested

VARIANTS: dict[str, tuple[str, ...]] = {
    "fast": ("--preset", "fast"),
    "mlr": ("--preset", "mlr"),
    "mlr-depth": ("--preset", "mlr", "--tasks", "depth"),
    "mlr-normal": ("--preset", "mlr", "--tasks", "normal"),
    "mlr-semantics": ("--preset", "mlr", "--tasks", "semantics"),
}
_EVERY = {10: 10, 100: 1}  # of how many photos one is learned from, by per cent


@dataclass(frozen=True)
class Place:
    """Where to learn and to test.

    Attributes:
        scene: the scene folder.
        renders: section of renders; {} stands for the seed.
        photos: section of photos to learn from as well; empty: none.
        test: section to test on.
        recall: entry of results.json that the table shows.
    """

    scene: Path
    renders: str
    photos: str
    test: str
    recall: str


def some_photos(place: Place, percent: int) -> str:
    """The section that holds so many of the photos, evenly chosen; made where it is missing."""
    if percent == 100:
        return place.photos
    name = f"{place.photos}_{percent}_percent"
    target, source = place.scene / name, place.scene / place.photos
    if not target.exists():
        kept = {path.stem for path in sorted((source / "rgb").iterdir())[:: _EVERY[percent]]}
        partial = target.with_name(f".{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        for layer in (path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")):
            (partial / layer.name).mkdir(parents=True)
            for path in (each for each in layer.iterdir() if each.stem in kept):
                shutil.copy2(path, partial / layer.name)
        facts = json.loads((source / "section.json").read_text(encoding="utf-8"))
        (partial / "section.json").write_text(json.dumps({**facts, "frames": len(kept)}), encoding="utf-8")
        partial.rename(target)
    return name


def measure(place: Place, variant: str, percent: int, seed: int, out: Path, words: list[str]) -> dict[str, Any]:
    """One training and its test."""
    model = out / "runs" / f"{place.scene.name}-{variant}-{percent}-{seed}"
    photos = [some_photos(place, percent)] if percent else []
    # Renders come last: of the last section some frames are kept out, and no training is to lose photos.
    sections = [*photos, place.renders.format(seed)]
    training = ("--sections", *sections, "--out", model, "--seed", seed, "--overwrite", *words)
    seconds = run("train", place.scene, *VARIANTS[variant], *training)
    results = out / "results" / model.name
    table = tested(model, place.scene, place.test, results, "--use", "coordinates")
    kept = {name: table[name] for name in ("median_m", "median_deg", "recall", "frames", "failed")}
    coordinates = table["calibration"].get("coordinates")
    return {"seconds": seconds, **kept, "coordinates": coordinates, "tasks": table.get("tasks")}


def main() -> None:
    """Measures what is not measured yet and prints the table."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "mlr.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": {}}
    words = [] if arguments.steps is None else ["--steps", str(arguments.steps)]
    for seed in arguments.seeds:
        for place in _places(arguments):
            for percent in arguments.photos if place.photos else [0]:
                for variant in arguments.variants:
                    key = f"{place.scene.name}|{percent}|{variant}|{seed}"
                    if key not in record["rows"]:
                        record["rows"][key] = measure(place, variant, percent, seed, arguments.out, words)
                        record["machine"] = machine()
                        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print_table(record, {place.scene.name: place.recall for place in _places(arguments)})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kitchen", type=Path, help="scene folder of benchmarks/kitchen.py")
    parser.add_argument("--village", type=Path, help="scene folder of transpose demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of each training; the presets' own number by default")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["fast", "mlr"])
    parser.add_argument("--photos", type=int, nargs="+", choices=(0, 10, 100), default=[0], help="per cent, kitchen")
    return parser.parse_args()


def _places(arguments: argparse.Namespace) -> list[Place]:
    places = []
    if arguments.kitchen is not None:
        places.append(Place(arguments.kitchen, "train_sim_{}", "train", "test", "5cm5deg"))
    if arguments.village is not None:
        places.append(Place(arguments.village, "train_sim", "", "test_flight", "3m3deg"))
    return places


def print_table(record: dict[str, Any], recalls: dict[str, str]) -> None:
    """Markdown, a line for each place, share of photos and variant."""
    print(f"\n{record.get('machine', '')}\n")
    print("| place | photos | variant | seeds | median | recall | a cell | depth | normals | mIoU | training |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for key, row in record["rows"].items():
        place, percent, variant, _ = key.split("|")
        groups.setdefault((place, percent, variant), []).append(row)
    for (place, percent, variant), rows in groups.items():
        recall = recalls.get(place, "5cm5deg")
        cells = [
            _spread([math.inf if row["median_m"] is None else 100 * row["median_m"] for row in rows], "cm"),
            _spread([100 * row["recall"][recall] for row in rows], f"% {recall}"),
            _spread([100 * row["coordinates"]["median_m"] for row in rows if row["coordinates"]], "cm"),
            _spread(_of_task(rows, "depth", "median_relative", 100), "%"),
            _spread(_of_task(rows, "normal", "median_deg", 1), "deg"),
            _spread(_of_task(rows, "semantics", "miou", 100), "%"),
            _spread([row["seconds"] for row in rows], "s"),
        ]
        print(f"| {place} | {percent} % | {variant} | {len(rows)} | {' | '.join(cells)} |")


def _of_task(rows: list[dict[str, Any]], task: str, name: str, factor: float) -> list[float]:
    return [factor * row["tasks"][task][name] for row in rows if row["tasks"] and task in row["tasks"]]


def _spread(values: list[float], unit: str) -> str:
    """Mean and standard deviation; a dash of nothing, or where most frames of a test had no pose."""
    if not all(map(math.isfinite, values)) or not values:
        return "–"
    spread = f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):.3g}{spread} {unit}"


if __name__ == "__main__":
    main()
