"""What is minimized: the presets' losses on the outputs of a batch of cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from transpose.losses.cells import Cells
from transpose.losses.coordinates import (
    InitTolerances,
    ace_reprojection,
    ace_softclamp,
    crossloc_reprojection,
    dsacstar_model,
    dsacstar_rgb,
    dsacstar_rgbd,
)
from transpose.losses.tasks import TaskCells, task_loss
from transpose.losses.uncertainty import PredictedUncertainty, nll
from transpose.models.tasks import split_outputs


@dataclass(frozen=True)
class Likelihood:
    """The labels' likelihood under the predicted uncertainty; without one, their distance.

    Attributes:
        uncertainty: its form, and how outputs are read as covariances.
        warm_up: steps in which only the size of the error is learned, not its shape.
    """

    uncertainty: PredictedUncertainty
    warm_up: int

    def __call__(self, raw_nk: Tensor, cells: Cells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`; cells without a label count zero."""
        known_n = cells.known_n
        error_n3 = torch.where(known_n[:, None], raw_nk[:, :3] - cells.points_n3, 0.0)
        tied = step < self.warm_up
        factor_n33 = self.uncertainty.factor(raw_nk[:, 3:], cells.rays_n3.nan_to_num(0.0), cells.R_wc_n33, tied)
        loss_n = nll(error_n3, factor_n33, self.uncertainty.of)
        return torch.where(known_n, loss_n, 0.0), {"train_median_m": _median(error_n3.detach().norm(dim=1), known_n)}


@dataclass(frozen=True)
class DsacStar:
    """DSAC*'s first stage in one of its modes."""

    mode: Literal["rgb", "model", "rgbd"]
    tolerances: InitTolerances

    def __call__(self, raw_nk: Tensor, cells: Cells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        points_n3 = raw_nk[:, :3]
        if self.mode == "rgbd":
            loss_n, valid_n = dsacstar_rgbd(points_n3, cells)
        elif self.mode == "model":
            loss_n, valid_n = dsacstar_model(points_n3, cells, self.tolerances)
        else:
            loss_n, valid_n = dsacstar_rgb(points_n3, cells, self.tolerances)
        return loss_n, {"valid": valid_n.float().mean(), **_train_median(points_n3, cells)}


@dataclass(frozen=True)
class Ace:
    """ACE's loss over so many steps."""

    steps: int
    tolerances: InitTolerances = field(default_factory=InitTolerances)

    def __call__(self, raw_nk: Tensor, cells: Cells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        softclamp_px = ace_softclamp(step / self.steps)
        loss_n, valid_n = ace_reprojection(raw_nk[:, :3], cells, softclamp_px, self.tolerances)
        return loss_n, {"valid": valid_n.float().mean(), **_train_median(raw_nk[:, :3], cells)}


@dataclass(frozen=True)
class LikelihoodAndPixels:
    """CrossLoc's loss: the labels' likelihood plus a pixel error."""

    uncertainty: PredictedUncertainty
    tolerances: InitTolerances
    warm_up: int

    def __call__(self, raw_nk: Tensor, cells: Cells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        loss_n, facts = Likelihood(self.uncertainty, self.warm_up)(raw_nk, cells, step)
        pixel_n, valid_n = crossloc_reprojection(raw_nk[:, :3], cells, self.tolerances)
        return loss_n + pixel_n, {"valid": valid_n.float().mean(), **facts}


@dataclass(frozen=True)
class MultiTask:
    """The likelihood of coordinates, and of the labels of other tasks where their outputs stand beside them.

    Attributes:
        coordinates: the loss of coordinates, of `channels` outputs.
        channels: of coordinates and their uncertainty.
        tasks: whose outputs follow, in their order, in stages without fusion.
        classes: of surfaces.
    """

    coordinates: Likelihood | LikelihoodAndPixels
    channels: int
    tasks: tuple[str, ...]
    classes: int

    def __call__(self, raw_nk: Tensor, targets: TaskCells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        tasks = self.tasks if raw_nk.shape[1] > self.channels else ()
        outputs = split_outputs(raw_nk, self.channels, tasks, self.classes)
        loss_n, facts = self.coordinates(outputs["coordinates"], targets.cells, step)
        for task in tasks:
            of_task_n = task_loss(task, outputs[task], targets)
            loss_n = loss_n + of_task_n
            facts[f"train_{task}"] = of_task_n.detach().mean()
        return loss_n, facts


def _train_median(points_n3: Tensor, cells: Cells) -> dict[str, Tensor]:
    return {"train_median_m": _median((points_n3 - cells.points_n3).detach().norm(dim=1), cells.known_n)}


def _median(values_n: Tensor, where_n: Tensor) -> Tensor:
    """NaN where none is; to look whether there is one would make a GPU wait."""
    return torch.where(where_n, values_n, torch.nan).nanmedian()
