"""Losses on scene coordinates that come from where a point is seen: DSAC*'s three, ACE's and CrossLoc's.

All are per cell, of predicted world points under the camera that saw the cell. Cells that have no say (no pixel of the
scene, no label where one is needed) count zero and have zero gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.losses.cells import Cells

_TINY = 1e-12  # keeps the derivative of a length defined at zero


@dataclass(frozen=True)
class InitTolerances:
    """What decides whether a prediction is good enough to be judged by its pixel.

    Attributes:
        tolerance_m: from the label, where there is one.
        min_depth_m, max_depth_m: in front of the camera.
        target_depth_m: of the point on the ray to which predictions without a label are drawn first.
        soft_clamp_px: a pixel error r beyond it counts sqrt(soft_clamp r).
        hard_clamp_px: beyond it a prediction is not good enough.
    """

    tolerance_m: float = 0.1
    min_depth_m: float = 0.1
    max_depth_m: float = 1000.0
    target_depth_m: float = 10.0
    soft_clamp_px: float = 100.0
    hard_clamp_px: float = 1000.0

    def __post_init__(self) -> None:
        if not 0 < self.min_depth_m < self.max_depth_m or not self.tolerance_m > 0:
            raise ValueError(f"tolerance and depths must be positive, the least below the largest: {self}")
        if not 0 < self.soft_clamp_px <= self.hard_clamp_px or not self.target_depth_m > 0:
            raise ValueError(f"clamps and target depth must be positive, soft below hard: {self}")


@dataclass(frozen=True)
class _Seen:
    """Predictions in their cameras: points (n, 3), depth kept positive, the pixel error's two parts, what is usable."""

    camera_n3: Tensor
    depth_n: Tensor
    off_n2: Tensor
    pictured_n: Tensor

    @classmethod
    def of(cls, points_n3: Tensor, cells: Cells, tolerances: InitTolerances) -> _Seen:
        pictured_n = cells.px_n2.isfinite().all(1)
        camera_n3 = (cells.T_cw_n34[:, :, :3] @ points_n3[..., None])[..., 0] + cells.T_cw_n34[:, :, 3]
        depth_n = camera_n3[:, 2].clamp_min(tolerances.min_depth_m)
        px_n2 = camera_n3[:, :2] / depth_n[:, None] * cells.focal_n2 + cells.center_n2
        off_n2 = torch.where(pictured_n[:, None], px_n2 - cells.px_n2, 0.0)
        return cls(camera_n3, depth_n, off_n2, pictured_n)

    def ahead(self, tolerances: InitTolerances) -> Tensor:
        """Which points (n,) lie far enough in front."""
        return self.camera_n3[:, 2] >= tolerances.min_depth_m

    def proxy(self, cells: Cells, depth_m: float) -> Tensor:
        """L1 distance (n,) to the point of that depth on the pixel's ray."""
        xy_n2 = torch.where(self.pictured_n[:, None], (cells.px_n2 - cells.center_n2) / cells.focal_n2, 0.0)
        target_n3 = torch.cat([xy_n2 * depth_m, torch.full_like(xy_n2[:, :1], depth_m)], 1)
        return (self.camera_n3 - target_n3).abs().sum(1)


def dsacstar_rgbd(points_n3: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """DSAC*'s mode 2: the distance to the label; and which cells (n,) have one."""
    known_n = cells.known_n
    return _to_label(points_n3, cells, known_n), known_n


def dsacstar_model(points_n3: Tensor, cells: Cells, tolerances: InitTolerances) -> tuple[Tensor, Tensor]:
    """DSAC*'s mode 1: pixel error where the prediction is near its label, else the distance to the label.

    Returns the loss (n,) and which cells (n,) are judged by their pixel. A cell without a label is judged by its pixel
    from the start, or not at all.
    """
    seen = _Seen.of(points_n3, cells, tolerances)
    known_n = cells.known_n
    label_n = _to_label(points_n3, cells, known_n)
    error_n = _length(seen.off_n2)
    near_n = ~known_n | (label_n.detach() <= tolerances.tolerance_m)
    valid_n = seen.pictured_n & seen.ahead(tolerances) & (error_n.detach() <= tolerances.hard_clamp_px) & near_n
    return torch.where(valid_n, _soft(error_n, tolerances.soft_clamp_px), label_n), valid_n


def dsacstar_rgb(points_n3: Tensor, cells: Cells, tolerances: InitTolerances) -> tuple[Tensor, Tensor]:
    """DSAC*'s mode 0, which needs no label: pixel error where the prediction is sane, else towards a proxy.

    Returns the loss (n,) and which cells (n,) are judged by their pixel.
    """
    seen = _Seen.of(points_n3, cells, tolerances)
    error_n = _length(seen.off_n2)
    sane_n = seen.ahead(tolerances) & (seen.camera_n3[:, 2].detach() <= tolerances.max_depth_m)
    valid_n = seen.pictured_n & sane_n & (error_n.detach() <= tolerances.hard_clamp_px)
    proxy_n = torch.where(seen.pictured_n, seen.proxy(cells, tolerances.target_depth_m), 0.0)
    return torch.where(valid_n, _soft(error_n, tolerances.soft_clamp_px), proxy_n), valid_n


def ace_softclamp(progress: float) -> float:
    """ACE's circle schedule: the bound of the pixel error shrinks from 51 to 1 px, slowly at first."""
    return math.sqrt(max(0.0, 1 - progress * progress)) * 50 + 1


def ace_reprojection(
    points_n3: Tensor, cells: Cells, softclamp_px: float, tolerances: InitTolerances
) -> tuple[Tensor, Tensor]:
    """ACE's loss: L1 pixel error bounded by tanh where the prediction is sane, else towards a proxy."""
    seen = _Seen.of(points_n3, cells, tolerances)
    error_n = seen.off_n2.abs().sum(1)
    sane_n = seen.ahead(tolerances) & (seen.camera_n3[:, 2].detach() <= tolerances.max_depth_m)
    valid_n = seen.pictured_n & sane_n & (error_n.detach() <= tolerances.hard_clamp_px)
    proxy_n = torch.where(seen.pictured_n, seen.proxy(cells, tolerances.target_depth_m), 0.0)
    return torch.where(valid_n, softclamp_px * torch.tanh(error_n / softclamp_px), proxy_n), valid_n


def crossloc_reprojection(points_n3: Tensor, cells: Cells, tolerances: InitTolerances) -> tuple[Tensor, Tensor]:
    """The pixel error that CrossLoc adds to its coordinate loss, zero where the prediction is far from its label.

    A cell without a label is left out: it lies in what a turned image has for a border (the published code lets it in).
    """
    seen = _Seen.of(points_n3, cells, tolerances)
    known_n = cells.known_n
    label_n = _to_label(points_n3, cells, known_n)
    error_n = _length(seen.off_n2)
    good_n = (error_n.detach() <= tolerances.hard_clamp_px) & (label_n.detach() <= tolerances.tolerance_m)
    valid_n = known_n & seen.pictured_n & seen.ahead(tolerances) & good_n
    return torch.where(valid_n, _soft(error_n, tolerances.soft_clamp_px), 0.0), valid_n


def _to_label(points_n3: Tensor, cells: Cells, known_n: Tensor) -> Tensor:
    """Distance (n,) to the label, zero where there is none."""
    return _length(torch.where(known_n[:, None], points_n3 - cells.points_n3, 0.0))


def _length(vectors_nk: Tensor) -> Tensor:
    return (vectors_nk.square().sum(1) + _TINY).sqrt()


def _soft(error_n: Tensor, clamp: float) -> Tensor:
    return torch.where(error_n > clamp, (clamp * error_n.clamp_min(clamp)).sqrt(), error_n)
