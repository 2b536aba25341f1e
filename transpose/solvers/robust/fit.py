"""The last step of a search for poses: which points take part in the refinement, and how much each counts."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from transpose.solvers.options import RansacOptions
from transpose.solvers.robust.focal_profile import profiled
from transpose.solvers.robust.images import Images, compressed, median, picked
from transpose.solvers.robust.problem import (
    FocalPrior,
    RefinementProblem,
    ray_weights,
    ray_weights_of_covariances,
)
from transpose.solvers.robust.refine import Refinement, refine

_MOST_CLUSTERS = 4096
# The refinement takes points within so many thresholds of the search's pose; or, where their covariances are known,
# within so many sigmas, but no farther than so many thresholds: a network that predicts a large error is often wrong.
_NEAR = 2.0
_NEAR_SIGMAS, _NEAR_AT_MOST = 4.0, 4.0
# Nobody sees a point more exactly than so many thresholds, half a pixel by default: points whose place is known better
# than that, such as surveyed ones, have the error of the pixel.
_LEAST_ERROR = 0.05
_MEDIAN_OF_RAYLEIGH = 1.1774  # over its sigma
_SMALLEST_SIGMA = 1e-4  # of the threshold
_MANY = 30  # points that tell how their errors depend on depth
_DEPTH_POWERS = 0.0, 0.5, 1.0


def fitted(images: Images, poses_b34: Tensor, options: RansacOptions, focal: FocalPrior | None = None) -> Refinement:
    """The poses refined on all points near them.

    Args:
        images: with the focal lengths that the search found, where it looked for them.
        poses_b34: of the search, world to camera, metres.
        options: its threshold, what is minimized, and how far errors are correlated.
        focal: what was known of the focal lengths where they are refined as well.
    """
    camera_b3n = poses_b34 @ images.local_b4n
    off_b2n = (camera_b3n[:, :2] / camera_b3n[:, 2:] - images.rays_b3n[:, :2]) * images.lenses.focal_b2[..., None]
    squared_bn = off_b2n.square().sum(1)
    limit_bn: Tensor | float = (_NEAR * options.max_error_px) ** 2
    if options.refine != "pixel" and images.covariances_b6n is not None:
        # What is near in pixels leaves out the good among the close points, and biases the pose.
        focal2_b1 = images.lenses.focal_b2.prod(1, keepdim=True)
        squared_depth_bn = camera_b3n[:, 2].square()
        least_bn = (_LEAST_ERROR * options.max_error_px) ** 2 * squared_depth_bn / focal2_b1
        images = images.no_surer_than(least_bn)
        limit_bn = _NEAR_SIGMAS**2 * focal2_b1 * images.variance_bn() / squared_depth_bn
        limit_bn = limit_bn.clamp_max((_NEAR_AT_MOST * options.max_error_px) ** 2)
    near_bn = (squared_bn < limit_bn) & (camera_b3n[:, 2] > 0) & images.usable_bn
    # Only the near points are worth the rest of the work.
    index_bm, weight_bm = compressed(near_bn)
    cluster_bm, clusters = _clusters(picked(images.px_bn2.mT, index_bm), options.correlation_px)
    rays_b3m = picked(images.rays_b3n, index_bm)
    problem = RefinementProblem(
        rays_b3m, picked(images.local_b4n, index_bm), weight_bm, cluster_bn=cluster_bm, clusters=clusters, focal=focal
    )
    error_bm = torch.where(weight_bm > 0, squared_bn.gather(1, index_bm).sqrt(), torch.nan)
    focal_b2 = images.lenses.focal_b2
    if options.refine == "pixel" or (options.refine == "auto" and images.covariances_b6n is None):
        depth_bm = camera_b3n[:, 2].gather(1, index_bm)
        sigma_bm = _pixel_sigmas(error_bm, depth_bm, weight_bm, _SMALLEST_SIGMA * options.max_error_px)
        return _refined(replace(problem, focal_b2n=focal_b2[..., None] / sigma_bm[:, None]), poses_b34)
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
    return _refined(replace(problem, across_b6n=across_b6m), poses_b34)


def _refined(problem: RefinementProblem, poses_b34: Tensor) -> Refinement:
    found = refine(problem, poses_b34)
    return found if problem.focal is None else profiled(problem, found)


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
