"""The second stage: what a run has learned goes on through the pose."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch

from transpose.errors import TransposeError
from transpose.losses.uncertainty import PredictedUncertainty
from transpose.models.network import Network
from transpose.models.networks import build_network, load_network_state
from transpose.models.tasks import MultiTaskHead
from transpose.randomness import derived_seed
from transpose.runs import Checkpoint, StoredNetwork
from transpose.training.buffer import Filling
from transpose.training.config import Needs, Through, TrainingConfig
from transpose.training.context import TrainingContext
from transpose.training.end_to_end import EndToEndPoseLoss
from transpose.training.objectives import Likelihood
from transpose.training.plan import Plan
from transpose.training.presets.images import image_source
from transpose.training.presets.parts import filled_from, on_gpu, stored
from transpose.training.schedules import one_cycle
from transpose.training.sources import OverCells, OverImages, Source, ViewSource
from transpose.training.validation import Validation


@dataclass(frozen=True)
class EndToEndConfig(TrainingConfig):
    """A second stage through the pose, from a run that is trained already.

    Attributes:
        through: how the pose is differentiated: "dsac", "bpnp" or "epro"; None: "bpnp", with depth "dsac".
        rgbd: depth is measured when localizing as well.
        coordinate_weight: of the first stage's loss, a negative log-likelihood, beside the log of the pose loss.
    """

    steps: int = 2000
    batch: int = 2
    learning_rate: float = 1e-5
    clip_norm: float | None = 10.0
    through: Through | None = None
    rgbd: bool = False
    coordinate_weight: float = 1.0
    report_every: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rgbd and self.through not in (None, "dsac"):
            raise ValueError("with depth the pose is differentiated through dsac only")
        if self.minutes is not None:
            raise ValueError("the second stage has no limit of time; give it fewer steps")
        if self.replay:
            raise ValueError("the second stage draws views as they come; leave --replay away")

    @property
    def needs(self) -> Needs:
        """See `TrainingConfig`."""
        return "depth" if self.rgbd else "points"

    @property
    def stacks_images(self) -> bool:
        """See `StepConfig`."""
        return self.batch > self.accumulate

    @property
    def way(self) -> Through:
        """`through`, decided."""
        return self.through or ("dsac" if self.rgbd else "bpnp")


@dataclass(frozen=True)
class HeadEndToEndConfig(EndToEndConfig):
    """The second stage of a head on frozen features, whose batches are views with some cells each, out of a buffer."""

    batch: int = 16
    learning_rate: float = 1e-3
    cells_per_view: int = 512
    max_cells_per_view: int = 1000
    passes: int = 4
    buffer_megabytes: int = 768

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.cells_per_view, self.max_cells_per_view, self.passes, self.buffer_megabytes) < 1:
            raise ValueError(
                "cells of a view, passes and buffer must be 1 or more, not "
                f"{self.cells_per_view} of {self.max_cells_per_view}, {self.passes}, {self.buffer_megabytes}"
            )

    @property
    def stacks_images(self) -> bool:
        """See `StepConfig`: its cells are of one grid or another."""
        return False


def trained_network(first: Checkpoint) -> tuple[Network, StoredNetwork]:
    """The network of a checkpoint with its weights, and how it was stored.

    Raises:
        TransposeError: the run's method has no network to go on with.
    """
    if first.network is None:
        raise TransposeError(f"a second stage goes on with a network, and a run of kind {first.kind!r} has none")
    network = build_network(first.network.name, first.network.config)
    load_network_state(network, first.network.weights)
    return network, first.network


def second_stage_config(network: Network, height: int | None, settings: dict[str, Any]) -> EndToEndConfig:
    """How a network goes on.

    Args:
        network: a head on frozen features learns from a buffer of them, a whole network from images.
        height: of the first stage's images.
        settings: fields that differ from their defaults.

    Raises:
        TransposeError: such a network has no such field, or the values contradict one another.
    """
    kind = HeadEndToEndConfig if network.frozen else EndToEndConfig
    if unknown := sorted(settings.keys() - {each.name for each in fields(kind)}):
        words = ", ".join("--" + name.replace("_", "-") for name in unknown)
        raise TransposeError(f"only heads on frozen features have {words}; this run's network learns from whole images")
    try:
        return kind(**settings, height=height)
    except ValueError as error:
        raise TransposeError(str(error)) from None


def second_stage(
    config: EndToEndConfig, network: Network, first: StoredNetwork, landmarks: Any, context: TrainingContext
) -> Plan:
    """Learning through the pose.

    Args:
        config: of `second_stage_config`.
        network, first: of `trained_network`.
        landmarks: of the first stage, which keeps them.
        context: frames and device; the origin is the checkpoint's.
    """
    network.to(context.device)
    uncertainty = PredictedUncertainty.from_state(first.uncertainty)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, config.learning_rate, fused=on_gpu(context.device))
    source: Source = (
        _views_of(network, config, context) if isinstance(config, HeadEndToEndConfig) else image_source(config, context)
    )
    return Plan(
        module=OverCells(network.head) if network.frozen else OverImages(network),
        source=source,
        objective=EndToEndPoseLoss(
            config.way, config.rgbd, Likelihood(uncertainty, 0), uncertainty, config.coordinate_weight
        ),
        optimizer=optimizer,
        schedule=one_cycle(optimizer, config.steps, config.learning_rate, 0.1),
        validation=Validation.of_images(network, uncertainty, config, context, poses=True),
        stored=stored(first.name, first.config, network, uncertainty),
        landmarks=landmarks,
        select_by="val_pose",
        staged=isinstance(network.head, MultiTaskHead),
    )


def _views_of(network: Network, config: HeadEndToEndConfig, context: TrainingContext) -> ViewSource:
    filling = Filling(
        views=len(context.training) * config.passes,
        cells_per_view=config.max_cells_per_view,
        megabytes=config.buffer_megabytes,
        labelled=True,
        keypoints_per_view=0,
        augment=config.augment,
        seed=derived_seed(config.seed, "second stage"),
    )
    buffer = filled_from(network, filling, context, config, "fewer frames or --passes").cells
    return ViewSource(buffer, config.batch, config.cells_per_view, config.seed, context.device, context.ranks)
