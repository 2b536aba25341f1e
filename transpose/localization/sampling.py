"""Several poses for one image: how they scatter, and whether there is more than one place where it may have been."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, exp_se3
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
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
        modes: places where they gather, by falling share.
        covariance_66: of xi = (omega rad, t m) in the camera frame.
        by: "coordinates": maps drawn with correlated noise were solved. "landmarks": drawn from the stated covariance,
            since the pose came from landmarks, whose errors have no map.
    """

    estimate: PoseEstimate
    T_wc_m44: np.ndarray
    mode_m: np.ndarray
    modes: tuple[PosteriorMode, ...]
    covariance_66: np.ndarray
    by: str


def sample_poses(
    localizer: SceneCoordinateLocalizer,
    image_hw3: np.ndarray,
    camera: Camera | None = None,
    focal_px: float | None = None,
    options: PosteriorOptions | None = None,
) -> SampledPoses | PoseEstimate:
    """Several poses of an image.

    Args:
        localizer: of the place.
        image_hw3, camera, focal_px: as of `SceneCoordinateLocalizer.localize`.
        options: of the sampling; without them the correlation length that validation measured is taken.

    Returns:
        The samples; the estimate alone where the image is refused or what is stated does not fix a pose.
    """
    options = options or PosteriorOptions()
    if localizer.error_correlation_px is not None:
        options = replace(options, correlation_px=localizer.error_correlation_px)
    camera = camera or localizer.camera_for(image_hw3.shape[1], image_hw3.shape[0], focal_px)
    estimate = localizer.localize(image_hw3, camera)
    if estimate.pose is None or estimate.covariance_66 is None:
        return estimate
    predicted = localizer.coordinates(image_hw3, camera)
    if estimate.by == "landmarks" or not predicted.has_uncertainty:
        return _from_covariance(estimate, estimate.pose, estimate.covariance_66, options)
    solved = [estimate, *(localizer.solve(predicted, camera, seed) for seed in range(1, _SEARCHES))]
    starts = [each.pose.T_wc for each in solved if each.pose is not None]
    points_n3, px_n2, keep_n = predicted.correspondences(camera)
    inlier_n = np.logical_or.reduce([each.inlier_mask_n for each in solved if each.pose is not None])
    covariances_n33 = predicted.covariances(estimate.pose.R_wc).reshape(-1, 3, 3)[keep_n]
    pinhole = replace(camera, k1=0.0, k2=0.0)
    px_n2 = pinhole.project(camera.unproject(px_n2))
    found = sample_posterior(
        px_n2[inlier_n], points_n3[inlier_n], covariances_n33[inlier_n], camera.K_33, np.stack(starts), options
    )
    if found is None:
        return estimate
    return SampledPoses(estimate, found.T_wc_m44, found.mode_m, found.modes, found.covariance_66, "coordinates")


def _from_covariance(
    estimate: PoseEstimate, pose: Pose, covariance_66: np.ndarray, options: PosteriorOptions
) -> SampledPoses:
    rng = stream(options.seed, "poses")
    xi_m6 = rng.standard_normal((options.samples, 6)) @ np.linalg.cholesky(covariance_66).T
    T_wc_m44 = pose.T_wc @ exp_se3(xi_m6)
    mode = PosteriorMode(compose(pose.R_wc, pose.center), 1.0)
    by = "landmarks" if estimate.by == "landmarks" else "covariance"
    return SampledPoses(estimate, T_wc_m44, np.zeros(options.samples, int), (mode,), covariance_66, by)
