"""What the presets that train a whole network on images, DSAC*'s and CrossLoc's, have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from transpose.losses.uncertainty import PredictedUncertainty
from transpose.models.network import Network
from transpose.training.config import TrainingConfig
from transpose.training.context import TrainingContext
from transpose.training.contrast import ProjectedImages, WithContrast, projection_of
from transpose.training.draws import Replayed
from transpose.training.plan import Objective, Plan
from transpose.training.presets.parts import AHEAD_IMAGES, built, on_gpu, replayed, scene_statistics, stored
from transpose.training.sources import ImageSource, OverImages
from transpose.training.validation import Validation


@dataclass(frozen=True)
class ImagePreset(TrainingConfig):
    """What the presets of whole networks have beside.

    Attributes:
        contrastive: a contrastive loss on the encoder's features, of two views of each frame.
        contrast_weight: of that loss.
    """

    contrastive: bool = False
    contrast_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.contrastive and (self.batch % (2 * self.accumulate) or not self.contrast_weight > 0):
            raise ValueError(
                "--contrastive compares two views of each frame: --batch must be a multiple of 2 in each of "
                f"--accumulate's parts, and the loss's weight positive, not {self.batch}, {self.accumulate} and "
                f"{self.contrast_weight}"
            )
        if self.contrastive and self.replay:
            raise ValueError("--replay draws images one by one and --contrastive two views of each; choose one")

    @property
    def stacks_images(self) -> bool:
        """See `StepConfig`. Two views of one image are of one size."""
        return self.batch > self.accumulate * (2 if self.contrastive else 1)


def network_about_scene(
    name: str, shape: dict[str, Any], config: TrainingConfig, context: TrainingContext
) -> tuple[Network, PredictedUncertainty]:
    """A network of random weights whose coordinates lie about the scene's mean, and the uncertainty it predicts."""
    network = built(name, shape, config.seed).to(context.device)
    mean_3, std_m = scene_statistics(context.training, context.origin_3)
    network.head.get_buffer("mean").copy_(torch.from_numpy(mean_3))
    return network, PredictedUncertainty.for_scene(config.uncertainty, std_m)


def image_source(
    config: TrainingConfig, context: TrainingContext, replay: Replayed | None = None, views_of_each: int = 1
) -> ImageSource:
    """Batches of whole images; `views_of_each`: see `ImageSource`."""
    return ImageSource(
        context.training,
        context.origin_3,
        config.batch,
        config.augment,
        seed=config.seed,
        device=context.device,
        ranks=context.ranks,
        replay=replay,
        views_of_each=views_of_each,
    )


def image_plan(
    name: str,
    shape: dict[str, Any],
    network: Network,
    uncertainty: PredictedUncertainty,
    objective: Objective,
    halve_at: Sequence[int],
    config: ImagePreset,
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
    module, views_of_each = OverImages(network), 1
    if config.contrastive:
        module, views_of_each = ProjectedImages(network, projection_of(network, config.seed)), 2
        objective = WithContrast(objective, config.contrast_weight, config.seed)
    optimizer = torch.optim.Adam(module.parameters(), config.learning_rate, fused=on_gpu(context.device))
    replay = replayed(config, len(context.training), config.batch, context, AHEAD_IMAGES)
    return Plan(
        module=module,
        source=image_source(config, context, replay, views_of_each),
        objective=objective,
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.MultiStepLR(optimizer, list(halve_at), 0.5),
        validation=Validation.of_images(network, uncertainty, config, context),
        stored=stored(name, shape, network, uncertainty),
        replay=replay,
    )
