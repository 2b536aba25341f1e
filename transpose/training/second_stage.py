"""The plan of the second stage: what a run has learned goes on through the pose."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from transpose.errors import TransposeError
from transpose.losses.uncertainty import StatedUncertainty
from transpose.models.network import Network
from transpose.models.networks import build_network, load_network_state
from transpose.randomness import derived_seed
from transpose.training.buffer import Filling
from transpose.training.config import EndToEndConfig, HeadEndToEndConfig
from transpose.training.end_to_end import EndToEndPoseLoss
from transpose.training.loop import Plan
from transpose.training.objectives import Likelihood
from transpose.training.presets import Setting, content_of, filled_from, one_cycle
from transpose.training.sources import ImageSource, OverCells, OverImages, Source, ViewSource
from transpose.training.validation import Validation


def trained_network(first: dict[str, Any]) -> Network:
    """The network of a checkpoint, with its weights."""
    network = build_network(first["network"], first["network_config"])
    load_network_state(network, first["weights"])
    return network


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


def second_stage(config: EndToEndConfig, network: Network, first: dict[str, Any], at: Setting) -> Plan:
    """Learning through the pose.

    Args:
        config: of `second_stage_config`.
        network: of the checkpoint.
        first: the checkpoint.
        at: frames and device; the origin is the checkpoint's.
    """
    network.to(at.device)
    stated = StatedUncertainty.from_state(first["uncertainty"])
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, config.learning_rate)
    source: Source
    if isinstance(config, HeadEndToEndConfig):
        source = _views_of(network, config, at)
    else:
        source = ImageSource(
            at.training, at.origin_3, config.batch, config.augment, config.height,
            seed=config.seed, device=at.device, ranks=at.ranks,
        )  # fmt: skip
    return Plan(
        OverCells(network.head) if network.frozen else OverImages(network),
        source,
        EndToEndPoseLoss(config.way, config.rgbd, Likelihood(stated, 0), stated, config.coordinate_weight),
        optimizer,
        one_cycle(optimizer, config, 0.1),
        Validation.of_images(network, stated, config, at, poses=True),
        content_of(network, first["network"], first["network_config"], stated),
        select_by="val_pose",
    )


def _views_of(network: Network, config: HeadEndToEndConfig, at: Setting) -> ViewSource:
    filling = Filling(
        len(at.training) * config.passes, config.max_cells_per_view, config.buffer_megabytes, True, 0, config.augment,
        config.height, derived_seed(config.seed, "second stage"),
    )  # fmt: skip
    buffer, _ = filled_from(network, filling, at)
    return ViewSource(buffer, config.batch, config.cells_per_view, config.seed, at.device, at.ranks)
