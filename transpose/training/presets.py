"""From a preset's configuration and frames to what the loop trains."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transpose.geometry.cameras import cell_points
from transpose.losses.uncertainty import StatedUncertainty
from transpose.models.heads import CoordinateHead
from transpose.models.network import Network
from transpose.models.networks import build_network, network_state
from transpose.models.published import ace_encoder
from transpose.models.xfeat import CHANNELS
from transpose.randomness import derived_seed, stream
from transpose.scenes.labels import coordinates_at
from transpose.training.buffer import BYTES_BESIDE_FEATURES, Filling, fill_buffer
from transpose.training.config import (
    AceConfig,
    CrossLocConfigured,
    DsacStarConfigured,
    FastConfig,
    TrainingConfig,
)
from transpose.training.conversion import read_published
from transpose.training.landmarks import landmarks_from
from transpose.training.loop import Callbacks, Plan
from transpose.training.objectives import Ace, CrossLoc, DsacStar, Likelihood
from transpose.training.ranks import Ranks
from transpose.training.sources import CellSource, ImageSource, OverCells, OverImages
from transpose.training.validation import Validation
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)
_HALF = {"fast": "head.body.", "ace": "head.", "ace-xfeat": "head."}  # what begins so is stored as float16


@dataclass(frozen=True)
class Setting:
    """Where and on what a plan is made.

    Attributes:
        training, validation: frames.
        origin_3: of the run's coordinates.
        device, dtype: where networks run, arithmetic of hidden layers.
        ranks: who shares the work.
        callbacks: progress.
    """

    training: Sequence[TrainingFrame]
    validation: Sequence[TrainingFrame]
    origin_3: np.ndarray
    device: torch.device
    dtype: torch.dtype
    ranks: Ranks
    callbacks: Callbacks


def check_sources(config: TrainingConfig) -> None:
    """Reads the files that a preset starts from, before anything is written.

    Raises:
        TransposeError: one of them does not do.
    """
    if isinstance(config, AceConfig) and config.encoder is not None:
        read_published(Path(config.encoder), ace_encoder)


def plan_for(config: TrainingConfig, setting: Setting) -> tuple[Plan, dict[str, Any]]:
    """The plan of a preset, and facts that model.pt should hold beside the network."""
    if isinstance(config, FastConfig):
        return _fast(config, setting)
    if isinstance(config, AceConfig):
        return _ace(config, setting)
    assert isinstance(config, DsacStarConfigured | CrossLocConfigured)
    return _images(config, setting)


def _fast(config: FastConfig, at: Setting) -> tuple[Plan, dict[str, Any]]:
    head = dataclasses.replace(config.head, uncertainty_channels=config.uncertainty.channels)
    network = built("fast", dataclasses.asdict(head), config.seed).to(at.device)
    views = len(at.training) * config.passes
    filling = Filling(
        views, config.max_cells_per_view, config.buffer_megabytes, True, config.keypoints_per_view,
        config.augment, config.height, config.seed,
    )  # fmt: skip
    buffer, observations = filled_from(network, filling, at)
    landmarks = landmarks_from(observations, config.max_landmarks)
    log.info("%d cells, %d landmarks", len(buffer), len(landmarks))
    sample = torch.from_numpy(stream(config.seed, "statistics").permutation(len(buffer))[:100_000])
    kmeans_seed = int(stream(config.seed, "anchors").integers(2**31))
    assert isinstance(network.head, CoordinateHead)
    network.head.fit_statistics(buffer.features_nc[sample], buffer.points_n3[sample], kmeans_seed)
    stated = StatedUncertainty.for_scene(config.uncertainty, float(buffer.points_n3[sample].std(0).mean()))
    optimizer = torch.optim.AdamW(
        network.head.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    return Plan(
        OverCells(network.head),
        CellSource(buffer, config.batch, config.seed, at.device, at.ranks),
        Likelihood(stated, round(config.warm_up * config.steps)),
        optimizer,
        one_cycle(optimizer, config, 0.1),
        Validation.of_cells(network, stated, config, at),
        content_of(network, "fast", dataclasses.asdict(head), stated),
    ), {"landmarks": landmarks.state()}


def _ace(config: AceConfig, at: Setting) -> tuple[Plan, dict[str, Any]]:
    name, channels, encoder = "ace-xfeat", CHANNELS, None
    if config.encoder is not None:
        encoder = read_published(Path(config.encoder), ace_encoder)
        name, channels = "ace", encoder["res2_conv3.weight"].shape[0]
    shape = {"in_channels": channels, "width": config.width, "head_blocks": config.head_blocks}
    network = built(name, shape, config.seed).to(at.device)
    if encoder is not None:
        network.encoder.load_state_dict(encoder)
    bytes_per_cell = 2 * channels + BYTES_BESIDE_FEATURES
    cells = min(config.max_cells, config.buffer_megabytes * 2**20 // bytes_per_cell)
    views = max(len(at.training), cells // config.cells_per_view)
    filling = Filling(
        views, config.cells_per_view, config.buffer_megabytes, False, 0, config.augment, config.height, config.seed
    )
    buffer, _ = filled_from(network, filling, at)
    log.info("%d cells", len(buffer))
    stated = StatedUncertainty(config.uncertainty)
    optimizer = torch.optim.AdamW(network.head.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    return Plan(
        OverCells(network.head),
        CellSource(buffer, config.batch, config.seed, at.device, at.ranks),
        Ace(config.steps),
        optimizer,
        one_cycle(optimizer, config, 0.3),
        Validation.of_cells(network, stated, config, at),
        content_of(network, name, shape, stated),
    ), {}


def _images(config: DsacStarConfigured | CrossLocConfigured, at: Setting) -> tuple[Plan, dict[str, Any]]:
    name = "dsacstar" if isinstance(config, DsacStarConfigured) else "crossloc"
    shape = dataclasses.asdict(config.network())
    network = built(name, shape, config.seed).to(at.device)
    mean_3, spread_m = scene_statistics(at.training, at.origin_3)
    network.head.get_buffer("mean").copy_(torch.from_numpy(mean_3))
    stated = StatedUncertainty.for_scene(config.uncertainty, spread_m)
    tolerances, warm_up = config.tolerances, round(config.warm_up * config.steps)
    objective = (
        DsacStar(config.mode, tolerances)
        if isinstance(config, DsacStarConfigured) and config.uncertainty.kind == "none"
        else CrossLoc(stated, tolerances, warm_up)
    )
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    halvings = () if name == "dsacstar" else (config.steps // 3, 2 * config.steps // 3)
    source = ImageSource(
        at.training, at.origin_3, config.batch, config.augment, config.height,
        seed=config.seed, device=at.device, ranks=at.ranks,
    )  # fmt: skip
    return Plan(
        OverImages(network),
        source,
        objective,
        optimizer,
        torch.optim.lr_scheduler.MultiStepLR(optimizer, list(halvings), 0.5),
        Validation.of_images(network, stated, config, at),
        content_of(network, name, shape, stated),
    ), {}


def built(name: str, shape: dict[str, Any], seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "weights"))
        return build_network(name, shape)


def filled_from(network: Network, filling: Filling, at: Setting) -> Any:
    filled = fill_buffer(
        at.training, network.encoder, at.origin_3, filling,
        device=at.device, dtype=at.dtype, ranks=at.ranks, progress=at.callbacks.buffer,
    )  # fmt: skip
    return filled.cells, filled.observations


def one_cycle(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, rising: float
) -> torch.optim.lr_scheduler.LRScheduler:
    rising = min(0.9, max(rising, 2 / config.steps))  # PyTorch divides by zero where only one step rises
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=rising, cycle_momentum=False
    )


def content_of(
    network: Network, name: str, shape: dict[str, Any], stated: StatedUncertainty
) -> Callable[[], dict[str, Any]]:
    """The network's part of model.pt; hidden layers of heads on frozen features go to disk as float16.

    Its three digits are one more than bfloat16 arithmetic uses. So do those of a frozen encoder that came as float16.
    """
    half = _HALF.get(name)

    def fits(key: str, value: torch.Tensor) -> bool:
        if half and key.startswith(half):
            return True
        return network.frozen and key.startswith("encoder.") and torch.equal(value.half().float(), value)

    def content() -> dict[str, Any]:
        weights = {
            key: value.half() if value.dtype == torch.float32 and fits(key, value) else value
            for key, value in network_state(network).items()
        }
        return {"network": name, "network_config": shape, "weights": weights, "uncertainty": stated.state()}

    return content


def scene_statistics(frames: Sequence[TrainingFrame], origin_3: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean (3,) of the scene's points relative to the origin, and their standard deviation along an axis, metres."""
    few = [frames[i] for i in np.linspace(0, len(frames) - 1, min(16, len(frames))).round().astype(int)]
    labelled = [
        coordinates_at(each.frame, cell_points(each.frame.camera.width, each.frame.camera.height).reshape(-1, 2))
        for each in few
        if each.labelled
    ]
    points_n3 = np.concatenate(labelled or [np.stack([each.frame.pose.center for each in few])]) - origin_3
    return np.nanmean(points_n3, axis=0), float(np.nanstd(points_n3, axis=0).mean())
