"""Poses of any method made better by its place's world: rendered at the pose, matched with the photo, solved again.

A method answers by what it has learned, to some pixels; the render shows what the world itself looks like from there,
whose points are known to a fraction of one. Photo and render differ by a small motion, so that a keypoint's match is
looked for next to it, and most of what is found is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, transform
from transpose.localization.candidates import Candidate, CorrespondenceKind
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.covariance import CameraErrors, calibrated
from transpose.localization.image_input import ImageLike
from transpose.localization.landmarks import LandmarkMap, match_near
from transpose.localization.localizer import Localizer, PredictsCoordinates, Query
from transpose.localization.refine_views import RenderedViews
from transpose.localization.sampling import SampledPoses, sample_poses, sampled_from_covariance
from transpose.localization.systematic import SystematicErrors
from transpose.models.keypoints import Keypoints
from transpose.scenes.resizing import fitted_height, resized_to_height
from transpose.solvers import PoseEstimate, PosteriorOptions, RansacOptions, solve_pnp
from transpose.worlds.world import World

BY: CorrespondenceKind = "renders"  # what a refined pose rests on
_FARTHEST = 10.0  # extents of a world from its box, beyond which what a run learned is another place


@dataclass(frozen=True)
class RefineOptions:
    """How poses are refined. Pixels are those of the photo at the size at which it is matched.

    Attributes:
        max_pixels: of the render; larger photos are scaled down.
        max_keypoints: of photo and render, the strongest of each.
        search_radius_px: around where the first pose puts a point of the render, in which its match is looked for.
        radius_px: the same around where a pose found by those matches puts it.
        max_error_px: within which a match agrees with a pose.
        min_matches: that must agree with a refined pose.
        renders_again_px: a pose that moves points by more in the median is rendered and matched again.
        max_renders: of one photo.
        correlation_px: see `LocalizationOptions`.
        covariance_scale: factor on the covariance estimated from the residuals; neighbours share the errors of a world.
        systematic: errors of camera and world that no number of points averages away.
    """

    max_pixels: int = 400_000
    max_keypoints: int = 4000
    search_radius_px: float = 20.0
    radius_px: float = 4.0
    max_error_px: float = 3.0
    min_matches: int = 50
    renders_again_px: float = 16.0
    max_renders: int = 2
    correlation_px: float = 80.0
    covariance_scale: float = 4.0
    systematic: SystematicErrors = field(default_factory=SystematicErrors)

    def __post_init__(self) -> None:
        lengths = (self.search_radius_px, self.radius_px, self.max_error_px, self.correlation_px, self.covariance_scale)
        if min(lengths) <= 0 or min(self.max_pixels, self.max_keypoints, self.min_matches, self.max_renders) < 1:
            raise ValueError(f"radii, errors and counts must be positive, got {self}")


def refined(
    localizer: Localizer,
    world: World,
    device: str | torch.device = "cpu",
    options: RefineOptions | None = None,
) -> Localizer:
    """A localizer around another, whose poses it refines by a world; see `Refined`.

    Args:
        localizer: of any method, in metres.
        world: of the same place, in the same frame.
        device: where the keypoints' network runs; the world is rendered by the CPU.
        options: the measured defaults without.

    Raises:
        TransposeError: the localizer is not in metres, as worlds are, or learned at a place far from the world.
        MissingPackageError: there is nothing to render with.
    """
    _check_place(localizer, world)
    views = RenderedViews(world, torch.device(device))
    if isinstance(localizer, PredictsCoordinates):
        return _RefinedWithCoordinates(localizer, localizer, views, options or RefineOptions())
    return Refined(localizer, views, options or RefineOptions())


class Refined(Localizer):
    """Refines the poses of the localizer inside, where the world bears out that they become better.

    A refined pose says so (`PoseEstimate.by` is "renders"); any other is the one that was found inside, untouched.
    """

    def __init__(self, inside: Localizer, views: RenderedViews, options: RefineOptions) -> None:
        self.camera, self.checkpoint = inside.camera, inside.checkpoint
        self._inside, self._views, self._options = inside, views, options

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        """See `Localizer`."""
        return self.refine(query, self._inside.localize_query(query, seed), seed)

    def sample(self, query: Query, options: PosteriorOptions) -> SampledPoses | PoseEstimate:
        """See `sample_poses`; around a refined pose by its covariance, since the pose inside is another."""
        found = sample_poses(self._inside, query, options)
        first = found if isinstance(found, PoseEstimate) else found.estimate
        estimate = self.refine(query, first)
        return found if estimate is first else sampled_from_covariance(estimate, options)

    def refine(self, query: Query, first: PoseEstimate, seed: int = 0) -> PoseEstimate:
        """The estimate refined; the very one given where it has no pose, or the world does not bear out a better one.

        Args:
            query: the image.
            first: its estimate.
            seed: of the search.
        """
        if first.pose is None:
            return first
        camera = first.camera or query.camera
        height = fitted_height(camera, self._options.max_pixels) or camera.height
        image_hw3, seen = resized_to_height(query.image_hw3, camera, height)
        keypoints = self._views.keypoints(image_hw3, self._options.max_keypoints)
        candidate = self._searched(keypoints, seen, first.pose, seed)
        if candidate is None:
            return first
        off = CameraErrors.of(query, self._options.systematic)
        off = off if first.focal_sigma is None else replace(off, focal=first.focal_sigma)
        estimate = calibrated(candidate, seen, lambda _: self._options.covariance_scale, off)
        return replace(estimate, camera=first.camera, focal_sigma=first.focal_sigma)

    def _searched(self, keypoints: Keypoints, camera: Camera, first: Pose, seed: int) -> Candidate | None:
        """The refined pose; None where no better one is found than the first."""
        best: Candidate | None = None
        pose = first
        for _ in range(self._options.max_renders):
            landmarks = self._views.landmarks(camera, pose, self._options.max_keypoints)
            match = _Matching(keypoints, landmarks, self._views.world.origin_3, camera, self._options, seed)
            found = match.refined(pose)
            if found is None or found.pose is None or match.agreement(found.pose) <= match.agreement(pose):
                break
            best, moved_px = found, match.moved_px(pose, found.pose)
            pose = found.pose
            if moved_px <= self._options.renders_again_px:
                break
        return best


class _RefinedWithCoordinates(Refined):
    """The same around a localizer that predicts coordinates."""

    def __init__(
        self, inside: Localizer, predicts: PredictsCoordinates, views: RenderedViews, options: RefineOptions
    ) -> None:
        super().__init__(inside, views, options)
        self._predicts = predicts

    def coordinates(self, image_hw3: ImageLike, camera: Camera | None = None) -> CoordinateMap:
        """See `PredictsCoordinates`."""
        return self._predicts.coordinates(image_hw3, camera)


@dataclass(frozen=True, eq=False)
class _Matching:
    """The keypoints of a photo and the points of one render; `origin_3` is the world's, to which those are relative."""

    keypoints: Keypoints
    landmarks: LandmarkMap
    origin_3: np.ndarray
    camera: Camera
    options: RefineOptions
    seed: int

    def refined(self, pose: Pose) -> Candidate | None:
        """A pose by matches near where `pose` puts the points, and then by those near where that one puts them."""
        coarse = self._solved(pose, self.options.search_radius_px)
        if coarse.pose is None:
            return None
        found = self._solved(coarse.pose, self.options.radius_px)
        return found if found.support >= self.options.min_matches else None

    def agreement(self, pose: Pose) -> float:
        """How well photo and render agree in a pose: each match within the bound counts by 1 - (error / bound)^2.

        The score of MSAC (Torr and Zisserman, MLESAC, CVIU 2000): a bare count does not see a pose get better once all
        that is right lies within the bound.
        """
        px_m2, points_m3 = self._matched(pose, self.options.radius_px)
        squared_m = np.square(self.camera.project(transform(pose.T_cw, points_m3)) - px_m2).sum(1)
        return float(np.clip(1 - squared_m / self.options.max_error_px**2, 0, None).sum())

    def moved_px(self, before: Pose, after: Pose) -> float:
        """By how much the points move in the image from one pose to another, in the median."""
        points_n3 = self.landmarks.points_n3.cpu().double().numpy() + self.origin_3
        moved_n2 = self.camera.project(transform(after.T_cw, points_n3)) - self.camera.project(
            transform(before.T_cw, points_n3)
        )
        return float(np.nanmedian(np.linalg.norm(moved_n2, axis=1)))

    def _matched(self, pose: Pose, radius_px: float) -> tuple[np.ndarray, np.ndarray]:
        local = Pose(compose(pose.R_wc, pose.center - self.origin_3))
        matches = match_near(self.keypoints, self.landmarks, local, self.camera, radius_px)
        px_m2 = self.keypoints.px_n2.cpu().double().numpy()[matches.keypoint_m]
        points_m3 = self.landmarks.points_n3.cpu().double().numpy()[matches.landmark_m] + self.origin_3
        return px_m2, points_m3

    def _solved(self, pose: Pose, radius_px: float) -> Candidate:
        px_m2, points_m3 = self._matched(pose, radius_px)
        options = RansacOptions(
            max_error_px=self.options.max_error_px, seed=self.seed, correlation_px=self.options.correlation_px
        )
        return Candidate.by(BY, solve_pnp(px_m2, points_m3, self.camera, options), points_m3, px_m2)


def _check_place(localizer: Localizer, world: World) -> None:
    unit, origin_3 = localizer.checkpoint.unit, localizer.checkpoint.origin_3
    if not unit.metric:
        raise TransposeError(
            f"world {world.name} is in metres, and the run's scene in a unit of its own; to refine by it, set the "
            "scene up with --unit METRES_PER_UNIT and train again"
        )
    low_3, high_3 = (corner_3 + world.origin_3 for corner_3 in world.bounds)
    off_m = float(np.linalg.norm(np.maximum(np.maximum(low_3 - origin_3, origin_3 - high_3), 0)))
    if off_m > _FARTHEST * float(np.linalg.norm(high_3 - low_3)):
        raise TransposeError(
            f"world {world.name} lies {off_m:.0f} m from where the run learned, in another frame or at another place; "
            "name the world of the run's scene: --world WORLD"
        )
