"""Rotations and rigid transforms as batched, differentiable tensors: the twin of `geometry.poses` in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL_SQUARED = 1e-8  # below this squared angle the series is exact in float64 and its derivative is finite

_SKEW_BASIS = [[0.0, 0, 0, 0, 0, -1, 0, 1, 0], [0.0, 0, 1, 0, 0, 0, -1, 0, 0], [0.0, -1, 0, 1, 0, 0, 0, 0, 0]]


def skew(v_b3: Tensor) -> Tensor:
    """Cross-product matrices (..., 3, 3): skew(a) @ b = a x b."""
    basis_39 = torch.tensor(_SKEW_BASIS, dtype=v_b3.dtype, device=v_b3.device)
    return (v_b3 @ basis_39).unflatten(-1, (3, 3))


def exp_so3(omega_b3: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of rotation vectors (..., 3) in radians (Rodrigues); value and derivative exist at zero."""
    squared = omega_b3.square().sum(-1)[..., None, None]
    small = squared < _SMALL_SQUARED
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    a = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    b = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / angle.square())
    W = skew(omega_b3)
    return torch.eye(3, dtype=W.dtype, device=W.device) + a * W + b * (W @ W)


def log_so3(R_b33: Tensor) -> Tensor:
    """Rotation vectors (..., 3), norm at most pi, of rotations (..., 3, 3); through the quaternion, exact up to pi."""
    m = R_b33
    # Four times the outer product of the quaternion (x, y, z, w) with itself; its longest column is the safest.
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    rows = [
        [1 + xx - yy - zz, xy, xz, wx],
        [xy, 1 - xx + yy - zz, yz, wy],
        [xz, yz, 1 - xx - yy + zz, wz],
        [wx, wy, wz, 1 + xx + yy + zz],
    ]
    outer = torch.stack([torch.stack(row, -1) for row in rows], -2)
    column = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None].expand(*outer.shape[:-1], 1)
    q = torch.nn.functional.normalize(outer.gather(-1, column).squeeze(-1), dim=-1)
    q = torch.where(q[..., 3:] < 0, -q, q)
    sine = q[..., :3].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, q[..., 3:])
    return q[..., :3] * torch.where(sine < 1e-9, 2 / q[..., 3:].clamp_min(0.5), angle / sine.clamp_min(1e-9))


def orthonormalized(R_b33: Tensor) -> Tensor:
    """Rotations to sixteen digits from nearly rotations (..., 3, 3), off by at most a few per cent (Newton-Schulz)."""
    for _ in range(3):
        R_b33 = 1.5 * R_b33 - 0.5 * R_b33 @ (R_b33.mT @ R_b33)
    return R_b33


def compose(R_b33: Tensor, t_b3: Tensor) -> Tensor:
    """The transforms (..., 4, 4) of rotations (..., 3, 3) and translations (..., 3)."""
    top = torch.cat([R_b33, t_b3[..., None]], -1)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=top.dtype, device=top.device)
    return torch.cat([top, last.expand(*top.shape[:-2], 1, 4)], -2)


def invert(T_b44: Tensor) -> Tensor:
    """The inverse of rigid transforms (..., 4, 4)."""
    R_t = T_b44[..., :3, :3].transpose(-1, -2)
    return compose(R_t, -(R_t @ T_b44[..., :3, 3:]).squeeze(-1))


def exp_se3(xi_b6: Tensor) -> Tensor:
    """The transforms (..., 4, 4) of xi = (omega rad, t m), uncoupled: the retraction of `geometry.poses.exp_se3`."""
    return compose(exp_so3(xi_b6[..., :3]), xi_b6[..., 3:])


def log_se3(T_b44: Tensor) -> Tensor:
    """The inverse of `exp_se3`: (..., 6), rotation first."""
    return torch.cat([log_so3(T_b44[..., :3, :3]), T_b44[..., :3, 3]], -1)
