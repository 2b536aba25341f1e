"""Localizes a section and writes what came out, in the files that DSAC*'s tools read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from transpose import runs
from transpose.cluster import Cluster
from transpose.errors import TransposeError
from transpose.evaluation.coordinate_calibration import CoordinateCalibration, plot_calibration
from transpose.evaluation.metrics import FrameResult, summarize
from transpose.geometry.poses import quaternion_wxyz
from transpose.localization import SceneCoordinateLocalizer
from transpose.pages.plots import plot_error_curve, plot_trajectory
from transpose.scenes.layout import Frame, Section
from transpose.storage import replacing_file, write_json


def localize_section(
    localizer: SceneCoordinateLocalizer,
    section: Section,
    progress: Callable[[Sequence[Frame]], Iterable[Frame]] = iter,
    rgbd: bool = False,
) -> list[FrameResult]:
    """Localizes every frame with its own intrinsics. Reading the image is not part of the time.

    With `rgbd` the frames' measured depth is used as well.

    Raises:
        TransposeError: a frame has no depth and `rgbd` asks for it.
    """
    _need_depth(section, rgbd)
    return [_localized(localizer, (frame, rgbd)) for frame in progress(section.frames)]


def localize_on_cluster(
    make: Callable[[], SceneCoordinateLocalizer],
    section: Section,
    address: str | None = None,
    progress: Callable[[Iterable[FrameResult]], Iterable[FrameResult]] = iter,
    rgbd: bool = False,
) -> list[FrameResult]:
    """`localize_section` by the workers of a ray cluster, each with a localizer of its own.

    Raises:
        TransposeError: as `localize_section`, or there is no cluster at `address`.
    """
    _need_depth(section, rgbd)
    frames = [
        (replace(frame, paths={layer: path.resolve() for layer, path in frame.paths.items()}), rgbd)
        for frame in section.frames
    ]
    with Cluster(make, address) as cluster:
        results = {result.stem: result for result in progress(cluster.run(_localized, frames))}
    return [results[frame.stem] for frame in section.frames]


def _need_depth(section: Section, rgbd: bool) -> None:
    if rgbd and not section.has("depth"):
        lacking = next(frame.stem for frame in section.frames if not frame.has("depth"))
        raise TransposeError(f"{section.path} has no depth for frame {lacking}; localize without it (mode 1)")


def _localized(localizer: SceneCoordinateLocalizer, asked: tuple[Frame, bool]) -> FrameResult:
    frame, rgbd = asked
    image_hw3, depth_hw = frame.image(), frame.depth() if rgbd else None
    started = time.perf_counter()
    if depth_hw is None:
        estimate = localizer.localize(image_hw3, frame.camera)
    else:
        estimate = localizer.localize_rgbd(image_hw3, depth_hw, frame.camera)
    return FrameResult(frame.stem, frame.pose, estimate, time.perf_counter() - started)


def write_results(
    results: Sequence[FrameResult],
    section: Section,
    run: Path,
    out: Path,
    calibration: CoordinateCalibration | None = None,
) -> dict[str, Any]:
    """Writes `results.json`, `poses_*.txt`, `test_*.txt` and the plots; returns the table.

    Where the coordinates were calibrated as well, that goes into the table, `calibration.json` and a plot.
    """
    out.mkdir(parents=True, exist_ok=True)
    name = f"{section.scene.resolve().name}_{section.name}"
    model = run / runs.MODEL_FILE
    table = summarize(results)
    table |= {
        "model_bytes": model.stat().st_size,
        "train_seconds": runs.load_model(run).get("train_seconds"),
        "run": str(run),
        "scene": str(section.scene),
        "section": section.name,
    }
    if calibration is not None:
        table["calibration"]["coordinates"] = calibration.as_json()
        write_json(out / "calibration.json", table["calibration"])
        if calibration.report is not None:
            plot_calibration(calibration, out / f"calibration_{name}.png")
    with replacing_file(out / f"poses_{name}.txt") as temporary:
        temporary.write_text("".join(pose_line(result) + "\n" for result in results))
    with replacing_file(out / f"test_{name}.txt") as temporary:
        centimetres = 100 * table["median_m"]
        temporary.write_text(f"{table['median_deg']:.6g} {centimetres:.6g} {table['seconds_per_frame']:.6g}\n")
    plot_error_curve({section.name: results}, out / f"errors_{name}.png")
    plot_trajectory(results, out / f"trajectory_{name}.png")
    write_json(out / "results.json", table)
    return table


def pose_line(result: FrameResult) -> str:
    """DSAC*'s line: `file qw qx qy qz tx ty tz rot_err_deg trans_err_m`, the pose world-to-camera."""
    degrees, metres = result.error
    if result.estimate.pose is None:
        values = np.full(7, np.nan)
    else:
        T_cw = result.estimate.pose.T_cw
        values = np.concatenate([quaternion_wxyz(T_cw[:3, :3]), T_cw[:3, 3]])
    return " ".join([result.stem, *(f"{value:.9g}" for value in values), f"{degrees:.6g}", f"{metres:.6g}"])
