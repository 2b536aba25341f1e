"""Batches of whole images with labels of all tasks, of other frames in each stage of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from transpose.losses.cells import joined_images, on_device
from transpose.losses.tasks import TaskCells
from transpose.models.mlr_full import MlrDecoders, MlrEncoders
from transpose.models.network import Network
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions
from transpose.training.draws import Turns
from transpose.training.ranks import Ranks
from transpose.training.render_pairs import FramePools
from transpose.training.sources import ImageSource, seen_cells
from transpose.training.stages import Stages
from transpose.training.views import TrainingFrame, TrainingView


class StagedImages(NamedTuple):
    """Images (b, 3, h, w), and whether the tasks are to be fused."""

    image_b3hw: Tensor
    fused: bool


class OverTaskImages(nn.Module):
    """A network with an encoder for each task on images, whose outputs (b * rows * columns, k) are learned."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: StagedImages) -> Tensor:
        """Coordinates with fusion; or each task for itself, see `MlrDecoders.apart`."""
        encoder, head = self.network.encoder, self.network.head
        assert isinstance(encoder, MlrEncoders) and isinstance(head, MlrDecoders)
        features_bchw = encoder(inputs.image_b3hw, frozen_tasks=inputs.fused)
        out_bchw = head(features_bchw) if inputs.fused else head.apart(features_bchw)
        return out_bchw.permute(0, 2, 3, 1).flatten(0, 2)


@dataclass(frozen=True)
class StagedTurns(Turns):
    """The same within each pool of the stage of a step; pools take turns.

    Attributes:
        stages: of the training.
        pools: of frames, see `frame_pools`.
        batch_size: images a step.
    """

    stages: Stages
    pools: FramePools
    batch_size: int

    def item(self, place: int) -> int:
        """See `Turns`."""
        stage = self.stages.at(place // self.batch_size)
        pools = self.pools[stage]
        turn, pool = divmod(place, len(pools))
        frames = pools[pool]
        epoch, position = divmod(turn, len(frames))
        order = stream(self.seed, "epoch", stage, str(pool), str(epoch)).permutation(len(frames))
        return frames[int(order[position])]


class StagedImageSource(ImageSource):
    """Augmented images out of the pools of the step's stage, which take turns; see `ImageSource`.

    Args:
        frames, origin_3, batch_size, augment: see `ImageSource`.
        stages: of the training.
        pools: of frames, see `frame_pools`.
        seed, device, ranks: see `ImageSource`.
    """

    def __init__(
        self,
        frames: Sequence[TrainingFrame],
        origin_3: np.ndarray,
        batch_size: int,
        augment: AugmentOptions | None,
        *,
        stages: Stages,
        pools: FramePools,
        seed: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        super().__init__(frames, origin_3, batch_size, augment, seed=seed, device=device, ranks=ranks)
        self._stages = stages
        self._turns = StagedTurns(len(frames), seed, stages, pools, batch_size)

    def batch(self, step: int, part: int, parts: int) -> tuple[StagedImages, TaskCells]:  # type: ignore[override]
        """See `Source`."""
        images, labels = self._drawn(step, part, parts)
        cells = on_device(joined_images([each.cells for each in labels]), self._device)
        surface_n4 = torch.cat([each.surface_n4 for each in labels]).to(self._device)
        return StagedImages(images, self._stages.at(step) == "fuse"), TaskCells(cells, surface_n4)

    def _labels(self, seen: TrainingView) -> TaskCells:
        surface_n4 = torch.from_numpy(seen.surface(seen.cell_px()))
        return TaskCells(seen_cells(seen, self._origin_3), surface_n4)
