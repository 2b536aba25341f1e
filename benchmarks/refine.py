"""Refinement by renders: the same runs with and without `--refine`, photo by photo.

    python benchmarks/refine.py --out results/refine --kitchen RUN SCENE WORLD [RUN SCENE WORLD ...] \
        --brighton RUN SCENE WORLD

Each run was trained on renders of WORLD alone, as `benchmarks/kitchen.py` and `benchmarks/brighton.py` do it; SCENE has
the photos as its section `test`. Prints a line a photo (error unrefined and refined, and by how many of its stated
standard deviations it became worse), and a table: medians, recalls, how many photos became worse by more than one
standard deviation of what the unrefined pose states, NEES, milliseconds a photo (wall clock, and CPU of all threads),
and by how many pixels of the photo the world, rendered at a pose, lies beside what the photo shows: in the median over
tracked points, at the poses found and at those recorded. That needs no truth, and tells how good the recorded poses
are for this world. Of Brighton the 8 photos count of which the model covers at least 40 %; it needs the scene's
`test_twin`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from brighton import ENOUGH_IN_VIEW, in_view
from stages import machine

import transpose
from transpose.evaluation.metrics import FrameResult
from transpose.geometry import Pose
from transpose.localization import Localizer, Query
from transpose.localization.refine_options import RefineOptions
from transpose.localization.refine_tracking import even_contrast, tracked
from transpose.localization.refine_views import RenderedViews
from transpose.scenes.layout import Frame, open_section
from transpose.scenes.resizing import fitted_height, resized_to_height
from transpose.worlds.world import load_world


@dataclass(frozen=True)
class Photo:
    """One photo, unrefined and refined; the CPU seconds of all threads beside the wall clock's.

    `beside_px`: how far the world lies beside the photo at the unrefined pose, the refined one and the recorded one.
    """

    plain: FrameResult
    refined: FrameResult
    cpu_seconds: tuple[float, float]
    beside_px: tuple[float, float, float]

    @property
    def worse_sigmas(self) -> float:
        """By how much farther off the refined position is, in standard deviations that the unrefined pose states."""
        covariance_66 = self.plain.estimate.covariance_66
        if covariance_66 is None:
            return 0.0
        sigma = float(np.sqrt(np.trace(covariance_66[3:, 3:])))
        return (self.refined.error[1] - self.plain.error[1]) / sigma

    def line(self) -> str:
        """For people."""
        (deg, m), (deg_refined, m_refined) = self.plain.error, self.refined.error
        return (
            f"{self.plain.stem}: {m:.4f} m {deg:.2f} deg -> {m_refined:.4f} m {deg_refined:.2f} deg "
            f"by {self.refined.estimate.by or self.refined.estimate.reason}, {self.worse_sigmas:+.2f} sigma"
        )


def measured(run: Path, scene: Path, world: Path) -> list[Photo]:
    """All photos of the section `test`, by a run with and without refinement; the first photo warms up."""
    plain, refined = transpose.load(run), transpose.load(run, refine=True, world=world)
    views = RenderedViews(load_world(world), torch.device("cpu"))
    frames = open_section(scene / "test").frames
    _timed(plain, frames[0])
    _timed(refined, frames[0])
    photos = []
    for frame in frames:
        (first, cpu_plain), (second, cpu_refined) = _timed(plain, frame), _timed(refined, frame)
        poses = (first.estimate.pose, second.estimate.pose, frame.pose)
        beside = [beside_px(views, frame, pose) for pose in poses]
        photos.append(Photo(first, second, (cpu_plain, cpu_refined), (beside[0], beside[1], beside[2])))
        print(photos[-1].line(), flush=True)
    return photos


def beside_px(views: RenderedViews, frame: Frame, pose: Pose | None) -> float:
    """By how many pixels of a photo its world at `pose` lies beside it, in the median; NaN without a pose."""
    if pose is None:
        return float("nan")
    size = RefineOptions()
    rows = fitted_height(frame.camera, size.pixels) or frame.camera.height
    image_hw3, camera = resized_to_height(frame.image(), frame.camera, rows)
    view = views.view(camera, pose, size.max_keypoints)
    moved_n2 = tracked(view.grey_hw, even_contrast(image_hw3), view.px_n2) - view.px_n2
    return float(np.nanmedian(np.linalg.norm(moved_n2, axis=1))) * frame.camera.width / camera.width


def _timed(localizer: Localizer, frame: Frame) -> tuple[FrameResult, float]:
    query = Query(frame.image(), frame.camera)
    started, cpu = time.perf_counter(), time.process_time()
    estimate = localizer.localize_query(query)
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - started
    return FrameResult(frame.stem, frame.pose, estimate, seconds), cpu


def summed_up(name: str, photos: list[Photo], within: tuple[float, float]) -> list[str]:
    """Three lines of the table; `within`: metres and degrees of the recall."""
    lines = []
    for index, what in enumerate(("unrefined", "refined")):
        results = [(each.plain, each.refined)[index] for each in photos]
        degrees_n, metres_n = np.array([result.error for result in results]).T
        recall = float(((metres_n < within[0]) & (degrees_n < within[1])).mean())
        worse = sum(each.worse_sigmas > 1 for each in photos) if index else 0
        lines.append(
            f"| {name} | {what} | {np.isfinite(metres_n).sum()} of {len(photos)} | {np.median(metres_n):.4f} m, "
            f"{np.median(degrees_n):.2f} deg | {100 * recall:.0f} % | {worse} "
            f"| {np.nanmedian([result.nees for result in results]):.1f} "
            f"| {1000 * np.median([result.seconds for result in results]):.0f} "
            f"| {1000 * np.median([each.cpu_seconds[index] for each in photos]):.0f} "
            f"| {np.nanmedian([each.beside_px[index] for each in photos]):.1f} |"
        )
    recorded_px = np.nanmedian([each.beside_px[2] for each in photos])
    return [*lines, f"| {name} | recorded poses {'| ' * 7}| {recorded_px:.1f} |"]


def main() -> None:
    """Measures what was named and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kitchen", type=Path, nargs="*", default=[], metavar="RUN SCENE WORLD")
    parser.add_argument("--brighton", type=Path, nargs="*", default=[], metavar="RUN SCENE WORLD")
    arguments = parser.parse_args()
    lines: list[str] = []
    for place, given, within in (
        ("kitchen", arguments.kitchen, (0.02, 2.0)),
        ("brighton", arguments.brighton, (1.0, 2.0)),
    ):
        if len(given) % 3:
            parser.error(f"--{place} takes RUN SCENE WORLD, or several times these three")
        for run, scene, world in zip(given[::3], given[1::3], given[2::3], strict=True):
            photos = measured(run, scene, world)
            if place == "brighton":
                seen = in_view(scene / "test_twin")
                photos = [each for each in photos if seen[each.plain.stem] >= ENOUGH_IN_VIEW]
            lines += summed_up(f"{place} {run.name}", photos, within)
    header = "| run | | posed | median | within 2 cm 2 deg, 1 m 2 deg | worse by over 1 sigma | NEES | ms | CPU ms "
    header += "| world beside the photo, px |"
    table = "\n".join([machine(), "", header, "|---" * 10 + "|", *lines])
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "refine.md").write_text(table + "\n", encoding="utf-8")
    record = json.dumps({"machine": machine(), "rows": lines}, indent=2) + "\n"
    (arguments.out / "refine.json").write_text(record, encoding="utf-8")
    print("\n" + table)


if __name__ == "__main__":
    main()
