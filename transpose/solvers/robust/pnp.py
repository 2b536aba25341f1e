"""Absolute pose from pixels and world points: a robust search, then refinement on all points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.solvers.inputs import Array, as_tensor, check_shapes, in_kind_of, on_a_line, one_image
from transpose.solvers.lenses import Lenses
from transpose.solvers.options import PoseEstimate, RansacOptions
from transpose.solvers.robust.images import Images, compressed, median, picked
from transpose.solvers.robust.ransac import Correspondences, search
from transpose.solvers.robust.refine import (
    Refinement,
    RefinementProblem,
    ray_weights,
    ray_weights_of_covariances,
    refine,
)
from transpose.solvers.robust.scoring import chances_of_inlier, log10_chance, soft_inlier_fraction

_MIN_POINTS = 4
_MOST_CLUSTERS = 4096
# The refinement takes points within so many thresholds of the search's pose; or, where their covariances are known,
# within so many sigmas, but no farther than so many thresholds: a network that predicts a large error is often wrong.
_NEAR = 2.0
_NEAR_SIGMAS, _NEAR_AT_MOST = 4.0, 4.0
_MAX_LOG10_CHANCE = -3.0
_FARTHEST = 1e6  # scales of the points; also tangents of rays
_MEDIAN_OF_RAYLEIGH = 1.1774  # over its sigma
_SMALLEST_SIGMA = 1e-4  # of the threshold
_MANY = 30  # points that tell how their errors depend on depth
_DEPTH_POWERS = 0.0, 0.5, 1.0


@overload
def solve_pnp(
    px_n2: Array,
    points_n3: Array,
    K_33: Array | Camera,
    options: RansacOptions | None = None,
    covariances_n33: Array | None = None,
) -> PoseEstimate: ...


@overload
def solve_pnp(
    px_n2: Array,
    points_n3: Array,
    K_33: Sequence[Camera],
    options: RansacOptions | None = None,
    covariances_n33: Array | None = None,
) -> list[PoseEstimate]: ...


def solve_pnp(
    px_n2: Array,
    points_n3: Array,
    K_33: Array | Camera | Sequence[Camera],
    options: RansacOptions | None = None,
    covariances_n33: Array | None = None,
) -> PoseEstimate | list[PoseEstimate]:
    """The pose that sees each world point at its pixel; or the poses of a batch of images.

    Args:
        px_n2: continuous pixels (first pixel centre at 0.5, 0.5), (n, 2) or (b, n, 2); OpenCV's (n, 1, 2) is one image.
        points_n3: world points, metres, (n, 3) or (b, n, 3). Correspondences that are not finite are left out.
        K_33: intrinsics (3, 3) or a `Camera`; in a batch also (b, 3, 3), or one `Camera` an image.
        options: of the search.
        covariances_n33: of the points in world axes, metres squared, (n, 3, 3) or (b, n, 3, 3). The most certain
            are drawn more often, and each point's distance to its ray is weighted by them. Without them all points
            count equally.

    Returns:
        A `PoseEstimate`, or a list of them for a batch. Types do not see the shape of an array: for a batch with one
        camera or matrices `solve_pnp_batch` is the same with the type of a list. Masks refer to the rows given. The
        same arguments give the same estimate; an image gets the same alone and in any batch, up to rounding.

    Raises:
        ValueError: shapes do not fit, arrays hold no real numbers, or intrinsics are none.
    """
    px, points = one_image(as_tensor("px", px_n2), as_tensor("points", points_n3))
    check_shapes(px, points)
    covariances = None if covariances_n33 is None else as_tensor("covariances", covariances_n33)
    if px.ndim == 3:
        return [in_kind_of(px_n2, each) for each in _solve_batch(px, points, K_33, options, covariances)]
    covariances = None if covariances is None else covariances[None]
    return in_kind_of(px_n2, _solve_batch(px[None], points[None], K_33, options, covariances)[0])


def solve_pnp_batch(
    px_bn2: Array,
    points_bn3: Array,
    K_b33: Array | Camera | Sequence[Camera],
    options: RansacOptions | None = None,
    covariances_bn33: Array | None = None,
) -> list[PoseEstimate]:
    """`solve_pnp` of a batch: px (b, n, 2), points (b, n, 3), covariances (b, n, 3, 3).

    `K_b33` is one matrix or `Camera` for all images, or one for each.
    """
    px, points = as_tensor("px", px_bn2), as_tensor("points", points_bn3)
    check_shapes(px, points)
    if px.ndim != 3:
        raise ValueError(f"need px of a batch, (b, n, 2), got {tuple(px.shape)}; solve_pnp takes a single image")
    covariances = None if covariances_bn33 is None else as_tensor("covariances", covariances_bn33)
    return [in_kind_of(px_bn2, each) for each in _solve_batch(px, points, K_b33, options, covariances)]


def _solve_batch(
    px: Tensor,
    points: Tensor,
    K: Array | Camera | Sequence[Camera],
    options: RansacOptions | None,
    covariances: Tensor | None,
) -> list[PoseEstimate]:
    """The estimates of a batch, computed on the pixels' device."""
    if covariances is not None:
        if covariances.shape != (*points.shape, 3):
            raise ValueError(f"need covariances {(*points.shape, 3)}, got {tuple(covariances.shape)}")
        covariances = covariances.to(px.device)
    if len(px) == 0:
        return []
    lenses = Lenses.of(K, len(px), px.device)
    if px.shape[1] == 0:
        return [PoseEstimate(None, "too_few_points", px.new_zeros(0, dtype=torch.bool)) for _ in px]
    with torch.inference_mode():
        return _solve(Images.of(px, points.to(px.device), covariances, lenses), options or RansacOptions())


def _solve(images: Images, options: RansacOptions) -> list[PoseEstimate]:
    no_inliers_n = torch.zeros_like(images.usable_bn[0])
    few_b = images.usable_bn.sum(1) < _MIN_POINTS
    length_bn = images.local_b4n[:, :3].abs().amax(1)
    scale_b = median(torch.where(images.usable_bn, length_bn, torch.nan)).clamp_min(1e-9)
    # Wild numbers would make a line of all others.
    in_range_bn = images.usable_bn & (length_bn < _FARTHEST * scale_b[:, None])
    in_range_bn &= images.rays_b3n[:, :2].abs().amax(1) < _FARTHEST
    both_2b3n = torch.cat([images.local_b4n[:, :3], images.rays_b3n])
    flat_b = (
        on_a_line(torch.where(in_range_bn.repeat(2, 1)[:, None], both_2b3n, 0), in_range_bn.repeat(2, 1))
        .view(2, -1)
        .any(0)
    )
    reasons = ["too_few_points" if few else "degenerate" for few in few_b.tolist()]
    estimates = [PoseEstimate(None, reason, no_inliers_n) for reason in reasons]
    hopeful = (~(few_b | flat_b)).nonzero()[:, 0]
    if not len(hopeful):
        return estimates
    if len(hopeful) < len(few_b):
        images, scale_b = images[hopeful], scale_b[hopeful]
    found = search(_searched(images, scale_b, options), options)
    poses_b34 = found.poses_b34.double()
    poses_b34[..., 3] *= scale_b[:, None]
    refined = _refined(images, poses_b34, options)
    projected_bn2 = images.lenses.project(refined.poses_b34 @ images.local_b4n)
    error_bn = (projected_bn2 - images.px_bn2).square().sum(2).sqrt()
    error_bn = torch.where(images.finite_bn & error_bn.isfinite(), error_bn, torch.inf)
    chances = chances_of_inlier(images.px_bn2, projected_bn2, images.usable_bn, options.max_error_px).tolist()
    for k, i in enumerate(hopeful.tolist()):
        estimates[i] = _judged(images, refined, error_bn[k], k, options, (int(found.hypotheses_b[k]), chances[k]))
    return estimates


def _searched(images: Images, scale_b: Tensor, options: RansacOptions) -> Correspondences:
    weight_bn = images.usable_bn.double()
    variance_bn = images.variance_bn()
    if variance_bn is not None:
        weight_bn = weight_bn / variance_bn
    # Wild numbers stay within float32, also when squared.
    points_b3n = (images.local_b4n[:, :3] / scale_b[:, None, None]).clamp(-_FARTHEST, _FARTHEST)
    rays_b3n = images.rays_b3n.clamp(-_FARTHEST, _FARTHEST)
    focal_b2 = images.lenses.focal_b2 / options.max_error_px
    return Correspondences(rays_b3n.float(), points_b3n.float(), focal_b2.float(), weight_bn)


def _refined(images: Images, poses_b34: Tensor, options: RansacOptions) -> Refinement:
    camera_b3n = poses_b34 @ images.local_b4n
    off_b2n = (camera_b3n[:, :2] / camera_b3n[:, 2:] - images.rays_b3n[:, :2]) * images.lenses.focal_b2[..., None]
    squared_bn = off_b2n.square().sum(1)
    limit_bn: Tensor | float = (_NEAR * options.max_error_px) ** 2
    variance_bn = images.variance_bn()
    if options.refine != "pixel" and variance_bn is not None:
        # What is near in pixels leaves out the good among the close points, and biases the pose.
        focal2_b1 = images.lenses.focal_b2.prod(1, keepdim=True)
        limit_bn = _NEAR_SIGMAS**2 * focal2_b1 * variance_bn / camera_b3n[:, 2].square()
        limit_bn = limit_bn.clamp_max((_NEAR_AT_MOST * options.max_error_px) ** 2)
    near_bn = (squared_bn < limit_bn) & (camera_b3n[:, 2] > 0) & images.usable_bn
    # Only the near points are worth the rest of the work.
    index_bm, weight_bm = compressed(near_bn)
    cluster_bm, clusters = _clusters(picked(images.px_bn2.mT, index_bm), options.correlation_px)
    rays_b3m = picked(images.rays_b3n, index_bm)
    problem = RefinementProblem(
        rays_b3m, picked(images.local_b4n, index_bm), weight_bm, cluster_bn=cluster_bm, clusters=clusters
    )
    error_bm = torch.where(weight_bm > 0, squared_bn.gather(1, index_bm).sqrt(), torch.nan)
    focal_b2 = images.lenses.focal_b2
    if options.refine == "pixel" or (options.refine == "auto" and images.covariances_b6n is None):
        depth_bm = camera_b3n[:, 2].gather(1, index_bm)
        sigma_bm = _pixel_sigmas(error_bm, depth_bm, weight_bm, _SMALLEST_SIGMA * options.max_error_px)
        return refine(replace(problem, focal_b2n=focal_b2[..., None] / sigma_bm[:, None]), poses_b34)
    if images.covariances_b6n is None:
        off_bm = error_bm * camera_b3n[:, 2].gather(1, index_bm) / focal_b2.prod(1, keepdim=True).sqrt()
        sigma_b = (_unfitted(median(off_bm), weight_bm) / _MEDIAN_OF_RAYLEIGH).clamp_min(1e-6)
        across_b6m = ray_weights(rays_b3m, sigma_b.square()[:, None].expand_as(weight_bm))
    else:
        covariances_b6m = picked(images.covariances_b6n, index_bm)
        if images.isotropic():
            across_b6m = ray_weights(rays_b3m, covariances_b6m[:, 0])
        else:
            across_b6m = ray_weights_of_covariances(rays_b3m, covariances_b6m, poses_b34[..., :3])
    return refine(replace(problem, across_b6n=across_b6m), poses_b34)


def _pixel_sigmas(error_bm: Tensor, depth_bm: Tensor, weight_bm: Tensor, smallest: float) -> Tensor:
    """Sigmas (b, m) of pixel errors: a power of 1 / depth, the one that makes the errors likeliest.

    Errors of keypoints are as large everywhere; those of predicted or scanned points shrink with the distance, and
    then near points would bear as much as far ones, which say more.
    """
    ratio_bm = depth_bm / median(torch.where(weight_bm > 0, depth_bm, torch.nan))[:, None]
    ratio_bm = torch.where(weight_bm > 0, ratio_bm, 1)
    many_b = weight_bm.sum(1) >= _MANY
    powers = _DEPTH_POWERS if bool(many_b.any()) else _DEPTH_POWERS[:1]
    sigmas, likelihoods = [], []
    for power in powers:
        scale_bm = ratio_bm**-power
        level_b = _unfitted(median(error_bm / scale_bm), weight_bm) / _MEDIAN_OF_RAYLEIGH
        sigmas.append(level_b.clamp_min(smallest)[:, None] * scale_bm)
        # A Cauchy distribution in two dimensions, whose tails also take in wrong points.
        log_bm = 2 * sigmas[-1].log() + 1.5 * (error_bm / sigmas[-1]).square().log1p()
        likelihoods.append(-log_bm.nan_to_num().mul(weight_bm).sum(1))
    best_b = torch.stack(likelihoods).argmax(0) * many_b
    return torch.stack(sigmas)[best_b, torch.arange(len(best_b), device=best_b.device)]


def _unfitted(error_b: Tensor, weight_bm: Tensor) -> Tensor:
    """Typical errors before a pose was fitted to the points, which with few of them takes off much."""
    points_b = weight_bm.sum(1)
    return error_b * (points_b / (points_b - 3).clamp_min(1)).sqrt()


def _clusters(px_b2m: Tensor, correlation_px: float) -> tuple[Tensor | None, int]:
    """The number of each point's cluster (a square of the image, whose errors may be correlated), and a bound of it."""
    if correlation_px == 0:
        return None, 0
    square_b2m = (px_b2m / correlation_px).floor().long()
    square_b2m -= square_b2m.amin(2, keepdim=True)
    columns, rows = (int(square_b2m[:, k].max()) + 1 for k in (0, 1))
    clusters = min(columns * rows, _MOST_CLUSTERS)
    return (square_b2m[:, 1] * columns + square_b2m[:, 0]) % clusters, clusters


def _judged(
    images: Images,
    refined: Refinement,
    error_n: Tensor,
    k: int,
    options: RansacOptions,
    tried: tuple[int, list[float]],
) -> PoseEstimate:
    """The estimate of image k, or why there is none; `tried`: hypotheses, and the chances of an inlier."""
    covariance_66, (iterations, chances) = refined.covariance_b66[k], tried
    inlier_n = error_n < options.max_error_px
    nothing = PoseEstimate(None, "no_consensus", torch.zeros_like(inlier_n), iterations=iterations)
    error_k = error_n[images.usable_bn[k]]  # repetitions prove nothing
    agreeing = int((error_k < options.max_error_px).sum())
    if agreeing < max(options.min_inliers, _MIN_POINTS):
        return nothing
    if log10_chance(error_k, len(error_k), options.max_error_px, chances, _MAX_LOG10_CHANCE) > _MAX_LOG10_CHANCE:
        return nothing if agreeing < len(error_k) else replace(nothing, reason="too_few_points")
    pose_34 = refined.poses_b34[k]
    R_33 = pose_34[:, :3]
    T_wc = compose(R_33.mT.cpu().numpy(), (images.center_b3[k] - R_33.mT @ pose_34[:, 3]).cpu().numpy())
    if not bool(covariance_66.isfinite().all()) or not math.isfinite(float(T_wc.sum())):
        return PoseEstimate(None, "degenerate", torch.zeros_like(inlier_n), iterations=iterations)
    score = soft_inlier_fraction(error_n, options.max_error_px)
    return PoseEstimate(Pose(T_wc), "ok", inlier_n, score, iterations, covariance_66)  # type: ignore[arg-type]
