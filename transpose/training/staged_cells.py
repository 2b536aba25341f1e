"""Batches of cells with labels of all tasks, drawn from other frames in each stage of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transpose.errors import TransposeError
from transpose.losses.cells import on_device
from transpose.losses.tasks import TaskCells
from transpose.models.mlr import MlrHead
from transpose.randomness import torch_stream
from transpose.training.buffer import CellBuffer
from transpose.training.draws import batch_part
from transpose.training.ranks import Ranks
from transpose.training.render_pairs import FramePools
from transpose.training.sources import Source
from transpose.training.stages import Stage, Stages

CellPools = Mapping[Stage, Sequence[Tensor]]


class StagedFeatures(NamedTuple):
    """Features (n, c), and whether the tasks are to be fused."""

    features_nc: Tensor
    fused: bool


class OverTasks(nn.Module):
    """A head with tasks on features, each task for itself or fused into coordinates."""

    def __init__(self, head: MlrHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, inputs: StagedFeatures) -> Tensor:
        """See `MlrHead.apart` and `MlrHead.cells`."""
        return self.head.cells(inputs.features_nc) if inputs.fused else self.head.apart(inputs.features_nc)


@dataclass(frozen=True)
class StagedCellSource(Source):
    """Random cells out of the pools of the step's stage, equally many of each pool.

    Attributes:
        buffer: with labels of surfaces.
        stages: of the training.
        pools: numbers of cells, by stage.
        batch_size: cells a step.
        seed: of the draws.
        device: where the batches go.
        ranks: the processes of this training.
    """

    buffer: CellBuffer
    stages: Stages
    pools: CellPools
    batch_size: int
    seed: int
    device: torch.device
    ranks: Ranks

    def batch(self, step: int, part: int, parts: int) -> tuple[StagedFeatures, TaskCells]:
        """See `Source`; drawn with replacement."""
        stage = self.stages.at(step)
        pools, generator = self.pools[stage], torch_stream(self.seed, "batches", str(step))
        from_pool_n = torch.randint(2**62, (self.batch_size,), generator=generator)
        # Places of a batch take turns, so that every part of it has of each pool.
        index_n = torch.stack([pool[from_pool_n % len(pool)] for pool in pools])
        turn_n = torch.arange(self.batch_size) % len(pools)
        index_n = index_n.gather(0, turn_n[None])[0]
        index_n = self.ranks.shard(batch_part(index_n, part, parts))
        features_nc = self.buffer.features_nc[index_n].to(self.device).float()
        assert self.buffer.surface_n4 is not None
        surface_n4 = self.buffer.surface_n4[index_n].to(self.device).float()
        cells = on_device(self.buffer.cells(index_n), self.device)
        return StagedFeatures(features_nc, stage == "fuse"), TaskCells(cells, surface_n4)


def cell_pools(buffer: CellBuffer, frames: FramePools, frame_of_view: Sequence[int]) -> CellPools:
    """The cells of the frames that each stage draws.

    Args:
        buffer: of cells.
        frames: see `frame_pools`.
        frame_of_view: which frame each view of the buffer shows.

    Raises:
        TransposeError: no cell of a stage's frames is known.
    """
    frame_n = torch.tensor(frame_of_view)[buffer.view_n.long()]
    pools: dict[Stage, list[Tensor]] = {}
    for stage, chosen in frames.items():
        cells = [torch.isin(frame_n, torch.tensor(pool)).nonzero()[:, 0] for pool in chosen]
        pools[stage] = [each for each in cells if len(each)]
        if not pools[stage]:
            raise TransposeError("no cell of the renders has a world coordinate; render the section again")
    return pools
