"""What plans of several presets are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from transpose.geometry.cameras import cell_points
from transpose.losses.uncertainty import PredictedUncertainty
from transpose.models.network import Network
from transpose.models.networks import build_network, stored_weights
from transpose.randomness import apart, derived_seed
from transpose.runs import StoredNetwork
from transpose.scenes.labels import coordinates_at
from transpose.selection import evenly_chosen
from transpose.training.buffer import Filled, Filling, feature_channels, fill_buffer
from transpose.training.config import TrainingConfig
from transpose.training.context import TrainingContext
from transpose.training.draws import Replayed
from transpose.training.forecast import Steps, head_pace, tell_views
from transpose.training.views import TrainingFrame

AHEAD_IMAGES = 32  # that replay draws before their step, so that as many threads as are common can make them
_STATISTICS_FRAMES = 16


def built(name: str, config: dict[str, Any], seed: int) -> Network:
    """A network whose random weights depend on the seed alone."""
    with apart(derived_seed(seed, "weights")):
        return build_network(name, config)


def filled_from(
    network: Network, filling: Filling, context: TrainingContext, config: TrainingConfig, shorter: str
) -> Filled:
    """A buffer of the encoder's features of the training frames.

    How long all will take is said on the way, where no limit of time was told as it was chosen.

    Args:
        network: its encoder, and the head that will learn from the features.
        filling: how.
        context: frames and device.
        config: of the steps that follow.
        shorter: what would make the views fewer or faster.
    """

    def progress(items: Iterable[int], total: int) -> Iterable[int]:
        if config.minutes is None and context.ranks.is_main:
            channels, batch = feature_channels(network.encoder, context.device), config.batch // context.ranks.world
            seconds = head_pace(network, batch or 1, channels, context.device, context.dtype)
            items = tell_views(items, total, Steps(config.steps, seconds), shorter)
        return context.callbacks.buffer(items, total)

    return fill_buffer(
        context.training,
        network.encoder,
        context.origin_3,
        filling,
        device=context.device,
        dtype=context.dtype,
        ranks=context.ranks,
        progress=progress,
    )


def replayed(
    config: TrainingConfig, items: int, batch: int, context: TrainingContext, ahead_items: int = 0
) -> Replayed | None:
    """The sampler of a preset's batches where its configuration asks for replay.

    Args:
        config: of the preset.
        items: that its source draws from.
        batch: items of a step.
        context: ranks.
        ahead_items: that may have to be made ahead of their step.
    """
    return Replayed(items, batch, config.steps, config.seed, context.ranks, ahead_items) if config.replay else None


def on_gpu(device: torch.device) -> bool:
    """Whether an optimizer's step is to be one kernel, which there also leaves a step that diverged alone unasked."""
    return device.type == "cuda"


def stored(
    name: str, config: dict[str, Any], network: Network, uncertainty: PredictedUncertainty
) -> Callable[[], StoredNetwork]:
    """What model.pt keeps of the network, asked for whenever it is saved.

    Args:
        name: of the network's kind.
        config: of the network.
        network: that is being trained.
        uncertainty: how its outputs are read as covariances.
    """
    return lambda: StoredNetwork(name, config, stored_weights(name, network), uncertainty.state())


def scene_statistics(frames: Sequence[TrainingFrame], origin_3: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean (3,) of the scene's points relative to the origin, and their standard deviation along an axis, metres."""
    few = [frames[i] for i in evenly_chosen(len(frames), _STATISTICS_FRAMES)]
    labelled = [_shown(each) for each in few if each.labelled]
    points_n3 = np.concatenate(labelled or [np.stack([each.frame.pose.center for each in few])]) - origin_3
    return np.nanmean(points_n3, axis=0), float(np.nanstd(points_n3, axis=0).mean())


def _shown(each: TrainingFrame) -> np.ndarray:
    """World points (n, 3) of a frame: of its cells, or those that were triangulated where it has no others."""
    frame = each.frame
    if each.shows is not None and not frame.has("depth") and not frame.has("init"):
        return each.shows.points_k3
    return coordinates_at(frame, cell_points(frame.camera.width, frame.camera.height).reshape(-1, 2))
