"""What localizing costs: photos of the place and of other places, with known and with unknown focal length.

    python benchmarks/cost.py RUN SCENE/SECTION [--foreign FOLDER...] --out results/cost [--images 20]

Localizes so many photos of the section and of each other folder (the `rgb` of a section, or images), once with the
focal length of the training images, scaled to the photo, and once with none. Prints for each the processor's seconds a
photo, how many were placed, and the share of looking for other places that look alike. Set OMP_NUM_THREADS=1: seconds
of several threads add up, waiting included. Writes `cost.json`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from stages import machine

from transpose import runs
from transpose.app.console import progress
from transpose.evaluation.rejection import foreign_images
from transpose.localization.alternatives import Place
from transpose.localization.candidates import Candidate
from transpose.localization.encoded import Encoded
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
from transpose.scenes.files import read_image
from transpose.selection import evenly_chosen
from transpose.storage import write_json


class Timed(SceneCoordinateLocalizer):
    """Counts the processor's seconds of looking for other places."""

    elsewhere_s = 0.0

    def places(self, encoded: Encoded, found: Candidate, seed: int = 0) -> tuple[Place, ...]:
        """See `SceneCoordinateLocalizer`."""
        started = time.process_time()
        try:
            return super().places(encoded, found, seed)
        finally:
            self.elsewhere_s += time.process_time() - started


def measured(localizer: Timed, image_hw3: np.ndarray, known: bool) -> dict[str, Any]:
    """Seconds of one photo, and whether it was placed."""
    focal_px = localizer.camera.fx * max(image_hw3.shape) / max(localizer.camera.width, localizer.camera.height)
    localizer.elsewhere_s, started = 0.0, time.process_time()
    found = localizer.localize(image_hw3, focal_px=focal_px if known else "auto")
    seconds = time.process_time() - started
    return {"placed": found.is_located, "seconds": seconds, "elsewhere": localizer.elsewhere_s}


def of_folder(localizer: Timed, folder: Path, images: int) -> list[dict[str, Any]]:
    """Photos of one folder, with known focal length and without."""
    paths = foreign_images(folder)
    chosen = [read_image(paths[i]) for i in evenly_chosen(len(paths), min(images, len(paths)))]
    localizer.localize(chosen[0])  # what is loaded once is no photo's
    return [
        {"photos": str(folder), "known": known, **measured(localizer, each, known)}
        for known in (True, False)
        for each in progress(chosen, f"{folder}, focal length {'' if known else 'un'}known", len(chosen))
    ]


def print_table(rows: list[dict[str, Any]]) -> None:
    """Markdown."""
    print(f"\n{machine()}\n")
    print("| photos | focal length | shown | placed | median, most CPU s | looking for other places |")
    print("|---|---|---|---|---|---|")
    for photos, known in dict.fromkeys((row["photos"], row["known"]) for row in rows):
        same = [row for row in rows if (row["photos"], row["known"]) == (photos, known)]
        seconds, placed = [row["seconds"] for row in same], sum(row["placed"] for row in same)
        share = 100 * sum(row["elsewhere"] for row in same) / sum(seconds)
        focal = "known" if known else "unknown"
        cost = f"{np.median(seconds):.2f}, {max(seconds):.2f}"
        print(f"| {photos} | {focal} | {len(same)} | {placed} | {cost} | {share:.1f} % |")


def main() -> None:
    """Measures all folders and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("section", type=Path)
    parser.add_argument("--foreign", type=Path, nargs="*", default=[])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    localizer = Timed(runs.load_model(arguments.run))
    rows = [
        row
        for folder in (arguments.section, *arguments.foreign)
        for row in of_folder(localizer, folder, arguments.images)
    ]
    write_json(arguments.out / "cost.json", {"machine": machine(), "run": str(arguments.run), "images": rows})
    print_table(rows)


if __name__ == "__main__":
    main()
