"""Localizes a section and writes what came out, in the files that DSAC*'s tools read.

Each frame's outcome is on disk as soon as it is known (`frame_log`), and a frame that raises is a failed frame: neither
a broken image nor a test that is cut off costs what was localized before.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transpose.cluster import Cluster
from transpose.errors import TransposeError
from transpose.evaluation.coordinate_calibration import CoordinateCalibration
from transpose.evaluation.metrics import ERROR_PREFIX, FrameResult, summarize, table_unit, told_median
from transpose.evaluation.training_facts import training_facts
from transpose.geometry.poses import quaternion_wxyz
from transpose.localization import Localizer, Query
from transpose.ownership import sole_use
from transpose.scenes.layout import Frame, Section
from transpose.scenes.unit import SceneUnit
from transpose.solvers import PoseEstimate
from transpose.storage import replacing_file, write_json

log = logging.getLogger(__name__)
Record = Callable[[FrameResult], None]


def _unrecorded(_: FrameResult) -> None:
    """Results are in memory alone."""


def localize_section(
    localizer: Localizer,
    section: Section,
    progress: Callable[[Sequence[Frame]], Iterable[Frame]] = iter,
    rgbd: bool = False,
    record: Record = _unrecorded,
) -> list[FrameResult]:
    """Localizes every frame with its own intrinsics. Reading the image is not part of the time.

    A frame that raises is a failed frame, whose reason is "error: ..." (`FrameResult.raised`).

    Args:
        localizer: of the place.
        section: whose frames are localized.
        progress: wraps the frames as they are worked through.
        rgbd: the frames' measured depth is used as well.
        record: is given each result as soon as it is there.

    Raises:
        TransposeError: a true pose cannot be read, `rgbd` asks for depth that a frame lacks, the section is in metres
            and the localizer is not, or the other way round, or every frame raised.
    """
    _need_labels(section, rgbd)
    check_unit(localizer.checkpoint.unit, section)
    results = []
    for frame in progress(section.frames):
        results.append(replace(_localized(localizer, (frame, rgbd)), truth_error=section.facts.truth_error))
        record(results[-1])
    _need_some(results, section)
    return results


def localize_on_cluster(
    make: Callable[[], Localizer],
    section: Section,
    address: str | None = None,
    progress: Callable[[Iterable[FrameResult]], Iterable[FrameResult]] = iter,
    rgbd: bool = False,
    record: Record = _unrecorded,
) -> list[FrameResult]:
    """`localize_section` by the workers of a ray cluster, each with a localizer of its own.

    Raises:
        TransposeError: as `localize_section`, or there is no cluster at `address`.
    """
    _need_labels(section, rgbd)
    frames = [
        (replace(frame, paths={layer: path.resolve() for layer, path in frame.paths.items()}), rgbd)
        for frame in section.frames
    ]
    by_stem = {}
    with Cluster(make, address) as cluster:
        for result in progress(cluster.run(_localized, frames)):
            by_stem[result.stem] = replace(result, truth_error=section.facts.truth_error)
            record(result)
    results = [by_stem[frame.stem] for frame in section.frames]
    _need_some(results, section)
    return results


def _need_labels(section: Section, rgbd: bool) -> None:
    """Finds what is missing or broken before anything slow begins."""
    for frame in section.frames:
        _ = frame.pose
    if rgbd and not section.has("depth"):
        lacking = next(frame.stem for frame in section.frames if not frame.has("depth"))
        raise TransposeError(f"{section.path} has no depth for frame {lacking}; localize without it (mode 1)")


def check_unit(unit: SceneUnit, section: Section) -> None:
    """Refuses to measure metres in a unit of another kind.

    Args:
        unit: of the localizer.
        section: that is to be localized.

    Raises:
        TransposeError: one of them is in metres and the other is not.
    """
    if section.facts.metric == unit.metric:
        return
    if unit.metric:
        raise TransposeError(
            f"{section.path} is in a unit of its own and the localizer in metres, so its errors cannot be measured; "
            f"set {section.name} up again with --unit METRES_PER_UNIT (1 where it is the localizer's unit)"
        )
    raise TransposeError(
        f"{section.path} is in metres and the localizer in the unit of a scene that is not, so its errors cannot be "
        "measured; set up what it learned from in metres (--unit METRES_PER_UNIT, or --scale-from of setup "
        "reconstruct), and train again"
    )


def _need_some(results: Sequence[FrameResult], section: Section) -> None:
    if all(result.raised for result in results):
        first = results[0]
        why = first.estimate.reason.removeprefix(ERROR_PREFIX)
        raise TransposeError(f"no frame of {section.path} could be localized; the first, {first.stem}: {why}")


def _localized(localizer: Localizer, job: tuple[Frame, bool]) -> FrameResult:
    frame, rgbd = job
    started = time.perf_counter()
    try:
        image_hw3, depth_hw = frame.image(), frame.depth() if rgbd else None
        started = time.perf_counter()
        estimate = localizer.localize_query(Query(image_hw3, frame.camera, depth_hw=depth_hw))
    except (MemoryError, torch.OutOfMemoryError):
        raise  # what the machine lacks is not this frame's fault
    except Exception as error:  # whatever is wrong with one frame is a line of the results
        log.debug("%s", frame.stem, exc_info=True)
        kind = "" if isinstance(error, TransposeError) else f"{type(error).__name__}: "
        reason = ERROR_PREFIX + kind + " ".join(str(error).split())
        estimate = PoseEstimate(None, reason, np.zeros(0, bool))
    seconds = time.perf_counter() - started
    return FrameResult(frame.stem, frame.pose, estimate, seconds, localizer.checkpoint.unit)


def result_name(section: Section) -> str:
    """What files of a section's results are named after: SCENE_SECTION."""
    return f"{section.scene.resolve().name}_{section.name}"


@contextmanager
def frame_log(section: Section, out: Path) -> Iterator[Record]:
    """Opens `frames_SCENE_SECTION.jsonl` in the folder `out`, made if need be, for a line a frame as it is localized.

    A log that an earlier test left there is replaced: tests start anew.

    Raises:
        TransposeError: `out` cannot be a folder, since it is or lies in a file, or another process writes into it.
    """
    with sole_use(out), (out / f"frames_{result_name(section)}.jsonl").open("w", encoding="utf-8") as file:

        def record(result: FrameResult) -> None:
            file.write(json.dumps(_as_json(result)) + "\n")
            file.flush()

        yield record


def _as_json(result: FrameResult) -> dict[str, Any]:
    estimate, (degrees, length) = result.estimate, result.error
    covariance_66 = estimate.covariance_66
    known = estimate.pose is not None and covariance_66 is not None and bool(np.isfinite(covariance_66).all())
    return {
        "frame": result.stem,
        "pose": None if estimate.pose is None else estimate.pose.T_wc.tolist(),
        "reason": estimate.reason,
        **error_as_json(length if np.isfinite(length) else None, result.unit),
        "error_deg": degrees if np.isfinite(degrees) else None,
        "score": estimate.score,
        "confidence": estimate.confidence,
        "distance": estimate.distance,
        "refused": None if estimate.refused is None else estimate.refused.T_wc.tolist(),
        "alternatives": estimate.alternatives_as_json(),
        "inliers": estimate.inliers,
        "by": estimate.by,
        "covariance": covariance_66.tolist() if known and covariance_66 is not None else None,
        "seconds": result.seconds,
    }


def error_as_json(length: float | None, unit: SceneUnit) -> dict[str, float | None]:
    """A position error, in the scene's unit, under the names by which scripts know it; None where there is no pose."""
    if unit.metric:
        return {"error_m": length}
    return {"error": length, "error_percent": None if length is None else unit.told(length)}


def write_results(results: Sequence[FrameResult], section: Section, run: Path, out: Path) -> dict[str, Any]:
    """Writes `results.json`, `poses_*.txt` and `test_*.txt` into the folder `out`; returns the table."""
    name, training = result_name(section), training_facts(run)
    table = summarize(results)
    table |= {
        "model_bytes": training.model_bytes,
        "train_seconds": training.seconds,
        "training_complete": training.complete,
        "run": str(run.resolve()),  # whoever reads it may be in another folder
        "scene": str(section.scene.resolve()),
        "section": section.name,
    }
    with replacing_file(out / f"poses_{name}.txt") as temporary:
        temporary.write_text("".join(pose_line(result) + "\n" for result in results), encoding="utf-8")
    with replacing_file(out / f"test_{name}.txt") as temporary:
        # DSAC*'s: degrees, centimetres, seconds; per cent of the extent where there are no metres.
        hundredths = 100 * told_median(table) if table_unit(table).metric else told_median(table)
        line = f"{table['median_deg']:.6g} {hundredths:.6g} {table['seconds_per_frame']:.6g}\n"
        temporary.write_text(line, encoding="utf-8")
    write_json(out / "results.json", table)
    return table


def add_calibration(table: dict[str, Any], calibration: CoordinateCalibration, out: Path) -> dict[str, Any]:
    """Writes `calibration.json`, and the table with it as `results.json`; returns that table."""
    added = {**table, "calibration": {**table["calibration"], "coordinates": calibration.as_json()}}
    write_json(out / "calibration.json", added["calibration"])
    write_json(out / "results.json", added)
    return added


def pose_line(result: FrameResult) -> str:
    """DSAC*'s line: `file qw qx qy qz tx ty tz rot_err_deg trans_err`, the pose world-to-camera, the scene's unit."""
    degrees, length = result.error
    if result.estimate.pose is None:
        values = np.full(7, np.nan)
    else:
        T_cw = result.estimate.pose.T_cw
        values = np.concatenate([quaternion_wxyz(T_cw[:3, :3]), T_cw[:3, 3]])
    return " ".join([result.stem, *(f"{value:.12g}" for value in values), f"{degrees:.6g}", f"{length:.6g}"])
