"""A localizer that learned a scene at another scale, answering in the scene's own unit; see `scenes.unit`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.localization.candidates import Candidate
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.image_input import ImageLike
from transpose.localization.localizer import Localizer, PredictsCoordinates, matches_of, task_maps_of, tasks_learned
from transpose.localization.query import Query
from transpose.localization.sampling import SampledPoses, sample_poses
from transpose.localization.task_maps import TaskMaps
from transpose.solvers import PoseEstimate, PosteriorOptions


def in_scene_unit(localizer: Localizer) -> Localizer:
    """The localizer, or one around it that takes and gives lengths in its scene's unit where it learned in another."""
    factor = localizer.checkpoint.unit.learned
    if factor == 1:
        return localizer
    if isinstance(localizer, PredictsCoordinates):
        return _RescaledWithCoordinates(localizer, localizer, factor)
    return _Rescaled(localizer, factor)


class _Rescaled(Localizer):
    """Takes and gives lengths that are `factor` times those of the localizer inside."""

    def __init__(self, inside: Localizer, factor: float) -> None:
        self.camera, self.checkpoint = inside.camera, inside.checkpoint
        self._inside, self._factor = inside, factor

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        """See `Localizer`."""
        return _estimate(self._inside.localize_query(self._learned(query), seed), self._factor)

    def matches(self, query: Query, seed: int = 0) -> Candidate:
        """See `matches_of`."""
        found = matches_of(self._inside, self._learned(query), seed)
        return replace(
            found, estimate=_estimate(found.estimate, self._factor), points_n3=self._factor * found.points_n3
        )

    def sample(self, query: Query, options: PosteriorOptions) -> SampledPoses | PoseEstimate:
        """See `sample_poses`."""
        found = sample_poses(self._inside, self._learned(query), options)
        return _estimate(found, self._factor) if isinstance(found, PoseEstimate) else _samples(found, self._factor)

    def _learned(self, query: Query) -> Query:
        """A query's prior and depth in the lengths that were learned."""
        depth_hw = None if query.depth_hw is None else query.depth_hw / np.float32(self._factor)
        prior = None if query.prior is None else query.prior.scaled(1 / self._factor)
        return replace(query, depth_hw=depth_hw, prior=prior)


class _RescaledWithCoordinates(_Rescaled):
    """The same of a localizer that predicts coordinates."""

    def __init__(self, inside: Localizer, predicts: PredictsCoordinates, factor: float) -> None:
        super().__init__(inside, factor)
        self._predicts = predicts

    def coordinates(self, image_hw3: ImageLike, camera: Camera | None = None) -> CoordinateMap:
        """See `PredictsCoordinates`."""
        found = self._predicts.coordinates(image_hw3, camera)
        temperature = found.uncertainty.temperature * self._factor**2  # covariances are that many times larger
        return replace(
            found,
            points_hw3=self._factor * found.points_hw3,
            uncertainty=replace(found.uncertainty, temperature=temperature),
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """See `PredictsTasks`."""
        return tasks_learned(self._inside)

    def task_maps(self, image_hw3: ImageLike, camera: Camera | None = None) -> TaskMaps:
        """See `PredictsTasks`."""
        return task_maps_of(self._inside, image_hw3, camera).scaled(self._factor)


def _estimate(found: PoseEstimate, factor: float) -> PoseEstimate:
    scaled = found.mapped(lambda pose: pose.scaled(factor), lambda covariance_66: _covariance(covariance_66, factor))
    return replace(scaled, distance=None if found.distance is None else factor * found.distance)


def _samples(found: SampledPoses, factor: float) -> SampledPoses:
    return replace(
        found,
        estimate=_estimate(found.estimate, factor),
        T_wc_m44=np.stack([Pose(T_wc).scaled(factor).T_wc for T_wc in found.T_wc_m44]),
        modes=tuple(replace(mode, T_wc=Pose(mode.T_wc).scaled(factor).T_wc) for mode in found.modes),
        covariance_66=_covariance(found.covariance_66, factor),
    )


def _covariance(covariance_66: np.ndarray, factor: float) -> np.ndarray:
    """Over xi = (omega rad, t) with t in another unit."""
    scale_6 = np.array([1.0, 1.0, 1.0, factor, factor, factor])
    return covariance_66 * scale_6 * scale_6[:, None]
