"""Which items (cells, images, groups of images) the batch of a step holds, where each is not drawn by mere chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.randomness import stream
from transpose.scenes.replay import Draw, Replay
from transpose.training.ranks import Ranks

_REMEMBERED = 1000  # items, of whose losses the typical one is known
# The typical loss has priority 1; one that is this many mean deviations above it has 2. Of losses as they often are,
# distributed exponentially, priorities then grow nearly as the losses themselves.
_DEVIATIONS = 2.0


def batch_part(items: Tensor, part: int, parts: int) -> Tensor:
    """One of equally long parts of a batch (gradient accumulation)."""
    if len(items) % parts:
        raise TransposeError(f"a batch of {len(items)} cannot be done in {parts} equal parts; change --accumulate")
    return items.chunk(parts)[part]


@dataclass(frozen=True)
class Turns:
    """All of some items once before any comes again, in a fresh order each time; known as far `ahead` as one likes."""

    items: int
    seed: int
    ahead: ClassVar[float] = math.inf

    def item(self, place: int) -> int:
        """The item at a place of the endless sequence; drawn anew for each, which costs less than an image."""
        epoch, position = divmod(place, self.items)
        return int(stream(self.seed, "epoch", str(epoch)).permutation(self.items)[position])


@dataclass
class TypicalLoss:
    """The mean of the losses of late, and how far they are from it, by which losses become errors without a unit.

    Losses fall as a training goes on, differ in unit from preset to preset, and those of a likelihood may be negative:
    what tells an item that is not learned yet is its loss beside those of the others at that time.

    Attributes:
        sums_3: of weights, weighted losses and weighted deviations, each loss fading as others come.
    """

    sums_3: np.ndarray

    def errors(self, loss_b: np.ndarray, weight_b: np.ndarray) -> np.ndarray:
        """How wrong (b,) items of a batch are: 1 as is typical; takes the batch in.

        Args:
            loss_b: of the items, finite.
            weight_b: by which they estimate a mean over all items.
        """
        if len(loss_b) == 0:
            return loss_b
        fading = (1 - 1 / _REMEMBERED) ** len(loss_b)
        self.sums_3[:2] = fading * self.sums_3[:2] + (weight_b.sum(), weight_b @ loss_b)
        weight, mean = self.sums_3[0], self.sums_3[1] / self.sums_3[0]
        self.sums_3[2] = fading * self.sums_3[2] + weight_b @ np.abs(loss_b - mean)
        deviation = self.sums_3[2] / weight
        if deviation == 0:  # of the first of all, or where all are alike
            return np.ones_like(loss_b)
        return np.maximum(1 + (loss_b - mean) / (_DEVIATIONS * deviation), 0.0)


@dataclass(frozen=True)
class _Seen:
    """The items of a step, with their losses (b,) on the device: to read them at once would make a GPU wait."""

    draw: Draw
    loss_b: Tensor


class Replayed:
    """Batches by prioritized replay, for all ranks alike: what a step draws depends on the losses of earlier ones.

    Batches are drawn some steps ahead, since images take time to make, and losses are taken in one step late. How many
    steps does not depend on machine or threads, so neither does what is drawn.

    Args:
        items: to draw from.
        batch: items of a step, over all ranks and parts.
        steps: of the training.
        seed: of the draws.
        ranks: the processes of this training.
        ahead_items: that may have to be made ahead of their step; 0: none.
    """

    def __init__(self, items: int, batch: int, steps: int, seed: int, ranks: Ranks, ahead_items: int = 0) -> None:
        self._replay = Replay(items)
        self._batch, self._steps, self._seed, self._ranks = batch, steps, seed, ranks
        self.ahead = math.ceil(ahead_items / batch)
        self._typical = TypicalLoss(np.zeros(3))
        self._drawn = {step: self._draw(step) for step in range(self.ahead + 1)}
        self._parts: list[Tensor] = []
        self._late: _Seen | None = None

    def indices(self, step: int) -> Tensor:
        """The items (batch,) of this step, or of one that is at most `ahead` later."""
        return torch.from_numpy(self._drawn[step].index_b)

    def item(self, place: int) -> int:
        """The one at a place of the endless sequence of batches, not later than `indices` knows."""
        step, slot = divmod(place, self._batch)
        return int(self._drawn[step].index_b[slot])

    def weighted(self, loss_n: Tensor, step: int, part: int, parts: int) -> Tensor:
        """The mean loss of this rank's shard of a part of a batch, with each item's weight; notes each item's loss.

        Args:
            loss_n: of cells or images, equally many of each item, one item after the other.
            step, part, parts: as `Source.batch` was asked for.
        """
        weight_b = batch_part(torch.from_numpy(self._drawn[step].weight_b), part, parts)
        weight_b = self._ranks.shard(weight_b).to(loss_n)
        loss_b = loss_n.unflatten(0, (len(weight_b), -1)).mean(1)
        whole_b = self._ranks.whole(loss_b.detach())  # an exchange: it must come before weights change
        self._parts = [*(self._parts if part else []), whole_b]
        return (weight_b * loss_b).mean()

    def renew(self, step: int) -> None:
        """A step was taken: priorities follow the losses of the one before it, and another batch is drawn."""
        seen, self._parts = _Seen(self._drawn.pop(step), torch.cat(self._parts)), []
        late, self._late = self._late, seen
        if late is not None:
            loss_b = late.loss_b.cpu().double().numpy()
            told_b = np.isfinite(loss_b)
            index_b, loss_b, weight_b = late.draw.index_b[told_b], loss_b[told_b], late.draw.weight_b[told_b]
            self._replay.renew(index_b, self._typical.errors(loss_b, weight_b))
        later = step + 1 + self.ahead
        self._drawn[later] = self._draw(later)

    def state(self) -> dict[str, Any]:
        """What `restore` needs, between two steps."""
        return {
            "shares": torch.from_numpy(self._replay.share_n),
            "typical": self._typical.sums_3.tolist(),
            "drawn": {step: _tensors(draw) for step, draw in self._drawn.items()},
            "late": None if self._late is None else (*_tensors(self._late.draw), self._late.loss_b.cpu()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes back to where `state` was taken.

        Raises:
            TransposeError: it was taken over other items.
        """
        self._replay.restore(state["shares"].numpy())
        self._typical = TypicalLoss(np.array(state["typical"]))
        self._drawn = {step: _draw_of(tensors) for step, tensors in state["drawn"].items()}
        late = state["late"]
        self._late = None if late is None else _Seen(_draw_of(late[:2]), late[2])

    def _draw(self, step: int) -> Draw:
        progress = min(1.0, step / max(1, self._steps - 1))
        return self._replay.draw(self._batch, stream(self._seed, "replay", str(step)), progress)


def _tensors(draw: Draw) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(draw.index_b), torch.from_numpy(draw.weight_b)


def _draw_of(tensors: Sequence[Tensor]) -> Draw:
    return Draw(tensors[0].numpy(), tensors[1].numpy())
