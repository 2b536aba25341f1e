"""The preset `atloc`: a network that states poses outright (Wang et al., AAAI 2020)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from transpose.localization.pose_regression import PoseRegressionLocalizer, PoseStandard
from transpose.losses.uncertainty import Uncertainty
from transpose.models.atloc import AtLoc, AtLocConfig, ResNet34
from transpose.randomness import apart, derived_seed
from transpose.runs import Calibration, Checkpoint, StoredNetwork
from transpose.scenes.augment import AugmentOptions
from transpose.training.answer_calibration import answers, calibrated_answers, neutral
from transpose.training.config import Needs, TrainingConfig
from transpose.training.context import TrainingContext
from transpose.training.conversion import read_published
from transpose.training.plan import Plan
from transpose.training.pose_regression import OverPoses, PoseObjective, PoseSource, PoseValidation
from transpose.training.presets.parts import AHEAD_IMAGES, on_gpu, replayed
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)
# Neither turned nor scaled, which would be another pose and another camera; repainted as for any other preset.
_VIEWS = AugmentOptions(max_scale=1.0, max_rotation_deg=0.0)


@dataclass(frozen=True)
class AtLocPreset(TrainingConfig):
    """AtLoc's recipe; with groups of 3 images AtLoc+'s.

    Attributes:
        height: side of the squares that the network sees; the shorter side of an image is brought to it.
        weight_decay: of the network; the loss's scales have none.
        weights: a file of torchvision's resnet34 with ImageNet's weights; None: from scratch.
        group: images whose relative poses are learned as well; 1: none.
        skip: frames from one image of a group to the next.
        dropout: chance of a feature to be left out.
    """

    steps: int = 10_000
    batch: int = 64
    learning_rate: float = 5e-5
    uncertainty: Uncertainty = field(default_factory=lambda: Uncertainty("none"))
    height: int | None = 256
    augment: AugmentOptions = _VIEWS
    report_every: int = 100
    weight_decay: float = 5e-4
    weights: str | None = None
    group: int = 1
    skip: int = 10
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.height is None:
            raise ValueError("atloc sees squares: it needs a height")
        if min(self.group, self.skip) < 1:
            raise ValueError(f"--group and --skip must be 1 or more, not {self.group}, {self.skip}")
        if self.batch % self.group:
            raise ValueError(f"--batch must be a multiple of --group, but {self.batch} is none of {self.group}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share from 0 to below 1, not {self.dropout:g}")
        if self.uncertainty.kind != "none":
            raise ValueError("atloc predicts no uncertainty by itself: how draws of its dropout differ tells it")
        if self.augment.max_scale != 1:
            raise ValueError("atloc knows no focal length, so its views are not scaled")

    @property
    def needs(self) -> Needs:
        """See `PresetConfig`."""
        return "poses"


def check_atloc(config: AtLocPreset) -> None:
    """Reads the file of ImageNet weights, before anything is written.

    Raises:
        TransposeError: it does not do.
    """
    if config.weights is not None:
        read_published(Path(config.weights), ResNet34(1).load_imagenet)


def plan_atloc(config: AtLocPreset, context: TrainingContext) -> Plan:
    """Images and their poses teach the network, alone or in groups."""
    assert config.height is not None
    training, validation = (_shorter_side(each, config.height) for each in (context.training, context.validation))
    context = replace(context, training=training, validation=validation)
    T_n44 = np.stack([each.frame.pose.T_wc for each in training])
    standard = PoseStandard.of(T_n44)
    network = _network(config, standard, context.origin_3).to(context.device)
    scales = [network.log_scales_4]
    others = [weight for weight in network.parameters() if weight is not network.log_scales_4]
    optimizer = torch.optim.Adam(
        [{"params": others, "weight_decay": config.weight_decay}, {"params": scales, "weight_decay": 0.0}],
        config.learning_rate,
        fused=on_gpu(context.device),
    )
    replay = replayed(config, len(training), config.batch // config.group, context, AHEAD_IMAGES)
    source = PoseSource(
        training,
        standard,
        group=config.group,
        skip=config.skip,
        batch_size=config.batch,
        augment=config.augment,
        side=config.height,
        seed=config.seed,
        device=context.device,
        ranks=context.ranks,
        replay=replay,
    )
    return Plan(
        module=OverPoses(network),
        source=source,
        objective=PoseObjective(config.group, standard, apart=config.replay),
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
        validation=PoseValidation.of(network, standard, context, config.seed),
        stored=lambda: _stored(network),
        replay=replay,
    )


def calibrate_atloc(checkpoint: Checkpoint, context: TrainingContext, learned: Plan) -> Calibration:
    """By frames kept out of training."""
    localizer = PoseRegressionLocalizer(replace(checkpoint, calibration=neutral("regression")), context.device)
    return calibrated_answers("regression", answers(localizer, context.validation), checkpoint.unit)


def _network(config: AtLocPreset, standard: PoseStandard, origin_3: np.ndarray) -> AtLoc:
    assert config.height is not None
    shape = AtLocConfig(
        side=config.height,
        dropout=config.dropout,
        mean=tuple((standard.mean_3 - origin_3).tolist()),
        std=tuple(standard.std_3.tolist()),
        rotation=tuple(tuple(row) for row in standard.R_33.tolist()),
    )
    with apart(derived_seed(config.seed, "weights")):
        network = AtLoc(shape, config.seed)
    if config.weights is None:
        log.info("the network learns from scratch; --weights FILE begins with ImageNet's (torchvision's resnet34)")
    else:
        read_published(Path(config.weights), network.backbone.load_imagenet)
    return network


def _stored(network: AtLoc) -> StoredNetwork:
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    return StoredNetwork("atloc", dataclasses.asdict(network.config), weights, {})


def _shorter_side(frames: Sequence[TrainingFrame], side: int) -> list[TrainingFrame]:
    """The frames at as many rows as make the shorter side that long."""
    return [
        replace(each, height=round(side * max(1.0, each.frame.camera.height / each.frame.camera.width)))
        for each in frames
    ]
