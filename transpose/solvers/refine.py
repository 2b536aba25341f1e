"""Robust refinement of a camera pose on the distance between points and viewing rays, in metres.

A network's errors sit on the 3D points, not on the pixels. Minimizing pixel error then favours far points and biases
the pose; the distance of a point to its ray is linear in the point's noise and therefore unbiased (errors in
variables).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_CAUCHY_SCALE = 1.5  # below the 2.385 of pure Gaussian noise: a network is sometimes sure and wrong
_DAMPING = 1e-9


@dataclass(frozen=True)
class Refinement:
    """A refined pose: `T_cw` (4, 4) world to camera, and `covariance_66` over xi, NaN where the pose is not fixed."""

    T_cw: torch.Tensor
    covariance_66: torch.Tensor
    converged: bool


def refine_point_to_ray(
    rays_n3: torch.Tensor,
    points_n3: torch.Tensor,
    sigma_n: torch.Tensor,
    T_cw: torch.Tensor,
    iterations: int = 30,
    tolerance: float = 1e-7,
) -> Refinement:
    """Iteratively re-weighted Gauss-Newton with Cauchy's weights.

    Args:
        rays_n3: viewing rays in the camera, any length, float64.
        points_n3: world points, metres.
        sigma_n: standard deviation of each point along one axis, metres.
        T_cw: (4, 4) where to start, world to camera.
        iterations: at most so many.
        tolerance: stop when a step's rotation (rad) and translation (m) are below it.

    Returns:
        The pose and the covariance of xi = (omega rad, t m) in the camera frame, rotation first, for which
        T_wc_true = T_wc exp(xi); as if the errors of all points were independent.
    """
    unit_n3 = rays_n3 / rays_n3.norm(dim=1, keepdim=True)
    across_n33 = torch.eye(3, dtype=rays_n3.dtype) - unit_n3[:, :, None] * unit_n3[:, None, :]
    T_cw = T_cw.clone()
    converged = False
    for _ in range(iterations):
        J_n36, residual_n3, weights_n = _linearized(unit_n3, across_n33, points_n3, sigma_n, T_cw)
        weighted = (J_n36 * (weights_n / sigma_n.square())[:, None, None]).reshape(-1, 6)
        normal_66, gradient_6 = weighted.T @ J_n36.reshape(-1, 6), weighted.T @ residual_n3.reshape(-1)
        scale_6 = normal_66.diagonal().clamp_min(1e-30).rsqrt()
        scaled_66 = normal_66 * scale_6[:, None] * scale_6
        step_6 = -scale_6 * torch.linalg.solve(
            scaled_66 + _DAMPING * torch.eye(6, dtype=scaled_66.dtype), scale_6 * gradient_6
        )
        T_cw = _moved(T_cw, step_6)
        if step_6[:3].norm() < tolerance and step_6[3:].norm() < tolerance * max(1.0, float(points_n3.abs().max())):
            converged = True
            break
    return Refinement(
        T_cw, _covariance(*_linearized(unit_n3, across_n33, points_n3, sigma_n, T_cw), sigma_n), converged
    )


def _linearized(
    unit_n3: torch.Tensor, across_n33: torch.Tensor, points_n3: torch.Tensor, sigma_n: torch.Tensor, T_cw: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Derivatives (n, 3, 6) of the residuals (n, 3) under X_c' = exp(omega) X_c + t, and Cauchy's weights (n,)."""
    camera_n3 = points_n3 @ T_cw[:3, :3].T + T_cw[:3, 3]
    residual_n3 = torch.einsum("nij,nj->ni", across_n33, camera_n3)
    squared_n = residual_n3.square().sum(1) / sigma_n.square()
    weights_n = 1 / (1 + squared_n / _CAUCHY_SCALE**2)
    weights_n = weights_n * ((camera_n3 * unit_n3).sum(1) > 0)  # a point behind the camera lies on no ray
    x, y, z = camera_n3.unbind(1)
    zero = torch.zeros_like(x)
    minus_skew_n33 = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], 1).reshape(-1, 3, 3)
    return torch.cat([across_n33 @ minus_skew_n33, across_n33], 2), residual_n3, weights_n


def _covariance(
    J_n36: torch.Tensor, residual_n3: torch.Tensor, weights_n: torch.Tensor, sigma_n: torch.Tensor
) -> torch.Tensor:
    """The sandwich covariance of an M-estimator, H^-1 B H^-1 (Huber 1967), which needs no Gaussian errors.

    H is the Hessian of the robust cost, whose second term is the bending of Cauchy's loss; B the scatter of the
    points' gradients.
    """
    pulls_n6 = torch.einsum("nij,ni->nj", J_n36, residual_n3) * (weights_n / sigma_n.square())[:, None]
    scatter_66 = pulls_n6.T @ pulls_n6
    # The bending's terms are the gradients' outer products but for a factor.
    bending_66 = 2 / _CAUCHY_SCALE**2 * scatter_66
    weighted = (J_n36 * (weights_n / sigma_n.square())[:, None, None]).reshape(-1, 6)
    hessian_66 = weighted.T @ J_n36.reshape(-1, 6) - bending_66
    scale_6 = hessian_66.diagonal().clamp_min(1e-30).rsqrt()
    factor, failed = torch.linalg.cholesky_ex(hessian_66 * scale_6[:, None] * scale_6)
    if int(failed) != 0 or float(factor.diagonal().min()) < 1e-6:
        return torch.full((6, 6), float("nan"), dtype=J_n36.dtype)
    inverse_66 = torch.cholesky_inverse(factor) * scale_6[:, None] * scale_6
    return inverse_66 @ scatter_66 @ inverse_66


def _moved(T_cw: torch.Tensor, step_6: torch.Tensor) -> torch.Tensor:
    x, y, z = step_6[:3]
    zero = torch.zeros_like(x)
    delta = torch.zeros(4, 4, dtype=T_cw.dtype)
    delta[:3, :3] = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    moved = torch.linalg.matrix_exp(delta) @ T_cw
    moved[:3, 3] += step_6[3:]
    return moved
