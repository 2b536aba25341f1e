"""The preset `mlr`: coordinates with depth, normals and classes on shared frozen features, in stages."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from transpose.losses.tasks import TaskCells
from transpose.models.mlr import MlrConfig, MlrHead
from transpose.models.tasks import TASKS, check_tasks
from transpose.scenes.classes import CLASS_NAMES
from transpose.training.buffer import CellBuffer
from transpose.training.context import TrainingContext
from transpose.training.objectives import Likelihood, MultiTask
from transpose.training.plan import Plan
from transpose.training.presets.fast import FastConfig, fitted, some_cells, views_teach
from transpose.training.presets.parts import built, stored
from transpose.training.staged_cells import OverTasks, StagedCellSource, pools_of
from transpose.training.stages import Stages
from transpose.training.validation import Validation
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)
_LAYERS = {"normal": "normal", "semantics": "semantics"}  # depth is known wherever a world point is


@dataclass(frozen=True)
class MlrPreset(FastConfig):
    """`fast` with mid-level tasks, whose encoders are fused into the coordinates in the end.

    Attributes:
        tasks: beside coordinates; those without labels are left out.
        task_width, task_blocks: of the encoder of each.
        fine_tune: fraction of the steps that learn from photos and the renders that show the same; none without both.
        fuse: fraction of the steps in which encoders are fused into the coordinates.
        fine_tune_rate, fuse_rate: largest learning rates of these, as fractions of `learning_rate`.
    """

    tasks: tuple[str, ...] = TASKS
    task_width: int = 128
    task_blocks: int = 2
    fine_tune: float = 0.2
    fuse: float = 0.3
    fine_tune_rate: float = 0.5
    fuse_rate: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self.tasks)
        if min(self.fine_tune, self.fuse) < 0 or self.fine_tune + self.fuse >= 1:
            given = f"{self.fine_tune}, {self.fuse}"
            raise ValueError(f"fine_tune and fuse are fractions that leave some steps, got {given}")

    def stages(self, frames: Sequence[TrainingFrame], fused: bool) -> Stages:
        """Of a training on these frames."""
        both = len({each.rendered for each in frames}) == 2
        fractions = self.fine_tune if both else 0.0, self.fuse if fused or both else 0.0
        return Stages.of(self.steps, *fractions, self.fine_tune_rate, self.fuse_rate)


def labelled_tasks(wanted: Sequence[str], frames: Sequence[TrainingFrame]) -> tuple[str, ...]:
    """Those of the tasks that some frame has labels of; of the others it is said that they are left out."""
    kept = []
    for task in wanted:
        layer = _LAYERS.get(task)
        if layer is None or any(each.frame.has(layer) for each in frames):
            kept.append(task)
        else:
            log.info("no training frame has %s: this task is left out", layer)
    return tuple(kept)


def plan_mlr(config: MlrPreset, context: TrainingContext) -> Plan:
    """Views pass the frozen encoder once; their cells teach all tasks, their keypoints become landmarks."""
    tasks = labelled_tasks(config.tasks, context.training)
    head = dataclasses.replace(config.head, uncertainty_channels=config.uncertainty.channels)
    shape = MlrConfig(head, tasks, config.task_width, config.task_blocks, len(CLASS_NAMES))
    network = built("mlr", shape.plain(), config.seed).to(context.device)
    assert isinstance(network.head, MlrHead)
    taught = views_teach(config, network, context, surface=True)
    uncertainty = fitted(network.head.coordinates, taught.buffer, config)
    if "depth" in tasks:
        _fit_depth(network.head, taught.buffer, config.seed)
    stages = config.stages(context.training, bool(tasks))
    pools = pools_of(taught.buffer, context.training, taught.filling.frames(len(context.training)))
    likelihood = Likelihood(uncertainty, round(config.warm_up * config.steps))
    optimizer = torch.optim.AdamW(
        network.head.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    return Plan(
        module=OverTasks(network.head),
        source=StagedCellSource(taught.buffer, stages, pools, config.batch, config.seed, context.device, context.ranks),
        objective=MultiTask(likelihood, 3 + head.uncertainty_channels, tasks, shape.classes),
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, stages.rate),
        validation=Validation.of_cells(network, uncertainty, config, context),
        stored=stored("mlr", shape.plain(), network, uncertainty),
        landmarks=taught.landmarks.state(),
        leave_out=taught.leave_out,
        staged=True,
    )


def _fit_depth(head: MlrHead, buffer: CellBuffer, seed: int) -> None:
    sample = some_cells(buffer, seed)
    assert buffer.surface_n4 is not None
    head.fit_depth(TaskCells(buffer.cells(sample), buffer.surface_n4[sample]).log_gsd_n)
