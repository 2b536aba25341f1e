"""Poses by landmarks: the keypoints of a photo matched to points of the place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.localization.candidates import Candidate, CorrespondenceKind
from transpose.localization.landmarks import LandmarkMap, Matches, match_everywhere, match_near
from transpose.localization.options import LocalizationOptions
from transpose.models.keypoints import Keypoints
from transpose.solvers import RansacOptions, solve_pnp


@dataclass(frozen=True, eq=False)
class ByLandmarks:
    """Poses of one image by points of a place that are recognized by their descriptors.

    Attributes:
        landmarks: of the place, or of a part of it, relative to its origin.
        origin_3: of the place, float64, metres.
        keypoints: of the image.
        camera: of the image.
        options: of matching and search.
        seed: of the search.
        kind: of correspondences: how the points were found.
        covariances_l33: of the landmarks, in world axes; None: they count alike.
        matches: of the strongest keypoints anywhere in the place, where they are known already.
    """

    landmarks: LandmarkMap
    origin_3: np.ndarray
    keypoints: Keypoints
    camera: Camera
    options: LocalizationOptions
    seed: int
    kind: CorrespondenceKind = "landmarks"
    covariances_l33: np.ndarray | None = None
    matches: Matches | None = None

    def everywhere(self) -> Candidate:
        """A pose by matches anywhere in the place; searched for once."""
        return self._everywhere

    @cached_property
    def _everywhere(self) -> Candidate:
        matches = self.matches
        if matches is None:
            matches = match_everywhere(self.keypoints.strongest(self.options.max_keypoints), self.landmarks)
        return self.refined(self._solved(matches))

    def near(self, pose: Pose) -> Candidate:
        """A pose by matches among the landmarks that a pose, in the world, puts near a keypoint."""
        strongest = self.keypoints.strongest(self.options.max_keypoints)
        found = replace(self._solved(self._near(strongest, pose, self.options.search_radius_px)), guided=True)
        return self.refined(found)

    @property
    def px_n2(self) -> np.ndarray:
        """The strongest keypoints, those that are matched anywhere, pixels."""
        return np.asarray(self.keypoints.strongest(self.options.max_keypoints).px_n2.cpu().double().numpy())

    def in_sight(self, found: Candidate) -> Candidate:
        """Without agreement of points that its pose sees from behind, as far as the landmarks near them tell."""
        if found.pose is None:
            return found
        return found.in_sight(self.landmarks.toward_near(found.points_n3 - self.origin_3))

    def explained(self, pose: Pose) -> np.ndarray:
        """Which of these (n,) bool lie where a pose, in the world, puts a landmark that looks like them."""
        strongest = self.keypoints.strongest(self.options.max_keypoints)
        explained_n = np.zeros(len(strongest), bool)
        explained_n[self._near(strongest, pose, self.options.refinement_radius_px).keypoint_m] = True
        return explained_n

    def posed(
        self,
        keypoint_m: np.ndarray,
        points_m3: np.ndarray,
        max_error_px: float | None = None,
        covariances_m33: np.ndarray | None = None,
        draw_weight_m: np.ndarray | None = None,
    ) -> Candidate:
        """A pose by points that keypoints are taken for.

        Args:
            keypoint_m: numbers of keypoints.
            points_m3: relative to the place's origin, float64.
            max_error_px: within which they agree with a pose; None: as matches from anywhere.
            covariances_m33: of the points, by which they are weighted; None: they count alike.
            draw_weight_m: how likely each is right, up to a factor; None: all alike.
        """
        px_m2 = self.keypoints.px_n2.cpu().double().numpy()[keypoint_m]
        world_m3 = points_m3 + self.origin_3
        options = RansacOptions(
            max_error_px=max_error_px or self.options.landmark_error_px,
            seed=self.seed,
            correlation_px=self.options.correlation_px,
            max_iterations=self.options.most_draws,
        )
        found = solve_pnp(px_m2, world_m3, self.camera, options, covariances_m33, draw_weights_n=draw_weight_m)
        return Candidate.by(self.kind, found, world_m3, px_m2, draw_weight_m)

    def refined(self, found: Candidate) -> Candidate:
        """The pose by all keypoints that lie where it puts a landmark, found to a fraction of a pixel."""
        if found.pose is None or found.support < self.options.min_landmarks:
            return found
        matches = self._near(self.keypoints, found.pose, self.options.refinement_radius_px)
        refined = self._solved(matches, self.options.refinement_error_px)
        # Matches near a wrong pose are few; so are those of a right one whose map is coarse.
        if refined.support < max(self.options.min_landmarks, found.support // 2):
            return found
        # Residuals within a narrow bound say little of errors that a whole neighbourhood shares, as those of a map
        # are; the wider bound's covariance holds more of them (RedKitchen, from renders: median NEES 6 in place of 23).
        estimate = replace(refined.estimate, covariance_66=found.estimate.covariance_66)
        return replace(refined, estimate=estimate, before=found, guided=found.guided)

    def _near(self, keypoints: Keypoints, pose: Pose, radius_px: float) -> Matches:
        local = Pose(compose(pose.R_wc, pose.center - self.origin_3))
        return match_near(keypoints, self.landmarks, local, self.camera, radius_px)

    def _solved(self, matches: Matches, max_error_px: float | None = None) -> Candidate:
        points_m3 = self.landmarks.points_n3.cpu().double().numpy()[matches.landmark_m]
        covariances_m33 = None if self.covariances_l33 is None else self.covariances_l33[matches.landmark_m]
        found = self.posed(matches.keypoint_m, points_m3, max_error_px, covariances_m33, matches.likelihood_m)
        return found.in_sight(self.landmarks.toward_m3(matches.landmark_m))
