"""A coordinate map beside what it is held against: the pixels it was seen at, or the points a depth camera measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transpose.solvers.differentiable.stationary import PoseProblem
from transpose.solvers.inputs import LARGEST, Array, as_given, in_float64, pixel_input, stood_in
from transpose.solvers.residuals import Kernel, PixelResiduals, PointResiduals, Residuals, taken
from transpose.solvers.robust.hypotheses import Minimal, minimal_pnp, minimal_rigid

_TUKEY_PER_ERROR = 2.0  # at the threshold a point keeps 56 % of its weight, at twice the threshold none


@dataclass(frozen=True)
class ObservedMap:
    """A coordinate map with what it is held against; `max_error` in the residuals' unit."""

    points_b3n: Tensor
    usable_bn: Tensor
    residuals: Residuals
    max_error: float

    def robust(self, sample_k: Tensor) -> PoseProblem:
        """The refinement's problem for k hypotheses of these images."""
        return PoseProblem(
            taken(self.points_b3n, sample_k),
            self.usable_bn[sample_k].to(torch.float64),
            self.residuals.take(sample_k),
            Kernel("tukey", _TUKEY_PER_ERROR * self.max_error),
        )

    @property
    def center_b3(self) -> Tensor:
        """The median of the usable points along each axis, which few that are far away do not move; no gradient."""
        points_b3n = self.points_b3n.detach()
        return torch.where(self.usable_bn[:, None], points_b3n, torch.nan).nanmedian(2).values.nan_to_num()

    def moved(self, by_b31: Tensor) -> ObservedMap:
        """With all points moved, without their gradient."""
        return replace(self, points_b3n=self.points_b3n.detach() + by_b31)

    def thinned(self, stride: int) -> ObservedMap:
        """Every so many-th point."""
        b, n = self.usable_bn.shape
        sample_b = torch.arange(b, device=self.usable_bn.device)
        point_bm = torch.arange(0, n, stride, device=self.usable_bn.device).expand(b, -1)
        points_b3m = taken(self.points_b3n.detach(), sample_b, point_bm)
        return ObservedMap(
            points_b3m, self.usable_bn[:, ::stride], self.residuals.take(sample_b, point_bm), self.max_error
        )

    def minimal(self) -> Minimal:
        """The solver of its minimal samples."""
        points_b3n = self.points_b3n.detach()
        if isinstance(self.residuals, PixelResiduals):
            return minimal_pnp(points_b3n, self.residuals)
        assert isinstance(self.residuals, PointResiduals)
        return minimal_rigid(points_b3n, self.residuals)


def seen_map(px_bn2: Array, points_bn3: Array, K_b33: Array, max_error_px: float) -> ObservedMap:
    """Checked input of `dsac_loss`; pairs that are not finite are marked."""
    px, points, K, usable = pixel_input(px_bn2, points_bn3, K_b33, None)
    return ObservedMap(points.mT, usable > 0, PixelResiduals(px.mT, K), max_error_px)


def measured_map(camera_points_bn3: Array, points_bn3: Array, max_error_m: float) -> ObservedMap:
    """Checked input of `dsac_loss_rgbd`; pairs that are not finite are marked."""
    camera_points_bn3, points_bn3 = as_given("camera points", camera_points_bn3), as_given("points", points_bn3)
    if points_bn3.ndim != 3 or points_bn3.shape[2] != 3 or camera_points_bn3.shape != points_bn3.shape:
        shapes = tuple(camera_points_bn3.shape), tuple(points_bn3.shape)
        raise ValueError(f"need camera points and points (b, n, 3), got {shapes[0]} and {shapes[1]}")
    points = in_float64(points_bn3)
    measured = in_float64(camera_points_bn3, points.device)
    usable_bn = (measured.detach().abs() < LARGEST).all(2) & (points.detach().abs() < LARGEST).all(2)
    measured, points = (stood_in(each, usable_bn).mT for each in (measured, points))
    return ObservedMap(points, usable_bn, PointResiduals(measured), max_error_m)
