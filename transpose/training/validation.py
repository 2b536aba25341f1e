"""Validation during training, on frames kept out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from transpose.geometry.poses import Pose, pose_error
from transpose.losses.cells import Cells, joined_images, on_device
from transpose.losses.uncertainty import PredictedUncertainty, nll
from transpose.models.network import Network
from transpose.models.precision import autocast
from transpose.randomness import stream
from transpose.selection import evenly_chosen
from transpose.solvers import solve_pnp
from transpose.training.buffer import encode, usable_cells
from transpose.training.config import TrainingConfig
from transpose.training.context import TrainingContext
from transpose.training.sources import OverCells, OverImages, seen_cells
from transpose.training.view_table import ViewTable
from transpose.training.views import training_view

_CELL_VIEWS, _IMAGE_VIEWS = 24, 8  # whole networks take long to pass
_POSED_VIEWS = 24
_MOST_WRONG = 1000.0  # degrees + centimetres
_CONFIDENT_FRACTION = 0.25
_FEWEST = 100


@dataclass(frozen=True)
class Validation:
    """Held-out cells with what goes into the network to predict them.

    Attributes:
        module: head (on features) or network (on images).
        inputs: one a view.
        cells: of each view.
        uncertainty: how the outputs are read as covariances.
        device, dtype: where the module runs and how it computes.
        poses: whether poses are solved as well, of whole images.
    """

    module: nn.Module
    inputs: Sequence[Tensor]
    cells: Sequence[Cells]
    uncertainty: PredictedUncertainty
    device: torch.device
    dtype: torch.dtype
    poses: bool = False

    @classmethod
    def of_cells(
        cls, network: Network, uncertainty: PredictedUncertainty, config: TrainingConfig, context: TrainingContext
    ) -> Validation:
        """Features pass the frozen encoder once."""
        inputs, cells = [], []
        for view in evenly_chosen(len(context.validation), _CELL_VIEWS):
            seen = training_view(context.validation, view, stream(config.seed, "validation", str(view)), None)
            maps = encode(network.encoder, seen.image_hw3, context.device, context.dtype)
            features_nc, points_n3, px_n2, _ = usable_cells(seen, maps, context.validation[view].labelled)
            table = ViewTable.empty(1)
            table.put(0, seen.pose, seen.camera, context.origin_3)
            inputs.append(features_nc)
            cells.append(
                table.cells(
                    torch.from_numpy(points_n3 - context.origin_3).float(),
                    torch.from_numpy(px_n2).float(),
                    torch.zeros(len(px_n2), dtype=torch.int32),
                )
            )
        return cls(OverCells(network.head), inputs, cells, uncertainty, context.device, context.dtype)

    @classmethod
    def of_images(
        cls,
        network: Network,
        uncertainty: PredictedUncertainty,
        config: TrainingConfig,
        context: TrainingContext,
        poses: bool = False,
    ) -> Validation:
        """Whole images, few of them; some more where poses are wanted."""
        inputs, cells = [], []
        for view in evenly_chosen(len(context.validation), _POSED_VIEWS if poses else _IMAGE_VIEWS):
            seen = training_view(context.validation, view, stream(config.seed, "validation", str(view)), None)
            inputs.append(torch.from_numpy(np.ascontiguousarray(seen.image_hw3)).permute(2, 0, 1)[None])
            cells.append(seen_cells(seen, context.origin_3))
        return cls(OverImages(network), inputs, cells, uncertainty, context.device, context.dtype, poses)

    def __call__(self) -> dict[str, float]:
        """Median errors of the cells, and of the most confident quartile; in pixels where no world points are known."""
        if not self.inputs:
            return {}
        raw_nk, cells = self._predicted()
        posed = {"val_pose": self._pose_loss(raw_nk, cells)} if self.poses else {}
        known_n = cells.known_n
        if int(known_n.sum()) < _FEWEST:
            return _reprojected(raw_nk[:, :3], cells) | posed
        error_n3 = (raw_nk[:, :3] - cells.points_n3)[known_n]
        distance_n = error_n3.norm(dim=1)
        entry = {"val_median_m": distance_n.median().item(), **posed}
        if self.uncertainty.of.kind == "none":
            return entry
        rays_n3, R_wc_n33 = cells.rays_n3[known_n], cells.R_wc_n33[known_n]
        factor_n33 = self.uncertainty.factor(raw_nk[known_n, 3:], rays_n3, R_wc_n33)
        variance_n = self.uncertainty.isotropic_covariance(raw_nk[known_n, 3:])[:, 0, 0]
        confident_n = (
            variance_n <= variance_n.float().quantile(_CONFIDENT_FRACTION)
            if len(variance_n) < 2**24
            else variance_n <= variance_n.median()
        )
        loss = nll(error_n3, factor_n33, self.uncertainty.of).mean().item()
        return {**entry, "val_sure_median_m": distance_n[confident_n].median().item(), "val_loss": loss}

    def _pose_loss(self, raw_nk: Tensor, cells: Cells) -> float:
        """Geometric mean of the images' pose errors, degrees + centimetres, each counting no more than `_MOST_WRONG`.

        In a mean, one image that shows hardly anything would decide which weights are best.
        """
        sizes = [len(each) for each in self.cells]
        losses = []
        start = 0
        for raw_mk, size in zip(raw_nk.split(sizes), sizes, strict=True):
            view = slice(start, start + size)
            start += size
            covariances = None
            if self.uncertainty.of.kind != "none":
                covariances = self.uncertainty.isotropic_covariance(raw_mk[:, 3:]).double().cpu().numpy()
            K_33 = np.eye(3)
            K_33[0, 0], K_33[1, 1] = cells.focal_n2[view][0].tolist()
            K_33[:2, 2] = cells.center_n2[view][0].tolist()
            estimate = solve_pnp(
                cells.px_n2[view].double().cpu().numpy(),
                raw_mk[:, :3].double().cpu().numpy(),
                K_33,
                None,
                covariances,
            )
            degrees, metres = pose_error(estimate.pose, Pose(cells.T_wc_n44[view][0].cpu().numpy()))
            losses.append(min(degrees + 100 * metres, _MOST_WRONG))
        return float(np.exp(np.log(losses).mean()))

    @torch.no_grad()
    def _predicted(self) -> tuple[Tensor, Cells]:
        training = self.module.training
        self.module.eval()
        outputs = []
        for each in self.inputs:
            with autocast(self.device, self.dtype):
                outputs.append(self.module(each.to(self.device).float()).float())
        self.module.train(training)
        return torch.cat(outputs), on_device(joined_images(self.cells), self.device)


def _reprojected(points_n3: Tensor, cells: Cells) -> dict[str, float]:
    camera_n3 = (cells.T_cw_n34[:, :, :3] @ points_n3[..., None])[..., 0] + cells.T_cw_n34[:, :, 3]
    px_n2 = camera_n3[:, :2] / camera_n3[:, 2:] * cells.focal_n2 + cells.center_n2
    error_n = torch.where(camera_n3[:, 2] > 0, (px_n2 - cells.px_n2).norm(dim=1), torch.inf)
    error_n = error_n[cells.px_n2.isfinite().all(1)]
    return {"val_median_px": error_n.median().item()} if len(error_n) else {}
