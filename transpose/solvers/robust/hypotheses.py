"""Poses from minimal samples of a coordinate map, drawn until enough of them agree with a fourth point.

The sampling of DSAC* (Brachmann and Rother, 2021), for all images of a batch at once. The draws of an image depend on
the seed and on its own usable points only, not on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.randomness import torch_stream
from transpose.solvers.lie import compose, exp_so3, invert, orthonormalized
from transpose.solvers.residuals import PixelResiduals, PointResiduals, taken
from transpose.solvers.robust.p3p import p3p_fields

_FIRST_ROUND = 256
_SMALLEST_ROUND, _LARGEST_ROUND = 128, 8192
_ROTATION_DEFECT = 1e-3
_COLLINEAR = 1e-6  # sine of the angle between two sides

# (samples (k,), points (k, 4)) -> [R_cw | t_cw] (3, 4, k), error of the fourth point (k,), infinite where there is no
# pose.
Minimal = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Hypotheses:
    """Poses of h minimal samples per image.

    Attributes:
        index_bh3: which three points each comes from.
        T_wc_bh44: camera to world, float64.
        valid_bh: which of them are there.
    """

    index_bh3: Tensor
    T_wc_bh44: Tensor
    valid_bh: Tensor


@dataclass(frozen=True)
class Draws:
    """How many hypotheses are wanted, at most from how many draws, and how well the fourth point must fit."""

    hypotheses: int
    max_draws: int
    max_error: float
    seed: int


@torch.no_grad()
def draw(minimal: Minimal, usable_bn: Tensor, draws: Draws) -> Hypotheses:
    """The first hypotheses whose fourth point agrees; where none does, any that are poses at all."""
    b, n = usable_bn.shape
    order_bn = torch.argsort((~usable_bn).to(torch.int8), dim=1, stable=True)
    count_b = usable_bn.sum(1)
    sample_b = torch.arange(b, device=usable_bn.device)
    stream = torch_stream(draws.seed, "dsac hypotheses")
    index, pose, error = [], [], []
    drawn, size = 0, max(_FIRST_ROUND, 4 * draws.hypotheses)
    while n > 0 and b > 0 and drawn < draws.max_draws:
        size = min(size, draws.max_draws - drawn)
        uniform_s4 = torch.rand(size, 4, generator=stream, dtype=torch.float64).to(usable_bn.device)
        rank_bs4 = (uniform_s4 * count_b[:, None, None]).long().clamp_max(n - 1)
        index_bs4 = order_bn.gather(1, rank_bs4.flatten(1)).unflatten(1, (size, 4))
        pose_34k, error_k = minimal(sample_b.repeat_interleave(size), index_bs4.flatten(0, 1))
        index.append(index_bs4[..., :3])
        pose.append(pose_34k.unflatten(2, (b, size)))
        error.append(error_k.unflatten(0, (b, size)))
        drawn += size
        accepted_b = (torch.cat(error, 1) < draws.max_error).sum(1)
        if bool(((accepted_b >= draws.hypotheses) | (count_b < 4)).all()):
            break
        # As many as the acceptance so far suggests for the image that lacks most.
        lacking_b = (draws.hypotheses - accepted_b).clamp_min(0) / (accepted_b + 1) * drawn * 1.4
        size = int(lacking_b.max().clamp(_SMALLEST_ROUND, _LARGEST_ROUND))
    if not index:
        return _none(b, draws.hypotheses, usable_bn.device)
    return _first(torch.cat(index, 1), torch.cat(pose, 3), torch.cat(error, 1), count_b, draws)


def _first(index_bs3: Tensor, pose_34bs: Tensor, error_bs: Tensor, count_b: Tensor, draws: Draws) -> Hypotheses:
    size = error_bs.shape[1]
    accepted_bs = error_bs < draws.max_error
    possible_bs = torch.isfinite(error_bs)
    rank_bs = torch.arange(size, device=error_bs.device) + size * (~accepted_bs).long() + size * (~possible_bs).long()
    rank_bh, order_bh = rank_bs.topk(min(draws.hypotheses, size), dim=1, largest=False, sorted=True)
    some_b1 = accepted_bs.any(1, keepdim=True)
    valid_bh = torch.where(some_b1, rank_bh < size, rank_bh < 2 * size) & (count_b >= 4)[:, None]
    pose_bh34 = pose_34bs.gather(3, order_bh.expand(3, 4, -1, -1)).permute(2, 3, 0, 1)
    R_bh33 = pose_bh34[..., :3]
    eye_34 = torch.eye(3, 4, dtype=R_bh33.dtype, device=R_bh33.device)
    # Rays that nearly coincide let P3P return what is no rotation.
    valid_bh &= (R_bh33 @ R_bh33.mT - eye_34[:, :3]).abs().amax((2, 3)) < _ROTATION_DEFECT
    pose_bh34 = torch.where(valid_bh[..., None, None], pose_bh34, eye_34)
    T_cw_bh44 = compose(orthonormalized(pose_bh34[..., :3]), pose_bh34[..., 3])
    index_bh3 = index_bs3.gather(1, order_bh[..., None].expand(-1, -1, 3))
    return Hypotheses(index_bh3, invert(T_cw_bh44), valid_bh)


def _none(b: int, h: int, device: torch.device) -> Hypotheses:
    eye_44 = torch.eye(4, dtype=torch.float64, device=device)
    return Hypotheses(
        torch.zeros(b, h, 3, dtype=torch.long, device=device),
        eye_44.expand(b, h, 4, 4),
        torch.zeros(b, h, dtype=torch.bool, device=device),
    )


def minimal_pnp(points_b3n: Tensor, residuals: PixelResiduals) -> Minimal:
    """P3P on three points; the solution that sees the fourth best.

    In single precision: a hypothesis is a seed, made exact before anything depends on it. Points far from the origin
    are to be brought near it before.
    """
    inverse_b33 = torch.linalg.inv(residuals.K_b33)
    ones_b1n = torch.ones_like(residuals.px_b2n[:, :1])
    rays_3bn = (inverse_b33 @ torch.cat([residuals.px_b2n, ones_b1n], 1)).float().transpose(0, 1)
    points_3bn = points_b3n.float().transpose(0, 1)

    def solve(sample_k: Tensor, point_k4: Tensor) -> tuple[Tensor, Tensor]:
        # Components first and samples last: every operation runs over contiguous memory.
        points_43k, rays_43k = (a[:, sample_k, point_k4.T].transpose(0, 1) for a in (points_3bn, rays_3bn))
        poses_344k, valid_4k = p3p_fields(rays_43k[:3], points_43k[:3], 0)
        x, y, z = (poses_344k[:, :3] * points_43k[3][:, None]).sum(1) + poses_344k[:, 3]
        fx_k, fy_k = residuals.K_b33[sample_k, 0, 0], residuals.K_b33[sample_k, 1, 1]
        error_4k = torch.hypot((x / z - rays_43k[3, 0]) * fx_k.float(), (y / z - rays_43k[3, 1]) * fy_k.float())
        error_k, best_k = torch.where(valid_4k & (z > 0), error_4k, torch.inf).nan_to_num(torch.inf, torch.inf).min(0)
        return poses_344k.gather(2, best_k.expand(3, 4, 1, -1)).squeeze(2).double(), error_k.double()

    return solve


def minimal_rigid(points_b3n: Tensor, residuals: PointResiduals) -> Minimal:
    """The rigid fit of three points (Kabsch) and how far it misses the fourth."""

    def solve(sample_k: Tensor, point_k4: Tensor) -> tuple[Tensor, Tensor]:
        points_k34 = taken(points_b3n, sample_k, point_k4)
        measured_k34 = taken(residuals.measured_b3n, sample_k, point_k4)
        R_k33, t_k3, spread_k = rigid_from_three(points_k34[..., :3], measured_k34[..., :3])
        fourth_k3 = (R_k33 @ points_k34[..., 3:]).squeeze(2) + t_k3
        worst_k = (R_k33 @ points_k34[..., :3] + t_k3[..., None] - measured_k34[..., :3]).norm(dim=1).amax(1)
        error_k = torch.maximum((fourth_k3 - measured_k34[..., 3]).norm(dim=1), worst_k)
        pose_34k = torch.cat([R_k33, t_k3[..., None]], 2).permute(1, 2, 0)
        return pose_34k, torch.where(spread_k, error_k, torch.inf).nan_to_num(torch.inf, torch.inf)

    return solve


def rigid_from_three(source_k33: Tensor, target_k33: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rigid fit of three points in closed form.

    Both triangles are planar and of the same orientation, so the least-squares rotation takes one plane to the other
    and what is left is an angle in the plane: Kabsch's solution without a singular value decomposition.

    Args:
        source_k33: (problem, xyz, point).
        target_k33: (problem, xyz, point).

    Returns:
        R_k33 and t_k3, target = R source + t, and whether neither triangle is a line.
    """
    middle_s, middle_t = source_k33.mean(2, keepdim=True), target_k33.mean(2, keepdim=True)
    frame_s, spread_s = _triangle_frame(source_k33)
    frame_t, spread_t = _triangle_frame(target_k33)
    flat_s, flat_t = frame_s.mT @ (source_k33 - middle_s), frame_t.mT @ (target_k33 - middle_t)
    spin_k33 = flat_t @ flat_s.mT
    cosine, sine = spin_k33[:, 0, 0] + spin_k33[:, 1, 1], spin_k33[:, 1, 0] - spin_k33[:, 0, 1]
    angle_k = torch.atan2(sine, cosine)
    about_k3 = torch.stack([torch.zeros_like(angle_k), torch.zeros_like(angle_k), angle_k], 1)
    R_k33 = frame_t @ exp_so3(about_k3) @ frame_s.mT
    return R_k33, (middle_t - R_k33 @ middle_s).squeeze(2), spread_s & spread_t


def _triangle_frame(points_k33: Tensor) -> tuple[Tensor, Tensor]:
    """Axes along the first side, in the plane and across it (columns), and whether the triangle has a plane."""
    first_k3, second_k3 = points_k33[..., 1] - points_k33[..., 0], points_k33[..., 2] - points_k33[..., 0]
    normal_k3 = torch.linalg.cross(first_k3, second_k3)
    spread_k = normal_k3.norm(dim=1) > _COLLINEAR * first_k3.norm(dim=1) * second_k3.norm(dim=1)
    x_k3, z_k3 = torch.nn.functional.normalize(first_k3), torch.nn.functional.normalize(normal_k3)
    return torch.stack([x_k3, torch.linalg.cross(z_k3, x_k3), z_k3], 2), spread_k
