"""The expected pose loss over RANSAC's hypotheses, differentiable by the coordinate map (DSAC).

A hypothesis is chosen with a probability that grows with its soft inlier count, then refined; the loss expected of
that choice is differentiated (Brachmann and Rother, "Visual Camera Re-Localization from RGB and RGB-D Images Using
DSAC", 2021). Two gradients flow: through the refined poses, and through the scores, both directly and by way of the
minimal samples' poses. All are implicit derivatives of stationary poses, none a finite difference. The refinement
minimizes a biweight, whose inliers come and go smoothly; the loss is a smooth function nearly everywhere and its
gradient is that of the function itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transpose.solvers.differentiable.observed_map import ObservedMap, measured_map, seen_map
from transpose.solvers.differentiable.stationary import Limits, PoseProblem, descend, solve_stationary
from transpose.solvers.inputs import Array, as_given, handed_back, true_poses
from transpose.solvers.lie import invert
from transpose.solvers.residuals import Kernel, taken
from transpose.solvers.robust.hypotheses import Draws, Hypotheses, draw

_MIN_REFINED = 6
_TINY = 1e-9  # px or m, keeps the derivative of a length defined at zero
_THINNED = 200  # points on which hypotheses are first refined
_COARSE_STEPS = 5
_COARSE, _FINE = 1e-2, 1e-3  # fractions of the threshold to which a pose is made stationary
_SAME = 5e-3  # rad, or fraction of the distance to the points: poses that close are one
# Hypotheses scored at once: on a processor what fits in a core's cache, elsewhere as many as there are.
_CHUNK, _LARGE_CHUNK = 8, 1024


@dataclass(frozen=True)
class DsacOptions:
    """DSAC*'s defaults.

    Attributes:
        hypotheses: minimal samples per image whose fourth point agrees.
        max_error_px: inlier threshold, pixels (RGB).
        max_error_m: inlier threshold, metres (RGB-D).
        softness: of the inlier count: a point counts sigmoid(softness (1 - error / threshold)).
        inlier_alpha: score if all points are inliers; softmax of the scores is the probability.
        clamp: errors count at most that many thresholds.
        rotation_weight: loss per degree.
        translation_weight: loss per metre.
        soft_clamp: a loss l beyond it becomes sqrt(soft_clamp l).
        max_loss: no hypothesis costs more.
        min_probability: less likely hypotheses are left out.
        max_draws: of minimal samples per image.
        max_iterations: of a refinement; one that needs more keeps its minimal pose.
        seed: of the draws. Training wants another one each step.
    """

    hypotheses: int = 64
    max_error_px: float = 10.0
    max_error_m: float = 0.1
    softness: float = 5.0
    inlier_alpha: float = 100.0
    clamp: float = 10.0
    rotation_weight: float = 1.0
    translation_weight: float = 100.0
    soft_clamp: float = 100.0
    max_loss: float = 1e7
    min_probability: float = 0.001
    max_draws: int = 16_384
    max_iterations: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        positive = (self.max_error_px, self.max_error_m, self.softness, self.inlier_alpha, self.clamp, self.soft_clamp)
        if min(positive) <= 0 or min(self.hypotheses, self.max_draws, self.max_iterations) < 1:
            raise ValueError(f"thresholds, softness, alpha, clamps and counts must be positive: {self}")
        if not 0 <= self.min_probability < 1:
            raise ValueError(f"min_probability must be in [0, 1), got {self.min_probability}")


def dsac_loss(
    px_bn2: Array,
    points_bn3: Array,
    K_b33: Array,
    T_wc_b44: Array,
    options: DsacOptions | None = None,
    hypotheses: Hypotheses | None = None,
) -> Tensor:
    """The expected pose loss of coordinate maps seen at pixels.

    Args:
        px_bn2: continuous pixels.
        points_bn3: the map, world points in metres; a point that is not finite is left out.
        K_b33: pinhole intrinsics, pixels; (3, 3) serves all.
        T_wc_b44: the true poses.
        options: DSAC*'s defaults.
        hypotheses: frozen minimal samples, as from `draw_hypotheses`; drawn anew without them.

    Returns:
        loss_b, float64 (float32 on a device that has no float64), differentiable by `points_bn3`. A map without a
        single pose (fewer than four points, all on a line) counts `soft_clamp` and has zero gradient.

    Raises:
        ValueError: shapes that do not fit, intrinsics or poses that are none.
    """
    options = options or DsacOptions()
    points = as_given("points", points_bn3)
    observed = seen_map(px_bn2, points, K_b33, options.max_error_px)
    hypotheses = hypotheses or _draw(observed, options)
    truth_b44 = true_poses(T_wc_b44, len(points), observed.points_b3n.device)
    return handed_back(_expected_loss(observed, hypotheses, truth_b44, options), points.device)


def dsac_loss_rgbd(
    camera_points_bn3: Array,
    points_bn3: Array,
    T_wc_b44: Array,
    options: DsacOptions | None = None,
    hypotheses: Hypotheses | None = None,
) -> Tensor:
    """`dsac_loss` with measured depth: errors are distances in metres, hypotheses and refinement rigid fits.

    Args:
        camera_points_bn3: what the depth camera measured, metres, camera frame; NaN where it saw nothing.
        points_bn3: the map, world points in metres.
        T_wc_b44: the true poses.
        options: DSAC*'s defaults.
        hypotheses: frozen minimal samples.

    Returns:
        loss_b, as `dsac_loss`.
    """
    options = options or DsacOptions()
    points = as_given("points", points_bn3)
    observed = measured_map(camera_points_bn3, points, options.max_error_m)
    hypotheses = hypotheses or _draw(observed, options)
    truth_b44 = true_poses(T_wc_b44, len(points), observed.points_b3n.device)
    return handed_back(_expected_loss(observed, hypotheses, truth_b44, options), points.device)


def draw_hypotheses(px_bn2: Array, points_bn3: Array, K_b33: Array, options: DsacOptions | None = None) -> Hypotheses:
    """The minimal samples that `dsac_loss` would draw; freezing them makes the loss a function of the map alone."""
    options = options or DsacOptions()
    return _draw(seen_map(px_bn2, points_bn3, K_b33, options.max_error_px), options)


def pose_loss(T_wc_b44: Tensor, truth_b44: Tensor, options: DsacOptions | None = None) -> Tensor:
    """DSAC*'s loss (b,) of poses: weighted degrees plus metres, its square root beyond `soft_clamp`.

    With the default weights the unit is one degree or one centimetre.
    """
    options = options or DsacOptions()
    between_b33 = T_wc_b44[..., :3, :3].transpose(-1, -2) @ truth_b44[..., :3, :3]
    twice_b33 = between_b33 - between_b33.transpose(-1, -2)
    sine_b = torch.stack([twice_b33[..., 2, 1], twice_b33[..., 0, 2], twice_b33[..., 1, 0]], -1).norm(dim=-1) / 2
    cosine_b = (between_b33.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    degrees_b = torch.rad2deg(torch.atan2(sine_b, cosine_b))
    metres_b = (T_wc_b44[..., :3, 3] - truth_b44[..., :3, 3]).norm(dim=-1)
    loss_b = options.rotation_weight * degrees_b + options.translation_weight * metres_b
    large_b = loss_b > options.soft_clamp
    root_b = (options.soft_clamp * torch.where(large_b, loss_b, options.soft_clamp)).sqrt()
    return torch.where(large_b, root_b, loss_b).clamp_max(options.max_loss)


def _expected_loss(observed: ObservedMap, hypotheses: Hypotheses, truth_b44: Tensor, options: DsacOptions) -> Tensor:
    """sum_j p_j l_j over the likely hypotheses of every image, which are handled as one long list."""
    sample_k, row_k = _likely(observed, hypotheses, options)
    if len(sample_k) == 0:
        return options.soft_clamp + 0.0 * observed.points_b3n.sum((1, 2))
    index_k3 = hypotheses.index_bh3[sample_k, row_k]
    minimal = PoseProblem(
        taken(observed.points_b3n, sample_k, index_k3),
        torch.ones_like(index_k3, dtype=torch.float64),
        observed.residuals.take(sample_k, index_k3),
        Kernel(),
    )
    limits = Limits(options.max_iterations, 3, near=True)
    minimal_k44, _ = solve_stationary(minimal, hypotheses.T_wc_bh44[sample_k, row_k], limits)
    score_k = _scores(observed, sample_k, minimal_k44, options)
    refined_k44, ok_k = _refined(observed, sample_k, minimal_k44.detach(), options.max_iterations)
    final_k44 = torch.where(ok_k[:, None, None], refined_k44, minimal_k44)
    loss_k = pose_loss(final_k44, truth_b44[sample_k], options)
    # Softmax over the list, image by image; the shift by the largest score is a constant.
    b = len(truth_b44)
    top_b = torch.full((b,), -torch.inf, dtype=score_k.dtype, device=score_k.device)
    top_b = top_b.scatter_reduce(0, sample_k, score_k.detach(), "amax")
    weight_k = (score_k - top_b[sample_k]).exp()
    zero_b = torch.zeros_like(top_b)
    total_b = zero_b.index_add(0, sample_k, weight_k)
    none_b = torch.isinf(top_b)
    expected_b = zero_b.index_add(0, sample_k, weight_k * loss_k) / torch.where(none_b, 1.0, total_b)
    return torch.where(none_b, options.soft_clamp, expected_b)


def _refined(observed: ObservedMap, sample_k: Tensor, T_wc_k44: Tensor, max_iterations: int) -> tuple[Tensor, Tensor]:
    """The stationary poses that hypotheses lead to, and whether there is one.

    Most lead to the same. A thinned map tells which, at a fraction of the price; each of those few is then made
    stationary on the whole map.
    """
    n = observed.points_b3n.shape[2]
    stride = max(1, n // _THINNED)
    with torch.no_grad():
        thinned = observed.thinned(stride).robust(sample_k)
        limits = Limits(_COARSE_STEPS, step_rms=_COARSE * observed.max_error)
        coarse_k44 = descend(thinned, T_wc_k44, limits).T_wc_b44
        reach_k = (coarse_k44[:, :3, 3] - observed.center_b3[sample_k]).norm(dim=1)
        first_u, of_k = _representatives(coarse_k44, sample_k, reach_k).unique(return_inverse=True)
    limits = Limits(max_iterations, _MIN_REFINED, step_rms=_FINE * observed.max_error, near=True)
    fine_u44, fine_u = solve_stationary(observed.robust(sample_k[first_u]), coarse_k44[first_u], limits)
    return fine_u44[of_k], fine_u[of_k]


def _representatives(T_wc_k44: Tensor, sample_k: Tensor, reach_k: Tensor) -> Tensor:
    """For each pose of a list, ordered by image, the first of its image that is the same pose but for rounding."""
    count_b = torch.bincount(sample_k)
    first_b = count_b.cumsum(0) - count_b
    place_k = torch.arange(len(sample_k), device=sample_k.device) - first_b[sample_k]
    # Image by image, so that memory grows with the batch and not with its square; NaN is like nothing, itself included.
    padded_bh12 = T_wc_k44.new_full((len(count_b), int(count_b.max()), 12), torch.nan)
    padded_bh12[sample_k, place_k] = T_wc_k44[:, :3].flatten(1)
    between_bhh34 = (padded_bh12[:, :, None] - padded_bh12[:, None]).unflatten(3, (3, 4))
    reach_bh = padded_bh12.new_zeros(padded_bh12.shape[:2])
    reach_bh[sample_k, place_k] = reach_k
    turned_bhh = between_bhh34[..., :3].abs().amax((3, 4))
    same_bhh = (turned_bhh < _SAME) & (between_bhh34[..., 3].norm(dim=3) < _SAME * reach_bh[:, None])
    same_bhh |= torch.eye(same_bhh.shape[1], dtype=torch.bool, device=same_bhh.device)
    return first_b[sample_k] + same_bhh.to(torch.int8).argmax(2)[sample_k, place_k]


@torch.no_grad()
def _likely(observed: ObservedMap, hypotheses: Hypotheses, options: DsacOptions) -> tuple[Tensor, Tensor]:
    """(image, hypothesis) of all that are chosen with at least `min_probability`; single precision will do."""
    if options.min_probability == 0:
        sample_k, row_k = hypotheses.valid_bh.nonzero(as_tuple=True)
        return sample_k, row_k
    T_cw_bh44 = invert(hypotheses.T_wc_bh44)
    score_bh = torch.full(hypotheses.valid_bh.shape, -torch.inf, device=observed.points_b3n.device)
    single, chunk = observed.residuals.cast(torch.float32), _chunk(score_bh.device)
    for i in range(len(score_bh)):
        # About one camera's centre, so that large coordinates keep their digits.
        origin_3 = hypotheses.T_wc_bh44[i, 0, :3, 3]
        points_3n = (observed.points_b3n[i] - origin_3[:, None]).float()
        residuals = single.take(torch.tensor([i], device=origin_3.device))
        for start in range(0, score_bh.shape[1], chunk):
            T_cw_h44 = T_cw_bh44[i, start : start + chunk]
            t_3h = (T_cw_h44[:, :3, 3] + T_cw_h44[:, :3, :3] @ origin_3).T.float()
            R_3h3 = T_cw_h44[:, :3, :3].transpose(0, 1).float()
            camera_3hn = (R_3h3.flatten(0, 1) @ points_3n).unflatten(0, (3, -1)).add_(t_3h[:, :, None])
            length_hn = residuals.lengths(camera_3hn.transpose(0, 1), options.clamp * observed.max_error)
            soft_hn = length_hn.mul_(-options.softness / observed.max_error).add_(options.softness).sigmoid_()
            score_bh[i, start : start + chunk] = soft_hn @ observed.usable_bn[i].float()
    score_bh *= options.inlier_alpha / observed.usable_bn.sum(1, keepdim=True).clamp_min(1)
    score_bh = torch.where(hypotheses.valid_bh, score_bh, -torch.inf)
    sample_k, row_k = (hypotheses.valid_bh & (score_bh.softmax(1) >= options.min_probability)).nonzero(as_tuple=True)
    return sample_k, row_k


def _scores(observed: ObservedMap, sample_k: Tensor, T_wc_k44: Tensor, options: DsacOptions) -> Tensor:
    """Soft inlier counts (k,), `inlier_alpha` where all usable points fit; differentiable by points and poses.

    `sample_k` is sorted: hypotheses of one image stand together.
    """
    counts = sample_k.bincount(minlength=len(observed.points_b3n)).tolist()
    parts = invert(T_wc_k44).split(counts)
    return torch.cat([_scores_of(observed, i, T_cw_h44, options) for i, T_cw_h44 in enumerate(parts)])


def _scores_of(observed: ObservedMap, image: int, T_cw_h44: Tensor, options: DsacOptions) -> Tensor:
    """`_scores` of one image.

    The values come from plain arithmetic, a few hypotheses at a time; the derivative by each camera-frame point is
    known in closed form and enters through a linear term that is zero.
    """
    points_3n, usable_n = observed.points_b3n[image], observed.usable_bn[image]
    R_h33, t_h3 = T_cw_h44[:, :3, :3], T_cw_h44[:, :3, 3]
    score_h, slope_h3n = t_h3.new_empty(len(t_h3)), t_h3.new_empty(len(t_h3), *points_3n.shape)
    scale, largest = options.inlier_alpha / usable_n.sum().clamp_min(1), options.clamp * observed.max_error
    with torch.no_grad():
        residuals = observed.residuals.take(torch.tensor([image], device=t_h3.device))
        chunk = _chunk(t_h3.device)
        for start in range(0, len(t_h3), chunk):
            part = slice(start, start + chunk)
            camera_c3n = (R_h33[part] @ points_3n).add_(t_h3[part, :, None])
            q_cn, gradient_c3n = residuals.value_and_gradient(camera_c3n)
            counted_cn = usable_n & residuals.ahead(camera_c3n) & (q_cn < largest**2)
            length_cn = torch.where(counted_cn, q_cn, largest**2).sqrt_()
            soft_cn = torch.sigmoid(options.softness - options.softness / observed.max_error * length_cn)
            score_h[part] = scale * (soft_cn @ usable_n.to(soft_cn))
            slope_cn = soft_cn.square().sub_(soft_cn).mul_(options.softness / observed.max_error * scale)
            slope_cn = slope_cn.div_(length_cn.add_(_TINY))
            slope_h3n[part] = gradient_c3n.mul_(slope_cn[:, None]).masked_fill_(~counted_cn[:, None], 0.0)
    # sum_n slope_n . (R X_n + t), in one product over the points.
    turned_h33 = (slope_h3n.flatten(0, 1) @ points_3n.mT).unflatten(0, (-1, 3))
    linear_h = (turned_h33 * R_h33).sum((1, 2)) + (slope_h3n.sum(2) * t_h3).sum(1)
    return score_h + (linear_h - linear_h.detach())


def _chunk(device: torch.device) -> int:
    return _CHUNK if device.type == "cpu" else _LARGE_CHUNK


def _draw(observed: ObservedMap, options: DsacOptions) -> Hypotheses:
    draws = Draws(options.hypotheses, options.max_draws, observed.max_error, options.seed)
    center_b31 = observed.center_b3[..., None]
    found = draw(observed.moved(-center_b31).minimal(), observed.usable_bn, draws)
    T_wc_bh44 = found.T_wc_bh44.clone()
    T_wc_bh44[..., :3, 3:] += center_b31[:, None]
    return replace(found, T_wc_bh44=T_wc_bh44)
