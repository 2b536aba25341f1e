"""The stages of a training with mid-level tasks: which step belongs to which, and how its rate goes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Stage = Literal["pretrain", "fine_tune", "fuse"]
_RISING = 0.1  # of a stage's steps, in which the rate grows
_FIRST, _LAST = 0.04, 1e-4  # of the stage's largest rate, where it begins and ends


@dataclass(frozen=True)
class Stages:
    """How many steps each stage has, one after the other; one of no steps is left out.

    Attributes:
        pretrain: each task for itself, on renders.
        fine_tune: the same, on photos and the renders that show the same.
        fuse: coordinates alone, with what the encoders of the other tasks, frozen, know.
        fine_tune_rate, fuse_rate: largest rates of these stages, as fractions of the first one's.
    """

    pretrain: int
    fine_tune: int
    fuse: int
    fine_tune_rate: float = 1.0
    fuse_rate: float = 1.0

    @classmethod
    def of(
        cls,
        steps: int,
        fine_tune: float,
        fuse: float,
        fine_tune_rate: float = 1.0,
        fuse_rate: float = 1.0,
    ) -> Stages:
        """Fractions of so many steps; what they leave is the first stage's, which has one at least."""
        tuned, fused = round(steps * fine_tune), round(steps * fuse)
        fused = min(fused, steps - 1)
        tuned = min(tuned, steps - 1 - fused)
        return cls(steps - tuned - fused, tuned, fused, fine_tune_rate, fuse_rate)

    def at(self, step: int) -> Stage:
        """The stage of a step, counted from 0; the last one's beyond the end."""
        if step < self.pretrain or not (self.fine_tune or self.fuse):
            return "pretrain"
        if step < self.pretrain + self.fine_tune or not self.fuse:
            return "fine_tune"
        return "fuse"

    def rate(self, step: int) -> float:
        """Factor on the learning rate: it rises and falls once a stage (a cosine on both sides)."""
        begin, count, largest = {
            "pretrain": (0, self.pretrain, 1.0),
            "fine_tune": (self.pretrain, self.fine_tune, self.fine_tune_rate),
            "fuse": (self.pretrain + self.fine_tune, self.fuse, self.fuse_rate),
        }[self.at(step)]
        rising = max(1.0, _RISING * count)
        done = min(step - begin, count)
        if done < rising:
            return largest * _between(_FIRST, 1.0, done / rising)
        return largest * _between(1.0, _LAST, (done - rising) / max(1.0, count - rising))

    def halved_rate(self, step: int) -> float:
        """Factor on the rate as CrossLoc has it: halved at a third of the first stage and at two, then constant."""
        stage = self.at(step)
        if stage == "pretrain":
            return 0.5 ** min(2, 3 * step // max(1, self.pretrain))
        return self.fine_tune_rate if stage == "fine_tune" else self.fuse_rate


def _between(first: float, last: float, progress: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
