"""Poses by landmarks: the keypoints of a photo matched to points of the place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.localization.candidates import Candidate
from transpose.localization.landmarks import LandmarkMap, Matches, match_everywhere, match_near
from transpose.localization.options import LocalizationOptions
from transpose.models.keypoints import Keypoints
from transpose.solvers import RansacOptions, solve_pnp


@dataclass(frozen=True, eq=False)
class ByLandmarks:
    """Poses of one image by the landmarks of a place.

    Attributes:
        landmarks: of the place, relative to its origin.
        origin_3: of the place, float64, metres.
        keypoints: of the image.
        camera: of the image.
        options: of matching and search.
        seed: of the search.
    """

    landmarks: LandmarkMap
    origin_3: np.ndarray
    keypoints: Keypoints
    camera: Camera
    options: LocalizationOptions
    seed: int

    def everywhere(self) -> Candidate:
        """A pose by matches anywhere in the place."""
        return self._solved(match_everywhere(self.keypoints, self.landmarks))

    def near(self, pose: Pose) -> Candidate:
        """A pose by matches among the landmarks that a pose, in the world, puts near a keypoint."""
        local = Pose(compose(pose.R_wc, pose.center - self.origin_3))
        radius_px = self.options.search_radius_px
        return self._solved(match_near(self.keypoints, self.landmarks, local, self.camera, radius_px))

    def _solved(self, matches: Matches) -> Candidate:
        px_m2 = self.keypoints.px_n2.cpu().double().numpy()[matches.keypoint_m]
        points_m3 = self.landmarks.points_n3.cpu().double().numpy()[matches.landmark_m] + self.origin_3
        options = RansacOptions(
            max_error_px=self.options.landmark_error_px, seed=self.seed, correlation_px=self.options.correlation_px
        )
        return Candidate.by("landmarks", solve_pnp(px_m2, points_m3, self.camera, options), points_m3, px_m2)
