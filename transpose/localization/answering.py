"""From correspondences to the answer: the focal length settled where it is not known, the covariance calibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.covariance import CameraErrors, calibrated
from transpose.localization.focal import POORLY_KNOWN, Focused, with_focal
from transpose.localization.localizer import GUESSED_FOCAL
from transpose.localization.options import LocalizationOptions
from transpose.localization.seeing import SeenImage
from transpose.runs import Calibration
from transpose.solvers import PoseEstimate

# That a focal length is right of which the photo's metadata, or nothing but the training images' camera, tells.
_RIGHT: dict[str, float] = {"exif": 0.98, "training": 0.5}


def answered(
    seen: SeenImage, solve: Callable[[Camera], Candidate], calibration: Calibration, options: LocalizationOptions
) -> PoseEstimate:
    """The estimate that users get.

    Args:
        seen: the image at the learned scale. With measured depth its focal length is taken as it is.
        solve: the pose for a camera of that image.
        calibration: of the run.
        options: of the localizer.
    """
    query, errors = seen.query, options.systematic
    by_exif = query.source == "exif"
    if query.depth_hw is not None or (query.focal_sigma <= POORLY_KNOWN and not by_exif):
        found = Focused(solve(seen.camera), seen.camera, query.focal_sigma)
    else:
        found = with_focal(
            solve,
            seen.camera,
            max(query.focal_sigma, GUESSED_FOCAL),
            right=_RIGHT.get(query.source, 0.0),
            scale=calibration.scale,
            correlation_px=options.correlation_px,
            center=errors.uncalibrated_center,
            tolerance=query.focal_sigma if by_exif else 0.0,
        )
    off = CameraErrors.of(replace(query, focal_sigma=found.sigma), errors)
    estimate = calibrated(found.candidate, found.camera, calibration.scale, off)
    factor = found.camera.fx / seen.camera.fx
    camera = replace(query.camera, fx=query.camera.fx * factor, fy=query.camera.fy * factor)
    return replace(estimate, camera=camera, focal_sigma=off.focal)
