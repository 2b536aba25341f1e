"""Mid-level representations at CrossLoc's size (Yan et al., CVPR 2022): an encoder and a decoder for each task."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.models.crossloc import FEATURES, GROUPS, CrossLocDecoder, CrossLocEncoder, NormalisedConv
from transpose.models.network import Encoder, Network
from transpose.models.tasks import MultiTaskHead, check_tasks, task_channels

# Outputs that lie about a mean; those behind them state the uncertainty.
_CENTRED = {"depth": 1, "normal": 3}


@dataclass(frozen=True)
class MlrFullConfig:
    """Shape of the network.

    Attributes:
        tasks: beside coordinates, of `transpose.models.tasks.TASKS`.
        uncertainty_channels: of the coordinates.
        classes: of surfaces.
    """

    tasks: tuple[str, ...] = ()
    uncertainty_channels: int = 1
    classes: int = 6

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        if self.uncertainty_channels < 0 or self.classes < 1:
            raise ValueError(f"sizes of a network must be positive, got {self}")

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> MlrFullConfig:
        """What `plain` gave."""
        return cls(**{**values, "tasks": tuple(values["tasks"])})

    def plain(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return dataclasses.asdict(self)


class MlrEncoders(Encoder):
    """The encoders of coordinates and of each task, whose features stand one behind the other."""

    def __init__(self, config: MlrFullConfig) -> None:
        super().__init__()
        self.coordinates = CrossLocEncoder()
        self.of_task = nn.ModuleDict({task: CrossLocEncoder() for task in config.tasks})

    def forward(self, image_b3hw: Tensor, frozen_tasks: bool = False) -> Tensor:
        """See the class; `frozen_tasks`: encoders of tasks get no gradient."""
        features = [self.coordinates(image_b3hw)]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen_tasks):
            features += [encoder(image_b3hw) for encoder in self.of_task.values()]
        return torch.cat(features, 1)


class MlrDecoders(MultiTaskHead):
    """The decoders of all tasks, and the fusion of all features into those of coordinates.

    To the published fusion, whose two branches are summed, the features of the coordinates themselves are added, and
    both branches begin at zero: fusion then begins with what the coordinates were.
    """

    straight: nn.Module | None
    branch: nn.Module | None

    def __init__(self, config: MlrFullConfig) -> None:
        super().__init__()
        self.config, self.tasks = config, config.tasks
        self.coordinates = CrossLocDecoder(3, config.uncertainty_channels)
        self.of_task = nn.ModuleDict()
        for task in config.tasks:
            channels = task_channels(task, config.classes)
            centred = _CENTRED.get(task, channels)
            self.of_task[task] = CrossLocDecoder(centred, channels - centred)
        self.straight, self.branch = self._fusion(FEATURES * (1 + len(config.tasks))) if config.tasks else (None, None)

    @staticmethod
    def _fusion(stacked: int) -> tuple[nn.Module, nn.Module]:
        """The two branches from all features to those of coordinates, whose last scales are zero."""
        straight = NormalisedConv(stacked, FEATURES, 1, rectified=False)
        # A rectifier behind a scale of zero would let no gradient through.
        last = NormalisedConv(FEATURES, FEATURES, 3, rectified=False)
        for each in (straight, last):
            nn.init.zeros_(each.norm.weight)
        first = (nn.GroupNorm(GROUPS, stacked), NormalisedConv(stacked, FEATURES, 3))
        return straight, nn.Sequential(*first, NormalisedConv(FEATURES, FEATURES, 1), last)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Fused coordinates and their uncertainty, (b, 3 + k, rows, columns)."""
        own = features_bchw[:, :FEATURES]
        if self.straight is None or self.branch is None:
            return self.coordinates(own)
        return self.coordinates(F.relu(own + self.straight(features_bchw) + self.branch(features_bchw)))

    def apart(self, features_bchw: Tensor) -> Tensor:
        """Each task for itself: coordinates without fusion, then the others' outputs, as channels."""
        own, *others = features_bchw.split(FEATURES, dim=1)
        decoded = [self.of_task[task](each) for task, each in zip(self.tasks, others, strict=True)]
        return torch.cat([self.coordinates(own), *decoded], 1)

    def task_outputs(self, features_bchw: Tensor) -> dict[str, Tensor]:
        """See `MultiTaskHead`."""
        others = features_bchw.split(FEATURES, dim=1)[1:]
        return {task: self.of_task[task](each) for task, each in zip(self.tasks, others, strict=True)}


def mlr_full_network(config: MlrFullConfig) -> Network:
    """Encoders and decoders, learned together from random weights."""
    return Network(MlrEncoders(config), MlrDecoders(config), frozen=False)
