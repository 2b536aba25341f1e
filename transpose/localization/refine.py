"""Poses of any method made better by its place's world: rendered at the pose, tracked into the photo, solved again.

A method answers by what it has learned, to some pixels; the render shows what the world itself looks like from there.
Photo and render differ by a small motion, so that the render's keypoints can be tracked into the photo, to a small part
of a pixel, and most of what is found is right.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.localization.candidates import Candidate
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.covariance import CameraErrors, calibrated
from transpose.localization.image_input import ImageLike
from transpose.localization.localizer import Localizer, PredictsCoordinates, matches_of, task_maps_of, tasks_learned
from transpose.localization.query import Query
from transpose.localization.refine_options import RefineOptions
from transpose.localization.refine_solution import Refinement, refined_by
from transpose.localization.refine_tracking import even_contrast
from transpose.localization.refine_views import RenderedViews
from transpose.localization.sampling import SampledPoses, sample_poses, sampled_from_covariance
from transpose.localization.task_maps import TaskMaps
from transpose.scenes.resizing import fitted_height, resized_to_height
from transpose.solvers import PoseEstimate, PosteriorOptions
from transpose.worlds.world import World

_FARTHEST = 10.0  # extents of a world from its box, beyond which what a run learned is another place


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
        options: the defaults without.

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

    def matches(self, query: Query, seed: int = 0) -> Candidate:
        """See `MatchesPoints`: those of the localizer inside, which refining leaves as they are."""
        return matches_of(self._inside, query, seed)

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
        rows = fitted_height(camera, self._options.pixels) or camera.height
        image_hw3, seen = resized_to_height(query.image_hw3, camera, rows)
        best = self._found(even_contrast(image_hw3), seen, first.pose, seed)
        if best is None:
            return first
        # What the method found of the focal length tells more than what was known before.
        known = query if first.focal_sigma is None else replace(query, focal_sigma=0.0)
        off = CameraErrors.of(known, self._options.systematic, best.estimate.by)
        off = replace(off, focal=max(off.focal, first.focal_sigma or 0.0))
        estimate = calibrated(best, seen, lambda _: self._options.covariance_scale, off)
        return replace(
            estimate,
            camera=first.camera,
            focal_sigma=first.focal_sigma,
            confidence=first.confidence,
            distance=first.distance,
            alternatives=first.alternatives,
        )

    def _found(self, grey_hw: np.ndarray, camera: Camera, pose: Pose, seed: int) -> Candidate | None:
        """The better pose, by a render at `pose`, and by one at what that gives where it lies far off."""
        found = self._by_render_at(pose, grey_hw, camera, seed)
        if found is None:
            return None
        if found.moved_px > self._options.repeat_px and found.candidate.pose is not None:
            found = self._by_render_at(found.candidate.pose, grey_hw, camera, seed) or found
        return found.candidate

    def _by_render_at(self, pose: Pose, grey_hw: np.ndarray, camera: Camera, seed: int) -> Refinement | None:
        view = self._views.view(camera, pose, self._options.max_keypoints)
        return refined_by(view, grey_hw, camera, self._options, seed)


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

    @property
    def tasks(self) -> tuple[str, ...]:
        """See `PredictsTasks`."""
        return tasks_learned(self._inside)

    def task_maps(self, image_hw3: ImageLike, camera: Camera | None = None) -> TaskMaps:
        """See `PredictsTasks`."""
        return task_maps_of(self._inside, image_hw3, camera)


def _check_place(localizer: Localizer, world: World) -> None:
    unit, origin_3 = localizer.checkpoint.unit, localizer.checkpoint.origin_3
    if not unit.metric:
        raise TransposeError(
            f"world {world.name} is in metres, and the run's scene in a unit of its own; to refine by it, set the "
            "scene up in metres (--unit METRES_PER_UNIT, or --scale-from of setup reconstruct) and train again"
        )
    low_3, high_3 = (corner_3 + world.origin_3 for corner_3 in world.bounds)
    off_m = float(np.linalg.norm(np.maximum(np.maximum(low_3 - origin_3, origin_3 - high_3), 0)))
    if off_m > _FARTHEST * float(np.linalg.norm(high_3 - low_3)):
        raise TransposeError(
            f"world {world.name} lies {off_m:.0f} m from where the run learned, in another frame or at another place; "
            "name the world of the run's scene: --world WORLD"
        )
