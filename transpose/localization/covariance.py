"""From a chosen candidate to the estimate that users get: its covariance, calibrated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.error_model import error_model
from transpose.localization.query import Query
from transpose.localization.systematic import SystematicErrors, systematic_covariance
from transpose.solvers import PoseEstimate


@dataclass(frozen=True)
class CameraErrors:
    """What is wrong with a camera and a map as a whole, as standard deviations; see `systematic_covariance`."""

    focal: float
    center: float
    map: float

    @classmethod
    def of(cls, query: Query, errors: SystematicErrors, by: str) -> CameraErrors:
        """By how the camera of a query is known, and by what gave the pose: an error model tells what the map adds."""
        modelled = error_model(by) is not None
        focal, center = (errors.modelled, errors.modelled) if modelled else (errors.focal, errors.center)
        center = math.hypot(center, query.center_sigma) if query.is_calibrated else errors.uncalibrated_center
        return cls(math.hypot(focal, query.focal_sigma), center, 0.0 if modelled else errors.map)


EXACT = CameraErrors(0.0, 0.0, 0.0)  # of renders, which an exact camera took in an exact model


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


def stated_part(candidate: Candidate, camera: Camera) -> np.ndarray | None:
    """Covariance (6, 6) of a candidate's pose by its correspondences, not calibrated; None without one."""
    estimate = candidate.estimate
    if estimate.pose is None or estimate.covariance_66 is None:
        return None
    model = error_model(estimate.by)
    return estimate.covariance_66 if model is None else model.covariance(candidate, camera)


def calibrated(
    candidate: Candidate, camera: Camera, scale: Callable[[str], float], errors: CameraErrors
) -> PoseEstimate:
    """The estimate with the covariance that users get.

    Args:
        candidate: that was chosen.
        camera: of the image in which it was found.
        scale: factor on the covariance by its correspondences, by what gave the pose.
        errors: of camera and map.
    """
    estimate, stated_66 = candidate.estimate, stated_part(candidate, camera)
    if stated_66 is None:
        return estimate
    total_66 = scale(estimate.by) * stated_66 + systematic_part(candidate, camera, errors)
    return replace(estimate, covariance_66=total_66)
