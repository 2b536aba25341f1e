"""What a preset brings: a plan that the loop follows step by step, or what was made at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from transpose.runs import StoredNetwork
from transpose.training.draws import Replayed
from transpose.training.leave_out import LeaveOut
from transpose.training.sources import Source


class Objective(Protocol):
    """What is minimized."""

    def __call__(self, raw_nk: Tensor, targets: Any, step: int, /) -> tuple[Tensor, dict[str, Tensor]]:
        """A loss of each cell or image, from the outputs and what the source holds them against; what to report."""


@dataclass
class Plan:
    """What a preset brings to the loop.

    Attributes:
        module: from a source's inputs to outputs, such as points (n, 3 + k); its trainable weights are what is saved
            and resumed.
        source: of the batches.
        objective: what is minimized.
        optimizer: of the module's weights.
        schedule: of its rate, stepped after each step.
        validation: figures by name on frames kept out.
        stored: the network's part of model.pt.
        landmarks: the state of a `LandmarkMap` that goes into model.pt as well; None: the preset makes none.
        select_by: an entry of `validation` by whose least value, the start's among them, the weights are chosen in the
            end; empty: the last weights are kept.
        leave_out: landmarks without some of the training frames, where none was kept out for validation.
        staged: in some steps some of the weights get no gradient.
        replay: that draws the source's batches by the items' losses, and weighs them; None: all are drawn alike.
    """

    module: nn.Module
    source: Source
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    validation: Callable[[], dict[str, float]]
    stored: Callable[[], StoredNetwork]
    landmarks: dict[str, Tensor] | None = None
    select_by: str = ""
    leave_out: LeaveOut | None = None
    staged: bool = False
    replay: Replayed | None = None


@dataclass(frozen=True)
class Built:
    """What a preset brings that is made at once, without steps.

    Attributes:
        network: its part of model.pt; None: it has none.
        database: what `Checkpoint.database` keeps.
        leave_out: what its calibration needs to validate without some of the training frames; None: frames were kept
            out.
    """

    network: StoredNetwork | None = None
    database: dict[str, Any] | None = None
    leave_out: Any = None
