"""Robust refinement of camera poses on all points: pixel error, or the distance between points and viewing rays.

A network's errors sit on the 3D points, not on the pixels. Minimizing pixel error then favours far points and biases
the pose; the distance of a point to its ray is linear in the point's noise and therefore unbiased (errors in
variables).

Both are iteratively re-weighted Levenberg-Marquardt with Cauchy's loss. A point's part in the normal equations is
A (x) [X 1]^T [X 1], with A a symmetric 3x3 matrix over camera axes and X the world point, which does not move: all sums
over the points are one matrix product of per-point rows, and the rest happens on matrices of size 12 or 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from transpose.solvers.lie import orthonormalized
from transpose.solvers.tangent import damped_step, derivatives, moved

_CAUCHY_SCALE = 2.385  # 95 % efficient where noise is Gaussian (Holland and Welsch 1977)
_FIRST_DAMPING = 1e-6
_LAST_DEVIATIONS = 0.5
_SMALLEST_PIVOT = 1e-6
_BEHIND = 1e12  # squared residual of a point behind the camera: it has no gradient and makes the pose worse
_FEW_CLUSTERS = 12
_FEW = 30  # points below which their scatter says less than their predicted covariances
# Upper triangles: the six entries of a symmetric 3x3 matrix, and the ten of a 4x4 one.
_ROW_3, _COLUMN_3 = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)
_ROW_4, _COLUMN_4 = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3), (0, 1, 2, 3, 1, 2, 3, 2, 3, 3)


@dataclass(frozen=True)
class Refinement:
    """Refined poses.

    Attributes:
        poses_b34: [R_cw | t_cw], world to camera.
        covariance_b66: of xi = (omega rad, t m) in the camera frame, T_wc_true = T_wc exp(xi), rotation first; NaN
            where the points do not fix the pose.
        converged_b: whether the last step was negligible.
    """

    poses_b34: Tensor
    covariance_b66: Tensor
    converged_b: Tensor


@dataclass(frozen=True)
class RefinementProblem:
    """What is minimized: two-dimensional residuals of unit variance, by their weight matrices in camera axes.

    Attributes:
        rays_b3n: viewing rays with z = 1.
        homogeneous_b4n: world points and a one.
        weight_bn: zero for points that take no part.
        cluster_bn: index of the group within which a point's error may be correlated with others', below
            `clusters`; None where all are independent.
        focal_b2n: in units of each point's sigma of pixel errors; None for the distance to the ray.
        across_b6n: for the distance to the ray, symmetric matrices that weight a camera-frame point.
    """

    rays_b3n: Tensor
    homogeneous_b4n: Tensor
    weight_bn: Tensor
    focal_b2n: Tensor | None = None
    across_b6n: Tensor | None = None
    cluster_bn: Tensor | None = None
    clusters: int = 0

    def linearized(self, poses_b34: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared residuals (b, n), A (b, 6, n) and half the gradient of each by its camera-frame point (b, 3, n)."""
        camera_b3n = poses_b34 @ self.homogeneous_b4n
        if self.across_b6n is not None:
            return self._to_rays(camera_b3n)
        assert self.focal_b2n is not None
        x, y, z = camera_b3n.unbind(1)
        inverse_bn = 1 / z.clamp_min(1e-9)
        fx, fy = (self.focal_b2n * inverse_bn[:, None]).unbind(1)
        u, v = x * inverse_bn, y * inverse_bn
        ex, ey = self.focal_b2n[:, 0] * (u - self.rays_b3n[:, 0]), self.focal_b2n[:, 1] * (v - self.rays_b3n[:, 1])
        fxx, fyy, px, py = fx * fx, fy * fy, fx * ex, fy * ey
        fxz, fyz = u * fxx, v * fyy
        a_b6n = torch.stack([fxx, torch.zeros_like(u), -fxz, fyy, -fyz, u * fxz + v * fyz], 1)
        gradient_b3n = torch.stack([px, py, -u * px - v * py], 1)
        return torch.where(z > 0, ex * ex + ey * ey, _BEHIND), a_b6n, gradient_b3n

    def _to_rays(self, camera_b3n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        assert self.across_b6n is not None
        a00, a01, a02, a11, a12, a22 = self.across_b6n.unbind(1)
        x, y, z = camera_b3n.unbind(1)
        gradient_b3n = torch.stack(
            [a00 * x + a01 * y + a02 * z, a01 * x + a11 * y + a12 * z, a02 * x + a12 * y + a22 * z], 1
        )
        squared_bn = (camera_b3n * gradient_b3n).sum(1).clamp_min(0)
        return torch.where((camera_b3n * self.rays_b3n).sum(1) > 0, squared_bn, _BEHIND), self.across_b6n, gradient_b3n


def ray_weights(rays_b3n: Tensor, variance_bn: Tensor) -> Tensor:
    """Matrices (b, 6, n) by which a camera-frame point's squared distance to its ray is divided by its variance."""
    precision_bn = 1 / variance_bn
    scaled_b3n = rays_b3n * (precision_bn / rays_b3n.square().sum(1))[:, None].sqrt()
    out_b6n = -scaled_b3n[:, _ROW_3] * scaled_b3n[:, _COLUMN_3]
    out_b6n[:, (0, 3, 5)] += precision_bn[:, None]
    return out_b6n


def ray_weights_of_covariances(rays_b3n: Tensor, covariances_b6n: Tensor, R_b33: Tensor) -> Tensor:
    """The same for full covariances of world points: the inverse of their shadow in the plane across the ray.

    Args:
        rays_b3n: viewing rays with z = 1.
        covariances_b6n: 00 01 02 11 12 22 of each point's covariance, world axes, metres squared.
        R_b33: world to camera.

    For a covariance S in camera axes and the unit ray v, E (E^T S E)^-1 E^T with any basis E of the plane across the
    ray is [v]x^T S [v]x divided by v^T adj(S) v (both are 2x2 adjugate over determinant, written without E).
    """
    full_bn33 = covariances_b6n[:, ((0, 1, 2), (1, 3, 4), (2, 4, 5))].permute(0, 3, 1, 2)
    camera_bn33 = R_b33[:, None] @ full_bn33 @ R_b33.mT[:, None]
    unit_bn3 = torch.nn.functional.normalize(rays_b3n.mT, dim=-1)
    # Rows of S [v]x are cross products of S's rows with v.
    crossed_bn33 = torch.linalg.cross(camera_bn33, unit_bn3[..., None, :].expand_as(camera_bn33), dim=-1)
    crossed_bn33 = torch.linalg.cross(crossed_bn33.mT, unit_bn3[..., None, :].expand_as(camera_bn33), dim=-1)
    rows = camera_bn33.unbind(-2)
    adjugate_bn33 = torch.stack([torch.linalg.cross(rows[i], rows[(i + 1) % 3], dim=-1) for i in (1, 2, 0)], -2)
    determinant_bn = ((adjugate_bn33 @ unit_bn3[..., None])[..., 0] * unit_bn3).sum(-1)
    return crossed_bn33[..., _ROW_3, _COLUMN_3].mT / determinant_bn[:, None]


def refine(problem: RefinementProblem, poses_b34: Tensor, iterations: int = 20, tolerance: float = 3e-4) -> Refinement:
    """Newton's method on Cauchy's loss, damped where it would rise, all images at once.

    Args:
        problem: what is minimized.
        poses_b34: where to start, world to camera.
        iterations: at most so many.
        tolerance: of a step's rotation (rad), and of its translation relative to the points' extent. A last step must
            also be within half a standard deviation of the pose: what is left after it is its square, or a few per
            cent of it where residuals are large, and thus nothing beside the pose's uncertainty.
    """
    features_bn10 = _features(problem.homogeneous_b4n)
    extent_b = problem.homogeneous_b4n[:, :3].abs().mean((1, 2)).clamp_min(1e-9)
    unit_b6 = torch.stack([torch.ones_like(extent_b), extent_b], 1).repeat_interleave(3, 1)
    damping_b = torch.full_like(extent_b, _FIRST_DAMPING)
    state = _normal_equations(problem, features_bn10, poses_b34)
    converged_b = torch.zeros_like(extent_b, dtype=torch.bool)
    for _ in range(iterations):
        step_b6, before_b6 = _step(state, damping_b), state.gradient_b6
        tried_b34 = moved(poses_b34, step_b6)
        tried = _normal_equations(problem, features_bn10, tried_b34)
        # Steps that differ by rounding are taken: they are the last ones.
        better_b = (tried.cost_b <= state.cost_b * (1 + 1e-12)) & ~converged_b
        if bool(better_b.all()):
            poses_b34, state, damping_b = tried_b34, tried, damping_b * 0.1
        else:
            poses_b34 = torch.where(better_b[:, None, None], tried_b34, poses_b34)
            state = state.replaced(tried, better_b)
            damping_b = torch.where(better_b, damping_b * 0.1, damping_b * 10 + 1e-4)
        deviations2_b = -(before_b6 * step_b6).sum(1)  # Newton's decrement: the step in standard deviations, squared
        small_b = ((step_b6.abs() / unit_b6).amax(1) < tolerance) & (deviations2_b < _LAST_DEVIATIONS**2)
        converged_b = converged_b | small_b
        if bool(converged_b.all()):
            break
    R_b33, t_b31 = poses_b34.split((3, 1), -1)
    scatter_b66 = _scatter(state) if problem.cluster_bn is None else _clustered_scatter(problem, poses_b34)
    covariance_b66 = _covariance(state, scatter_b66)
    return Refinement(torch.cat([orthonormalized(R_b33), t_b31], -1), covariance_b66, converged_b)


@dataclass(frozen=True)
class _NormalEquations:
    """Cauchy's cost at a pose and what its minimization needs, over xi.

    Attributes:
        cost_b: the sum of the losses.
        gradient_b6: of the cost.
        straight_b66: Hessian with the weights held.
        scatter_b66: sum of the outer products of the points' gradients; 2 / scale^2 of it is what the change of the
            weights takes off the Hessian.
        used_b: points with more than a tenth of their weight.
    """

    cost_b: Tensor
    gradient_b6: Tensor
    straight_b66: Tensor
    scatter_b66: Tensor
    used_b: Tensor

    @property
    def hessian_b66(self) -> Tensor:
        """The whole Hessian but for the curvature of the residuals; not definite far from the minimum."""
        return self.straight_b66 - 2 / _CAUCHY_SCALE**2 * self.scatter_b66

    def replaced(self, other: _NormalEquations, where_b: Tensor) -> _NormalEquations:
        """This, with the other's values for some images."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return _NormalEquations(*(torch.where(where_b.view(-1, *[1] * (a.ndim - 1)), b, a) for a, b in pairs))


def _scatter(state: _NormalEquations) -> Tensor:
    """Covariance of the cost's gradient for independent errors of the points; six of them were used up by the fit."""
    return state.scatter_b66 * (state.used_b / (state.used_b - 6).clamp_min(1))[:, None, None]


def _clustered_scatter(problem: RefinementProblem, poses_b34: Tensor) -> Tensor:
    """The same with correlated errors within a cluster (Liang and Zeger 1986): a cluster counts as one sample.

    With few clusters their sums scatter too wildly, and each point's own is scaled to their number.
    """
    assert problem.cluster_bn is not None
    squared_bn, _, gradient_b3n = problem.linearized(poses_b34)
    robust_bn = problem.weight_bn / (1 + squared_bn / _CAUCHY_SCALE**2)
    per_point_b12n = ((gradient_b3n * robust_bn[:, None])[:, :, None] * problem.homogeneous_b4n[:, None]).flatten(1, 2)
    per_point_b6n = derivatives(poses_b34).mT @ per_point_b12n
    index_bn = problem.cluster_bn
    sums_b6c = per_point_b6n.new_zeros(*per_point_b6n.shape[:2], problem.clusters)
    sums_b6c.scatter_add_(2, index_bn[:, None].expand_as(per_point_b6n), per_point_b6n)
    used_bn = (robust_bn > 0.1).double()
    clusters_b = (torch.zeros_like(sums_b6c[:, 0]).scatter_add_(1, index_bn, used_bn) > 0).double().sum(1)
    enlarged_b = clusters_b / (clusters_b - 6).clamp_min(1)
    clustered_b66 = sums_b6c @ sums_b6c.mT * enlarged_b[:, None, None]
    alone_b66 = per_point_b6n @ per_point_b6n.mT * (used_bn.sum(1) / clusters_b.clamp_min(1))[:, None, None]
    return torch.where((clusters_b < _FEW_CLUSTERS)[:, None, None], alone_b66, clustered_b66)


def _step(state: _NormalEquations, damping_b: Tensor) -> Tensor:
    """Newton's step where the Hessian is definite, else that of iterative re-weighting."""
    step_b6, definite_b = damped_step(state.hessian_b66, state.gradient_b6, damping_b[:, None])
    if not bool(definite_b.all()):
        safe_b6, _ = damped_step(state.straight_b66, state.gradient_b6, damping_b[:, None])
        step_b6 = torch.where(definite_b[:, None], step_b6, safe_b6)
    return step_b6


def _features(homogeneous_b4n: Tensor) -> Tensor:
    return (homogeneous_b4n[:, _ROW_4] * homogeneous_b4n[:, _COLUMN_4]).mT.contiguous()


def _normal_equations(problem: RefinementProblem, features_bn10: Tensor, poses_b34: Tensor) -> _NormalEquations:
    squared_bn, a_b6n, gradient_b3n = problem.linearized(poses_b34)
    relative_bn = squared_bn / _CAUCHY_SCALE**2
    cost_b = 0.5 * _CAUCHY_SCALE**2 * (problem.weight_bn * relative_bn.log1p()).sum(1)
    robust_bn = problem.weight_bn / (1 + relative_bn)
    gradient_b3n = gradient_b3n * robust_bn[:, None]
    x, y, z = gradient_b3n.unbind(1)
    outer = torch.stack([x * x, x * y, x * z, y * y, y * z, z * z], 1)
    sums_b15_10 = torch.cat([a_b6n * robust_bn[:, None], outer, gradient_b3n], 1) @ features_bn10
    along_b126 = derivatives(poses_b34)
    index_144, index_12 = _layout(poses_b34.device)
    quadratic_b2_12_12 = sums_b15_10[:, :12].reshape(-1, 2, 60).index_select(2, index_144).unflatten(2, (12, 12))
    gradient_b12 = sums_b15_10[:, 12:].flatten(1).index_select(1, index_12)
    straight_b66, scatter_b66 = (along_b126.mT[:, None] @ quadratic_b2_12_12 @ along_b126[:, None]).unbind(1)
    gradient_b6 = (along_b126.mT @ gradient_b12[..., None])[..., 0]
    used_b = (robust_bn > 0.1).double().sum(1)
    return _NormalEquations(cost_b, gradient_b6, straight_b66, scatter_b66, used_b)


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


def _covariance(state: _NormalEquations, scatter_b66: Tensor) -> Tensor:
    """The sandwich covariance of an M-estimator, H^-1 B H^-1 (Huber 1967), which needs no Gaussian errors.

    H is the Hessian of the robust cost; B the scatter of its gradient. With few points, H^-1 of the weighted squares:
    the given sigmas are taken as they are.
    """
    few_b11 = (state.used_b < _FEW)[:, None, None]
    hessian_b66 = torch.where(few_b11, state.straight_b66, state.hessian_b66)
    scale_b6 = hessian_b66.diagonal(dim1=1, dim2=2).clamp_min(1e-30).rsqrt()
    outer_b66 = scale_b6[:, :, None] * scale_b6[:, None]
    factor_b66, failed_b = torch.linalg.cholesky_ex(hessian_b66 * outer_b66)
    sound_b11 = ((failed_b == 0) & (factor_b66.diagonal(dim1=1, dim2=2).amin(1) > _SMALLEST_PIVOT))[:, None, None]
    identity_66 = torch.eye(6, dtype=outer_b66.dtype, device=outer_b66.device)
    inverse_b66 = torch.cholesky_inverse(torch.where(sound_b11, factor_b66, identity_66)) * outer_b66
    sandwich_b66 = inverse_b66 @ scatter_b66 @ inverse_b66
    return torch.where(sound_b11, torch.where(few_b11, inverse_b66, sandwich_b66), torch.nan)
