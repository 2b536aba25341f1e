"""Newton steps in six parameters that go downhill whatever the Hessian is."""

from __future__ import annotations

import torch
from torch import Tensor


def saddle_free_step(hessian_b66: Tensor, gradient_b6: Tensor, damping_b: Tensor) -> tuple[Tensor, Tensor]:
    """A descent step (b, 6) and the length sqrt(g^T A^-1 g) that says how far it moves the residuals."""
    scaled_b66, scale_b6 = unit_diagonal(hessian_b66)
    gradient_b6 = gradient_b6 * scale_b6
    eye_66 = torch.eye(6, dtype=scaled_b66.dtype, device=scaled_b66.device)
    damped_b66 = scaled_b66 + damping_b[:, None, None] * eye_66
    factor_b66, failed_b = torch.linalg.cholesky_ex(damped_b66)
    if bool((failed_b > 0).any()):
        # Saddle-free Newton: a direction of negative curvature is walked down as fast as one of positive curvature.
        bad_b = failed_b > 0
        values_k6, vectors_k66 = torch.linalg.eigh(scaled_b66[bad_b])
        values_k6 = values_k6.abs().clamp_min(1e-3) + damping_b[bad_b, None]
        convex_k66 = (vectors_k66 * values_k6[:, None]) @ vectors_k66.transpose(1, 2)
        factor_b66 = factor_b66.index_put((bad_b,), torch.linalg.cholesky_ex(convex_k66)[0])
    step_b6 = torch.cholesky_solve(gradient_b6[:, :, None], factor_b66).squeeze(2)
    decrement_b = (step_b6 * gradient_b6).sum(1).clamp_min(0).sqrt()
    decrement_b = torch.where((failed_b > 0) | (damping_b > 1e-3), torch.inf, decrement_b)
    return -step_b6 * scale_b6, decrement_b


def unit_diagonal(hessian_b66: Tensor) -> tuple[Tensor, Tensor]:
    """The Hessian scaled to a diagonal of one, and the scale (b, 6): rotation and translation become comparable."""
    diagonal_b6 = hessian_b66.diagonal(dim1=1, dim2=2).abs()
    largest_b1 = diagonal_b6.amax(1, keepdim=True).clamp_min(1e-150)
    scale_b6 = diagonal_b6.clamp_min(1e-20 * largest_b1).rsqrt()
    return hessian_b66 * scale_b6[:, :, None] * scale_b6[:, None], scale_b6
