"""What the package ships of its errors (`localization/error_models.json`): learned on places that are nobody's.

    python benchmarks/pretrain_errors.py --out results/errors [--places air street oblique] [--views 300] [--queries 90]
        [--steps 1800] [--kinds landmarks recognition coordinates matches] [--keep] [--write]

Builds villages of seeds that no published figure is of, trains `fast` on renders of each, makes a database to match
with (preset `matching`), and localizes other renders: from farther away, at other angles, as a camera of another day
takes them, with cameras and maps that are off by up to 1 % (log-uniformly: a camera's focal length and principal
point, a map by a smooth field of displacements). Then images that show nothing, another place, or the place mirrored.
Of the poses, before any is refused, it fits covariances (`ErrorModel`) and confidences (`ConfidenceModel`), and
prints how well each place is told by the others. What another pose of an image counts (`confidence.beside_rival`) is
fitted to these and to the queries blurred, dark, noisy and mostly hidden, and in mosaics, and so are confidences by
coordinates of cells; `--keep` fits these two alone, and the factor that makes covariances hold what they state, beside
the package's other weights. `--kinds` leaves the other
kinds of poses as the package has them. `--write` replaces the package's file.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from error_candidates import OPTIONS, ByDatabase, ByNetwork, Finder
from error_records import KINDS, NETWORK, confidences_of, fitted, print_confidences, print_table, rivals_beside, widened
from hostile_images import hardly_seen, of_nothing, taken_apart
from map_warp import Warp
from stages import machine, run

import transpose.localization
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import invert, log_se3
from transpose.localization import Query, SceneCoordinateLocalizer, load
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import RIGHT, features
from transpose.localization.contradiction import rival_support
from transpose.localization.error_model import shipped
from transpose.localization.evidence import Evidence
from transpose.localization.matching.localizer import MatchingLocalizer
from transpose.localization.systematic import systematic_covariance
from transpose.scenes.layout import Frame, open_section
from transpose.selection import evenly_chosen
from transpose.storage import write_json
from transpose.training.pose_calibration import displacement

_LARGEST = 0.01  # relative, of what is drawn
_SMALLEST = 0.0001


@dataclass(frozen=True)
class Place:
    """A village and how it is flown over: (metres above ground, degrees of pitch) of training and of queries."""

    seed: int
    season: str
    above: tuple[float, float]
    pitch: tuple[float, float]
    far_above: tuple[float, float]
    far_pitch: tuple[float, float]


PLACES = {
    "air": Place(101, "summer", (25, 50), (-90, -40), (20, 60), (-90, -35)),
    "street": Place(102, "autumn", (2, 8), (-25, 5), (1.5, 10), (-30, 10)),
    "oblique": Place(103, "summer", (15, 40), (-60, -20), (12, 50), (-70, -15)),
}


def made(out: Path, name: str, arguments: argparse.Namespace) -> Path:
    """The folder of a place, with its scene and runs, built where they are not yet there."""
    place, root = PLACES[name], out / name
    world, scene = root / "world", root / "scene"
    steps = [
        (world / "world.json", ("build", "village", "--seed", place.seed, "--season", place.season, "--out", world)),
        (
            scene / "train" / "section.json",
            ("render", world, "--out", scene / "train", "--views", arguments.views, "--above", *place.above,
             "--pitch", *place.pitch, "--yaw", -45, 45, "--roll", -10, 10, "--margin", 0.36, "--seed", 1),
        ),
        (
            scene / "query" / "section.json",
            ("render", world, "--out", scene / "query", "--views", arguments.queries, "--above", *place.far_above,
             "--pitch", *place.far_pitch, "--yaw", -70, 70, "--roll", -20, 20, "--margin", 0.34, "--min-seen", 0.4,
             "--seed", 2, "--appearance", "photo", "--appearance-seed", place.seed,
             "--appearance-strength", 0.7),
        ),
    ]  # fmt: skip
    learn = ("train", scene, "--sections", "train", "--out")
    if set(arguments.kinds) & set(NETWORK):
        steps.append((root / "run" / "model.pt", (*learn, root / "run", "--steps", arguments.steps)))
    if "matches" in arguments.kinds:
        steps.append((root / "matching" / "model.pt", (*learn, root / "matching", "--preset", "matching")))
    for result, words in steps:
        if not result.exists():
            run(*words)
    return root


def of_queries(finder: Finder[Any], frames: list[Frame], rng: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Records of the poses of frames, spoiled, and whole by an exact camera and map and by some that are off."""
    records, points_n3 = [], finder.points()
    spoiled = itertools.cycle(range(4))
    for frame in frames:
        depth_m = float(np.nanmedian(frame.depth()))
        exact = finder.image(Query.of(finder.camera, frame.image(), frame.camera))
        *_, (_, hardly) = itertools.islice(hardly_seen(frame.image(), rng), next(spoiled) + 1)
        worse = finder.image(Query.of(finder.camera, hardly, frame.camera))
        for draw in range(-1, draws + 1):
            off = np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST), 2)) if draw > 0 else np.zeros(2)
            image, warp = (worse if draw < 0 else exact), None
            camera = image.seen.camera
            if draw > 0:
                camera = wrong_camera(camera, float(off[0]), rng)
                warp = Warp.drawn(points_n3, float(off[1]) * depth_m, rng)
            for kind, candidate in finder.found(image, camera, warp):
                if candidate.pose is not None:
                    records.append(record(kind, candidate, camera, frame, off, draw < 0))
                    if kind == "matches" and records[-1]["right"]:
                        break  # others are looked for where one is not right
    return records


def wrong_camera(camera: Camera, sigma: float, rng: np.random.Generator) -> Camera:
    """A camera whose focal length and principal point are off by a relative standard deviation."""
    factor, (right, down) = 1 + sigma * rng.normal(), sigma * camera.fx * rng.normal(size=2)
    return replace(camera, fx=camera.fx * factor, fy=camera.fy * factor, cx=camera.cx + right, cy=camera.cy + down)


def record(
    kind: str, candidate: Candidate, camera: Camera, frame: Frame, off: np.ndarray, extra: bool
) -> dict[str, Any]:
    """What the fits need of a pose whose truth is known."""
    assert candidate.pose is not None
    evidence, points_m3 = Evidence.of(candidate, camera), candidate.inlier_points_m3

    def one(**which: float) -> np.ndarray:
        zero = {"focal": 0.0, "center": 0.0, "map_": 0.0}
        assert candidate.pose is not None
        return systematic_covariance(points_m3, camera, candidate.pose, **{**zero, **which})

    largest = float(off.max())
    return {
        **judged(kind, candidate, camera, displacement(candidate, frame) < RIGHT, extra),
        "xi": log_se3(invert(candidate.pose.T_wc) @ frame.pose.T_wc),
        "solver": candidate.estimate.covariance_66,
        "focal": one(focal=1.0),
        "center": one(center=1.0),
        "map": one(map_=1.0),
        "drawn": (off[0], off[0]),
        "focal_px": camera.fx,
        "residual_px": evidence.residual_px,
        "misfit_px": evidence.misfit_px,
        "quality": 0 if largest == 0 else 1 + int(np.digitize(largest, [0.001, 0.003])),
    }


def judged(kind: str, candidate: Candidate, camera: Camera, right: bool, extra: bool) -> dict[str, Any]:
    """What the fits of confidences need; of `extra` images, the fit of rivals alone."""
    evidence = Evidence.of(candidate, camera)
    rival = 0.0 if kind == "coordinates" else rival_support(candidate, camera, OPTIONS)
    known = {"guided": evidence.guided, "right": right, "features": features(evidence), "rival": rival}
    return {"kind": kind, "extra": extra, **known}


def of_hostile(finder: Finder[Any], images: list[tuple[str, np.ndarray]]) -> list[dict[str, Any]]:
    """Records of poses that cannot be right."""
    records = []
    for what, image_hw3 in images:
        image = finder.image(Query.of(finder.camera, image_hw3))
        for kind, candidate in finder.found(image, image.seen.camera, None):
            if candidate.pose is not None:
                records.append(judged(kind, candidate, image.seen.camera, False, what.startswith("mosaic")))
    return records


def finders(root: Path, kinds: list[str]) -> Iterator[tuple[Path, Finder[Any]]]:
    """Where the records of each run of a place are kept, and what finds poses by it."""
    if set(kinds) & set(NETWORK):
        localizer = load(root / "run")
        assert isinstance(localizer, SceneCoordinateLocalizer)
        yield root.with_suffix(".pt"), ByNetwork(localizer)
    if "matches" in kinds:
        matching = load(root / "matching", options=OPTIONS)
        assert isinstance(matching, MatchingLocalizer)
        # Whatever a search finds, also by a run that nothing has calibrated yet.
        matching.options = replace(matching.options, min_landmarks=OPTIONS.min_landmarks)
        yield root.with_name(f"{root.name}-matches.pt"), ByDatabase(matching)


def measured(out: Path, names: list[str], arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Records of every place; of those whose file is there, from it."""
    roots = {name: made(out, name, arguments) for name in names}
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for name, root in roots.items():
        for path, finder in finders(root, arguments.kinds):
            if not path.exists():
                rng = np.random.default_rng(PLACES[name].seed)
                frames = list(open_section(root / "scene" / "query").frames)
                found = of_queries(finder, frames, rng, arguments.draws)
                others = [roots[other] for other in names if other != name]
                torch.save(found + of_hostile(finder, hostile(finder.camera, frames, others, rng)), path)
            records[name] += torch.load(path, weights_only=False)  # our own file of this very benchmark
    return records


def hostile(
    camera: Camera, frames: list[Frame], others: list[Path], rng: np.random.Generator
) -> list[tuple[str, np.ndarray]]:
    """Images that should get no pose: of nothing, of other places, and taken apart."""
    images = list(of_nothing(camera.width, camera.height, 6, rng))
    own = [frames[i].image() for i in evenly_chosen(len(frames), 24)]
    images += [apart for each in own for apart in taken_apart(each, rng)]
    for other in others:
        theirs = open_section(other / "scene" / "query").frames
        images += [("another place", theirs[i].image()) for i in evenly_chosen(len(theirs), 20)]
    return images


def main() -> None:
    """Measures, fits, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--places", nargs="+", choices=PLACES, default=list(PLACES))
    parser.add_argument("--views", type=int, default=300)
    parser.add_argument("--queries", type=int, default=90)
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--draws", type=int, default=3, help="wrong cameras and maps an image")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of poses, that are fitted")
    parser.add_argument("--keep", action="store_true", help="the package's weights; fit what is beside them")
    parser.add_argument("--write", action="store_true", help="replace the package's file")
    arguments = parser.parse_args()
    records = measured(arguments.out, arguments.places, arguments)
    print(machine())
    all_records = [row for rows in records.values() for row in rows]
    kinds = {kind: {**each, "confidence": dict(each["confidence"])} for kind, each in shipped().items()}
    if not arguments.keep:
        print_table(records, arguments.kinds)
    for kind in arguments.kinds:
        of_kind = [row for row in all_records if row["kind"] == kind]
        if not arguments.keep:
            kinds[kind] = fitted(all_records, kind)
        elif kind == "coordinates":
            kinds[kind]["confidence"] = confidences_of(of_kind)
        else:
            kinds[kind]["confidence"]["rival"] = rivals_beside(of_kind, kinds[kind]["confidence"])
            if "covariance" in kinds[kind]:
                known = [row for row in of_kind if not row["extra"]]
                kinds[kind]["covariance"] = widened(kinds[kind]["covariance"], known)
    print_confidences(records, kinds, [kind for kind in arguments.kinds if kind != "coordinates"])
    print(json.dumps(kinds, indent=2))
    write_json(arguments.out / "error_models.json", {"places": list(records), "kinds": kinds})
    if arguments.write:
        path = Path(transpose.localization.__file__).parent / "error_models.json"
        write_json(path, {"places": {name: PLACES[name].__dict__ for name in records}, "kinds": kinds})


if __name__ == "__main__":
    main()
