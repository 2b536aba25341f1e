"""The preset `crossloc`: CrossLoc's single-task network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from transpose.losses.coordinates import InitTolerances
from transpose.losses.uncertainty import Uncertainty
from transpose.models.crossloc import CrossLocConfig
from transpose.scenes.augment import AugmentOptions
from transpose.training.config import PUBLISHED_VIEWS
from transpose.training.context import TrainingContext
from transpose.training.objectives import LikelihoodAndPixels
from transpose.training.plan import Plan
from transpose.training.presets.images import ImagePreset, image_plan, network_about_scene


@dataclass(frozen=True)
class CrossLocPreset(ImagePreset):
    """CrossLoc's single-task network, trained whole from scratch on images; the rate halves at a third, and again."""

    steps: int = 170_000
    batch: int = 12
    learning_rate: float = 2e-4
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("isotropic", "gaussian"))
    height: int | None = 480
    augment: AugmentOptions = PUBLISHED_VIEWS
    tolerances: InitTolerances = field(default_factory=lambda: InitTolerances(tolerance_m=50.0))
    report_every: int = 100

    def network(self) -> CrossLocConfig:
        """Its shape."""
        return CrossLocConfig(task="coord", uncertainty_channels=self.uncertainty.channels)


def plan_crossloc(config: CrossLocPreset, context: TrainingContext) -> Plan:
    """The labels' likelihood and the pixel error; the rate halves at a third of the steps, and again at two."""
    shape = dataclasses.asdict(config.network())
    network, uncertainty = network_about_scene("crossloc", shape, config, context)
    objective = LikelihoodAndPixels(uncertainty, config.tolerances, round(config.warm_up * config.steps))
    halve_at = (config.steps // 3, 2 * config.steps // 3)
    return image_plan("crossloc", shape, network, uncertainty, objective, halve_at, config, context)
