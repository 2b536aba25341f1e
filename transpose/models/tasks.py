"""Tasks beside scene coordinates that a network may learn of each cell, and what it puts out for them.

How outputs are read, and their likelihood, is in `transpose.losses.tasks`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

TASKS = ("depth", "normal", "semantics")


def task_channels(task: str, classes: int) -> int:
    """Outputs of a task: log depth over focal length and its scale; a direction and its concentration; logits."""
    return {"depth": 2, "normal": 4, "semantics": classes}[task]


class MultiTaskHead(nn.Module):
    """A head that predicts more of a cell than its coordinates.

    Attributes:
        tasks: of `TASKS`, those that it learned.
    """

    tasks: tuple[str, ...]

    @abstractmethod
    def task_outputs(self, features_bchw: Tensor) -> dict[str, Tensor]:
        """Outputs (b, channels, rows, columns) by task; `task_channels` says how many."""


def check_tasks(tasks: Sequence[str]) -> None:
    """Refuses tasks that are none.

    Raises:
        ValueError: naming the first.
    """
    for task in tasks:
        if task not in TASKS:
            raise ValueError(f"tasks are {', '.join(TASKS)}, not {task!r}")
    if len(set(tasks)) < len(tasks):
        raise ValueError(f"a task stands twice in: {', '.join(tasks)}")


def split_outputs(out_nk: Tensor, coordinate_channels: int, tasks: Sequence[str], classes: int) -> dict[str, Tensor]:
    """Outputs (n, k) that stand side by side, by task; coordinates come first, under "coordinates"."""
    sizes = [coordinate_channels, *(task_channels(task, classes) for task in tasks)]
    return dict(zip(("coordinates", *tasks), out_nk.split(sizes, dim=1), strict=True))
