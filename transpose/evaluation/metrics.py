"""Errors of poses, summed up: medians, recalls and the calibration of covariances. Failures count everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from transpose.evaluation.reliability import Reliability, image_shift
from transpose.evaluation.uncertainty import PoseCalibration
from transpose.geometry.poses import Pose, normalized_error, pose_error
from transpose.localization.confidence import RIGHT
from transpose.scenes.truth_error import TruthError
from transpose.scenes.unit import METRE, SceneUnit
from transpose.solvers import PoseEstimate

# name: (metres, degrees); recalls count errors strictly below both. Scripts rely on the names.
RECALL_BOUNDS: dict[str, tuple[float, float]] = {
    "1cm1deg": (0.01, 1),
    "2cm2deg": (0.02, 2),
    "5cm5deg": (0.05, 5),
    "10cm5deg": (0.10, 5),
    "25cm2deg": (0.25, 2),
    "50cm5deg": (0.50, 5),
    "5m10deg": (5, 10),
    "3m3deg": (3, 3),
    "3m5deg": (3, 5),
    "5m5deg": (5, 5),
    "10m7deg": (10, 7),
    "10m10deg": (10, 10),
    "20m10deg": (20, 10),
    "30m10deg": (30, 10),
}
# The same where lengths are not metres: (per cent of the cameras' extent, degrees). Of an orbit three metres wide a
# hundredth is 3 cm, and a tenth is another place.
PERCENT_BOUNDS: dict[str, tuple[float, float]] = {
    "0.1%0.1deg": (0.1, 0.1),
    "0.5%0.5deg": (0.5, 0.5),
    "1%1deg": (1, 1),
    "2%2deg": (2, 2),
    "5%5deg": (5, 5),
    "10%10deg": (10, 10),
}
ERROR_PREFIX = "error: "  # of the reason of a frame that could not be worked on
CHI2_6_MEDIAN = 5.348  # of a chi-square distribution with six degrees of freedom


@dataclass(frozen=True)
class FrameResult:
    """One frame: what was estimated, what is true and how far that may be off, how long it took, the scene's unit."""

    stem: str
    truth: Pose
    estimate: PoseEstimate
    seconds: float
    unit: SceneUnit = METRE
    truth_error: TruthError | None = None

    @property
    def error(self) -> tuple[float, float]:
        """(degrees, length in the scene's unit); infinite where there is no pose."""
        return pose_error(self.estimate.pose, self.truth)

    @property
    def told_error(self) -> tuple[float, float]:
        """(degrees, metres), or (degrees, per cent of the cameras' extent) where the scene is not in metres."""
        degrees, length = self.error
        return degrees, self.unit.told(length)

    @property
    def nees(self) -> float:
        """Squared error in units of the covariance, xi^T C^-1 xi; NaN where there is no pose.

        The covariance is the estimate's, plus that of the truth where it is known to be off: the error holds both.
        """
        covariance_66 = self.estimate.covariance_66
        if self.estimate.pose is None or covariance_66 is None:
            return math.nan
        if self.truth_error is not None:
            covariance_66 = covariance_66 + self.truth_error.covariance_66
        return normalized_error(self.estimate.pose, self.truth, covariance_66)

    @property
    def right(self) -> bool:
        """Whether the pose, given or refused, is that of the place that the image shows (`localization.confidence`)."""
        estimate = self.estimate
        pose = estimate.pose or estimate.refused
        if pose is None or estimate.camera is None or estimate.distance is None:
            return False
        return image_shift(pose, self.truth, estimate.camera, estimate.distance) < RIGHT

    @property
    def right_among(self) -> bool:
        """Whether one of the poses is right that are stated of an image that looks like several places."""
        each_alone = (replace(self.estimate, pose=each.pose) for each in self.estimate.alternatives)
        return any(replace(self, estimate=estimate).right for estimate in each_alone)

    @property
    def raised(self) -> bool:
        """Whether the frame failed because something is broken, not because it was refused."""
        return self.estimate.reason.startswith(ERROR_PREFIX)


def split_refused(results: Sequence[FrameResult]) -> tuple[list[FrameResult], list[FrameResult]]:
    """Results with a pose, and results without."""
    return [r for r in results if r.estimate.pose is not None], [r for r in results if r.estimate.pose is None]


def estimated_poses(results: Sequence[FrameResult]) -> list[Pose]:
    """The estimated poses of those results that have one, in their order."""
    return [r.estimate.pose for r in results if r.estimate.pose is not None]


def summarize(results: Sequence[FrameResult]) -> dict[str, Any]:
    """The table of `results.json`: degrees, recalls in 0..1; medians over all frames with failures infinite.

    Lengths are metres (`median_m`, `RECALL_BOUNDS`). Where the scene is not in metres, no name says so: `median` is in
    its unit, `median_percent` in per cent of the cameras' `extent`, and recalls are those of `PERCENT_BOUNDS`.
    """
    if not results:
        raise ValueError("no results to sum up")
    unit = results[0].unit
    degrees_n, lengths_n = np.array([result.told_error for result in results]).T
    median = median_with_failures(lengths_n)
    if unit.metric:
        medians = {"median_m": median}
    else:
        medians = {"median": median_with_failures(np.array([r.error[1] for r in results])), "median_percent": median}
    return {
        **unit.as_json(),
        "frames": len(results),
        "failed": int(np.isinf(lengths_n).sum()),
        "errors": sum(result.raised for result in results),
        **medians,
        "median_deg": median_with_failures(degrees_n),
        "recall": {
            name: float(((lengths_n < length) & (degrees_n < degrees)).mean())
            for name, (length, degrees) in recall_bounds(unit).items()
        },
        "seconds_per_frame": float(np.median([result.seconds for result in results])),
        "calibration": _calibration(results),
        **_confidence(results),
        **_alternatives(results),
    }


def recall_bounds(unit: SceneUnit) -> dict[str, tuple[float, float]]:
    """The recalls of a scene: lengths as they are told, and degrees."""
    return RECALL_BOUNDS if unit.metric else PERCENT_BOUNDS


def table_unit(table: Mapping[str, Any]) -> SceneUnit:
    """The unit of a table of `summarize`; tables of older versions are in metres."""
    return METRE if table.get("unit", METRE.name) == METRE.name else SceneUnit(False, float(table["extent"]))


def told_median(table: Mapping[str, Any]) -> float:
    """The median position error of a table of `summarize`, as it is told: metres or per cent of the extent."""
    median: float = table["median_m"] if table_unit(table).metric else table["median_percent"]
    return median


def median_with_failures(values_n: np.ndarray) -> float:
    """DSAC*'s median, sorted[n // 2], which stays defined with infinite values."""
    return float(np.sort(values_n)[len(values_n) // 2])


def _calibration(results: Sequence[FrameResult]) -> dict[str, Any]:
    nees_n = np.array([result.nees for result in results])
    nees_n = nees_n[np.isfinite(nees_n)]
    if not len(nees_n):
        return {}
    truth_error = results[0].truth_error
    said = {} if truth_error is None else {"truth_error": truth_error.as_json()}
    return {**PoseCalibration.of(nees_n).as_json(), **said}


def judged(results: Sequence[FrameResult]) -> tuple[np.ndarray, np.ndarray]:
    """Stated confidences (n,) and which poses are right (n,), of frames of which the method says how sure it is."""
    known = [(r.estimate.confidence, r.right) for r in results if r.estimate.confidence is not None]
    return np.array([chance for chance, _ in known], np.float64), np.array([right for _, right in known], bool)


def _confidence(results: Sequence[FrameResult]) -> dict[str, Any]:
    confidence_n, right_n = judged(results)
    return {"confidence": Reliability.of(confidence_n, right_n).as_json()} if len(right_n) else {}


def _alternatives(results: Sequence[FrameResult]) -> dict[str, Any]:
    """Of frames that look like several places: how many, how many of them have no pose, whose true one is stated."""
    several = [result for result in results if result.estimate.alternatives]
    if not several:
        return {}
    refused = sum(result.estimate.pose is None for result in several)
    right_among = float(np.mean([result.right_among for result in several]))
    return {"alternatives": {"frames": len(several), "refused": refused, "right_among": right_among}}
