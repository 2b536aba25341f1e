"""Several poses for one image: how they scatter, and whether there is more than one place where it may have been."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from transpose.geometry.poses import exp_se3
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.localizer import Localizer
from transpose.localization.query import Query
from transpose.randomness import stream
from transpose.solvers import PoseEstimate, PosteriorMode, PosteriorOptions, sample_posterior

_SEARCHES = 4  # with different seeds, each of which may end in another place


@dataclass(frozen=True)
class SampledPoses:
    """Poses of one image.

    Attributes:
        estimate: the pose that `localize` gives.
        T_wc_m44: the samples, camera to world.
        mode_m: which of the modes each belongs to.
        modes: places where they gather, by falling fraction.
        covariance_66: of xi = (omega rad, t m) in the camera frame.
        by: "coordinates": maps drawn with correlated noise were solved. "landmarks": drawn from the estimate's
            covariance, since the pose came from landmarks, whose errors have no map. "covariance": likewise, of any
            other pose.
    """

    estimate: PoseEstimate
    T_wc_m44: np.ndarray
    mode_m: np.ndarray
    modes: tuple[PosteriorMode, ...]
    covariance_66: np.ndarray
    by: str


@runtime_checkable
class SamplesPoses(Protocol):
    """The optional ability to draw poses by more than their covariance."""

    def sample(self, query: Query, options: PosteriorOptions) -> SampledPoses | PoseEstimate:
        """See `sample_poses`."""


def sample_poses(
    localizer: Localizer, query: Query, options: PosteriorOptions | None = None
) -> SampledPoses | PoseEstimate:
    """Several poses of an image.

    Args:
        localizer: of the place.
        query: the image.
        options: of the sampling; the correlation length that validation measured goes before theirs.

    Returns:
        The samples; the estimate alone where the image is refused or the predicted uncertainty leaves the pose
        undetermined.
    """
    options = options or PosteriorOptions()
    measured_px = localizer.checkpoint.calibration.correlation_px
    if measured_px is not None:
        options = replace(options, correlation_px=measured_px)
    if isinstance(localizer, SamplesPoses):
        return localizer.sample(query, options)
    estimate = localizer.localize_query(query)
    if estimate.pose is None or estimate.covariance_66 is None:
        return estimate
    return sampled_from_covariance(estimate, options)


def sampled_from_map(
    estimate: PoseEstimate,
    predicted: CoordinateMap,
    solve: Callable[[int], PoseEstimate],
    options: PosteriorOptions,
) -> SampledPoses | PoseEstimate:
    """Poses that maps drawn with correlated noise stand for.

    Args:
        estimate: with a pose.
        predicted: the map that it was found by.
        solve: the pose of that map, by the seed of another search, which may end in another place.
        options: of the sampling.
    """
    assert estimate.pose is not None
    solved = [each for each in (estimate, *(solve(seed) for seed in range(1, _SEARCHES))) if each.pose is not None]
    starts_s44 = np.stack([each.pose.T_wc for each in solved if each.pose is not None])
    points_n3, px_n2, keep_n = predicted.correspondences()
    inlier_n = np.logical_or.reduce([np.asarray(each.inlier_mask_n) for each in solved])
    covariances_n33 = predicted.covariances(estimate.pose.R_wc).reshape(-1, 3, 3)[keep_n]
    pinhole = replace(predicted.camera, k1=0.0, k2=0.0)
    px_n2 = pinhole.project(predicted.camera.unproject(px_n2))
    found = sample_posterior(
        px_n2[inlier_n], points_n3[inlier_n], covariances_n33[inlier_n], pinhole.K_33, starts_s44, options
    )
    if found is None:
        return estimate
    return SampledPoses(estimate, found.T_wc_m44, found.mode_m, found.modes, found.covariance_66, "coordinates")


def sampled_from_covariance(estimate: PoseEstimate, options: PosteriorOptions) -> SampledPoses:
    """Poses drawn from the covariance of an estimate with a pose."""
    assert estimate.pose is not None and estimate.covariance_66 is not None
    rng = stream(options.seed, "poses")
    xi_m6 = rng.standard_normal((options.samples, 6)) @ np.linalg.cholesky(estimate.covariance_66).T
    T_wc_m44 = estimate.pose.T_wc @ exp_se3(xi_m6)
    mode = PosteriorMode(estimate.pose.T_wc, 1.0)
    by = "landmarks" if estimate.by == "landmarks" else "covariance"
    return SampledPoses(estimate, T_wc_m44, np.zeros(options.samples, int), (mode,), estimate.covariance_66, by)
