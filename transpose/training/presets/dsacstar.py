"""The preset `dsacstar`: DSAC*'s first stage in its three modes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from transpose.losses.coordinates import InitTolerances
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.models.dsacstar import DsacStarConfig
from transpose.scenes.augment import AugmentOptions
from transpose.training.config import PUBLISHED_VIEWS, Needs
from transpose.training.context import TrainingContext
from transpose.training.objectives import DsacStar, Likelihood, LikelihoodAndPixels
from transpose.training.plan import Objective, Plan
from transpose.training.presets.images import ImagePreset, image_plan, network_about_scene


@dataclass(frozen=True)
class DsacStarPreset(ImagePreset):
    """DSAC*'s network, trained whole from scratch on images; `sparse` takes `init` for labels even beside depth."""

    steps: int = 1_000_000
    batch: int = 1
    learning_rate: float = 1e-4
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("none"))
    height: int | None = 480
    augment: AugmentOptions = PUBLISHED_VIEWS
    mode: Literal["rgb", "model", "rgbd"] = "model"
    tolerances: InitTolerances = field(default_factory=InitTolerances)
    tiny: bool = False
    sparse: bool = False
    report_every: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparse and self.mode != "model":
            raise ValueError(f"sparse labels are world points without depth: they go with mode model, not {self.mode}")
        if self.mode == "rgb" and self.uncertainty.kind != "none":
            raise ValueError("mode rgb learns from poses alone, and no uncertainty; use mode model or rgbd for one")
        if self.mode == "rgb" and self.contrastive:
            raise ValueError("mode rgb knows no world points, which tell what is one place; use mode model or rgbd")

    @property
    def needs(self) -> Needs:
        """See `TrainingConfig`."""
        if self.mode == "rgb":
            return "poses"
        return "depth" if self.mode == "rgbd" else "points"

    def network(self) -> DsacStarConfig:
        """Its shape."""
        return DsacStarConfig(tiny=self.tiny, uncertainty_channels=self.uncertainty.channels)

    @property
    def sparse_labels(self) -> bool:
        """See `TrainingConfig`."""
        return self.sparse


def plan_dsacstar(config: DsacStarPreset, context: TrainingContext) -> Plan:
    """DSAC*'s losses; with an uncertainty, of which those know nothing, the labels' likelihood."""
    shape = dataclasses.asdict(config.network())
    network, uncertainty = network_about_scene("dsacstar", shape, config, context)
    return image_plan("dsacstar", shape, network, uncertainty, _objective(config, uncertainty), (), config, context)


def _objective(config: DsacStarPreset, uncertainty: PredictedUncertainty) -> Objective:
    """Of the mode: measured depth knows the points, where a model's labels are held against pixels as well."""
    if uncertainty.of.kind == "none":
        return DsacStar(config.mode, config.tolerances)
    warm_up = round(config.warm_up * config.steps)
    if config.mode == "rgbd":
        return Likelihood(uncertainty, warm_up)
    return LikelihoodAndPixels(uncertainty, config.tolerances, warm_up)
