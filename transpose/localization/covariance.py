"""From a chosen candidate to the estimate that users get: its covariance, calibrated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.localizer import Query
from transpose.localization.systematic import SystematicErrors, systematic_covariance
from transpose.solvers import PoseEstimate


@dataclass(frozen=True)
class CameraErrors:
    """What is wrong with a camera and a map as a whole, as standard deviations; see `systematic_covariance`."""

    focal: float
    center: float
    map: float

    @classmethod
    def of(cls, query: Query, errors: SystematicErrors) -> CameraErrors:
        """By how the camera of a query is known."""
        center = errors.center if query.is_calibrated else errors.uncalibrated_center
        return cls(math.hypot(errors.focal, query.focal_sigma), center, errors.map)


def systematic_part(candidate: Candidate, camera: Camera, errors: CameraErrors) -> np.ndarray:
    """Covariance (6, 6) of a candidate's pose that no number of points averages away; zero without a pose."""
    if candidate.pose is None:
        return np.zeros((6, 6))
    return systematic_covariance(
        candidate.inlier_points_m3,
        camera,
        candidate.pose,
        focal=errors.focal,
        center=errors.center,
        map_=errors.map,
    )


def calibrated(
    candidate: Candidate, camera: Camera, scale: Callable[[str], float], errors: CameraErrors
) -> PoseEstimate:
    """The estimate with the covariance that users get.

    Args:
        candidate: that was chosen.
        camera: of the image in which it was found.
        scale: factor on the covariance estimated from the residuals, by what gave the pose.
        errors: of camera and map.
    """
    estimate = candidate.estimate
    if estimate.pose is None or estimate.covariance_66 is None:
        return estimate
    residual_66 = scale(estimate.by) * estimate.covariance_66
    return replace(estimate, covariance_66=residual_66 + systematic_part(candidate, camera, errors))
