"""The preset `mlr-full`: mid-level representations at CrossLoc's size, in stages, on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from transpose.geometry.cameras import cell_points
from transpose.geometry.poses import transform
from transpose.losses.uncertainty import PredictedUncertainty
from transpose.models.mlr_full import MlrDecoders, MlrFullConfig
from transpose.models.network import Network
from transpose.scenes.classes import CLASS_NAMES
from transpose.scenes.labels import coordinates_at
from transpose.selection import evenly_chosen
from transpose.training.context import TrainingContext
from transpose.training.objectives import LikelihoodAndPixels, MultiTask
from transpose.training.plan import Plan
from transpose.training.presets.crossloc import CrossLocPreset
from transpose.training.presets.parts import built, on_gpu, scene_statistics, stored
from transpose.training.presets.task_stages import TaskStages, labelled_tasks
from transpose.training.render_pairs import frame_pools
from transpose.training.staged_images import OverTaskImages, StagedImageSource
from transpose.training.validation import Validation
from transpose.training.views import TrainingFrame

_STATISTICS_FRAMES = 16


@dataclass(frozen=True)
class MlrFullPreset(TaskStages, CrossLocPreset):
    """CrossLoc's networks of all tasks, then their fusion; photos and renders as in its stages.

    The rate of the first stage halves at a third of it and at two; the others have half of the first one's.
    """

    steps: int = 400_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_stages(self.replay)


def plan_mlr_full(config: MlrFullPreset, context: TrainingContext) -> Plan:
    """Images teach every task's encoder and decoder, then the decoder of coordinates what all encoders know."""
    tasks = labelled_tasks(config.tasks, context.training)
    shape = MlrFullConfig(tasks, config.uncertainty.channels, len(CLASS_NAMES))
    network = built("mlr-full", shape.plain(), config.seed).to(context.device)
    uncertainty = _about_scene(network, config, context)
    stages = config.stages(config.steps, context.training, tasks)
    likelihood = LikelihoodAndPixels(uncertainty, config.tolerances, round(config.warm_up * config.steps))
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, fused=on_gpu(context.device))
    source = StagedImageSource(
        context.training,
        context.origin_3,
        config.batch,
        config.augment,
        stages=stages,
        pools=frame_pools(context.training),
        seed=config.seed,
        device=context.device,
        ranks=context.ranks,
    )
    return Plan(
        module=OverTaskImages(network),
        source=source,
        objective=MultiTask(likelihood, 3 + shape.uncertainty_channels, tasks, shape.classes),
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, stages.halved_rate),
        validation=Validation.of_images(network, uncertainty, config, context),
        stored=stored("mlr-full", shape.plain(), network, uncertainty),
        staged=True,
    )


def _about_scene(network: Network, config: MlrFullPreset, context: TrainingContext) -> PredictedUncertainty:
    """Gives the decoders the means of what they are to predict; the uncertainty of the coordinates."""
    head = network.head
    assert isinstance(head, MlrDecoders)
    mean_3, std_m = scene_statistics(context.training, context.origin_3)
    head.coordinates.mean.copy_(torch.from_numpy(mean_3))
    if "depth" in head.tasks:
        head.of_task["depth"].get_buffer("mean").fill_(_mean_log_gsd(context.training))
    return PredictedUncertainty.for_scene(config.uncertainty, std_m)


def _mean_log_gsd(frames: Sequence[TrainingFrame]) -> float:
    """Mean log of depth over focal length (`TaskCells.log_gsd_n`) of some of the frames; 0 where none has labels."""
    logs = []
    for each in (frames[i] for i in evenly_chosen(len(frames), _STATISTICS_FRAMES)):
        frame = each.frame
        if not (frame.has("depth") or frame.has("init")):
            continue
        px_n2 = cell_points(frame.camera.width, frame.camera.height).reshape(-1, 2)
        depth_n = transform(frame.pose.T_cw, coordinates_at(frame, px_n2))[:, 2]
        focal_px = (
            np.sqrt(frame.camera.fx * frame.camera.fy) * (each.height or frame.camera.height) / frame.camera.height
        )
        logs.append(np.log(depth_n[depth_n > 0] / focal_px))
    return float(np.concatenate(logs).mean()) if logs and sum(map(len, logs)) else 0.0
