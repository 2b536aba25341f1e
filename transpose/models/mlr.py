"""Mid-level representations over shared frozen features: coordinates with depth, normals and classes of single cells.

The structure is that of CrossLoc (Yan et al., CVPR 2022): an encoder and a decoder for each task, then the encoders'
outputs, frozen, are fused into the decoder of coordinates. Encoders here are perceptrons on features that are
computed once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from transpose.models.adapter import AdaptedEncoder, Adapter, AdapterConfig
from transpose.models.heads import CoordinateHead, HeadConfig, cell_by_cell, residual_body
from transpose.models.network import Encoder, Network
from transpose.models.tasks import MultiTaskHead, check_tasks, task_channels
from transpose.models.xfeat import XFeatEncoder


@dataclass(frozen=True)
class MlrConfig:
    """Shape of an `MlrHead`.

    Attributes:
        head: of the coordinates.
        tasks: beside them, of `transpose.models.tasks.TASKS`.
        width, blocks: of the encoder of each of these.
        classes: of surfaces.
        adapter: of the features that all tasks share; None: they are used as they are.
    """

    head: HeadConfig = field(default_factory=HeadConfig)
    tasks: tuple[str, ...] = ()
    width: int = 128
    blocks: int = 2
    classes: int = 6
    adapter: AdapterConfig | None = None

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        if min(self.width, self.classes) < 1 or self.blocks < 0:
            raise ValueError(f"sizes of a head must be positive, got {self}")

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> MlrConfig:
        """What `plain` gave."""
        adapter = values.get("adapter")  # a run of an older version has none
        parts = {
            "head": HeadConfig(**values["head"]),
            "tasks": tuple(values["tasks"]),
            "adapter": None if adapter is None else AdapterConfig(**adapter),
        }
        return cls(**{**values, **parts})

    def plain(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return dataclasses.asdict(self)


class TaskDecoder(nn.Module):
    """Of the output of a task's encoder (n, width) its outputs (n, channels)."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.last = nn.Linear(width, channels)
        # What the labels are about: log depth has a place and a spread of its own.
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, hidden_nw: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(hidden_nw.device.type, enabled=False):
            return self.mean + self.std * self.last(hidden_nw.float())


class MlrHead(MultiTaskHead):
    """Coordinates, helped by what other tasks know of a cell, and these tasks.

    It starts as a `CoordinateHead` beside independent tasks: fusion adds nothing until it has learned to.
    """

    def __init__(self, config: MlrConfig) -> None:
        super().__init__()
        self.config, self.tasks = config, config.tasks
        self.coordinates = CoordinateHead(config.head)
        self.encoders = nn.ModuleDict(
            {task: residual_body(config.head.in_channels, config.width, config.blocks) for task in config.tasks}
        )
        self.decoders = nn.ModuleDict(
            {task: TaskDecoder(config.width, task_channels(task, config.classes)) for task in config.tasks}
        )
        width, all_widths = config.head.width, config.head.width + len(config.tasks) * config.width
        self.fusion = nn.Sequential()
        if config.tasks:
            last = nn.Linear(width, width)
            self.fusion = nn.Sequential(nn.LayerNorm(all_widths), nn.Linear(all_widths, width), nn.ReLU(), last)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def cells(self, features_nc: Tensor) -> Tensor:
        """Fused coordinates and their uncertainty, (n, 3 + k); encoders of other tasks get no gradient."""
        features_nc = self.coordinates.normalised(features_nc)
        hidden_nw = self.coordinates.body(features_nc)
        if self.tasks:
            with torch.no_grad():
                known = [self.encoders[task](features_nc) for task in self.tasks]
            hidden_nw = hidden_nw + self.fusion(torch.cat([hidden_nw, *known], 1))
        return self.coordinates.decoded(hidden_nw)

    def apart(self, features_nc: Tensor) -> Tensor:
        """Each task for itself: coordinates without fusion (3 + k), then the others' outputs, side by side."""
        features_nc = self.coordinates.normalised(features_nc)
        coordinates_nk = self.coordinates.decoded(self.coordinates.body(features_nc))
        return torch.cat([coordinates_nk, *self._of_tasks(features_nc)], 1)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Fused coordinates and their uncertainty, (b, 3 + k, rows, columns)."""
        return cell_by_cell(self.cells, features_bchw)

    def task_outputs(self, features_bchw: Tensor) -> dict[str, Tensor]:
        """See `MultiTaskHead`."""
        if not self.tasks:
            return {}

        def side_by_side(features_nc: Tensor) -> Tensor:
            return torch.cat(self._of_tasks(self.coordinates.normalised(features_nc)), 1)

        sizes = [task_channels(task, self.config.classes) for task in self.tasks]
        out_bkhw = cell_by_cell(side_by_side, features_bchw)
        return dict(zip(self.tasks, out_bkhw.split(sizes, dim=1), strict=True))

    def fit_depth(self, log_gsd_n: Tensor) -> None:
        """Takes place and spread of log depth over focal length from samples (n,), NaN where unknown."""
        log_gsd_n = log_gsd_n[log_gsd_n.isfinite()]
        decoder = self.decoders["depth"]
        decoder.get_buffer("mean")[0], decoder.get_buffer("std")[0] = log_gsd_n.mean(), log_gsd_n.std() + 1e-3

    def _of_tasks(self, normalised_nc: Tensor) -> list[Tensor]:
        return [self.decoders[task](self.encoders[task](normalised_nc)) for task in self.tasks]


def mlr_network(config: MlrConfig) -> Network:
    """The head on XFeat's frozen features, adapted where there is to be an adapter."""
    encoder: Encoder = XFeatEncoder()
    if config.adapter is not None:
        encoder = AdaptedEncoder(encoder, Adapter(config.adapter))
    return Network(encoder, MlrHead(config), frozen=True)
