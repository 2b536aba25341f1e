"""How far off poses are, by what they rest on: learned once over places that are not yours, and shipped.

A solver's covariance says what scattered residuals do to a pose. Errors that correspondences share (of the map, of the
lens, of where a renderer puts a pixel) it cannot see; how large they are, `Evidence.misfit_px` and the residuals tell.
The coefficients are those of `error_models.json`, which `benchmarks/pretrain_errors.py` writes: of renders of several
procedural places, seen with wrong cameras and warped maps, the likelihood of their pose errors is largest with them. No
photo and no place of a published figure took part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.evidence import Evidence
from transpose.localization.systematic import systematic_covariance
from transpose.runs import Calibration

_USUAL_RESIDUAL_PX = 2.0
_UNTESTED_SCALE = 4.0  # errors twice as large as those of places whose maps were tested


@dataclass(frozen=True)
class ErrorModel:
    """Errors of poses of one kind.

    With s = hypot(`floor_px` (residual / 2 px)^`floor_power`, `misfit_factor` (misfit / 1 px)^`misfit_power`) pixels,

        C = `conformal` (`residual_scale` C_solver
                         + systematic_covariance(focal = `focal` s / f, center = s / f, map = `map` s / f)).

    Attributes:
        residual_scale: on the solver's covariance.
        floor_px, floor_power, misfit_factor, misfit_power: of the shared error s.
        focal: what it does like a wrong focal length, relative to what it does like a shift of the image.
        map: what it does like a shift of the place.
        conformal: with which 90 % ellipsoids hold 90 % of the poses that the model was fitted to: their errors have
            heavier tails than a normal distribution, so that the likeliest covariances hold fewer.
    """

    residual_scale: float
    floor_px: float
    floor_power: float
    misfit_factor: float
    misfit_power: float
    focal: float
    map: float
    conformal: float = 1.0

    def shared_px(self, evidence: Evidence) -> float:
        """The standard deviation, along an axis, of what all pixels are off by together."""
        floor = self.floor_px * (evidence.residual_px / _USUAL_RESIDUAL_PX) ** self.floor_power
        return math.hypot(floor, self.misfit_factor * evidence.misfit_px**self.misfit_power)

    def covariance(self, candidate: Candidate, camera: Camera) -> np.ndarray:
        """Covariance (6, 6) over xi of a candidate that has a pose and the solver's covariance.

        Args:
            candidate: of this kind.
            camera: of the image in which it was found.
        """
        assert candidate.pose is not None and candidate.estimate.covariance_66 is not None
        shared = self.shared_px(Evidence.of(candidate, camera)) / camera.fx
        points_m3, pose = candidate.inlier_points_m3, candidate.pose
        shared_66 = systematic_covariance(
            points_m3, camera, pose, focal=self.focal * shared, center=shared, map_=self.map * shared
        )
        return self.conformal * (self.residual_scale * candidate.estimate.covariance_66 + shared_66)


def error_model(by: str) -> ErrorModel | None:
    """The model of poses by "landmarks", "recognition" or "coordinates"; None of a kind that has none."""
    return _models().get(by)


def scale_of(calibration: Calibration) -> Callable[[str], float]:
    """The factor on stated covariances, by what gave the pose; of a kind with a model, also where no frames told it."""

    def of_kind(by: str) -> float:
        doubted = error_model(by) is not None and not calibration.measured(by)
        return _UNTESTED_SCALE if doubted else calibration.scale(by)

    return of_kind


def residual_scale(scale: Callable[[str], float]) -> Callable[[str], float]:
    """The factor on variances that residuals alone tell, by what gave the pose.

    Args:
        scale: of a run's calibration, on top of what its kind's model says.
    """

    def of_kind(by: str) -> float:
        model = error_model(by)
        return scale(by) * (1.0 if model is None else model.conformal * model.residual_scale)

    return of_kind


@cache
def _models() -> Mapping[str, ErrorModel]:
    return {by: ErrorModel(**each["covariance"]) for by, each in shipped().items() if "covariance" in each}


@cache
def shipped() -> Mapping[str, Mapping[str, Any]]:
    """What the package knows of errors, by kind of pose."""
    text = resources.files("transpose.localization").joinpath("error_models.json").read_text("utf-8")
    kinds: dict[str, Any] = json.loads(text)["kinds"]
    return kinds
