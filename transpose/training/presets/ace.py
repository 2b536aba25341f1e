"""The preset `ace`: ACE's recipe, on XFeat's features or on ACE's own."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch

from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.models.ace import AceHeadConfig
from transpose.models.published import ace_encoder
from transpose.models.xfeat import CHANNELS
from transpose.scenes.augment import AugmentOptions
from transpose.training.buffer import BYTES_BESIDE_FEATURES, Filling
from transpose.training.config import PUBLISHED_JITTER, FeatureConfig, Needs
from transpose.training.context import TrainingContext
from transpose.training.conversion import read_published
from transpose.training.objectives import Ace
from transpose.training.plan import Plan
from transpose.training.presets.parts import built, filled_from, on_gpu, replayed, stored
from transpose.training.schedules import one_cycle
from transpose.training.sources import CellSource, OverCells
from transpose.training.validation import Validation

log = logging.getLogger(__name__)
_VIEWS = AugmentOptions(max_scale=1.5, max_rotation_deg=15.0, **PUBLISHED_JITTER)


@dataclass(frozen=True)
class AceConfig(FeatureConfig):
    """ACE's recipe: poses only, a homogeneous head on frozen features, a reprojection loss whose bound tightens.

    It runs on XFeat's features unless `encoder` is the file of ACE's own (ace_encoder_pretrained.pt).
    """

    steps: int = 25_000
    batch: int = 5120
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("none"))
    augment: AugmentOptions = _VIEWS
    weight_decay: float = 0.01
    max_cells: int = 8_000_000
    cells_per_view: int = 1024
    buffer_megabytes: int = 1024
    width: int = 512
    head_blocks: int = 1
    encoder: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.uncertainty.kind != "none":
            raise ValueError(
                "the ace preset learns from poses alone and predicts no uncertainty; use --uncertainty none"
            )

    @property
    def needs(self) -> Needs:
        """See `TrainingConfig`."""
        return "poses"

    def wanted_views(self, frames: int) -> int:
        """See `FeatureConfig`: as many as fill the buffer, and each frame once."""
        channels = CHANNELS if self.encoder is None else AceHeadConfig().in_channels
        cells = min(self.max_cells, self.buffer_megabytes * 2**20 // (2 * channels + BYTES_BESIDE_FEATURES))
        return max(frames, cells // self.cells_per_view)


def check_ace(config: AceConfig) -> None:
    """Reads the encoder's file, before anything is written.

    Raises:
        TransposeError: it does not do.
    """
    if config.encoder is not None:
        read_published(Path(config.encoder), ace_encoder)


def plan_ace(config: AceConfig, context: TrainingContext) -> Plan:
    """Cells of many views teach the head by where they project to."""
    name, channels, encoder = "ace-xfeat", CHANNELS, None
    if config.encoder is not None:
        encoder = read_published(Path(config.encoder), ace_encoder)
        name, channels = "ace", encoder["res2_conv3.weight"].shape[0]
    head = {"in_channels": channels, "width": config.width, "head_blocks": config.head_blocks}
    network = built(name, head, config.seed).to(context.device)
    if encoder is not None:
        network.encoder.load_state_dict(encoder)
    filling = Filling(
        views=config.view_count(len(context.training)),
        cells_per_view=config.cells_per_view,
        megabytes=config.buffer_megabytes,
        labelled=False,
        keypoints_per_view=0,
        augment=config.augment,
        seed=config.seed,
    )
    buffer = filled_from(network, filling, context, config, "a smaller --buffer-megabytes").cells
    log.info("%d cells", len(buffer))
    uncertainty = PredictedUncertainty(config.uncertainty)
    optimizer = torch.optim.AdamW(
        network.head.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=on_gpu(context.device)
    )
    replay = replayed(config, len(buffer), config.batch, context)
    return Plan(
        module=OverCells(network.head),
        source=CellSource(buffer, config.batch, config.seed, context.device, context.ranks, replay),
        objective=Ace(config.steps),
        optimizer=optimizer,
        schedule=one_cycle(optimizer, config.steps, config.learning_rate, 0.3),
        validation=Validation.of_cells(network, uncertainty, config, context),
        stored=stored(name, head, network, uncertainty),
        replay=replay,
    )
