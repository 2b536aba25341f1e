"""Reading back what `transpose test` wrote of each frame (`frames_SCENE_SECTION.jsonl`, of `evaluation.testing`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.evaluation.metrics import FrameResult
from transpose.evaluation.testing import result_name
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.scenes.layout import Section
from transpose.scenes.unit import SceneUnit
from transpose.solvers import PoseAlternative, PoseEstimate
from transpose.storage import read_json, read_text
from transpose.untrusted.values import BAD_VALUES

_MOST_INLIERS = 1 << 24  # no image has as many keypoints or cells


def read_frame_log(folder: Path, section: Section, unit: SceneUnit) -> list[FrameResult]:
    """The results of a section's test, with the true poses as they are now.

    Args:
        folder: of the results.
        section: that was tested.
        unit: in which errors are told.

    Raises:
        TransposeError: the log is missing or broken, is of another section, or of a test that was cut off over the
            results of an earlier one.
    """
    path = folder / f"frames_{result_name(section)}.jsonl"
    if not path.is_file():
        raise TransposeError(f"{path} does not exist; test the section again")
    truths = {frame.stem: frame for frame in section.frames}
    results = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            entry = json.loads(line)
            frame = truths[entry["frame"]]
            seen = entry["pose"] is not None or entry.get("refused") is not None  # else its image may be broken
            estimate, seconds = _estimate(entry, frame.camera if seen else None), float(entry["seconds"])
        except BAD_VALUES as error:
            raise TransposeError(f"{path}, line {number}, is no result of {section.path} ({error!r})") from None
        results.append(FrameResult(frame.stem, frame.pose, estimate, seconds, unit, section.facts.truth_error))
    _check_whole(folder, path, section, len(results))
    return results


def _check_whole(folder: Path, log: Path, section: Section, frames: int) -> None:
    """Refuses a log beside the table of an earlier test: that of the one that began it was never written."""
    file = folder / "results.json"
    table = read_json(file) if file.is_file() else {}
    if not isinstance(table, dict) or table.get("section") != section.name:
        return
    counted = table.get("frames")
    if isinstance(counted, int) and counted != frames:
        raise TransposeError(
            f"{log} holds {frames} frames and {file} tells of {counted}: a test was cut off; test the section again"
        )


def _estimate(entry: dict[str, Any], camera: Camera | None) -> PoseEstimate:
    """With as many inliers as were counted; which ones they were is not kept."""
    covariance, chance, distance = entry["covariance"], entry.get("confidence"), entry.get("distance")
    inliers = int(entry["inliers"])
    if not 0 <= inliers <= _MOST_INLIERS:
        raise ValueError(f"{inliers} inliers")
    return PoseEstimate(
        _pose(entry["pose"]),
        str(entry["reason"]),
        np.ones(inliers, bool),
        float(entry["score"]),
        covariance_66=None if covariance is None else np.array(covariance, np.float64).reshape(6, 6),
        by=str(entry["by"]),
        camera=camera,
        confidence=None if chance is None else float(chance),
        distance=None if distance is None else float(distance),
        refused=_pose(entry.get("refused")),
        alternatives=tuple(_alternative(each) for each in entry.get("alternatives", ())),
    )


def _alternative(entry: Any) -> PoseAlternative:
    return PoseAlternative(Pose(np.array(entry["pose"], np.float64).reshape(4, 4)), None, float(entry["weight"]))


def _pose(entry: Any) -> Pose | None:
    return None if entry is None else Pose(np.array(entry, np.float64).reshape(4, 4))
