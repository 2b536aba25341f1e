"""Poses by the world points that a network predicts for the cells of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.localization.candidates import Candidate
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.options import LocalizationOptions
from transpose.localization.seeing import SeenImage
from transpose.scenes.labels import depth_at
from transpose.solvers import PoseEstimate, RansacOptions, RigidOptions, solve_pnp, solve_rigid

_FEWEST = 4  # cells that a pose by measured depth also puts where they are seen, to be worth judging


def by_coordinates(predicted: CoordinateMap, options: LocalizationOptions, seed: int = 0) -> Candidate:
    """The pose from which cells see their predicted points.

    Args:
        predicted: by the network, at the scale that it saw.
        options: of the search.
        seed: of the search.
    """
    points_n3, px_n2, keep_n = predicted.correspondences()
    ransac = RansacOptions(
        options.coordinate_error_px, options.most_draws, seed=seed, correlation_px=options.correlation_px
    )

    def solved(R_wc_33: np.ndarray | None) -> PoseEstimate:
        covariances_n33 = None
        if predicted.has_uncertainty:
            covariances_n33 = predicted.covariances(R_wc_33).reshape(-1, 3, 3)[keep_n]
        return solve_pnp(px_n2, points_n3, predicted.camera, ransac, covariances_n33)

    estimate = solved(None)
    if estimate.pose is not None and predicted.uncertainty.of.kind == "diagonal":
        # Covariances along viewing rays are known in world axes once the camera's rotation is.
        estimate = solved(estimate.pose.R_wc)
    return Candidate.by("coordinates", estimate, points_n3, px_n2)


def by_coordinates_and_depth(
    predicted: CoordinateMap, seen: SeenImage, depth_hw: np.ndarray, options: LocalizationOptions, seed: int = 0
) -> Candidate:
    """The pose that brings measured points of the camera's frame onto predicted ones of the world (DSAC*'s mode 2).

    Args:
        predicted: by the network of `seen`.
        seen: the image at the learned scale.
        depth_hw: metres along z at the pixels of the image as it was given, NaN where unknown.
        options: of the search.
        seed: of the search.
    """
    points_n3, px_n2, keep_n = predicted.correspondences()
    depth_n = depth_at(depth_hw, seen.given_px(px_n2))
    measured_n3 = predicted.camera.unproject(px_n2) * depth_n[:, None]
    weights_n = predicted.sigma_hw().reshape(-1)[keep_n] ** -2 if predicted.has_uncertainty else None
    known_n = depth_n[np.isfinite(depth_n)]
    # The network's errors are in pixels: by centimetres in a room, by metres from the air.
    error_m = options.coordinate_error_px * float(np.median(known_n)) / predicted.camera.fx if len(known_n) else 0.0
    rigid = RigidOptions(max_error_m=max(options.min_depth_error_m, error_m), seed=seed)
    estimate = solve_rigid(measured_n3, points_n3, rigid, weights_n)
    if estimate.covariance_66 is not None:
        # Errors of points in one square are correlated and count as one cluster, as `solve_pnp` counts them.
        agreeing_m2 = px_n2[np.asarray(estimate.inlier_mask_n)]
        clusters = len(np.unique(agreeing_m2 // options.correlation_px, axis=0))
        estimate = replace(estimate, covariance_66=estimate.covariance_66 * (len(agreeing_m2) / clusters))
    found = Candidate.by("coordinates", estimate, points_n3, px_n2)
    if found.pose is None:
        return found
    # Floors and walls of another place agree within centimetres of depth; what speaks for the pose is what it also puts
    # where it is seen, as it must without depth.
    seen_n = found.agreeing(found.pose, predicted.camera, options.coordinate_error_px)
    agreeing_n = np.asarray(estimate.inlier_mask_n) & seen_n
    as_seen = replace(found, estimate=replace(found.estimate, inlier_mask_n=agreeing_n)).if_supported(_FEWEST)
    return as_seen if as_seen.pose is None else replace(found, before=as_seen)
