"""Poses found by `transpose setup reconstruct` from photos alone, against those that were published with the photos.

    python benchmarks/reconstruct.py --data ../shared/data --out results/reconstruct [--places fox ...] [--seed 0]

The command sees the photos and nothing else; neither focal length nor poses. What it finds is brought onto the
published poses by one similarity (Umeyama 1991, least squares), and differences of camera centres are told in per cent
of the published cameras' extent. Rotations are compared after that; one turn common to all cameras, which the
principal point and the axes of the published camera decide, is taken out and told beside.
Writes `reconstruct.json` and prints the table with wall-clock times.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stages import machine, run

from transpose.geometry.poses import Pose, project_to_rotation, rotation_error_deg
from transpose.geometry.similarity import similarity_between
from transpose.scenes.layout import open_section
from transpose.scenes.setup.photo_files import stem_of
from transpose.scenes.setup.photos import read_posed_photos
from transpose.scenes.unit import cameras_extent
from transpose.selection import evenly_chosen


def _of_nerfstudio(source: Path, work: Path) -> dict[str, tuple[Path, Pose]]:
    run("setup", "nerfstudio", "--source", source, "--out", work / "truth", "--section", "all")
    frames = open_section(work / "truth" / "all").frames
    names = {frame.stem.removeprefix("images-"): frame.pose for frame in frames}
    return {name: (source / "images" / f"{name}.jpg", pose) for name, pose in names.items()}


def _kitchen(source: Path, work: Path) -> dict[str, tuple[Path, Pose]]:
    """60 of the training photos, evenly spread, with the SfM poses that were published for them."""
    truth = work / "truth"
    listed = ("--section", "train", "--list", source / "train.txt")
    run("setup", "7scenes", "--source", source, "--poses", source / "pgt_sfm.txt", "--out", truth, *listed)
    frames = open_section(truth / "train").frames
    chosen = [frames[i] for i in evenly_chosen(len(frames), 60)]
    return {frame.stem: (frame.paths["rgb"], frame.pose) for frame in chosen}


def _brighton(source: Path, _: Path) -> dict[str, tuple[Path, Pose]]:
    """A flight that looks straight down; its published poses are good to 0.4 m."""
    return {stem_of(photo.name): (photo.image, photo.pose) for photo in read_posed_photos(source)[1]}


PLACES: dict[str, Callable[[Path, Path], dict[str, tuple[Path, Pose]]]] = {
    "fox": _of_nerfstudio,
    "fountain": _of_nerfstudio,
    "kitchen": _kitchen,
    "brighton": _brighton,
}
# Nothing in photos that all look one way tells the focal length, and these have lost their metadata.
_SAID = {"brighton": lambda source: ("--focal", read_posed_photos(source)[1][0].lens.focal_px)}


def measure(place: str, data: Path, out: Path, seed: int) -> dict[str, Any]:
    """The command on a folder with nothing but photos in it, and how far its poses are from the published ones."""
    work = out / place
    shutil.rmtree(work, ignore_errors=True)
    truth = PLACES[place](data / place, work)
    photos = work / "photos"
    photos.mkdir(parents=True)
    for stem, (path, _) in truth.items():
        shutil.copy(path, photos / f"{stem}{path.suffix}")
    said = _SAID[place](data / place) if place in _SAID else ()
    seconds = run("setup", "reconstruct", "--source", photos, "--out", work / "scene", "--seed", seed, *said)
    section = open_section(work / "scene" / "train")
    found = {frame.stem: frame.pose for frame in section.frames}
    row = {"place": place, "photos": len(truth), "placed": len(found), "seconds": seconds, "seed": seed}
    row["focal_px"] = section.facts.record["cameras"][0]["fx"]
    return row | compared(found, {stem: pose for stem, (_, pose) in truth.items()})


def compared(found: Mapping[str, Pose], truth: Mapping[str, Pose]) -> dict[str, float]:
    """Differences after a similarity; lengths in per cent of the extent of the true cameras."""
    names = sorted(found)
    true_n3 = np.array([truth[name].center for name in names])
    extent = cameras_extent(np.array([pose.center for pose in truth.values()]))
    similarity = similarity_between(np.array([found[name].center for name in names]), true_n3)
    moved = [similarity.pose(found[name]) for name in names]
    error_n = 100 * np.linalg.norm([pose.center for pose in moved] - true_n3, axis=1) / extent
    turn_n33 = np.array([truth[name].R_wc.T @ pose.R_wc for name, pose in zip(names, moved, strict=True)])
    common_33 = project_to_rotation(turn_n33.sum(0))
    turned_deg_n = np.array([rotation_error_deg(common_33, turn_33) for turn_33 in turn_n33])
    return {
        "extent": extent,
        "median_percent": float(np.median(error_n)),
        "worst_percent": float(error_n.max()),
        "median_deg": float(np.median(turned_deg_n)),
        "worst_deg": float(turned_deg_n.max()),
        "common_deg": rotation_error_deg(common_33, np.eye(3)),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = [
        "| photos | placed | median | worst | turn, median, worst | common turn | focal length | time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['place']} | {r['placed']} of {r['photos']} | {r['median_percent']:.3f} % | {r['worst_percent']:.3f} % | "
        f"{r['median_deg']:.3f}, {r['worst_deg']:.3f} deg | {r['common_deg']:.2f} deg | {r['focal_px']:.0f} px | "
        f"{r['seconds']:.0f} s |"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures the places that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--places", nargs="+", choices=PLACES, default=list(PLACES))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = [measure(place, arguments.data, arguments.out, arguments.seed) for place in arguments.places]
    arguments.out.mkdir(parents=True, exist_ok=True)
    written = {"machine": machine(), "rows": rows}
    (arguments.out / "reconstruct.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    print(machine(), table(rows), sep="\n")


if __name__ == "__main__":
    main()
