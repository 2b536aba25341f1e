"""Absolute pose from pixels and world points: a robust search, then refinement on all points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import overload

import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.solvers.inputs import Array, as_tensor, check_shapes, full_precision, in_kind_of, on_a_line, one_image
from transpose.solvers.lenses import Lenses
from transpose.solvers.options import PoseEstimate, RansacOptions
from transpose.solvers.robust.fit import fitted
from transpose.solvers.robust.images import Images, median
from transpose.solvers.robust.problem import FocalPrior
from transpose.solvers.robust.ransac import Correspondences, Found, search
from transpose.solvers.robust.refine import Refinement
from transpose.solvers.robust.scoring import chances_of_inlier, log10_chance, soft_inlier_fraction
from transpose.solvers.robust.zooms import Zooms, unzoomed

_MIN_POINTS = 4
_MAX_LOG10_CHANCE = -3.0
_GAINED = 0.5  # of the inliers that are wanted, how many a pose has before its refinement at least
_SAMPLE, _SAMPLE_OF_FOCAL = 3, 4  # correspondences that fix a pose; three and a half fix a focal length as well
_REACH = 2.0  # standard deviations of what is known of a focal length, in which it is searched for
_SUREST = 0.01  # of the usual variance: points that are said to be surer are drawn no more often
_FARTHEST = 1e6  # scales of the points; also tangents of rays


@overload
def solve_pnp(
    px_n2: Array,
    points_n3: Array,
    K_33: Array | Camera,
    options: RansacOptions | None = None,
    covariances_n33: Array | None = None,
    estimate_focal: bool = False,
    draw_weights_n: Array | None = None,
) -> PoseEstimate: ...


@overload
def solve_pnp(
    px_n2: Array,
    points_n3: Array,
    K_33: Sequence[Camera],
    options: RansacOptions | None = None,
    covariances_n33: Array | None = None,
    estimate_focal: bool = False,
    draw_weights_n: Array | None = None,
) -> list[PoseEstimate]: ...


def solve_pnp(
    px_n2: Array,
    points_n3: Array,
    K_33: Array | Camera | Sequence[Camera],
    options: RansacOptions | None = None,
    covariances_n33: Array | None = None,
    estimate_focal: bool = False,
    draw_weights_n: Array | None = None,
) -> PoseEstimate | list[PoseEstimate]:
    """The pose that sees each world point at its pixel; or the poses of a batch of images.

    Args:
        px_n2: continuous pixels (first pixel centre at 0.5, 0.5), (n, 2) or (b, n, 2); OpenCV's (n, 1, 2) is one image.
        points_n3: world points, metres, (n, 3) or (b, n, 3). Correspondences that are not finite are left out.
        K_33: intrinsics (3, 3) or a `Camera`; in a batch also (b, 3, 3), or one `Camera` an image.
        options: of the search.
        covariances_n33: of the points in world axes, metres squared, (n, 3, 3) or (b, n, 3, 3). The most certain
            are drawn more often, and each point's distance to its ray is weighted by them. Without them all points
            count equally. A point whose covariance is not positive definite is left out, as what is not finite is; who
            knows a point exactly states a small one.
        estimate_focal: the focal length is searched for and refined with the pose, and stands in the estimate
            (`focal_px`, `focal_sigma`; `camera` where one was given). That of K is a guess, believed as
            `RansacOptions.focal_log_sigma` says; its principal point, the ratio of its two focal lengths, and its
            distortion, in pixels (`Camera.zoomed`), are taken as they are. The covariance is the pose's, whatever the
            focal length.
        draw_weights_n: how likely each correspondence is right by what else is known of it, such as how much alike its
            two ends look, up to a factor, (n,) or (b, n), more than zero. The likelier are drawn more often, so that
            a search finds a pose of few right ones sooner (as Chum and Matas, "Matching with PROSAC", CVPR 2005); what
            agrees with a pose counts alike.

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
    weights = None if draw_weights_n is None else as_tensor("draw weights", draw_weights_n)
    if px.ndim == 3:
        estimates = _solve_batch(px, points, K_33, options, covariances, estimate_focal, weights)
        return [in_kind_of(px_n2, each) for each in estimates]
    covariances, weights = (None if of_image is None else of_image[None] for of_image in (covariances, weights))
    (estimate,) = _solve_batch(px[None], points[None], K_33, options, covariances, estimate_focal, weights)
    return in_kind_of(px_n2, estimate)


def solve_pnp_batch(
    px_bn2: Array,
    points_bn3: Array,
    K_b33: Array | Camera | Sequence[Camera],
    options: RansacOptions | None = None,
    covariances_bn33: Array | None = None,
    estimate_focal: bool = False,
    draw_weights_bn: Array | None = None,
) -> list[PoseEstimate]:
    """`solve_pnp` of a batch: px (b, n, 2), points (b, n, 3), covariances (b, n, 3, 3), weights (b, n).

    `K_b33` is one matrix or `Camera` for all images, or one for each.
    """
    px, points = as_tensor("px", px_bn2), as_tensor("points", points_bn3)
    check_shapes(px, points)
    if px.ndim != 3:
        raise ValueError(f"need px of a batch, (b, n, 2), got {tuple(px.shape)}; solve_pnp takes a single image")
    covariances = None if covariances_bn33 is None else as_tensor("covariances", covariances_bn33)
    weights = None if draw_weights_bn is None else as_tensor("draw weights", draw_weights_bn)
    estimates = _solve_batch(px, points, K_b33, options, covariances, estimate_focal, weights)
    return [in_kind_of(px_bn2, each) for each in estimates]


def _solve_batch(
    px: Tensor,
    points: Tensor,
    K: Array | Camera | Sequence[Camera],
    options: RansacOptions | None,
    covariances: Tensor | None,
    estimate_focal: bool,
    draw_weights: Tensor | None = None,
) -> list[PoseEstimate]:
    """The estimates of a batch, computed on the pixels' device."""
    if covariances is not None:
        if covariances.shape != (*points.shape, 3):
            raise ValueError(f"need covariances {(*points.shape, 3)}, got {tuple(covariances.shape)}")
        covariances = covariances.to(px.device)
    if draw_weights is not None:
        if draw_weights.shape != px.shape[:-1] or not bool(((draw_weights > 0) & draw_weights.isfinite()).all()):
            raise ValueError(f"need draw weights {tuple(px.shape[:-1])}, all more than zero and finite")
        draw_weights = draw_weights.to(px.device)
    if len(px) == 0:
        return []
    lenses = Lenses.of(K, len(px), px.device)
    if px.shape[1] == 0:
        return [PoseEstimate(None, "too_few_points", px.new_zeros(0, dtype=torch.bool)) for _ in px]
    with torch.inference_mode(), full_precision(px.device):
        images = replace(Images.of(px, points.to(px.device), covariances, lenses), draw_weight_bn=draw_weights)
        estimates = _solve(images, options or RansacOptions(), estimate_focal)
    if isinstance(K, Camera):
        K = [K] * len(px)
    if not estimate_focal or not all(isinstance(each, Camera) for each in K):
        return estimates
    return [_with_camera(each, camera) for each, camera in zip(estimates, islice(cycle(K), len(px)), strict=True)]


def _with_camera(estimate: PoseEstimate, guess: Camera) -> PoseEstimate:
    if estimate.focal_px is None:
        return estimate
    return replace(estimate, camera=guess.zoomed(estimate.focal_px / guess.fx))


def _solve(images: Images, options: RansacOptions, estimate_focal: bool) -> list[PoseEstimate]:
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
    images, refined, found = _found(images, scale_b, options, estimate_focal)
    tried, worth = found.hypotheses_b.tolist(), _worth_refining(found, images, options).tolist()
    for k, i in enumerate(hopeful.tolist()):
        estimates[i] = PoseEstimate(None, "no_consensus", no_inliers_n, iterations=tried[k])
    if refined is None:
        return estimates
    projected_bn2 = images.lenses.project(refined.poses_b34 @ images.local_b4n)
    error_bn = (projected_bn2 - images.px_bn2).square().sum(2).sqrt()
    error_bn = torch.where(images.finite_bn & error_bn.isfinite(), error_bn, torch.inf)
    chances = chances_of_inlier(images.px_bn2, projected_bn2, images.usable_bn, options.max_error_px).tolist()
    for k, i in enumerate(hopeful.tolist()):
        if worth[k]:
            estimates[i] = _judged(images, refined, error_bn[k], k, options, (tried[k], chances[k]))
    return estimates


def _found(
    images: Images, scale_b: Tensor, options: RansacOptions, estimate_focal: bool
) -> tuple[Images, Refinement | None, Found]:
    """Refined poses, None where none is worth it, and what the search found.

    And the images, with their focal lengths where those were estimated.
    """
    sigma = options.focal_log_sigma
    zooms = Zooms(_REACH * sigma) if estimate_focal else None
    found = search(_searched(images, scale_b, options, zooms), options)
    if not bool(_worth_refining(found, images, options).any()):
        return images, None, found
    if not estimate_focal:
        return images, fitted(images, _in_metres(found.poses_b34, scale_b), options), found
    poses_b34, zoom_b = unzoomed(found.poses_b34.double())
    images = images.zoomed(zoom_b)
    refined = fitted(images, _in_metres(poses_b34, scale_b), options, FocalPrior(zoom_b.log(), sigma))
    assert refined.zoom_b is not None
    return images.zoomed(refined.zoom_b), refined, found


def _worth_refining(found: Found, images: Images, options: RansacOptions) -> Tensor:
    """Whether so many agree with the pose of each image that the refinement may make them enough."""
    return found.agreeing_b * images.usable_bn.sum(1) >= _GAINED * options.min_inliers


def _in_metres(poses_b34: Tensor, scale_b: Tensor) -> Tensor:
    """Of the search, in double precision and the points' unit."""
    R_b33, t_b31 = poses_b34.double().split((3, 1), -1)
    return torch.cat([R_b33, t_b31 * scale_b[:, None, None]], -1)


def _searched(images: Images, scale_b: Tensor, options: RansacOptions, zooms: Zooms | None) -> Correspondences:
    weight_bn = images.usable_bn.double()
    if images.covariances_b6n is not None:
        # A point that is much surer than the others would be in every sample, whether it is right or not.
        variance_bn = images.variance_bn()
        usual_b = median(torch.where(images.usable_bn, variance_bn, torch.nan))
        weight_bn = weight_bn / torch.maximum(variance_bn, _SUREST * usual_b[:, None])
    if images.draw_weight_bn is not None:
        weight_bn = weight_bn * images.draw_weight_bn
    # Wild numbers stay within float32, also when squared.
    points_b3n = (images.local_b4n[:, :3] / scale_b[:, None, None]).clamp(-_FARTHEST, _FARTHEST)
    rays_b3n = images.rays_b3n.clamp(-_FARTHEST, _FARTHEST)
    focal_b2 = images.lenses.focal_b2 / options.max_error_px
    return Correspondences(rays_b3n.float(), points_b3n.float(), focal_b2.float(), weight_bn, zooms)


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
    fixed_by = _SAMPLE if refined.zoom_b is None else _SAMPLE_OF_FOCAL
    log10 = log10_chance(error_k, len(error_k), options.max_error_px, chances, _MAX_LOG10_CHANCE, fixed_by)
    if log10 > _MAX_LOG10_CHANCE:
        return nothing if agreeing < len(error_k) else replace(nothing, reason="too_few_points")
    pose_34 = refined.poses_b34[k]
    R_33 = pose_34[:, :3]
    T_wc = compose(R_33.mT.cpu().numpy(), (images.center_b3[k] - R_33.mT @ pose_34[:, 3]).cpu().numpy())
    if not bool(covariance_66.isfinite().all()) or not math.isfinite(float(T_wc.sum())):
        return PoseEstimate(None, "degenerate", torch.zeros_like(inlier_n), iterations=iterations)
    score = soft_inlier_fraction(error_n, options.max_error_px)
    estimate = PoseEstimate(Pose(T_wc), "ok", inlier_n, score, iterations, covariance_66)  # type: ignore[arg-type]
    if refined.focal_sigma_b is None:
        return estimate
    focal_px, focal_sigma = float(images.lenses.focal_b2[k, 0]), float(refined.focal_sigma_b[k])
    return replace(estimate, focal_px=focal_px, focal_sigma=focal_sigma)
