"""Batches of cells with labels of all tasks, drawn from other frames in each stage of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transpose.losses.cells import on_device
from transpose.losses.tasks import TaskCells
from transpose.models.mlr import MlrHead
from transpose.randomness import torch_stream
from transpose.training.buffer import CellBuffer
from transpose.training.ranks import Ranks
from transpose.training.render_pairs import paired_renders
from transpose.training.sources import Source, batch_part
from transpose.training.stages import Stage, Stages
from transpose.training.views import TrainingFrame

_RENDERS_A_PHOTO = 8
Pools = Mapping[Stage, Sequence[Tensor]]


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
    pools: Pools
    batch_size: int
    seed: int
    device: torch.device
    ranks: Ranks

    def batch(self, step: int, part: int, parts: int) -> tuple[StagedFeatures, TaskCells]:
        """See `Source`; drawn with replacement."""
        stage = self.stages.at(step)
        pools, generator = self.pools[stage], torch_stream(self.seed, "batches", str(step))
        from_pool_n = torch.randint(2**62, (self.batch_size,), generator=generator)
        # Places of a batch take turns, so that every part and every rank has of each pool.
        index_n = torch.stack([pool[from_pool_n % len(pool)] for pool in pools])
        turn_n = torch.arange(self.batch_size) % len(pools)
        index_n = index_n.gather(0, turn_n[None])[0]
        index_n = self.ranks.shard(batch_part(index_n, part, parts))
        features_nc = self.buffer.features_nc[index_n].to(self.device).float()
        assert self.buffer.surface_n4 is not None
        surface_n4 = self.buffer.surface_n4[index_n].to(self.device).float()
        cells = on_device(self.buffer.cells(index_n), self.device)
        return StagedFeatures(features_nc, stage == "fuse"), TaskCells(cells, surface_n4)


def pools_of(buffer: CellBuffer, frames: Sequence[TrainingFrame], frame_of_view: Sequence[int]) -> Pools:
    """Which cells each stage draws: renders first; then photos and their renders; then photos and all renders.

    Without photos, or without renders, every stage draws of all. Renders that no photo pairs with are drawn in the
    last stage all the same: what the photos do not show is not to be forgotten.

    Args:
        buffer: of cells.
        frames: of the training.
        frame_of_view: which of them each view of the buffer shows.
    """
    frame_n = torch.tensor(frame_of_view)[buffer.view_n.long()]
    rendered_n = torch.tensor([each.rendered for each in frames])[frame_n]
    everything, renders, photos = torch.arange(len(buffer)), rendered_n.nonzero()[:, 0], (~rendered_n).nonzero()[:, 0]
    if len(renders) == 0 or len(photos) == 0:
        return {"pretrain": [everything], "fine_tune": [everything], "fuse": [everything]}
    pairs = torch.tensor(paired_renders(frames, _RENDERS_A_PHOTO), dtype=torch.int64)
    paired = torch.isin(frame_n, pairs).nonzero()[:, 0]
    both = [photos, paired] if len(paired) else [photos, renders]
    return {"pretrain": [renders], "fine_tune": both, "fuse": [photos, renders]}
