"""The cameras of a batch as tensors: pinhole with two radial coefficients, as `transpose.geometry.Camera`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.geometry.distortion import Distortion, fold_radius2
from transpose.solvers.inputs import as_tensor
from transpose.solvers.intrinsics import check_intrinsics


@dataclass(frozen=True)
class Lenses:
    """Focal lengths, principal points (pixels) and radial coefficients, each (b, 2), float64.

    `fold_r2_b1` is r^2 of the rays at which each image turns back, infinite where it never does (`Distortion`).
    """

    focal_b2: Tensor
    center_b2: Tensor
    radial_b2: Tensor
    fold_r2_b1: Tensor

    @classmethod
    def of(cls, K: np.ndarray | Tensor | Camera | Sequence[Camera], b: int, device: torch.device) -> Lenses:
        """From one K (3, 3) or `Camera` for all images, or one for each of the b images.

        Raises:
            ValueError: intrinsics that are none, have skew, or are not as many as images.
        """
        if isinstance(K, Camera):
            K = [K]
        if isinstance(K, Sequence) and all(isinstance(k, Camera) for k in K):
            rows = [[k.fx, k.fy, k.cx, k.cy, k.k1, k.k2, fold_radius2(k.k1, k.k2)] for k in K]
            if len(rows) not in (1, b):
                raise ValueError(f"got {len(rows)} cameras for {b} images; give one, or one an image")
            values_b7 = torch.tensor(rows, dtype=torch.float64, device=device).expand(b, 7)
        else:
            K_b33 = as_tensor("K", K).to(device)
            check_intrinsics(K_b33, b)
            fx, fy, cx, cy = K_b33[..., 0, 0], K_b33[..., 1, 1], K_b33[..., 0, 2], K_b33[..., 1, 2]
            zero = torch.zeros_like(fx)
            values_b7 = torch.stack([fx, fy, cx, cy, zero, zero, zero + torch.inf], -1).expand(b, 7)
        return cls(values_b7[:, :2], values_b7[:, 2:4], values_b7[:, 4:6], values_b7[:, 6:])

    def __getitem__(self, images: Tensor | slice) -> Lenses:
        """The lenses of some images."""
        parts = (self.focal_b2, self.center_b2, self.radial_b2, self.fold_r2_b1)
        return Lenses(*(part[images] for part in parts))

    def zoomed(self, zoom_b: Tensor) -> Lenses:
        """With focal lengths times `zoom_b`, and the distortion where it is in the image (`Camera.zoomed`)."""
        zoom_b1 = zoom_b[:, None]
        powers_b2 = torch.cat([zoom_b1**2, zoom_b1**4], 1)
        return Lenses(self.focal_b2 * zoom_b1, self.center_b2, self.radial_b2 * powers_b2, self.fold_r2_b1 / zoom_b1**2)

    def unproject(self, px_bn2: Tensor) -> Tensor:
        """Viewing rays (b, 3, n) with z = 1; NaN where no ray ends (see `Distortion`)."""
        xy_b2n = ((px_bn2 - self.center_b2[:, None]) / self.focal_b2[:, None]).mT
        if bool((self.radial_b2 != 0).any()):
            x, y, solved_bn = self._distortion.undistorted(xy_b2n[:, 0], xy_b2n[:, 1])
            xy_b2n = torch.where(solved_bn[:, None], torch.stack([x, y], 1), torch.nan)
        return torch.cat([xy_b2n, torch.ones_like(xy_b2n[:, :1])], 1)

    def project(self, camera_b3n: Tensor) -> Tensor:
        """Pixels (b, n, 2) of camera-frame points, NaN where a point is not ahead, not imaged or not finite."""
        z_b1n = camera_b3n[:, 2:]
        xy_b2n = torch.where(z_b1n > 0, camera_b3n[:, :2] / z_b1n, torch.nan)
        if bool((self.radial_b2 != 0).any()):
            x, y = xy_b2n.unbind(1)
            imaged_bn = self._distortion.before_fold(x, y)
            xy_b2n = torch.where(imaged_bn[:, None], torch.stack(self._distortion.distorted(x, y), 1), torch.nan)
        return (xy_b2n * self.focal_b2[..., None] + self.center_b2[..., None]).mT

    @property
    def _distortion(self) -> Distortion:
        return Distortion(self.radial_b2[:, :1], self.radial_b2[:, 1:], fold_r2=self.fold_r2_b1)
