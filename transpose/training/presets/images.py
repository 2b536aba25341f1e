"""What the presets that train a whole network on images, DSAC*'s and CrossLoc's, have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from transpose.losses.uncertainty import PredictedUncertainty
from transpose.models.network import Network
from transpose.training.config import TrainingConfig
from transpose.training.context import TrainingContext
from transpose.training.draws import Replayed
from transpose.training.plan import Objective, Plan
from transpose.training.presets.parts import AHEAD_IMAGES, built, on_gpu, replayed, scene_statistics, stored
from transpose.training.sources import ImageSource, OverImages
from transpose.training.validation import Validation


def network_about_scene(
    name: str, shape: dict[str, Any], config: TrainingConfig, context: TrainingContext
) -> tuple[Network, PredictedUncertainty]:
    """A network of random weights whose coordinates lie about the scene's mean, and the uncertainty it predicts."""
    network = built(name, shape, config.seed).to(context.device)
    mean_3, std_m = scene_statistics(context.training, context.origin_3)
    network.head.get_buffer("mean").copy_(torch.from_numpy(mean_3))
    return network, PredictedUncertainty.for_scene(config.uncertainty, std_m)


def image_source(config: TrainingConfig, context: TrainingContext, replay: Replayed | None = None) -> ImageSource:
    """Batches of whole images."""
    return ImageSource(
        context.training,
        context.origin_3,
        config.batch,
        config.augment,
        seed=config.seed,
        device=context.device,
        ranks=context.ranks,
        replay=replay,
    )


def image_plan(
    name: str,
    shape: dict[str, Any],
    network: Network,
    uncertainty: PredictedUncertainty,
    objective: Objective,
    halve_at: Sequence[int],
    config: TrainingConfig,
    context: TrainingContext,
) -> Plan:
    """The plan of a whole network.

    Args:
        name, shape: of the network's kind, and its configuration.
        network, uncertainty: of `network_about_scene`.
        objective: what is minimized.
        halve_at: steps at which the rate halves.
        config: of the preset.
        context: frames and device.
    """
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, fused=on_gpu(context.device))
    replay = replayed(config, len(context.training), config.batch, context, AHEAD_IMAGES)
    return Plan(
        module=OverImages(network),
        source=image_source(config, context, replay),
        objective=objective,
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.MultiStepLR(optimizer, list(halve_at), 0.5),
        validation=Validation.of_images(network, uncertainty, config, context),
        stored=stored(name, shape, network, uncertainty),
        replay=replay,
    )
