"""Several poses of each tested frame, and the places where they gather, in one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transpose.evaluation.testing import error_as_json
from transpose.geometry.poses import Pose, pose_error
from transpose.localization import Localizer, Query
from transpose.localization.sampling import SampledPoses, sample_poses
from transpose.scenes.layout import Frame
from transpose.scenes.unit import SceneUnit
from transpose.solvers import PoseEstimate, PosteriorOptions
from transpose.storage import write_json


def write_samples(
    localizer: Localizer, frames: Iterable[Frame], options: PosteriorOptions, path: Path
) -> dict[str, Any]:
    """Samples poses of frames and writes them: for each its modes, with their errors, and all samples."""
    said = {}
    for frame in frames:
        found = sample_poses(localizer, Query(frame.image(), frame.camera), options)
        said[frame.stem] = _as_json(found, frame, localizer.checkpoint.unit)
    write_json(path, said)
    return said


def _as_json(found: SampledPoses | PoseEstimate, frame: Frame, unit: SceneUnit) -> dict[str, Any]:
    if isinstance(found, PoseEstimate):
        return {"reason": found.reason if found.pose is None else "not_fixed", "samples": [], "modes": []}
    modes = []
    for mode in found.modes:
        degrees, length = pose_error(Pose(mode.T_wc), frame.pose)
        errors = {"error_deg": degrees, **error_as_json(length, unit)}
        modes.append({"share": mode.fraction, "pose": mode.T_wc.tolist(), **errors})
    return {
        "reason": "ok",
        "by": found.by,
        "modes": modes,
        "covariance": found.covariance_66.tolist(),
        "samples": found.T_wc_m44.tolist(),
        "mode_of_sample": found.mode_m.tolist(),
    }
