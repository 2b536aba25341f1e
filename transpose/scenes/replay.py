"""Prioritized replay: items that are not learned yet are drawn more often, and weighed so that no mean is bent.

The proportional variant of Schaul et al. (Prioritized Experience Replay, ICLR 2016): item i is drawn with probability
P(i) = p_i^alpha / sum_j p_j^alpha, and its loss counts (N P(i))^-beta times; beta grows to 1, where the weighted mean
of a batch estimates the mean over all items without bias. Two things differ from there. Priorities lie between two
bounds, so that an item whose label is wrong, which never gets better, is not all that is drawn. And weights are not
divided by the largest: with bounded priorities none is large, their mean is at most 1 (Jensen), and the estimate stays
unbiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from transpose.errors import TransposeError

_TOP_LEVELS = 10


@dataclass(frozen=True)
class ReplayOptions:
    """How much more often items are drawn that are not learned yet.

    Attributes:
        alpha: power of the priorities; 0 draws all items alike.
        beta: power of the weights at the beginning of a training; it grows to 1.
        least, most: bounds of the priorities, in the unit of the errors that are told.
    """

    alpha: float = 0.6
    beta: float = 0.4
    least: float = 0.1
    most: float = 8.0

    def __post_init__(self) -> None:
        if not (0 <= self.alpha < math.inf and 0 <= self.beta <= 1):
            raise ValueError(f"alpha must be 0 or more and beta from 0 to 1, not {self.alpha:g} and {self.beta:g}")
        if not 0 < self.least <= self.most < math.inf:
            raise ValueError(f"priorities must have bounds above 0, not {self.least:g} to {self.most:g}")


class SumTree:
    """Shares of items: one is found by a point of their total, and many change, in O(log n) array operations.

    Node k of the binary tree has the children 2k and 2k + 1 and is their sum as they stand, so that all nodes depend on
    the leaves alone, to the last bit, and not on the order in which those changed. The first few levels are so small
    that they are done at once.

    Args:
        share_n: of each item, 0 or more, not all 0.
    """

    def __init__(self, share_n: np.ndarray) -> None:
        self._depth = max(0, len(share_n) - 1).bit_length()
        self._top = min(self._depth, _TOP_LEVELS)
        self._first = 1 << self._depth
        self._items = len(share_n)
        self._node_k = np.zeros(2 * self._first)
        self._node_k[self._first : self._first + self._items] = share_n
        self._add_up_to(self._depth)

    @property
    def total(self) -> float:
        """Of all shares."""
        return float(self._node_k[1])

    @property
    def share_n(self) -> np.ndarray:
        """Of each item; a view that must not be written to."""
        return self._node_k[self._first : self._first + self._items]

    def find(self, point_b: np.ndarray) -> np.ndarray:
        """The items (b,) in whose shares points (b,) from 0 to the total lie; one without a share is never found."""
        top_k = self._node_k[1 << self._top : 2 << self._top]
        border_k = np.append(0.0, np.cumsum(top_k))
        # Where sums were rounded a point may lie a hair beyond the last share, here and below.
        at_b = np.minimum(np.searchsorted(border_k[1:], point_b, side="right"), np.flatnonzero(top_k)[-1])
        node_b, rest_b = (1 << self._top) + at_b, point_b - border_k[at_b]
        for _ in range(self._depth - self._top):
            node_b *= 2
            left_b = self._node_k[node_b]
            right_b = (rest_b >= left_b) & (self._node_k[node_b + 1] > 0)
            rest_b -= left_b * right_b
            node_b += right_b
        return node_b - self._first

    def change(self, index_b: np.ndarray, share_b: np.ndarray) -> None:
        """Gives items (b,) other shares (b,); of an item that is named twice the last one holds."""
        node_b = self._first + index_b
        self._node_k[node_b] = share_b
        for _ in range(self._depth - self._top):
            node_b >>= 1  # some more than once, which does no harm
            left_b = 2 * node_b
            self._node_k[node_b] = self._node_k[left_b] + self._node_k[left_b + 1]
        self._add_up_to(self._top)

    def _add_up_to(self, level: int) -> None:
        """All nodes above a level, which stands."""
        for width in (1 << above for above in reversed(range(level))):
            child_k = self._node_k[2 * width : 4 * width]
            self._node_k[width : 2 * width] = child_k[::2] + child_k[1::2]


@dataclass(frozen=True)
class Draw:
    """Items of a batch (b,), int64, in no order, and the factors (b,) of their losses, float64."""

    index_b: np.ndarray
    weight_b: np.ndarray


@dataclass
class Replay:
    """Draws of some of `items`, by priorities that follow the errors that were last seen of them.

    Items of which none was seen yet stand at the top, so that all have a turn early.

    Raises:
        TransposeError: there are no items.
    """

    items: int
    options: ReplayOptions = field(default_factory=ReplayOptions)

    def __post_init__(self) -> None:
        if self.items < 1:
            raise TransposeError(
                "replay has nothing to draw from: no frame or cell can be learned from; look at the sections with "
                "transpose info SCENE --check"
            )
        self._tree = SumTree(np.full(self.items, self._shares(np.array(self.options.most))))

    def draw(self, count: int, rng: np.random.Generator, progress: float) -> Draw:
        """A batch, stratified: one item of each of `count` equal parts of the total, so that few are drawn by luck.

        Args:
            count: of items; one of high priority may be among them more than once.
            rng: of the draws.
            progress: of the training, from 0 to 1: how far beta has grown.
        """
        total = self._tree.total
        index_b = self._tree.find((np.arange(count) + rng.random(count)) * (total / count))
        index_b = rng.permutation(index_b)  # parts of a batch are no strata
        beta = self.options.beta + (1 - self.options.beta) * progress
        return Draw(index_b, (self.items * self._tree.share_n[index_b] / total) ** -beta)

    def renew(self, index_b: np.ndarray, error_b: np.ndarray) -> None:
        """Takes in how wrong (b,) items (b,) were found to be; errors that are no numbers change nothing."""
        told_b = np.isfinite(error_b)
        self._tree.change(index_b[told_b], self._shares(np.abs(error_b[told_b])))

    @property
    def share_n(self) -> np.ndarray:
        """What `restore` needs: of each item the share of the total in which it is drawn, (n,) float32."""
        return self._tree.share_n.astype(np.float32)  # which they are, see `_shares`

    def restore(self, share_n: np.ndarray) -> None:
        """Goes back to where `share_n` was taken; what is drawn from then on is the same, to the last bit.

        Raises:
            TransposeError: they are of other items, or no shares.
        """
        if share_n.shape != (self.items,) or not (np.isfinite(share_n) & (share_n > 0)).all():
            raise TransposeError(
                f"the saved priorities do not fit the {self.items} items that are drawn from; start again with "
                "--overwrite"
            )
        self._tree = SumTree(share_n)

    def _shares(self, error_b: np.ndarray) -> np.ndarray:
        priority_b = np.clip(error_b, self.options.least, self.options.most)
        return (priority_b**self.options.alpha).astype(np.float32)  # half as much to store, and restored exactly
