"""Learning through the pose: by an expectation over hypotheses, an implicit derivative, or a density of poses.

A pose loss alone says little about each of thousands of coordinates; the first stage's loss stays beside it, so that
the map is bent where that helps the pose and not torn.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from transpose.losses.cells import Cells
from transpose.losses.uncertainty import PredictedUncertainty
from transpose.solvers import (
    DsacOptions,
    EproOptions,
    dsac_loss,
    dsac_loss_rgbd,
    epro_pnp_loss,
    implicit_pnp,
    pose_loss,
)
from transpose.training.config import Through
from transpose.training.plan import Objective

_CM = 100.0  # a metre
_POSE_ERROR_FLOOR = 0.1  # degrees + centimetres: smaller errors are as good as none
_MAX_WEIGHT = 100.0
_EFFECTIVE_CELLS = 100.0  # effective sample size: as many independent ones a map's correlated thousands are worth


@dataclass(frozen=True)
class EndToEndPoseLoss:
    """Pose loss of each image plus the first stage's loss of its cells.

    Attributes:
        through: "dsac": `dsac_loss`; "bpnp": `implicit_pnp`; "epro": `epro_pnp_loss`.
        rgbd: cells' measured depth is known at test time as well (DSAC*'s mode 2); only through "dsac".
        coordinates: the first stage's objective.
        uncertainty: how the network's outputs are read as covariances; "bpnp" and "epro" weigh cells by it.
        coordinate_weight: of its mean over an image's cells, beside the log of a pose loss in degrees + centimetres.
    """

    through: Through
    rgbd: bool
    coordinates: Objective
    uncertainty: PredictedUncertainty
    coordinate_weight: float
    options: DsacOptions = field(default_factory=DsacOptions)

    def __call__(self, raw_nk: Tensor, cells: Cells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`; one loss an image."""
        cell_loss_n, facts = self.coordinates(raw_nk, cells, step)
        b = cells.images
        pose_loss_b = self._pose_loss(raw_nk[:, :3].unflatten(0, (b, -1)), self._weights(raw_nk, b), cells, step)
        cell_loss_b = cell_loss_n.unflatten(0, (b, -1)).mean(1)
        # Logs, so that neither units nor the few views that show hardly anything decide what is learned. Of a distance
        # in space three: the likelihood under the scale that fits best.
        pose_term_b = pose_loss_b if self.through == "epro" else (pose_loss_b + _POSE_ERROR_FLOOR).log()
        cell_term_b = (
            3 * (cell_loss_b + _POSE_ERROR_FLOOR / _CM).log() if self.uncertainty.of.kind == "none" else cell_loss_b
        )
        total_b = pose_term_b.to(raw_nk) + self.coordinate_weight * cell_term_b
        return total_b, {**facts, "pose_loss": pose_loss_b.detach().mean()}

    def _weights(self, raw_nk: Tensor, b: int) -> Tensor | None:
        """Inverse predicted variances, relative to the median of their image (b, n); None: uniform weights.

        The solver of the finished localizer weighs cells by them, so the pose that is learned through does as well, and
        learns which cells to rely on.
        """
        if self.uncertainty.of.kind == "none":
            return None
        variance_bn = self.uncertainty.isotropic_covariance(raw_nk[:, 3:])[:, 0, 0].unflatten(0, (b, -1))
        return (variance_bn.detach().median(1, keepdim=True).values / variance_bn).clamp(1 / _MAX_WEIGHT, _MAX_WEIGHT)

    def _pose_loss(self, points_bn3: Tensor, weight_bn: Tensor | None, cells: Cells, step: int) -> Tensor:
        b = cells.images
        first = torch.arange(b, device=points_bn3.device) * points_bn3.shape[1]
        truth_b44 = cells.T_wc_n44[first]
        px_bn2 = cells.px_n2.unflatten(0, (b, -1)).double()
        K_b33 = torch.eye(3, dtype=torch.float64, device=points_bn3.device).repeat(b, 1, 1)
        K_b33[:, 0, 0], K_b33[:, 1, 1] = cells.focal_n2[first].double().unbind(1)
        K_b33[:, :2, 2] = cells.center_n2[first].double()
        if self.rgbd:
            T_cw_n34 = cells.T_cw_n34.double()
            measured_n3 = (T_cw_n34[:, :, :3] @ cells.points_n3.double()[..., None])[..., 0] + T_cw_n34[:, :, 3]
            return dsac_loss_rgbd(measured_n3.unflatten(0, (b, -1)), points_bn3, truth_b44, self._drawn(step))
        if self.through == "dsac":
            return dsac_loss(px_bn2, points_bn3, K_b33, truth_b44, self._drawn(step))
        if self.through == "epro":
            # A likelihood of pixels: each counts by the inverse of the threshold, or thousands make one pose certain.
            weight = 1 / self.options.max_error_px / points_bn3.shape[1] ** 0.5 * _EFFECTIVE_CELLS**0.5
            weights_bn2 = torch.full_like(px_bn2, weight)
            if weight_bn is not None:
                weights_bn2 = weights_bn2 * weight_bn.to(weights_bn2).sqrt()[..., None]
            return epro_pnp_loss(px_bn2, points_bn3, K_b33, truth_b44, weights_bn2, EproOptions(seed=step)).loss_b
        T_wc_b44, ok_b = implicit_pnp(px_bn2, points_bn3, K_b33, weight_bn)
        # One that is not ok has its seed for a pose, and no gradient.
        return torch.where(ok_b, pose_loss(T_wc_b44, truth_b44, self.options), self.options.soft_clamp)

    def _drawn(self, step: int) -> DsacOptions:
        return replace(self.options, seed=step)
