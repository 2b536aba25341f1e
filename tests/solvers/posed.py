"""Problems with a known pose for the tests of differentiable solvers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.randomness import torch_stream
from transpose.solvers.lie import exp_se3

K_33 = torch.tensor([[525.0, 0, 320], [0, 520, 240], [0, 0, 1]], dtype=torch.float64)


@dataclass(frozen=True)
class Posed:
    """Pixels, points and intrinsics of cameras at `T_wc_b44`, with seeds near by."""

    px_bn2: Tensor
    points_bn3: Tensor
    K_b33: Tensor
    T_wc_b44: Tensor
    init_b44: Tensor
    camera_bn3: Tensor
    bad_bn: Tensor


def posed(b: int, n: int, seed: int = 0, noise_px: float = 0.0, outliers: float = 0.0, noise_m: float = 0.0) -> Posed:
    """Depths from 1 to 3.5 m; outliers anywhere in a box about the camera, behind it too."""
    stream = torch_stream(seed, "posed")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=stream, dtype=torch.float64)

    px_bn2 = uniform(b, n, 2) * torch.tensor([640.0, 480.0], dtype=torch.float64)
    K_b33 = K_33.expand(b, 3, 3).clone()
    rays_bn3 = torch.cat([(px_bn2 - K_33[:2, 2]) / K_33.diagonal()[:2], torch.ones(b, n, 1, dtype=torch.float64)], 2)
    camera_bn3 = rays_bn3 * (1 + 2.5 * uniform(b, n, 1))
    T_wc_b44 = exp_se3(normal(b, 6))
    points_bn3 = camera_bn3 @ T_wc_b44[:, :3, :3].transpose(1, 2) + T_wc_b44[:, None, :3, 3]
    points_bn3 = points_bn3 + noise_m * normal(b, n, 3)
    bad_bn = uniform(b, n) < outliers
    around_bn3 = T_wc_b44[:, None, :3, 3] + 6 * (uniform(b, n, 3) - 0.5)
    points_bn3 = torch.where(bad_bn[..., None], around_bn3, points_bn3)
    init_b44 = T_wc_b44 @ exp_se3(0.02 * normal(b, 6))
    return Posed(px_bn2 + noise_px * normal(b, n, 2), points_bn3, K_b33, T_wc_b44, init_b44, camera_bn3, bad_bn)
