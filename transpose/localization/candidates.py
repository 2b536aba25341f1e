"""A pose that correspondences of an image support, before it is chosen and before it is calibrated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from transpose.geometry.poses import Pose
from transpose.solvers import PoseEstimate

CorrespondenceKind = Literal["landmarks", "recognition", "coordinates", "matches", "renders"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """The answer of one kind of correspondences.

    Attributes:
        estimate: as the solver gave it; its covariance is the one estimated from the residuals.
        points_n3: world points of the correspondences that `estimate.inlier_mask_n` is about, metres.
        px_n2: pixels at which they are seen.
        before: from which it was refined with correspondences near its pose; those here agree with that pose because
            they were chosen by it, and say less of a camera that is wrong. None where none chose them.
    """

    estimate: PoseEstimate
    points_n3: np.ndarray
    px_n2: np.ndarray
    before: Candidate | None = None
    guided: bool = False

    @classmethod
    def by(
        cls, kind: CorrespondenceKind, estimate: PoseEstimate, points_n3: np.ndarray, px_n2: np.ndarray
    ) -> Candidate:
        """A candidate with the kind of correspondences it was found by."""
        return cls(replace(estimate, by=kind) if estimate.pose is not None else estimate, points_n3, px_n2)

    @property
    def pose(self) -> Pose | None:
        """None where there is none."""
        return self.estimate.pose

    @property
    def support(self) -> int:
        """How many correspondences agree with the pose; 0 where there is none."""
        return 0 if self.pose is None else self.estimate.inliers

    @property
    def unguided_support(self) -> int:
        """How many agreed with the pose before others were chosen by it."""
        return (self.before or self).support

    @property
    def inlier_points_m3(self) -> np.ndarray:
        """World points that agree with the pose."""
        return self.points_n3[np.asarray(self.estimate.inlier_mask_n)]

    @property
    def inlier_px_m2(self) -> np.ndarray:
        """Pixels at which those are seen."""
        return self.px_n2[np.asarray(self.estimate.inlier_mask_n)]

    @property
    def distance(self) -> float | None:
        """Median distance along the camera's axis of points that agree; None without a pose."""
        if self.pose is None or not self.support:
            return None
        return float(np.median((self.inlier_points_m3 - self.pose.center) @ self.pose.R_wc[:, 2]))

    def if_scored(self, least: float) -> Candidate:
        """The candidate; refused where its score is lower."""
        return self if self.pose is None or self.estimate.score >= least else self._refused()

    def if_supported(self, least: int) -> Candidate:
        """The candidate; refused where fewer correspondences agree."""
        return self if self.pose is None or self.support >= least else self._refused()

    def if_confirmed(self, share: float, least: float) -> Candidate:
        """The candidate; refused where a smaller share of what its pose puts into the image is found there."""
        return self if self.pose is None or share >= least else self._refused()

    def _refused(self) -> Candidate:
        return replace(self, estimate=replace(self.estimate, pose=None, reason="low_score", covariance_66=None, by=""))
