"""Posed photos without a 3D model: what a localizer trained on them alone makes of other photos of the place.

    python benchmarks/photos.py --data ../shared/data --out results/photos [--places fountain kitchen-20 ...] [--seed 0]
        [--preset matching --flags --features sift]

Each place is set up as a user would: Strecha's fountain from its transforms.json, and from its COLMAP model; the fox of
Instant-NGP as published, with the frames whose photo is missing; 175 photos of RedKitchen with their depth taken away,
and 20, 8 and 4 of them. `transpose train` runs at its defaults. Test photos are those of the places' own lists, and
nothing was chosen by them.
Writes `photos.json` and prints the table with the wall-clock time of set-up, training and test.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from stages import machine, run, tested

from transpose.selection import evenly_chosen


def fountain(data: Path, scene: Path) -> float:
    """From its transforms.json alone; its unit is the metre."""
    return _nerfstudio(data / "fountain", scene, "train", "--metric") + _nerfstudio(
        data / "fountain", scene, "test", "--metric"
    )


def fountain_colmap(data: Path, scene: Path) -> float:
    """From a COLMAP model with points; its test photos from transforms.json, in the same frame."""
    source = data / "fountain"
    seconds = run("setup", "colmap", "--source", source, "--out", scene, "--section", "train", "--metric")
    return seconds + _nerfstudio(source, scene, "test", "--metric")


def fox(data: Path, scene: Path) -> float:
    """From its transforms.json as published; its unit is none."""
    return _nerfstudio(data / "fox", scene, "train") + _nerfstudio(data / "fox", scene, "test")


def kitchen(data: Path, scene: Path, most: int = 1000) -> float:
    """RedKitchen's photos with their SfM poses, in metres, without depth; some of them, evenly spread."""
    source = data / "kitchen"
    seconds = run("setup", "7scenes", "--source", source, "--poses", source / "pgt_sfm.txt", "--out", scene / "all")
    for section in ("train", "test"):
        for layer in ("rgb", "poses", "calibration"):
            files = sorted((scene / "all" / section / layer).iterdir())
            (scene / section / layer).mkdir(parents=True)
            for i in evenly_chosen(len(files), most if section == "train" else len(files)):
                shutil.copy(files[i], scene / section / layer)
    return seconds


def _nerfstudio(source: Path, scene: Path, section: str, *words: object) -> float:
    listed = ("--section", section, "--list", source / f"{section}.txt")
    return run("setup", "nerfstudio", "--source", source, "--out", scene, *listed, *words)


PLACES: dict[str, Callable[[Path, Path], float]] = {
    "fountain": fountain,
    "fountain-colmap": fountain_colmap,
    "fox": fox,
    "kitchen": kitchen,
    **{f"kitchen-{count}": partial(kitchen, most=count) for count in (20, 8, 4)},
}


def measure(place: str, data: Path, out: Path, seed: int, preset: tuple[str, ...]) -> dict[str, Any]:
    """Set-up, training and test of one place; `preset` is its name, and flags for `transpose train`."""
    scene, model = out / "scenes" / place, out / "runs" / f"{place}-{preset[0]}-{seed}"
    shutil.rmtree(scene, ignore_errors=True)
    seconds = {"set up": PLACES[place](data, scene)}
    words = ("--preset", *preset, "--out", model, "--seed", seed, "--overwrite")
    seconds["train"] = run("train", scene, "--sections", "train", *words)
    result = out / "results" / f"{place}-{preset[0]}-{seed}"
    table = tested(model, scene, "test", result)
    lines = (result / f"frames_{place}_test.jsonl").read_text(encoding="utf-8").splitlines()
    frames = [json.loads(line) for line in lines]
    given = [
        (each["error_m"] if "error_m" in each else each["error"], each["error_deg"]) for each in frames if each["pose"]
    ]
    return {"place": place, "seed": seed, "seconds": seconds, "given": given, **table}


def wrong(record: dict[str, Any], extent: float) -> int:
    """Poses that were given and are off by more than a tenth of the cameras' extent, or by 10 degrees."""
    return sum(length > 0.1 * extent or degrees > 10 for length, degrees in record["given"])


def extent_of(scene: Path) -> float:
    """The largest distance between two training cameras."""
    centers = np.array(
        [np.loadtxt(path, encoding="utf-8")[:3, 3] for path in sorted((scene / "train" / "poses").iterdir())]
    )
    return float(np.linalg.norm(centers[:, None] - centers, axis=2).max())


def main() -> None:
    """Measures the places and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--places", nargs="+", choices=list(PLACES), default=list(PLACES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more flags for transpose train; last")
    arguments = parser.parse_args()
    records, preset = [], (arguments.preset, *arguments.flags)
    for place in arguments.places:
        records.append(measure(place, arguments.data, arguments.out, arguments.seed, preset))
        content = json.dumps({"machine": machine(), "preset": preset, "places": records}, indent=2) + "\n"
        (arguments.out / "photos.json").write_text(content, encoding="utf-8")
    print(f"\n{machine()}\n\n| place | median | of the extent | worst given | given | wrong | set up, train, test |")
    print("|---|---|---|---|---|---|---|")
    for record in records:
        extent = extent_of(arguments.out / "scenes" / record["place"])
        length_n, degrees_n = np.array(record["given"]).T
        seconds = [*record["seconds"].values(), record["seconds_per_frame"] * record["frames"]]
        print(
            f"| {record['place']} | {np.median(length_n):.4f}, {np.median(degrees_n):.3f} deg "
            f"| {100 * np.median(length_n) / extent:.3f} % | {length_n.max():.4f}, {degrees_n.max():.3f} deg "
            f"| {len(length_n)} of {record['frames']} | {wrong(record, extent)} "
            f"| {' + '.join(f'{each:.0f}' for each in seconds)} s |"
        )


if __name__ == "__main__":
    main()
