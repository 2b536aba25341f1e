"""A pose that correspondences of an image support, before it is chosen and before it is calibrated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, transform
from transpose.geometry.sides import agreeing_in_sight
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
        guided: whether the correspondences (of `before`, where that is) were looked for near some pose.
        anywhere: of a guided one: what was found anywhere in the place, with a pose or without.
        draw_weight_n: how likely each correspondence is right by what it looks like, up to a factor; None: alike.
        confirmed: share of what the pose puts into the image that is found there (`matching.confirmation`); None:
            nobody looked.
    """

    estimate: PoseEstimate
    points_n3: np.ndarray
    px_n2: np.ndarray
    before: Candidate | None = None
    guided: bool = False
    anywhere: Candidate | None = None
    draw_weight_n: np.ndarray | None = None
    confirmed: float | None = None

    @classmethod
    def by(
        cls,
        kind: CorrespondenceKind,
        estimate: PoseEstimate,
        points_n3: np.ndarray,
        px_n2: np.ndarray,
        draw_weight_n: np.ndarray | None = None,
    ) -> Candidate:
        """A candidate with the kind of correspondences it was found by."""
        estimate = replace(estimate, by=kind) if estimate.pose is not None else estimate
        return cls(estimate, points_n3, px_n2, draw_weight_n=draw_weight_n)

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
    def unguided(self) -> Candidate:
        """Correspondences that no pose chose, as far as they are known, and the pose that they gave."""
        return self.anywhere or self.before or self

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

    def agreeing(self, pose: Pose, camera: Camera, max_error_px: float) -> np.ndarray:
        """Which correspondences (n,) bool any pose puts within so many pixels of where they are seen."""
        off_n2 = camera.project(transform(pose.T_cw, self.points_n3)) - self.px_n2
        with np.errstate(invalid="ignore"):
            return np.asarray(np.linalg.norm(off_n2, axis=1) < max_error_px)

    def shift(self, other: Pose, camera: Camera) -> float:
        """How far another pose shifts what agrees with this one, in image diagonals: the median; inf: out of sight.

        Args:
            other: pose of the same camera.
            camera: its intrinsics.
        """
        assert self.pose is not None
        points_m3 = self.inlier_points_m3
        here_m2, there_m2 = (camera.project(transform(each.T_cw, points_m3)) for each in (self.pose, other))
        shift_m = np.linalg.norm(here_m2 - there_m2, axis=1)
        shift_m = np.where(np.isfinite(shift_m), shift_m, np.inf)  # behind the other camera
        return float(np.median(shift_m)) / math.hypot(camera.width, camera.height)

    def only(self, kept_n: np.ndarray) -> Candidate:
        """With some (n,) bool of its correspondences."""
        estimate = replace(self.estimate, inlier_mask_n=np.asarray(self.estimate.inlier_mask_n)[kept_n])
        weight_n = None if self.draw_weight_n is None else self.draw_weight_n[kept_n]
        points_n3, px_n2 = self.points_n3[kept_n], self.px_n2[kept_n]
        return replace(self, estimate=estimate, points_n3=points_n3, px_n2=px_n2, draw_weight_n=weight_n)

    def unopposed(self, explained_n: np.ndarray) -> Candidate:
        """Without those correspondences (n,) bool of `unguided` that something else explains; see `Evidence`."""
        if self.guided:  # they are not what it was found by
            return self if self.anywhere is None else replace(self, anywhere=self.anywhere.only(~explained_n))
        return self.only(~explained_n) if self.before is None else replace(self, before=self.before.only(~explained_n))

    def in_sight(self, toward_n3: np.ndarray | None) -> Candidate:
        """Without agreement of points that the pose sees from behind; refused where most are.

        Of a flat place, the mirrored photo is what a camera below the ground would see.

        Args:
            toward_n3: of the points, see `LandmarkMap`; None: nobody knows.
        """
        if self.pose is None or toward_n3 is None:
            return self
        agreeing_n = np.asarray(self.estimate.inlier_mask_n)
        kept_n = agreeing_in_sight(agreeing_n, self.points_n3, toward_n3, self.pose.center)
        if kept_n is None:
            return self._refused()
        return replace(self, estimate=replace(self.estimate, inlier_mask_n=kept_n))

    def if_scored(self, least: float) -> Candidate:
        """The candidate; refused where its score is lower."""
        return self if self.pose is None or self.estimate.score >= least else self._refused()

    def if_supported(self, least: int) -> Candidate:
        """The candidate; refused where fewer correspondences agree."""
        return self if self.pose is None or self.support >= least else self._refused()

    def _refused(self) -> Candidate:
        return replace(self, estimate=replace(self.estimate, pose=None, reason="low_score", covariance_66=None, by=""))
