"""The preset `mlr`: coordinates with depth, normals and classes on shared frozen features, in stages."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from transpose.losses.tasks import TaskCells
from transpose.models.mlr import MlrConfig, MlrHead
from transpose.scenes.classes import CLASS_NAMES
from transpose.training.buffer import CellBuffer
from transpose.training.context import TrainingContext
from transpose.training.objectives import Likelihood, MultiTask
from transpose.training.plan import Plan
from transpose.training.presets.fast import FastConfig, fitted, given_adapter, some_cells, views_teach
from transpose.training.presets.parts import built, stored
from transpose.training.presets.task_stages import TaskStages, labelled_tasks
from transpose.training.render_pairs import frame_pools
from transpose.training.staged_cells import OverTasks, StagedCellSource, cell_pools
from transpose.training.validation import Validation


@dataclass(frozen=True)
class MlrPreset(TaskStages, FastConfig):
    """`fast` with mid-level tasks, whose encoders are fused into the coordinates in the end.

    Attributes:
        task_width, task_blocks: of the encoder of each task.
    """

    map_points: int | None = 0
    task_width: int = 128
    task_blocks: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_stages(self.replay)
        if self.map_points:
            raise ValueError("--map-points is for fast, not for mlr")


def plan_mlr(config: MlrPreset, context: TrainingContext) -> Plan:
    """Views pass the frozen encoder once; their cells teach all tasks, their keypoints become landmarks."""
    tasks = labelled_tasks(config.tasks, context.training)
    head = dataclasses.replace(config.head, uncertainty_channels=config.uncertainty.channels)
    given = given_adapter(config)
    adapter = config.adapter_shape(given)
    shape = MlrConfig(head, tasks, config.task_width, config.task_blocks, len(CLASS_NAMES), adapter)
    network = built("mlr", shape.plain(), config.seed).to(context.device)
    assert isinstance(network.head, MlrHead)
    taught = views_teach(config, network, context, given, surface=True)
    uncertainty = fitted(network.head.coordinates, taught.buffer, config)
    if "depth" in tasks:
        _fit_depth(network.head, taught.buffer, config.seed)
    stages = config.stages(config.steps, context.training, tasks)
    frame_of_view = taught.filling.frames(len(context.training))
    pools = cell_pools(taught.buffer, frame_pools(context.training), frame_of_view)
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
