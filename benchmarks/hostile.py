"""Images that should get no pose, and images of the place of which little is left: who is fooled, and at what price.

    python benchmarks/hostile.py RUN SCENE/SECTION... --out results/hostile [--foreign FOLDER...] [--images 700]
        [--risk 0.01] [--unknown] [--only KIND...]

Shows a run so many images: of other places (`--foreign`), of nothing (noise, colours, text), photos of the sections
taken apart (mosaics, mirrored), and the same photos blurred, dark, noisy and hidden, whose pose is known; a third each,
cameras known unless `--unknown`. With `--only` all of them are photos taken apart, of some kinds. Prints for each kind
how many get a wrong pose, and of the sections' own photos how many right poses are kept of those that would be right
without any refusal, with reliability over all. Writes `hostile.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hostile_images import TAKEN_APART, hardly_seen, of_nothing, taken_apart
from stages import machine

from transpose.app.console import progress
from transpose.evaluation.metrics import FrameResult
from transpose.evaluation.rejection import foreign_images
from transpose.evaluation.reliability import Reliability
from transpose.geometry.cameras import Camera
from transpose.localization import Localizer, Query, load
from transpose.scenes.files import read_image
from transpose.scenes.layout import Frame, open_section
from transpose.selection import evenly_chosen


@dataclass(frozen=True, eq=False)
class Shown:
    """An image, its kind, its camera, and the frame whose pose it has, if any has it."""

    kind: str
    image_hw3: np.ndarray
    camera: Camera
    frame: Frame | None = None


def camera_of(localizer: Localizer, image_hw3: np.ndarray) -> Camera:
    """As wide as the training images."""
    height, width = image_hw3.shape[:2]
    if localizer.camera.has_shape_of(width, height):
        return localizer.camera.resized(width, height)
    return Camera.from_focal(localizer.camera.fx / localizer.camera.width * max(width, height), width, height)


def shown(localizer: Localizer, frames: list[Frame], foreign: list[Path], images: int, seed: int) -> Iterator[Shown]:
    """Everything that is shown, without the frames themselves."""
    rng = np.random.default_rng(seed)
    third = images // 3
    width, height = localizer.camera.width, localizer.camera.height
    elsewhere = [path for folder in foreign for path in foreign_images(folder)]
    for i in evenly_chosen(len(elsewhere), min(third, len(elsewhere))):
        image_hw3 = read_image(elsewhere[i])
        yield Shown("another place", image_hw3, camera_of(localizer, image_hw3))
    for kind, image_hw3 in of_nothing(width, height, max(1, third // 15), rng):
        yield Shown(kind, image_hw3, localizer.camera)
    yield from itertools.islice(apart(frames, rng), 2 * third // 3)
    hardly = (
        Shown(kind, image_hw3, frame.camera, frame)
        for frame in itertools.cycle(frames)
        for kind, image_hw3 in hardly_seen(frame.image(), rng)
    )
    yield from itertools.islice(hardly, third)


def apart(frames: list[Frame], rng: np.random.Generator) -> Iterator[Shown]:
    """Photos taken apart, without end."""
    for frame in itertools.cycle(frames):
        for kind, image_hw3 in taken_apart(frame.image(), rng):
            yield Shown(kind, image_hw3, replace(frame.camera, width=image_hw3.shape[1], height=image_hw3.shape[0]))


def answered(localizer: Localizer, each: Shown, known: bool) -> dict[str, Any]:
    """What came of one image."""
    camera = each.camera if known else None
    found = localizer.localize_query(Query.of(localizer.camera, each.image_hw3, camera))
    right = each.frame is not None and FrameResult("", each.frame.pose, found, 0.0).right
    return {"kind": each.kind, "given": found.pose is not None, "right": right, "confidence": found.confidence or 0.0}


def main() -> None:
    """Shows all images and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("sections", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--foreign", type=Path, nargs="*", default=[])
    parser.add_argument("--images", type=int, default=700)
    parser.add_argument("--risk", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unknown", action="store_true", help="nothing is said of the cameras of hostile images")
    parser.add_argument("--only", nargs="+", choices=TAKEN_APART, default=(), help="photos taken apart, of these kinds")
    arguments = parser.parse_args()
    localizer = load(arguments.run, risk=arguments.risk)
    frames = [frame for section in arguments.sections for frame in open_section(section).frames]
    own = (Shown("of the place", frame.image(), frame.camera, frame) for frame in frames)
    rows = [answered(localizer, each, True) for each in progress(own, "its own photos", len(frames))]
    if arguments.only:
        every = apart(frames, np.random.default_rng(arguments.seed))
        hostile = itertools.islice((each for each in every if each.kind in arguments.only), arguments.images)
    else:
        hostile = shown(localizer, frames, arguments.foreign, arguments.images, arguments.seed)
    rows += [
        answered(localizer, each, not arguments.unknown) for each in progress(hostile, "hostile", arguments.images)
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"machine": machine(), "run": str(arguments.run), "images": rows}, indent=1)
    (arguments.out / "hostile.json").write_text(content + "\n", encoding="utf-8")
    print_table(rows)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Markdown, a line for each kind of image, and what confidences are worth over all."""
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row)
    print(f"\n{machine()}\n")
    print("| images | shown | right pose given | wrong pose given | right, but refused |\n|---|---|---|---|---|")
    for kind, same in by_kind.items():
        given = sum(row["given"] and row["right"] for row in same)
        wrong = sum(row["given"] and not row["right"] for row in same)
        refused = sum(row["right"] and not row["given"] for row in same)
        print(f"| {kind} | {len(same)} | {given} | {wrong} | {refused} |")
    found = Reliability.of(np.array([r["confidence"] for r in rows]), np.array([r["right"] for r in rows]))
    print(f"\n{found.images} images: ECE {found.ece:.4f}, Brier {found.brier:.4f}, AURC {found.aurc:.4f}")
    print(f"(best {found.aurc_best:.4f})")


if __name__ == "__main__":
    main()
