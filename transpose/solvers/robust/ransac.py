"""The search for poses: rounds of minimal samples, scored on few points first, the best ones optimized locally.

RANSAC (Fischler and Bolles 1981) with preemptive scoring (Nister, "Preemptive RANSAC", ICCV 2003), local optimization
(Chum, Matas and Kittler, "Locally Optimized RANSAC", DAGM 2003) and an adaptive end. Each round is a handful of tensor
operations over all its hypotheses; the first one serves all images of a batch, further ones only those that need it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transpose.solvers.lie import orthonormalized
from transpose.solvers.options import RansacOptions
from transpose.solvers.robust.p3p import p3p_fields
from transpose.solvers.robust.scoring import PoseScorer
from transpose.solvers.tangent import damped_step, derivatives, moved

_FIRST_ROUND = 128
_ROUND_GROWTH = 8
_LARGEST_ROUND = 4096
# How many points score how many of the best hypotheses, all of them first; in the first round and in later ones.
_STAGES = ((128, 16), (512, 4)), ((64, 512), (256, 24), (1024, 4))
_OPTIMIZED_ON = 512
_LOCAL_RADII = 2.0, 1.5, 1.0  # inlier thresholds of the local optimization's rounds
_LOCAL_DAMPING = 1e-5


@dataclass(frozen=True)
class Correspondences:
    """What the search needs of a batch, float32 and in units that keep numbers near one.

    Attributes:
        rays_b3n: viewing rays with z = 1.
        points_b3n: world points, centred and scaled.
        focal_b2: focal lengths divided by the threshold of an inlier.
        rank_bn: cumulated probability of being drawn, from above 0 to 1; unusable points add nothing.
    """

    rays_b3n: Tensor
    points_b3n: Tensor
    focal_b2: Tensor
    rank_bn: Tensor

    def of(self, image: int) -> Correspondences:
        """One image, as a batch of one."""
        i = slice(image, image + 1)
        return Correspondences(self.rays_b3n[i], self.points_b3n[i], self.focal_b2[i], self.rank_bn[i])

    def drawn(self, uniform_k: Tensor) -> tuple[Tensor, Tensor]:
        """Rays and points (b, 3, k) picked by numbers in [0, 1), the same for all images."""
        b, n = self.rank_bn.shape
        index_bk = torch.searchsorted(self.rank_bn, uniform_k.expand(b, -1).contiguous(), right=True).clamp_max(n - 1)
        index_b3k = index_bk[:, None].expand(b, 3, -1)
        return self.rays_b3n.gather(2, index_b3k), self.points_b3n.gather(2, index_b3k)


@dataclass(frozen=True)
class Found:
    """The best pose of each image, [R_cw | t_cw] in the units of the data, and the number of hypotheses tried."""

    poses_b34: Tensor
    hypotheses_b: Tensor


def search(data: Correspondences, options: RansacOptions) -> Found:
    """The best pose of each image of the batch, up to the refinement on all points.

    Draws depend on the options' seed and on nothing else, so that an image finds the same pose in any batch.
    """
    generator = torch.Generator().manual_seed(options.seed)
    first = min(_FIRST_ROUND, options.max_iterations)
    found, inliers_b = _round(data, None, first, generator)
    unfinished = [i for i, fraction in enumerate(inliers_b) if first < _needed(fraction, options)]
    if not unfinished:
        return found
    state = generator.get_state()
    poses_b, hypotheses_b = list(found.poses_b34.split(1)), list(found.hypotheses_b.split(1))
    for i in unfinished:
        generator.set_state(state)
        one = _continued(data.of(i), Found(poses_b[i], hypotheses_b[i]), generator, options)
        poses_b[i], hypotheses_b[i] = one.poses_b34, one.hypotheses_b
    return Found(torch.cat(poses_b), torch.cat(hypotheses_b))


def _continued(data: Correspondences, found: Found, generator: torch.Generator, options: RansacOptions) -> Found:
    """More rounds for one image, until a better pose would have been found with the confidence wanted."""
    tried, size = int(found.hypotheses_b[0]), _FIRST_ROUND
    needed: float = options.max_iterations
    while tried < needed:
        size = min(size * _ROUND_GROWTH, _LARGEST_ROUND, options.max_iterations - tried)
        found, inliers_b = _round(data, found, size, generator)
        tried += size
        needed = _needed(inliers_b[0], options)
    return replace(found, hypotheses_b=torch.full_like(found.hypotheses_b, tried))


def _needed(inlier_fraction: float, options: RansacOptions) -> float:
    """Samples after which one of inliers only was drawn with the confidence wanted, capped by the options."""
    all_inliers = min(max(inlier_fraction, 1e-9) ** 3, 1 - 1e-9)
    return min(math.log(1 - options.confidence) / math.log1p(-all_inliers), options.max_iterations)


def _round(
    data: Correspondences, before: Found | None, size: int, generator: torch.Generator
) -> tuple[Found, list[float]]:
    """Draws, solves, scores and optimizes; and the fraction of inliers of each image's best pose."""
    b, _, n = data.points_b3n.shape
    device = data.points_b3n.device
    stages = _STAGES[before is not None]
    uniform_k = torch.rand(3 * size + min(stages[-1][0], n), generator=generator).to(device)
    rays_b3k, points_b3k = data.drawn(uniform_k)
    poses_bh12 = _hypotheses(rays_b3k[..., : 3 * size], points_b3k[..., : 3 * size])
    scorer = PoseScorer.of(rays_b3k[..., 3 * size :], points_b3k[..., 3 * size :], data.focal_b2)
    for points, kept in stages:
        if before is not None and points == stages[-1][0]:
            poses_bh12 = torch.cat([poses_bh12, before.poses_b34.reshape(b, 1, 12)], 1)
        cost_bh = scorer.first(points).cost(poses_bh12)
        cost_bk, best_bk = cost_bh.topk(min(kept, cost_bh.shape[1]), largest=False, sorted=False)
        poses_bh12 = poses_bh12.gather(1, best_bk[..., None].expand(-1, -1, 12))
    # Which of the poses that agree with nothing are among them is chance, and may not decide anything.
    poses_bh12 = torch.where((cost_bk < 1)[..., None], poses_bh12, _nowhere(poses_bh12))
    # Few points can be left by a step that was to fit them; then the pose as it was drawn is the better one.
    optimized_bh12 = torch.cat([_optimized(scorer.first(_OPTIMIZED_ON), poses_bh12), poses_bh12], 1)
    squared_bhm, _ = scorer.squared_errors(optimized_bh12)
    best_b = squared_bhm.clamp_max(1).mean(-1).argmin(1)
    row_b = torch.arange(b, device=device)
    inlier_fraction_b = (squared_bhm[row_b, best_b] < 1).float().mean(-1)
    poses_b34 = optimized_bh12[row_b, best_b].reshape(b, 3, 4)
    tried_b = torch.full((b,), size, device=device)
    return Found(poses_b34, tried_b), inlier_fraction_b.tolist()


def _hypotheses(rays_b3k: Tensor, points_b3k: Tensor) -> Tensor:
    """Poses (b, h, 12) of consecutive thirds of the samples; of one image only the valid ones, if there are any."""
    b = len(rays_b3k)
    rays_33h, points_33h = (f.unflatten(2, (3, -1)).permute(2, 1, 0, 3).flatten(2) for f in (rays_b3k, points_b3k))
    poses_344h, valid_4h = p3p_fields(rays_33h, points_33h, polish=0)
    poses_12_4h = poses_344h.flatten(0, 1)
    if b == 1 and bool(valid_4h.any()):
        return poses_12_4h.flatten(1)[:, valid_4h.flatten().nonzero()[:, 0]].T[None]
    poses_12_4h = torch.where(valid_4h, poses_12_4h, _nowhere(poses_12_4h)[:, None, None])
    return poses_12_4h.unflatten(2, (b, -1)).permute(2, 1, 3, 0).flatten(1, 2)


def _nowhere(like: Tensor) -> Tensor:
    """A pose (12,) without rotation that sees every point at depth -1: it agrees with none."""
    nowhere_12 = like.new_zeros(12)
    nowhere_12[11] = -1
    return nowhere_12


def _optimized(scorer: PoseScorer, poses_bh12: Tensor) -> Tensor:
    """Gauss-Newton rounds on the inliers, their number shrinking towards the threshold.

    With each point's depth held, the errors are linear in the pose's entries: the points enter through one 12x12
    matrix a hypothesis, which is a matrix product.
    """
    ex_b12m, ey_b12m, _ = scorer.linear_b3_12_m.unbind(1)
    products_b144m = (
        (ex_b12m[:, :, None] * ex_b12m[:, None]).addcmul_(ey_b12m[:, :, None], ey_b12m[:, None]).flatten(1, 2)
    )
    poses_bh34 = poses_bh12.unflatten(-1, (3, 4))
    for radius in _LOCAL_RADII:
        squared_bhm, depth2_bhm = scorer.squared_errors(poses_bh34.flatten(-2))
        weights_bhm = (squared_bhm < radius * radius) / depth2_bhm
        moments_bh = (weights_bhm @ products_b144m.mT).unflatten(-1, (12, 12))
        along_bh = derivatives(poses_bh34)
        projected_bh = along_bh.mT @ moments_bh
        gradient_bh6 = (projected_bh @ poses_bh34.flatten(-2)[..., None])[..., 0]
        poses_bh34 = moved(poses_bh34, damped_step(projected_bh @ along_bh, gradient_bh6, _LOCAL_DAMPING)[0])
    R_bh33, t_bh31 = poses_bh34.split((3, 1), -1)
    return torch.cat([orthonormalized(R_bh33), t_bh31], -1).flatten(-2)
