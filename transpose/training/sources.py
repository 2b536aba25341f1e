"""Where batches come from: cells of a buffer, or whole images. What a step draws depends on the seed and the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from transpose.losses.cells import Cells, joined_images, on_device
from transpose.randomness import derived_seed, torch_stream
from transpose.scenes.augment import AugmentOptions
from transpose.training.buffer import CellBuffer
from transpose.training.draws import Replayed, Turns, batch_part
from transpose.training.look_ahead import LookAhead
from transpose.training.ranks import Ranks
from transpose.training.view_table import ViewTable, pinhole_px
from transpose.training.views import TrainingFrame, TrainingView, training_view

_FEWEST_CELLS = 64  # of a view through whose pose is learned


class Source(Protocol):
    """Inputs of the network and what its outputs are held against, such as `Cells`."""

    def batch(self, step: int, part: int, parts: int) -> tuple[Any, Any]:
        """This rank's shard of one part of a step's batch."""

    def close(self) -> None:
        """The training is over, or interrupted; no batch is asked for any more."""
        return


class OverCells(nn.Module):
    """A head on features (n, c), whose outputs (n, 3 + k) are learned."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features_nc: Tensor) -> Tensor:
        """See the class."""
        return self.head.cells(features_nc)  # type: ignore[operator]


class OverImages(nn.Module):
    """A network on images (b, 3, h, w), whose outputs (b * rows * columns, 3 + k) are learned."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        out_bchw = self.network(image_b3hw)
        return out_bchw.permute(0, 2, 3, 1).flatten(0, 2)


@dataclass(frozen=True)
class CellSource(Source):
    """Random cells of a buffer, each batch mixed from many views (ACE's gradient decorrelation).

    `replay` draws them where it is there.
    """

    buffer: CellBuffer
    batch_size: int
    seed: int
    device: torch.device
    ranks: Ranks
    replay: Replayed | None = None

    def batch(self, step: int, part: int, parts: int) -> tuple[Tensor, Cells]:
        """See `Source`; drawn with replacement."""
        index_n = self._uniform(step) if self.replay is None else self.replay.indices(step)
        index_n = self.ranks.shard(batch_part(index_n, part, parts))
        features_nc = self.buffer.features_nc[index_n].to(self.device).float()
        return features_nc, on_device(self.buffer.cells(index_n), self.device)

    def _uniform(self, step: int) -> Tensor:
        generator = torch_stream(self.seed, "batches", str(step))
        return torch.randint(len(self.buffer), (self.batch_size,), generator=generator)


class ViewSource(Source):
    """As many random cells of each of some views, out of a buffer: every view has a pose to learn through.

    A step then mixes places nearly as `CellSource` does, which whole images cannot: their cells have correlated errors.
    """

    def __init__(
        self, buffer: CellBuffer, views: int, cells_per_view: int, seed: int, device: torch.device, ranks: Ranks
    ) -> None:
        self._buffer, self._views, self._cells_per_view = buffer, views, cells_per_view
        self._seed, self._device, self._ranks = seed, device, ranks
        count_v = torch.bincount(buffer.view_n, minlength=int(buffer.view_n[-1]) + 1)
        kept_v = count_v >= min(_FEWEST_CELLS, int(count_v.max()))
        self._first_v, self._count_v = (count_v.cumsum(0) - count_v)[kept_v], count_v[kept_v]

    def batch(self, step: int, part: int, parts: int) -> tuple[Tensor, Cells]:
        """See `Source`; cells are drawn with replacement."""
        generator = torch_stream(self._seed, "batches", str(step))
        which_b = torch.randint(len(self._count_v), (self._views,), generator=generator)
        uniform_bn = torch.rand(self._views, self._cells_per_view, generator=generator, dtype=torch.float64)
        mine_b = self._ranks.shard(batch_part(torch.arange(self._views), part, parts))
        which_b, uniform_bn = which_b[mine_b], uniform_bn[mine_b]
        index_n = (self._first_v[which_b, None] + (uniform_bn * self._count_v[which_b, None]).long()).flatten()
        features_nc = self._buffer.features_nc[index_n].to(self._device).float()
        cells = replace(self._buffer.cells(index_n), images=len(which_b))
        return features_nc, on_device(cells, self._device)


class ImageSource(Source):
    """Augmented images, all frames once before any comes again; those of later batches are made while a network learns.

    What a batch holds does not depend on the number of threads that make them. With `replay` it is that which says
    whose turn it is. With `views_of_each`, so many images in a row are of one frame, each augmented in its own way.
    """

    def __init__(
        self,
        frames: Sequence[TrainingFrame],
        origin_3: np.ndarray,
        batch_size: int,
        augment: AugmentOptions | None,
        *,
        seed: int,
        device: torch.device,
        ranks: Ranks,
        threads: int | None = None,
        replay: Replayed | None = None,
        views_of_each: int = 1,
    ) -> None:
        self._views_of_each = views_of_each
        self._frames, self._origin_3, self._augment = frames, origin_3, augment
        self._batch_size, self._seed, self._device, self._ranks = batch_size, seed, device, ranks
        self._turns = replay or Turns(len(frames), seed)
        self._views = LookAhead(self._view, threads)

    def batch(self, step: int, part: int, parts: int) -> tuple[Tensor, Cells]:
        """See `Source`."""
        images, cells = self._drawn(step, part, parts)
        return images, on_device(joined_images(cells), self._device)

    def _drawn(self, step: int, part: int, parts: int) -> tuple[Tensor, list[Any]]:
        """Images of one part of a step's batch, and what `_labels` made of each."""
        views = self._views.take(
            step * parts + part, lambda index: self._places(*divmod(index, parts), parts), self._turns.ahead * parts
        )
        images = torch.from_numpy(np.stack([image_hw3 for image_hw3, _ in views])).to(self._device)
        return images.permute(0, 3, 1, 2).float(), [labels for _, labels in views]

    def close(self) -> None:
        """See `Source`."""
        self._views.close()

    def _places(self, step: int, part: int, parts: int) -> list[int]:
        """Of the endless sequence of views, this rank's of a part of a batch."""
        places = batch_part(torch.arange(step * self._batch_size, (step + 1) * self._batch_size), part, parts)
        mine: list[int] = self._ranks.shard(places).tolist()
        return mine

    def _labels(self, seen: TrainingView) -> Any:
        """What a view's outputs are held against."""
        return seen_cells(seen, self._origin_3)

    def _view(self, place: int) -> tuple[np.ndarray, Any]:
        which = self._turns.item(place // self._views_of_each)
        rng = np.random.default_rng(derived_seed(self._seed, "view", str(place)))
        seen = training_view(self._frames, which, rng, self._augment)
        return seen.image_hw3, self._labels(seen)


def seen_cells(seen: TrainingView, origin_3: np.ndarray) -> Cells:
    """All cells of a view; those that do not show the scene have no pixel (NaN): there is none to be right about."""
    px_n2 = seen.cell_px()
    table = ViewTable.empty(1)
    table.put(0, seen.pose, seen.camera, origin_3)
    pinhole_n2 = pinhole_px(seen.camera, px_n2).astype(np.float32)
    pinhole_n2[~seen.visible(px_n2)] = np.nan
    points_n3 = torch.from_numpy((seen.points(px_n2) - origin_3).astype(np.float32))
    return table.cells(points_n3, torch.from_numpy(pinhole_n2), torch.zeros(len(px_n2), dtype=torch.int32))
