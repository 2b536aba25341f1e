"""Where and on what a training takes place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from transpose.training.ranks import Ranks
from transpose.training.triangulated import Triangulated
from transpose.training.views import TrainingFrame

Progress = Callable[[Iterable[int], int], Iterable[int]]


@dataclass(frozen=True)
class Callbacks:
    """What a training tells the person who waits; each wraps an iterable or takes a line."""

    buffer: Progress = lambda items, _: items
    report: Callable[[dict[str, float]], None] = lambda _: None


@dataclass(frozen=True)
class TrainingContext:
    """Where and on what a plan is made.

    Attributes:
        training, validation: frames.
        origin_3: of the run's coordinates.
        device, dtype: where networks run, arithmetic of hidden layers.
        ranks: the processes of this training.
        callbacks: progress.
        map: of the training frames without depth; None where nothing was triangulated.
    """

    training: Sequence[TrainingFrame]
    validation: Sequence[TrainingFrame]
    origin_3: np.ndarray
    device: torch.device
    dtype: torch.dtype
    ranks: Ranks
    callbacks: Callbacks
    map: Triangulated | None = None
