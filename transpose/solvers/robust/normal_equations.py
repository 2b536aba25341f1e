"""The normal equations of the refinement: Cauchy's cost, its gradient and Hessian, over a pose and a focal length.

A point's part is A (x) [X 1]^T [X 1], with A a symmetric 3x3 matrix over camera axes and X the world point, which does
not move: all sums over the points are one matrix product of per-point rows, and the rest happens on matrices of size 12
or 6, or 7 with log f as the last parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from transpose.solvers.robust.problem import FocalPrior, RefinementProblem
from transpose.solvers.tangent import derivatives

CAUCHY_SCALE = 2.385  # 95 % efficient where noise is Gaussian (Holland and Welsch 1977)
_FEW_CLUSTERS = 12
# Upper triangles: the six entries of a symmetric 3x3 matrix, and the ten of a 4x4 one.
_ROW_3, _COLUMN_3 = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)
_ROW_4, _COLUMN_4 = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3), (0, 1, 2, 3, 1, 2, 3, 2, 3, 3)


@dataclass(frozen=True)
class NormalEquations:
    """Cauchy's cost at a pose and what its minimization needs, over xi, and log f where it is estimated.

    Attributes:
        cost_b: the sum of the losses.
        gradient_bp: of the cost.
        straight_bpp: Hessian with the weights held.
        scatter_bpp: sum of the outer products of the points' gradients; 2 / scale^2 of it is what the change of the
            weights takes off the Hessian.
        used_b: points with more than a tenth of their weight.
    """

    cost_b: Tensor
    gradient_bp: Tensor
    straight_bpp: Tensor
    scatter_bpp: Tensor
    used_b: Tensor

    @property
    def hessian_bpp(self) -> Tensor:
        """The whole Hessian but for the curvature of the residuals; not definite far from the minimum."""
        return self.straight_bpp - 2 / CAUCHY_SCALE**2 * self.scatter_bpp

    def replaced(self, other: NormalEquations, where_b: Tensor) -> NormalEquations:
        """This, with the other's values for some images."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return NormalEquations(*(torch.where(where_b.view(-1, *[1] * (a.ndim - 1)), b, a) for a, b in pairs))


def scatter(problem: RefinementProblem, state: NormalEquations, poses_b34: Tensor) -> Tensor:
    """Covariance (b, p, p) of the cost's gradient, for errors that are independent, or correlated within clusters."""
    scatter_bpp = _independent(state) if problem.cluster_bn is None else _clustered(problem, poses_b34)
    if problem.focal is not None:
        scatter_bpp = scatter_bpp.clone()
        scatter_bpp[:, 6, 6] += problem.focal.sigma**-2
    return scatter_bpp


def _independent(state: NormalEquations) -> Tensor:
    """As many points as there are parameters were used up by the fit."""
    parameters = state.gradient_bp.shape[1]
    return state.scatter_bpp * (state.used_b / (state.used_b - parameters).clamp_min(1))[:, None, None]


def _clustered(problem: RefinementProblem, poses_b34: Tensor) -> Tensor:
    """With correlated errors within a cluster (Liang and Zeger 1986): a cluster counts as one sample.

    With few clusters their sums scatter too wildly, and each point's own is scaled to their number.
    """
    assert problem.cluster_bn is not None
    squared_bn, _, gradient_b3n = problem.linearized(poses_b34)
    robust_bn = problem.weight_bn / (1 + squared_bn / CAUCHY_SCALE**2)
    per_point_b12n = ((gradient_b3n * robust_bn[:, None])[:, :, None] * problem.homogeneous_b4n[:, None]).flatten(1, 2)
    per_point_bpn = derivatives(poses_b34).mT @ per_point_b12n
    if problem.focal is not None:
        _, _, slope_bn = problem.along_focal(poses_b34 @ problem.homogeneous_b4n, gradient_b3n)
        per_point_bpn = torch.cat([per_point_bpn, (slope_bn * robust_bn)[:, None]], 1)
    index_bn, parameters = problem.cluster_bn, per_point_bpn.shape[1]
    sums_bpc = per_point_bpn.new_zeros(*per_point_bpn.shape[:2], problem.clusters)
    sums_bpc.scatter_add_(2, index_bn[:, None].expand_as(per_point_bpn), per_point_bpn)
    used_bn = (robust_bn > 0.1).double()
    clusters_b = (torch.zeros_like(sums_bpc[:, 0]).scatter_add_(1, index_bn, used_bn) > 0).double().sum(1)
    enlarged_b = clusters_b / (clusters_b - parameters).clamp_min(1)
    clustered_bpp = sums_bpc @ sums_bpc.mT * enlarged_b[:, None, None]
    alone_bpp = per_point_bpn @ per_point_bpn.mT * (used_bn.sum(1) / clusters_b.clamp_min(1))[:, None, None]
    return torch.where((clusters_b < _FEW_CLUSTERS)[:, None, None], alone_bpp, clustered_bpp)


def features(homogeneous_b4n: Tensor) -> Tensor:
    """The ten products (b, n, 10) of [X 1] with itself, which the sums over the points are made of."""
    return (homogeneous_b4n[:, _ROW_4] * homogeneous_b4n[:, _COLUMN_4]).mT.contiguous()


def normal_equations(problem: RefinementProblem, features_bn10: Tensor, poses_b34: Tensor) -> NormalEquations:
    """Of a problem at some poses, and at the focal length of its rays."""
    squared_bn, a_b6n, gradient_b3n = problem.linearized(poses_b34)
    relative_bn = squared_bn / CAUCHY_SCALE**2
    cost_b = 0.5 * CAUCHY_SCALE**2 * (problem.weight_bn * relative_bn.log1p()).sum(1)
    robust_bn = problem.weight_bn / (1 + relative_bn)
    weighted_b3n = gradient_b3n * robust_bn[:, None]
    x, y, z = weighted_b3n.unbind(1)
    rows = [a_b6n * robust_bn[:, None], torch.stack([x * x, x * y, x * z, y * y, y * z, z * z], 1), weighted_b3n]
    if problem.focal is not None:
        rows += _focal_rows(problem, poses_b34 @ problem.homogeneous_b4n, gradient_b3n, robust_bn)
    sums_bk10 = torch.cat(rows, 1) @ features_bn10
    along_b126 = derivatives(poses_b34)
    index_144, index_12 = _layout(poses_b34.device)
    quadratic_b2_12_12 = sums_bk10[:, :12].reshape(-1, 2, 60).index_select(2, index_144).unflatten(2, (12, 12))
    gradient_b12 = sums_bk10[:, 12:15].flatten(1).index_select(1, index_12)
    both_b2pp = along_b126.mT[:, None] @ quadratic_b2_12_12 @ along_b126[:, None]
    gradient_bp = (along_b126.mT @ gradient_b12[..., None])[..., 0]
    if problem.focal is not None:
        cross_b2_12 = sums_bk10[:, 15:21].reshape(-1, 2, 30).index_select(2, index_12)
        cost_b, gradient_bp, both_b2pp = _with_focal(
            problem.focal, (cost_b, gradient_bp, both_b2pp), cross_b2_12 @ along_b126, sums_bk10[:, 21:, -1]
        )
    used_b = (robust_bn > 0.1).double().sum(1)
    return NormalEquations(cost_b, gradient_bp, both_b2pp[:, 0], both_b2pp[:, 1], used_b)


def _focal_rows(
    problem: RefinementProblem, camera_b3n: Tensor, gradient_b3n: Tensor, robust_bn: Tensor
) -> list[Tensor]:
    """Nine rows a point: J^T k and g k^T e, with g = J^T e, as 3-vectors; k^T k, (k^T e)^2 and k^T e."""
    cross_b3n, square_bn, slope_bn = problem.along_focal(camera_b3n, gradient_b3n)
    cross_b3n, square_bn, slope_bn = cross_b3n * robust_bn[:, None], square_bn * robust_bn, slope_bn * robust_bn
    both_b3n = gradient_b3n * (robust_bn * slope_bn)[:, None]
    return [cross_b3n, both_b3n, torch.stack([square_bn, slope_bn * slope_bn, slope_bn], 1)]


def _with_focal(
    prior: FocalPrior, over_pose: tuple[Tensor, Tensor, Tensor], cross_b26: Tensor, sums_b3: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Cost, gradient, and the two matrices over pose and log f, out of those over the pose."""
    cost_b, gradient_b6, both_b266 = over_pose
    both_b277 = torch.nn.functional.pad(both_b266, (0, 1, 0, 1))
    both_b277[:, :, 6, :6] = both_b277[:, :, :6, 6] = cross_b26
    both_b277[:, :, 6, 6] = sums_b3[:, :2]
    both_b277[:, 0, 6, 6] += prior.sigma**-2
    off_b = prior.log_zoom_b / prior.sigma
    gradient_b7 = torch.cat([gradient_b6, (sums_b3[:, 2] + off_b / prior.sigma)[:, None]], 1)
    return cost_b + 0.5 * off_b.square(), gradient_b7, both_b277


@lru_cache
def _layout(device: torch.device) -> tuple[Tensor, Tensor]:
    """Where sums of A (x) [X 1]^T [X 1] (6, 10) stand in the 12x12 matrix over a pose's entries (row, column).

    And where those of gradient (x) [X 1] stand in (3, 10).
    """
    three, four = torch.zeros(3, 3, dtype=torch.long), torch.zeros(4, 4, dtype=torch.long)
    for k, (i, j) in enumerate(zip(_ROW_3, _COLUMN_3, strict=True)):
        three[i, j] = three[j, i] = k
    for k, (i, j) in enumerate(zip(_ROW_4, _COLUMN_4, strict=True)):
        four[i, j] = four[j, i] = k
    square = 10 * three[:, None, :, None] + four[None, :, None, :]
    line = 10 * torch.arange(3)[:, None] + four[3]
    return square.reshape(144).to(device), line.reshape(12).to(device)
