"""A photo matched with one render of the world, and the pose that this gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, transform
from transpose.localization.candidates import Candidate, CorrespondenceKind
from transpose.localization.landmarks import match_near
from transpose.localization.refine_alignment import aligned
from transpose.localization.refine_options import RefineOptions
from transpose.localization.refine_views import RenderedView
from transpose.models.keypoints import Keypoints
from transpose.solvers import RansacOptions, solve_pnp

BY: CorrespondenceKind = "renders"  # what a refined pose rests on
_Matches = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Matching:
    """The keypoints of a photo and the points of one render.

    Attributes:
        keypoints: of the photo.
        grey_hw: of the photo, as `even_contrast` gives it.
        view: the render, whose points are relative to `origin_3`.
        origin_3: of the world, float64, metres.
        camera: of the photo.
        options: of matching and search.
        seed: of the search.
    """

    keypoints: Keypoints
    grey_hw: np.ndarray
    view: RenderedView
    origin_3: np.ndarray
    camera: Camera
    options: RefineOptions
    seed: int

    def refined(self, pose: Pose, radius_px: float) -> Candidate | None:
        """A pose by matches near where `pose` puts the points; where the radius is wide, then by those near that pose.

        None where the matches do not bear out that it is better than `pose`.
        """
        matches = self._near(pose, radius_px)
        found = self._solved(matches)
        if found.pose is None or self._agreement(matches, found.pose) <= self._agreement(matches, pose):
            return None
        if radius_px > self.options.radius_px:
            if found.support < self.options.min_share * len(found.px_n2):
                return None
            found = self._solved(self._near(found.pose, self.options.radius_px))
        return self._aligned(found) if found.support >= self.options.min_matches else None

    def _aligned(self, found: Candidate) -> Candidate:
        """The pose by the patches around the points that agree with a pose; that itself where they are too few."""
        assert found.pose is not None
        points_m3 = found.inlier_points_m3
        render_px_m2 = self.camera.project(transform(self.view.pose.T_cw, points_m3))
        start_px_m2 = self.camera.project(transform(found.pose.T_cw, points_m3))
        px_m2 = aligned(self.view.grey_hw, self.grey_hw, render_px_m2, start_px_m2)
        known_m = np.isfinite(px_m2).all(1)
        again = self._solved((px_m2[known_m], points_m3[known_m]))
        return again if again.support >= self.options.min_matches else found

    def _near(self, pose: Pose, radius_px: float) -> _Matches:
        """Pixels of keypoints, and the world points that they are taken for."""
        local = Pose(compose(pose.R_wc, pose.center - self.origin_3))
        matches = match_near(self.keypoints, self.view.landmarks, local, self.camera, radius_px)
        px_m2 = self.keypoints.px_n2.cpu().double().numpy()[matches.keypoint_m]
        points_m3 = self.view.landmarks.points_n3.cpu().double().numpy()[matches.landmark_m] + self.origin_3
        return px_m2, points_m3

    def _solved(self, matches: _Matches) -> Candidate:
        px_m2, points_m3 = matches
        options = RansacOptions(
            max_error_px=self.options.max_error_px, seed=self.seed, correlation_px=self.options.correlation_px
        )
        return Candidate.by(BY, solve_pnp(px_m2, points_m3, self.camera, options), points_m3, px_m2)

    def _agreement(self, matches: _Matches, pose: Pose) -> float:
        """How well matches agree with a pose: each within the bound counts by 1 - (error / bound)^2.

        The score of MSAC (Torr and Zisserman, MLESAC, CVIU 2000): a bare count does not see a pose get better once all
        that is right lies within the bound.
        """
        px_m2, points_m3 = matches
        squared_m = np.square(self.camera.project(transform(pose.T_cw, points_m3)) - px_m2).sum(1)
        return float(np.nansum(np.clip(1 - squared_m / self.options.max_error_px**2, 0, None)))
