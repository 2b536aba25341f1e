"""Whether 90 % ellipsoids hold 90 % of the true poses, over several places, and in the photos hardest to learn.

    python benchmarks/coverage.py RUN=SCENE/SECTION... --out results/coverage [--trained SCENE/SECTION...]

Localizes every frame of the sections by their runs. A line for each place, one for all photos, and one for the
quarter of them farthest from the views that were learned from: the least over these of hypot(shift of the camera in
units of its distance from what it sees, angle between the two in radians). What a section says of its truth's own
error is added to the covariances. Training views are those that the run names, or `--trained`, one for each run.
Writes `coverage.json`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stages import machine

from transpose.app.console import progress
from transpose.evaluation.metrics import FrameResult
from transpose.localization import Localizer, Query, load
from transpose.losses.calibration import chi2_quantile
from transpose.scenes.layout import Section, open_section
from transpose.storage import write_json


@dataclass(frozen=True)
class Told:
    """What came of one photo: its NEES, NaN where it was refused, and how far it is from what was learned."""

    place: str
    nees: float
    metres: float
    degrees: float
    distance: float


def distances(truth_n44: np.ndarray, views_v44: np.ndarray, viewing_n: np.ndarray) -> np.ndarray:
    """Of poses (n,) to the nearest of some views; see the module.

    Args:
        truth_n44: camera to world.
        views_v44: of the views.
        viewing_n: how far from the cameras what they see is, metres.
    """
    shift_nv = np.linalg.norm(truth_n44[:, None, :3, 3] - views_v44[:, :3, 3], axis=-1) / viewing_n[:, None]
    trace_nv = np.einsum("nij,vij->nv", truth_n44[:, :3, :3], views_v44[:, :3, :3])
    return np.asarray(np.hypot(shift_nv, np.arccos(((trace_nv - 1) / 2).clip(-1, 1))).min(1))


def told(localizer: Localizer, section: Section, trained: list[Section], name: str) -> list[Told]:
    """All frames of a section."""
    results = []
    for frame in progress(section.frames, name, len(section.frames)):
        found = localizer.localize_query(Query.of(localizer.camera, frame.image(), frame.camera))
        results.append(FrameResult(frame.stem, frame.pose, found, 0.0, truth_error=section.facts.truth_error))
    views_v44 = np.stack([frame.pose.T_wc for each in trained for frame in each.frames])
    known = [each.estimate.distance for each in results if each.estimate.distance is not None]
    viewing_n = np.array([each.estimate.distance or np.median(known) for each in results])
    distance_n = distances(np.stack([each.truth.T_wc for each in results]), views_v44, viewing_n)
    return [
        Told(name, each.nees, each.error[1], each.error[0], float(distance))
        for each, distance in zip(results, distance_n, strict=True)
    ]


def line(name: str, rows: list[Told]) -> str:
    """Markdown."""
    given = [row for row in rows if np.isfinite(row.nees)]
    if not given:
        return f"| {name} | 0 of {len(rows)} | - | - | - |"
    nees_n = np.array([row.nees for row in given])
    held = int((nees_n <= chi2_quantile(0.9, 6)).sum())
    error = f"{np.median([row.metres for row in given]):.3g} m, {np.median([row.degrees for row in given]):.2g} deg"
    share = f"{held} of {len(given)} ({100 * held / len(given):.0f} %)"
    return f"| {name} | {len(given)} of {len(rows)} | {error} | {np.median(nees_n):.1f} | {share} |"


def main() -> None:
    """Localizes, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", nargs="+", metavar="RUN=SCENE/SECTION")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trained", nargs="*", type=Path, default=[], help="sections, one for each run")
    arguments = parser.parse_args()
    rows = list[Told]()
    for number, each in enumerate(arguments.of):
        run, _, path = each.partition("=")
        localizer = load(run)
        learned = localizer.checkpoint.provenance
        paths = arguments.trained[number : number + 1] or [
            Path(learned.scene or "") / name for name in learned.sections
        ]
        rows += told(localizer, open_section(Path(path)), [open_section(path) for path in paths], path)
    print(f"\n{machine()}\n")
    print("| photos | given | median of these | median NEES | in the 90 % ellipsoid |\n|---|---|---|---|---|")
    for name in dict.fromkeys(row.place for row in rows):
        print(line(name, [row for row in rows if row.place == name]))
    far = np.quantile([row.distance for row in rows], 0.75)
    print(line("all", rows))
    print(line("the farthest quarter", [row for row in rows if row.distance >= far]))
    write_json(arguments.out / "coverage.json", {"machine": machine(), "photos": [row.__dict__ for row in rows]})


if __name__ == "__main__":
    main()
