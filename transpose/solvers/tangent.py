"""Small motions of world-to-camera poses [R | t], as rows of 3x4 matrices: X_c' = exp(omega) X_c + t.

Robust solvers spend most of their time on many small operations, so these functions are written for few of them:
what is linear is one product with a constant matrix.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def derivatives(poses_k34: Tensor) -> Tensor:
    """How the twelve entries of each pose change with xi = (omega rad, t), at zero: (..., 12, 6)."""
    linear_72_12, constant_72 = _derivative_map(poses_k34.dtype, poses_k34.device)
    return torch.nn.functional.linear(poses_k34.flatten(-2), linear_72_12, constant_72).unflatten(-1, (12, 6))


@lru_cache
def _derivative_map(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    # d[R | t] = [omega]x [R | t] + [0 | t'].
    linear = torch.zeros(3, 4, 6, 3, 4, dtype=dtype)
    constant = torch.zeros(3, 4, 6, dtype=dtype)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        for column in range(4):
            linear[k, column, i, j, column] = 1
            linear[j, column, i, k, column] = -1
        constant[i, 3, 3 + i] = 1
    return linear.reshape(72, 12).to(device), constant.reshape(72).to(device)


@lru_cache
def _skew_map(dtype: torch.dtype, device: torch.device) -> Tensor:
    # Half of a rotation vector to the nine entries of its cross-product matrix.
    out = torch.zeros(3, 3, 3, dtype=dtype)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        out[i, k, j], out[i, j, k] = 0.5, -0.5
    return out.reshape(3, 9).to(device)


def moved(poses_k34: Tensor, step_k6: Tensor) -> Tensor:
    """The poses after the motion of xi, whose rotation is that of the quaternion (1, omega / 2).

    It agrees with exp(omega) to second order, is a rotation at any length, and needs no sine.
    """
    omega_k3, t_k3 = step_k6.split(3, -1)
    half_k33 = (omega_k3 @ _skew_map(omega_k3.dtype, omega_k3.device)).unflatten(-1, (3, 3))
    shrink_k11 = 2 / (1 + 0.25 * omega_k3.square().sum(-1))[..., None, None]
    turn_k33 = (half_k33 + half_k33 @ half_k33) * shrink_k11
    out_k34 = poses_k34 + turn_k33 @ poses_k34
    out_k34[..., 3] += t_k3
    return out_k34


def damped_step(hessian_k66: Tensor, gradient_k6: Tensor, damping: Tensor | float) -> tuple[Tensor, Tensor]:
    """-(H + damping diag H)^-1 g, zero where that matrix is not definite; and where it is.

    Solved in units in which H's diagonal is one.
    """
    scale_k6 = hessian_k66.diagonal(dim1=-2, dim2=-1).clamp_min(1e-30).rsqrt()
    scaled_k66 = hessian_k66 * (scale_k6[..., None] * scale_k6[..., None, :])
    scaled_k66.diagonal(dim1=-2, dim2=-1).add_(damping)
    factor_k66, failed_k = torch.linalg.cholesky_ex(scaled_k66)
    step_k6 = torch.cholesky_solve((gradient_k6 * -scale_k6)[..., None], factor_k66)[..., 0] * scale_k6
    definite_k = (failed_k == 0) & step_k6.sum(-1).isfinite()
    return step_k6.where(definite_k[..., None], 0), definite_k
