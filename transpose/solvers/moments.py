"""Sums over points of products of coordinates, and the constant maps from them to a pose's gradient and Hessian."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_PAIRS = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)]  # of (1, X, Y, Z)


def moments(points_b3n: Tensor) -> Tensor:
    """The products of pairs of (1, X, Y, Z), (b, n, 10) as a view of (b, 10, n)."""
    rows = [torch.ones_like(points_b3n[:, 0]), *points_b3n.unbind(1)]
    return torch.stack([rows[a] * rows[b] for a, b in _PAIRS], 1).transpose(1, 2)


@lru_cache(maxsize=8)
def maps(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Constant maps from moment sums to the Hessian (90 -> 36), the gradient (12 -> 6) and the Hessian's last part.

    With D = dX / dxi = sum_a m_a G_a, m = (1, X): the Hessian is D^T C D, the gradient D^T p, and the second
    derivative of exp(omega) X adds (p X^T + X p^T) / 2 - (p . X) I to the rotation block.
    """
    G = torch.zeros(4, 3, 6, dtype=torch.float64)
    G[0, :, 3:] = torch.eye(3)
    for a, (b, c) in enumerate([(1, 2), (2, 0), (0, 1)]):
        G[a + 1, b, c], G[a + 1, c, b] = 1.0, -1.0  # -skew(e_a)
    hessian = torch.zeros(10, 3, 3, 6, 6, dtype=torch.float64)
    for k, (a, b) in enumerate(_PAIRS):
        hessian[k] = torch.einsum("ix,jy->ijxy", G[a], G[b])
        if a != b:
            hessian[k] += torch.einsum("ix,jy->ijxy", G[b], G[a])
    gradient = G.permute(1, 0, 2)  # (row of p, monomial, parameter)
    torque = torch.zeros(3, 4, 6, 6, dtype=torch.float64)
    for i in range(3):
        for j in range(3):
            torque[i, j + 1, i, j] += 0.5
            torque[i, j + 1, j, i] += 0.5
        torque[i, i + 1, :3, :3] -= torch.eye(3)
    return (
        hessian.reshape(90, 36).to(device),
        gradient.reshape(12, 6).to(device),
        torque.reshape(12, 36).to(device),
    )
