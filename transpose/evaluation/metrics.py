"""Errors of poses, summed up: medians, recalls and the calibration of covariances. Failures count everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transpose.evaluation.uncertainty import PoseCalibration
from transpose.geometry.poses import Pose, normalized_error, pose_error
from transpose.solvers import PoseEstimate

# name: (metres, degrees); recalls count errors strictly below both.
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
ERROR_PREFIX = "error: "  # of the reason of a frame that could not be worked on
CHI2_6_MEDIAN = 5.348  # of a chi-square distribution with six degrees of freedom


@dataclass(frozen=True)
class FrameResult:
    """One frame: what was estimated, what is true, and how long it took."""

    stem: str
    truth: Pose
    estimate: PoseEstimate
    seconds: float

    @property
    def error(self) -> tuple[float, float]:
        """(degrees, metres); infinite where there is no pose."""
        return pose_error(self.estimate.pose, self.truth)

    @property
    def nees(self) -> float:
        """Squared error in units of the covariance, xi^T C^-1 xi; NaN where there is no pose."""
        if self.estimate.pose is None or self.estimate.covariance_66 is None:
            return math.nan
        return normalized_error(self.estimate.pose, self.truth, self.estimate.covariance_66)

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
    """The table of `results.json`: metres, degrees, recalls in 0..1; medians over all frames with failures infinite."""
    if not results:
        raise ValueError("no results to sum up")
    errors_n2 = np.array([result.error for result in results])
    degrees_n, metres_n = errors_n2.T
    return {
        "frames": len(results),
        "failed": int(np.isinf(metres_n).sum()),
        "errors": sum(result.raised for result in results),
        "median_m": median_with_failures(metres_n),
        "median_deg": median_with_failures(degrees_n),
        "recall": {
            name: float(((metres_n < metres) & (degrees_n < degrees)).mean())
            for name, (metres, degrees) in RECALL_BOUNDS.items()
        },
        "seconds_per_frame": float(np.median([result.seconds for result in results])),
        "calibration": _calibration(results),
    }


def median_with_failures(values_n: np.ndarray) -> float:
    """DSAC*'s median, sorted[n // 2], which stays defined with infinite values."""
    return float(np.sort(values_n)[len(values_n) // 2])


def _calibration(results: Sequence[FrameResult]) -> dict[str, Any]:
    nees_n = np.array([result.nees for result in results])
    nees_n = nees_n[np.isfinite(nees_n)]
    return PoseCalibration.of(nees_n).as_json() if len(nees_n) else {}
