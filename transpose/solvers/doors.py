"""What the solvers' doors share: arrays of either kind in, tensors inside, the same kind out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from transpose.solvers.options import PoseEstimate

Array = np.ndarray | Tensor


def as_tensor(name: str, values: Array) -> Tensor:
    """Detached float64.

    Raises:
        ValueError: not an array of real numbers.
    """
    if not isinstance(values, Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}; convert it to float")
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))
    if values.dtype == torch.bool or values.is_complex():
        raise ValueError(f"{name} must hold real numbers, got {values.dtype}; convert it to float")
    return values.detach().double()


def in_kind_of(given: Array, estimate: PoseEstimate) -> PoseEstimate:
    """The estimate with its mask and covariance as NumPy arrays where `given` is one, else as tensors beside it."""
    if isinstance(given, Tensor):
        return estimate
    mask_n, covariance_66 = estimate.inlier_mask_n, estimate.covariance_66
    return replace(
        estimate,
        inlier_mask_n=mask_n.numpy() if isinstance(mask_n, Tensor) else mask_n,
        covariance_66=covariance_66.numpy() if isinstance(covariance_66, Tensor) else covariance_66,
    )


def on_a_line(points_b3n: Tensor, usable_bn: Tensor) -> Tensor:
    """Whether all usable points (b) of an image lie on a line or in one place, up to rounding."""
    step = max(1, points_b3n.shape[2] // 128)
    flat_b = _flat(points_b3n[..., ::step], usable_bn[:, ::step])
    return _flat(points_b3n, usable_bn) if step > 1 and bool(flat_b.any()) else flat_b


def _flat(points_b3n: Tensor, usable_bn: Tensor) -> Tensor:
    weight_b1n = usable_bn[:, None].to(points_b3n.dtype)
    count_b11 = weight_b1n.sum(2, keepdim=True).clamp_min(1)
    mean_b31 = (points_b3n * weight_b1n).sum(2, keepdim=True) / count_b11
    offset_b3n = (points_b3n - mean_b31) * weight_b1n
    # A single point far away must not make a line of all others: each counts by its direction.
    length_b1n = offset_b3n.square().sum(1, keepdim=True).sqrt()
    rounding_b11 = 1e-13 * (points_b3n.abs() * weight_b1n).amax((1, 2), keepdim=True)
    direction_b3n = offset_b3n / length_b1n.clamp_min(rounding_b11.clamp_min(1e-300))
    spread_b3 = torch.linalg.eigvalsh(direction_b3n @ direction_b3n.mT)
    return spread_b3[:, 1] <= 1e-12 * spread_b3[:, 2].clamp_min(1e-300)
