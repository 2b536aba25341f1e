"""Cells: what one place of an image is held against, wherever the image comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_TENSORS = ("points_n3", "px_n2", "T_cw_n34", "focal_n2", "center_n2")


@dataclass(frozen=True)
class Cells:
    """Cells of any images, float32, metres relative to the run's origin.

    Attributes:
        points_n3: the world points that they show, NaN where unknown.
        px_n2: pinhole pixels where they were seen (a lens's distortion is taken out).
        T_cw_n34: world to camera, of each cell's own image.
        focal_n2, center_n2: of its pinhole, pixels.
        images: how many whole images they are, one after the other; 0: they come from anywhere.
    """

    points_n3: Tensor
    px_n2: Tensor
    T_cw_n34: Tensor
    focal_n2: Tensor
    center_n2: Tensor
    images: int = 0

    def __len__(self) -> int:
        return len(self.points_n3)

    @property
    def known_n(self) -> Tensor:
        """Cells whose world point is known."""
        return self.points_n3.isfinite().all(1)

    @property
    def rays_n3(self) -> Tensor:
        """Viewing rays with z = 1, camera frame."""
        xy_n2 = (self.px_n2 - self.center_n2) / self.focal_n2
        return torch.cat([xy_n2, torch.ones_like(xy_n2[:, :1])], 1)

    @property
    def R_wc_n33(self) -> Tensor:
        """Camera to world."""
        return self.T_cw_n34[:, :, :3].mT

    @property
    def T_wc_n44(self) -> Tensor:
        """Camera to world, float64."""
        T_cw_n34 = self.T_cw_n34.double()
        R_n33 = T_cw_n34[:, :, :3].mT
        out_n44 = torch.eye(4, dtype=torch.float64, device=T_cw_n34.device).repeat(len(self), 1, 1)
        out_n44[:, :3, :3], out_n44[:, :3, 3:] = R_n33, -R_n33 @ T_cw_n34[:, :, 3:]
        return out_n44


def on_device(cells: Cells, device: torch.device) -> Cells:
    """The same cells there."""
    moved = {name: getattr(cells, name).to(device) for name in _TENSORS}
    return replace(cells, **moved)


def joined_images(images: Sequence[Cells]) -> Cells:
    """Whole images, one after the other."""
    together = {name: torch.cat([getattr(cells, name) for cells in images]) for name in _TENSORS}
    return Cells(**together, images=len(images))
