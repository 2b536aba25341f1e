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
from transpose.solvers.robust.samples import number_of_triples, subset, triples
from transpose.solvers.robust.scoring import PoseScorer
from transpose.solvers.robust.zooms import Zooms, rezoomed, unzoomed, zoomed_derivatives, zoomed_moved
from transpose.solvers.tangent import damped_step, derivatives, moved

_FIRST_ROUND = 128
_ONE_ROUND = 1024  # samples at most that are drawn at once: a round of few costs what its handful of operations do
_ROUND_GROWTH = 8
_LARGEST_ROUND = 4096
_FIRST_ZOOMED, _LARGEST_ZOOMED = 64, 512  # samples, each of which is tried with many focal lengths
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
        weight_bn: how likely each is drawn, up to a factor; zero for unusable ones.
        zooms: where the focal lengths are looked for as well, how far from these; None where they are given. Poses are
            then projections [z R | z t] in the first two rows, with the zoom z, which see points in the rays' units.
    """

    rays_b3n: Tensor
    points_b3n: Tensor
    focal_b2: Tensor
    weight_bn: Tensor
    zooms: Zooms | None = None

    def of(self, image: int) -> Correspondences:
        """One image, as a batch of one."""
        i = slice(image, image + 1)
        return Correspondences(self.rays_b3n[i], self.points_b3n[i], self.focal_b2[i], self.weight_bn[i], self.zooms)

    def at(self, index_bk: Tensor) -> tuple[Tensor, Tensor]:
        """Rays and points (b, 3, k)."""
        index_b3k = index_bk[:, None].expand(-1, 3, -1)
        return self.rays_b3n.gather(2, index_b3k), self.points_b3n.gather(2, index_b3k)

    def scorer(self, m: int, generator: torch.Generator) -> tuple[PoseScorer, Tensor]:
        """Of m correspondences, or of all; and which share (b, m) of the draws each of them stands for."""
        index_bm, share_bm = subset(self.weight_bn, m, generator)
        counted_bm = (self.weight_bn.gather(1, index_bm) > 0).float()
        return PoseScorer.of(*self.at(index_bm), self.focal_b2, counted_bm), share_bm


@dataclass(frozen=True)
class Found:
    """The best pose of each image.

    Attributes:
        poses_b34: [R_cw | t_cw] in the units of the data.
        hypotheses_b: tried.
        agreeing_b: share of what they were scored on that agrees.
    """

    poses_b34: Tensor
    hypotheses_b: Tensor
    agreeing_b: Tensor

    def of(self, image: int) -> Found:
        """One image, as a batch of one."""
        i = slice(image, image + 1)
        return Found(self.poses_b34[i], self.hypotheses_b[i], self.agreeing_b[i])


def search(data: Correspondences, options: RansacOptions) -> Found:
    """The best pose of each image of the batch, up to the refinement on all points.

    Draws depend on the options' seed and on nothing else, so that an image finds the same pose in any batch.
    """
    generator = torch.Generator().manual_seed(options.seed)
    first = min(_FIRST_ROUND if data.zooms is None else _FIRST_ZOOMED, options.max_iterations)
    if data.zooms is None and options.max_iterations <= _ONE_ROUND:
        first = options.max_iterations
    found, fractions = _round(data, None, first, generator)
    counts = (data.weight_bn > 0).sum(1).tolist()
    needed = [_needed(fraction, count, options) for fraction, count in zip(fractions, counts, strict=True)]
    tried_b = torch.tensor([min(first, number_of_triples(count)) for count in counts], device=data.weight_bn.device)
    found = replace(found, hypotheses_b=tried_b.long())
    unfinished = [i for i, enough in enumerate(needed) if first < enough]
    if not unfinished:
        return found
    state = generator.get_state()
    each = [found.of(i) for i in range(len(counts))]
    for i in unfinished:
        generator.set_state(state)
        each[i] = _continued(data.of(i), each[i], generator, options)
    fields = zip(*((one.poses_b34, one.hypotheses_b, one.agreeing_b) for one in each), strict=True)
    return Found(*map(torch.cat, fields))


def _continued(data: Correspondences, found: Found, generator: torch.Generator, options: RansacOptions) -> Found:
    """More rounds for one image, until a better pose would have been found with the confidence wanted."""
    tried = int(found.hypotheses_b[0])
    size, largest = (_FIRST_ROUND, _LARGEST_ROUND) if data.zooms is None else (_FIRST_ZOOMED, _LARGEST_ZOOMED)
    count = int((data.weight_bn > 0).sum())
    needed = most = min(options.max_iterations, number_of_triples(count))
    while tried < needed:
        size = int(min(size * _ROUND_GROWTH, largest, most - tried))
        found, fractions = _round(data, found, size, generator)
        tried += size
        needed = _needed(fractions[0], count, options)
    return replace(found, hypotheses_b=torch.full_like(found.hypotheses_b, tried))


def _needed(inlier_fraction: float, count: int, options: RansacOptions) -> float:
    """Samples after which one of inliers only was drawn with the confidence wanted; at most all, or the options'."""
    different = max(inlier_fraction - 1 / count, 0) * max(inlier_fraction - 2 / count, 0)
    all_inliers = min(max(inlier_fraction * different, 1e-27), 1 - 1e-9)
    most = min(options.max_iterations, number_of_triples(count))
    return min(math.log(1 - options.confidence) / math.log1p(-all_inliers), most)


def _round(
    data: Correspondences, before: Found | None, size: int, generator: torch.Generator
) -> tuple[Found, list[float]]:
    """Draws, solves, scores and optimizes; and the share of draws that are inliers of each image's best pose."""
    b = len(data.points_b3n)
    stages = _STAGES[before is not None]
    tried = 0 if before is None else int(before.hypotheses_b[0])
    zoom_ch = None if data.zooms is None else data.zooms.drawn(size, generator).to(data.rays_b3n.device)
    poses_bh12 = _hypotheses(*data.at(triples(data.weight_bn, tried, size, generator).flatten(1)), zoom_ch)
    scorer, share_bm = data.scorer(stages[-1][0], generator)
    for points, kept in stages:
        if before is not None and points == stages[-1][0]:
            poses_bh12 = torch.cat([poses_bh12, before.poses_b34.reshape(b, 1, 12)], 1)
        stage = scorer.first(points)
        cost_bk, best_bk = stage.cost(poses_bh12).topk(min(kept, poses_bh12.shape[1]), largest=False, sorted=False)
        poses_bh12 = poses_bh12.gather(1, best_bk[..., None].expand(-1, -1, 12))
    # Which of the poses that agree with nothing are among them is chance, and may not decide anything.
    poses_bh12 = torch.where((cost_bk < stage.worst())[..., None], poses_bh12, _nowhere(poses_bh12))
    # Few points can be left by a step that was to fit them; then the pose as it was drawn is the better one.
    optimized_bh12 = _optimized(scorer.first(_OPTIMIZED_ON), poses_bh12, zoom_ch is not None)
    optimized_bh12 = torch.cat([optimized_bh12, poses_bh12], 1)
    squared_bhm, _ = scorer.squared_errors(optimized_bh12)
    best_b = scorer.counted_sum(squared_bhm.clamp_max(1)).argmin(1)
    row_b = torch.arange(b, device=best_b.device)
    agree_bm = squared_bhm[row_b, best_b] < 1
    drawn_b = (agree_bm * share_bm).sum(1)
    agreeing_b = (scorer.counted_sum(agree_bm.float()[:, None]) / scorer.worst())[:, 0]
    poses_b34 = optimized_bh12[row_b, best_b].reshape(b, 3, 4)
    tried_b = torch.full_like(best_b, size)
    return Found(poses_b34, tried_b, agreeing_b), drawn_b.tolist()


def _hypotheses(rays_b3k: Tensor, points_b3k: Tensor, zoom_ch: Tensor | None = None) -> Tensor:
    """Poses (b, h, 12) of consecutive thirds of the samples; of one image only the valid ones, if there are any.

    With zooms, each sample with each of its own, as projections (see `Correspondences`).
    """
    b = len(rays_b3k)
    fields = [f.unflatten(2, (3, -1)).permute(2, 1, 0, 3) for f in (rays_b3k, points_b3k)]  # point, xyz, image, sample
    if zoom_ch is not None:
        fields = [f.repeat(1, 1, 1, len(zoom_ch)) for f in fields]
        fields[0][:, :2] /= zoom_ch.flatten()
    poses_344h, valid_4h = p3p_fields(fields[0].flatten(2), fields[1].flatten(2), polish=0)
    if zoom_ch is not None:
        poses_344h[:2] *= zoom_ch.flatten().repeat(b)
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


def _optimized(scorer: PoseScorer, poses_bh12: Tensor, zoomed: bool) -> Tensor:
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
        along_bh = zoomed_derivatives(poses_bh34) if zoomed else derivatives(poses_bh34)
        projected_bh = along_bh.mT @ moments_bh
        gradient_bhp = (projected_bh @ poses_bh34.flatten(-2)[..., None])[..., 0]
        step_bhp, _ = damped_step(projected_bh @ along_bh, gradient_bhp, _LOCAL_DAMPING)
        poses_bh34 = zoomed_moved(poses_bh34, step_bhp) if zoomed else moved(poses_bh34, step_bhp)
    if zoomed:
        return rezoomed(*unzoomed(poses_bh34)).flatten(-2)
    R_bh33, t_bh31 = poses_bh34.split((3, 1), -1)
    return torch.cat([orthonormalized(R_bh33), t_bh31], -1).flatten(-2)
