"""The cameras of a batch as tensors: pinhole with two radial coefficients, as `transpose.geometry.Camera`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transpose.geometry.cameras import Camera

_UNDISTORT_ITERATIONS = 20


@dataclass(frozen=True)
class Lenses:
    """Focal lengths, principal points (pixels) and radial coefficients, each (b, 2), float64."""

    focal_b2: Tensor
    center_b2: Tensor
    radial_b2: Tensor

    @classmethod
    def of(cls, K: np.ndarray | Tensor | Camera | Sequence[Camera], b: int, device: torch.device) -> Lenses:
        """From one K (3, 3) or `Camera` for all images, or one for each of the b images."""
        if isinstance(K, Camera):
            K = [K]
        if isinstance(K, Sequence) and all(isinstance(k, Camera) for k in K):
            rows = [[k.fx, k.fy, k.cx, k.cy, k.k1, k.k2] for k in K]
            if len(rows) not in (1, b):
                raise ValueError(f"got {len(rows)} cameras for {b} images; give one, or one an image")
            values_b6 = torch.tensor(rows, dtype=torch.float64, device=device).expand(b, 6)
        else:
            K_b33 = torch.as_tensor(K).detach().to(device=device, dtype=torch.float64)
            if K_b33.shape not in ((3, 3), (b, 3, 3), (1, 3, 3)):
                raise ValueError(f"K must be (3, 3) or ({b}, 3, 3), or a Camera, got {tuple(K_b33.shape)}")
            fx, fy, cx, cy = K_b33[..., 0, 0], K_b33[..., 1, 1], K_b33[..., 0, 2], K_b33[..., 1, 2]
            zero = torch.zeros_like(fx)
            values_b6 = torch.stack([fx, fy, cx, cy, zero, zero], -1).expand(b, 6)
        if not bool(values_b6.isfinite().all()) or not bool((values_b6[:, :2] > 0).all()):
            raise ValueError(f"focal lengths must be positive and all intrinsics finite, got {values_b6.tolist()}")
        return cls(values_b6[:, :2], values_b6[:, 2:4], values_b6[:, 4:])

    def __getitem__(self, images: Tensor | slice) -> Lenses:
        """The lenses of some images."""
        return Lenses(self.focal_b2[images], self.center_b2[images], self.radial_b2[images])

    def unproject(self, px_bn2: Tensor) -> Tensor:
        """Viewing rays (b, 3, n) with z = 1."""
        xy_b2n = ((px_bn2 - self.center_b2[:, None]) / self.focal_b2[:, None]).mT
        if bool((self.radial_b2 != 0).any()):
            distorted_b2n = xy_b2n
            for _ in range(_UNDISTORT_ITERATIONS):  # fixed point; converges for the mild distortion of real lenses
                xy_b2n = distorted_b2n / self._radial_factor(xy_b2n)
        return torch.cat([xy_b2n, torch.ones_like(xy_b2n[:, :1])], 1)

    def errors_px(self, camera_b3n: Tensor, px_bn2: Tensor) -> Tensor:
        """Pixel errors (b, n) of camera-frame points, infinite where a point is not ahead or not finite."""
        z_b1n = camera_b3n[:, 2:]
        xy_b2n = camera_b3n[:, :2] / z_b1n
        if bool((self.radial_b2 != 0).any()):
            xy_b2n = xy_b2n * self._radial_factor(xy_b2n)
        off_b2n = xy_b2n * self.focal_b2[..., None] + self.center_b2[..., None] - px_bn2.mT
        error_bn = off_b2n.square().sum(1).sqrt()
        return torch.where((z_b1n[:, 0] > 0) & error_bn.isfinite(), error_bn, torch.inf)

    def _radial_factor(self, xy_b2n: Tensor) -> Tensor:
        r2_b1n = xy_b2n.square().sum(1, keepdim=True)
        return 1 + r2_b1n * (self.radial_b2[:, :1, None] + r2_b1n * self.radial_b2[:, 1:, None])
