"""The focal length of an image of which it is not known, from the very correspondences that give the pose.

A wrong focal length moves the camera along its axis, by as much of its distance as the focal length is off, and the
residuals hardly show it. So it is estimated together with the pose, with what is known beforehand as a prior; what is
left of its uncertainty goes into the covariance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, exp_se3, skew
from transpose.localization.candidates import Candidate

POORLY_KNOWN = 0.04  # relative: a focal length that is less certain is estimated from the image
_FEWEST = 12  # correspondences
# By how much more than inliers deviate, correspondences may deviate in each step: with a wrong focal length, those far
# from the middle of the image, which tell most, are no inliers.
_WIDENING = (4.0, 4.0, 4.0, 3.0, 3.0, 2.0, 2.0, 1.5, 1.5, 1.0, 1.0, 1.0, 1.0, 1.0)
_TURNS = 4  # of estimating the focal length and solving for the pose with it
_SETTLED = 0.003
_OTHER_STARTS = (-1.5, 1.5)  # standard deviations, where the first guess gives no pose


@dataclass(frozen=True)
class KnownFocal:
    """What is known of a focal length: log(f / f_0) is normal, or f_0 is exactly right.

    Attributes:
        log_factor: mean.
        sigma: standard deviation.
    """

    log_factor: float
    sigma: float


@dataclass(frozen=True, eq=False)
class Focused:
    """A pose with the focal length that goes with it.

    Attributes:
        candidate: as solved with `camera`.
        camera: of the image, its focal length as estimated.
        sigma: standard deviation of what is left unknown of it, relative.
    """

    candidate: Candidate
    camera: Camera
    sigma: float


def with_focal(
    solve: Callable[[Camera], Candidate],
    camera: Camera,
    sigma: float,
    right: float,
    scale: Callable[[str], float],
    correlation_px: float,
    center: float,
    tolerance: float = 0.0,
) -> Focused:
    """A pose and its focal length.

    Args:
        solve: the pose for a camera.
        camera: with the focal length that is thought most probable, f_0.
        sigma: standard deviation of its logarithm, should it be wrong.
        right: the probability, before the image is looked at, that f_0 is right: that it is the very camera of the
            training images, or that the photo's metadata tell the truth.
        scale: factor on variances that are estimated from residuals, by what gave the pose.
        correlation_px: see `LocalizationOptions`.
        center: standard deviation of the principal point, in focal lengths.
        tolerance: standard deviation of f_0, relative, where it is right.
    """
    factor, found = 1.0, solve(camera)
    if found.pose is None:
        starts = [math.exp(each * sigma) for each in _OTHER_STARTS]
        factor, found = max(((each, solve(_scaled(camera, each))) for each in starts), key=lambda pair: pair[1].support)
    if found.pose is None or found.support < _FEWEST:
        return Focused(found, camera if found.pose is None else _scaled(camera, factor), sigma)
    known = KnownFocal(0.0, sigma)
    for _ in range(_TURNS):
        known = _posterior(found, _scaled(camera, factor), math.log(factor), sigma, scale, correlation_px, center)
        following = math.exp(known.log_factor)
        if abs(known.log_factor - math.log(factor)) < _SETTLED:
            break
        again = solve(_scaled(camera, following))
        if again.pose is None or again.support < 0.9 * found.support:
            break
        factor, found = following, again
    probability = _probability_of_right(right, known, sigma, tolerance)
    squared = probability * known.log_factor**2 + (1 - probability) * known.sigma**2
    if probability > 0.5:
        as_told = solve(camera)
        if as_told.pose is not None and as_told.support >= 0.9 * found.support:
            squared = (1 - probability) * (known.sigma**2 + known.log_factor**2) + tolerance**2
            return Focused(as_told, camera, math.sqrt(squared))
    return Focused(found, _scaled(camera, factor), math.sqrt(squared + (known.log_factor - math.log(factor)) ** 2))


def _scaled(camera: Camera, factor: float) -> Camera:
    return replace(camera, fx=camera.fx * factor, fy=camera.fy * factor)


def _probability_of_right(before: float, known: KnownFocal, sigma: float, tolerance: float) -> float:
    """Of f_0 against any other focal length: odds before times the ratio of densities at f_0 (Savage and Dickey)."""
    if before <= 0:
        return 0.0
    within = math.hypot(known.sigma, tolerance)
    log_odds = math.log(before / (1 - before)) + math.log(sigma / within) - 0.5 * (known.log_factor / within) ** 2
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))


def _posterior(
    found: Candidate,
    camera: Camera,
    log_factor: float,
    sigma: float,
    scale: Callable[[str], float],
    apart_px: float,
    center: float,
) -> KnownFocal:
    """Focal length and pose that fit a candidate's correspondences best, by iterated reweighted least squares.

    Args:
        found: the candidate, solved with `camera`.
        camera: whose focal length is exp(log_factor) f_0.
        log_factor: see `camera`.
        sigma: of the prior of log(f / f_0) about 0.
        scale: see `with_focal`.
        apart_px: errors within a square of that side count as one.
        center: see `with_focal`.
    """
    assert found.pose is not None
    rays_n3 = camera.unproject(found.px_n2)
    usable_n = np.isfinite(rays_n3).all(1)
    seen_n2, points_n3, px_n2 = rays_n3[usable_n, :2], found.points_n3[usable_n], found.px_n2[usable_n]
    inlier_n = np.asarray(found.estimate.inlier_mask_n)[usable_n]
    pose, change, width_px = found.pose, 0.0, np.inf
    for widening in _WIDENING:
        J_n27, residual_n2 = _linearized(pose, change, points_n3, seen_n2, camera.fx)
        length_n = np.linalg.norm(residual_n2, axis=1)
        width_px = max(1.0, min(width_px, 2 * float(np.median(length_n[inlier_n]))))
        weight_n = _weight(length_n, widening * width_px)
        weighted_n27 = J_n27 * weight_n[:, None, None]
        H_77 = np.einsum("nij,nik->jk", weighted_n27, J_n27)
        g_7 = np.einsum("nij,ni->j", weighted_n27, residual_n2)
        noise = _noise(residual_n2, weight_n)
        H_77[6, 6] += noise / sigma**2
        g_7[6] += noise * (log_factor + change) / sigma**2
        step_7 = -_solved(H_77, g_7)
        step_7 *= min(1.0, 0.2 / max(1e-9, abs(step_7[6])))
        pose = Pose(pose.T_wc @ exp_se3(step_7[:6]))
        change += float(step_7[6])
    J_n27, residual_n2 = _linearized(pose, change, points_n3, seen_n2, camera.fx)
    variance = _variance(
        J_n27, residual_n2, width_px, px_n2 // apart_px, sigma, scale(found.estimate.by), center * camera.fx
    )
    return KnownFocal(log_factor + change, math.sqrt(variance))


def _linearized(
    pose: Pose, change: float, points_n3: np.ndarray, seen_n2: np.ndarray, focal_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives (n, 2, 7) of residuals by xi and log f, and those (n, 2), in pixels; infinite behind the camera."""
    camera_n3 = (points_n3 - pose.center) @ pose.R_wc
    behind_n = camera_n3[:, 2] <= 1e-6
    camera_n3[behind_n] = (0.0, 0.0, 1.0)
    z = camera_n3[:, 2]
    u, v, zero = camera_n3[:, 0] / z, camera_n3[:, 1] / z, np.zeros_like(z)
    by_point_n23 = np.stack([np.stack([1 / z, zero, -u / z], 1), np.stack([zero, 1 / z, -v / z], 1)], 1)
    factor = math.exp(change)
    projected_n2 = factor * np.stack([u, v], 1)
    J_n27 = np.concatenate(
        [factor * by_point_n23 @ skew(camera_n3), -factor * by_point_n23, projected_n2[..., None]], axis=2
    )
    residual_n2 = focal_px * (projected_n2 - seen_n2)
    residual_n2[behind_n] = 1e9
    return focal_px * J_n27, residual_n2


def _weight(length_n: np.ndarray, width_px: float) -> np.ndarray:
    """Geman and McClure's: wrong matches far away weigh nothing, so that all correspondences may stay."""
    return 1 / (1 + (length_n / width_px) ** 2) ** 2


def _noise(residual_n2: np.ndarray, weight_n: np.ndarray) -> float:
    """Variance of a residual's coordinate, pixels squared."""
    return float((weight_n[:, None] * residual_n2**2).sum() / max(1e-9, 2 * weight_n.sum())) + 1e-6


def _variance(
    J_n27: np.ndarray,
    residual_n2: np.ndarray,
    width_px: float,
    cluster_n2: np.ndarray,
    sigma: float,
    scale: float,
    center_px: float,
) -> float:
    """Of log f: a sandwich estimate, in which the residuals of a cluster are correlated, with the prior beside it.

    The filling is the gradients' own, what encloses it their derivative, which a bounded influence makes smaller than
    the weights. A principal point that is off by `center_px` moves the focal length as well.
    """
    off_n = np.square(residual_n2).sum(1) / width_px**2
    weight_n = 1 / (1 + off_n) ** 2
    noise = _noise(residual_n2, weight_n)
    H_77 = np.einsum("n,nij,nik->jk", weight_n * np.maximum(0.0, (1 - off_n) / (1 + off_n)), J_n27, J_n27)
    H_77[6, 6] += noise / sigma**2
    _, cluster_n = np.unique(cluster_n2.astype(np.int64), axis=0, return_inverse=True)
    clusters = int(cluster_n.max()) + 1
    gradient_c7 = np.zeros((clusters, 7))
    np.add.at(gradient_c7, cluster_n.reshape(-1), np.einsum("n,nij,ni->nj", weight_n, J_n27, residual_n2))
    middle_77 = gradient_c7.T @ gradient_c7 * (scale * clusters / max(1, clusters - 4))
    middle_77[6, 6] += (noise / sigma) ** 2
    row_7 = _solved(H_77, np.eye(7)[6])
    by_center_2 = row_7 @ np.einsum("n,nij->ji", weight_n, J_n27) * center_px
    return min(sigma**2, float(row_7 @ middle_77 @ row_7 + by_center_2 @ by_center_2))


def _solved(H_77: np.ndarray, g_7: np.ndarray) -> np.ndarray:
    """H^-1 g in units in which H's diagonal is one."""
    scale_7 = 1 / np.sqrt(np.maximum(np.diagonal(H_77), 1e-30))
    scaled_77 = H_77 * scale_7[:, None] * scale_7 + 1e-12 * np.eye(7)
    return np.asarray(scale_7 * np.linalg.solve(scaled_77, scale_7 * g_7))
