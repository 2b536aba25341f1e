"""What the presets with mid-level tasks have in common: which tasks, and how the steps are shared among stages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from transpose.models.tasks import TASKS, check_tasks
from transpose.training.stages import Stages
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskStages:
    """Fields of a preset with mid-level tasks.

    Attributes:
        tasks: beside coordinates; those without labels are left out.
        fine_tune: fraction of the steps that learn from photos and the renders that show the same; none without both.
        fuse: fraction of the steps in which encoders are fused into the coordinates.
        fine_tune_rate, fuse_rate: largest learning rates of these, as fractions of the first stage's.
    """

    tasks: tuple[str, ...] = TASKS
    fine_tune: float = 0.2
    fuse: float = 0.3
    fine_tune_rate: float = 0.5
    fuse_rate: float = 0.5

    def check_stages(self, replay: bool) -> None:
        """Refuses tasks that are none, fractions that leave no step, and replay, which would draw in their place.

        Raises:
            ValueError: naming what is wrong.
        """
        check_tasks(self.tasks)
        if replay:
            raise ValueError("a preset with stages draws what each of them learns from; leave --replay away")
        if min(self.fine_tune, self.fuse) < 0 or self.fine_tune + self.fuse >= 1:
            given = f"{self.fine_tune}, {self.fuse}"
            raise ValueError(f"fine_tune and fuse are fractions that leave some steps, got {given}")

    def stages(self, steps: int, frames: Sequence[TrainingFrame], tasks: Sequence[str]) -> Stages:
        """Of a training of so many steps on these frames, with these tasks.

        What there is nothing to learn of has no steps: fine-tuning without both photos and renders, fusion of nothing
        unless photos come in with it.
        """
        both = len({each.rendered for each in frames}) == 2
        fractions = self.fine_tune if both else 0.0, self.fuse if tasks or both else 0.0
        return Stages.of(steps, *fractions, self.fine_tune_rate, self.fuse_rate)


def labelled_tasks(wanted: Sequence[str], frames: Sequence[TrainingFrame]) -> tuple[str, ...]:
    """Those of the tasks that some frame has labels of; of the others it is said that they are left out."""
    kept = []
    for task in wanted:
        # Depth is known wherever a world point is; the others' labels lie in the layer of their name.
        if task == "depth" or any(each.frame.has(task) for each in frames):
            kept.append(task)
        else:
            log.info("no training frame has %s: this task is left out", task)
    return tuple(kept)
