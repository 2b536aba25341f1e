"""The preset `fast`: a small head on frozen features, with landmarks."""

from __future__ import annotations

import dataclasses
import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from transpose.localization.landmarks import LandmarkMap
from transpose.losses.uncertainty import PredictedUncertainty
from transpose.models.adapter import ADAPTED_SIMILAR, AdaptedEncoder, Adapter, AdapterConfig
from transpose.models.adapter_file import load_adapter
from transpose.models.heads import CoordinateHead, HeadConfig
from transpose.models.network import Network
from transpose.randomness import stream
from transpose.training.buffer import CellBuffer, Filling
from transpose.training.config import FeatureConfig
from transpose.training.context import TrainingContext
from transpose.training.landmarks import SIMILAR, Observations, landmarks_from
from transpose.training.leave_out import LeaveOut
from transpose.training.objectives import Likelihood
from transpose.training.plan import Plan
from transpose.training.presets.adapted import filled_and_adapted
from transpose.training.presets.parts import built, filled_from, replayed, stored
from transpose.training.recognizing import RecognitionTraining, learned_recognition
from transpose.training.schedules import one_cycle
from transpose.training.sections import left_out_in_turn
from transpose.training.sources import CellSource, OverCells
from transpose.training.validation import Validation

log = logging.getLogger(__name__)
_STATISTICS_CELLS = 100_000
_MAP_POINTS = 8192
_STEPS_PER_RECOGNIZING = 6  # of the head, to one of the recognition, which is learned sooner
_MOST_RECOGNIZING = 2000


@dataclass(frozen=True)
class FastConfig(FeatureConfig):
    """A small head on frozen features, with landmarks: minutes on a laptop."""

    weight_decay: float = 0.01
    passes: int | None = None  # of augmented views over all frames; None: as many as make `views`
    views: int = 300
    buffer_megabytes: int = 768
    max_cells_per_view: int = 1000
    keypoints_per_view: int = 800  # from which landmarks are made; 0: none
    max_landmarks: int = 60_000  # there are 20,000, and more only where views see few of them
    contrastive: bool = False  # train an adapter of the features with the scene
    adapter: str | None = None  # file of a trained one, to begin with or to use as it is
    # The best landmarks, recognized at keypoints by XFeat's own features; 0: none; None: as many as is usual, none with
    # adapted features.
    map_points: int | None = None
    head: HeadConfig = field(default_factory=HeadConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.passes or 1, self.views, self.buffer_megabytes, self.max_cells_per_view) < 1 or self.passes == 0:
            raise ValueError(
                "--passes, views, --buffer-megabytes and cells of a view must be 1 or more, not "
                f"{self.passes}, {self.views}, {self.buffer_megabytes}, {self.max_cells_per_view}"
            )
        if self.keypoints_per_view < 0 or self.max_landmarks < 1:
            raise ValueError(
                "keypoints of a view may be 0 or more, landmarks 1 or more, not "
                f"{self.keypoints_per_view}, {self.max_landmarks}"
            )
        if (self.map_points or 0) < 0:
            raise ValueError(f"map points that are recognized must be 0 or more, not {self.map_points}")
        if self.map_points and (self._adapts or self.keypoints_per_view == 0):
            raise ValueError(
                "--map-points recognizes keypoints by XFeat's own features: leave --contrastive, --adapter away"
            )
        if self.contrastive and self.keypoints_per_view == 0:
            raise ValueError("--contrastive learns from keypoints, of which a view must have 1 or more")

    @property
    def recognized_points(self) -> int:
        """How many map points the network recognizes at keypoints, at most."""
        if self._adapts or self.keypoints_per_view == 0:
            return 0
        return _MAP_POINTS if self.map_points is None else self.map_points

    @property
    def _adapts(self) -> bool:
        return self.contrastive or self.adapter is not None

    def adapter_shape(self, given: Adapter | None) -> AdapterConfig | None:
        """Of the adapter of a run that begins with a given one, where there is one; None: features stay as they are."""
        if given is not None:
            return given.config
        return AdapterConfig() if self.contrastive else None

    @property
    def leaves_out(self) -> bool:
        """See `TrainingConfig`."""
        return self.keypoints_per_view > 0

    @property
    def views_before_steps(self) -> int:
        """See `FeatureConfig`: landmarks give most poses, and come from views alone."""
        return self.views if self.keypoints_per_view > 0 else 0

    def wanted_views(self, frames: int) -> int:
        """See `FeatureConfig`: whole passes over the frames."""
        return frames * (self.passes or math.ceil(self.views / frames))


@dataclass(frozen=True)
class Taught:
    """What views teach once they have passed the encoder.

    Attributes:
        filling: how they were chosen.
        buffer: of their cells.
        landmarks: of their keypoints.
        observations: those keypoints.
        leave_out: see `Plan`.
    """

    filling: Filling
    buffer: CellBuffer
    landmarks: LandmarkMap
    observations: Observations
    leave_out: LeaveOut | None


def plan_fast(config: FastConfig, context: TrainingContext) -> Plan:
    """Views pass the frozen encoder once; their cells teach the head, their keypoints become landmarks."""
    head = asdict(dataclasses.replace(config.head, uncertainty_channels=config.uncertainty.channels))
    given = given_adapter(config)
    kind, shape, adapter = "fast", head, config.adapter_shape(given)
    if adapter is not None:
        kind, shape = "fast-adapted", {**head, "adapter": asdict(adapter)}
    network = built(kind, shape, config.seed).to(context.device)
    taught = views_teach(config, network, context, given)
    assert isinstance(network.head, CoordinateHead)
    points = taught.landmarks.strongest(config.recognized_points)
    if len(points) > 0:
        training = RecognitionTraining(min(max(1, config.steps // _STEPS_PER_RECOGNIZING), _MOST_RECOGNIZING))
        network.recognition = learned_recognition(taught.observations, points, training, config.seed, context)
        shape = {**shape, "map_points": len(points)}
    uncertainty = fitted(network.head, taught.buffer, config)
    optimizer = torch.optim.AdamW(
        network.head.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    replay = replayed(config, len(taught.buffer), config.batch, context)
    return Plan(
        module=OverCells(network.head),
        source=CellSource(taught.buffer, config.batch, config.seed, context.device, context.ranks, replay),
        objective=Likelihood(uncertainty, round(config.warm_up * config.steps)),
        optimizer=optimizer,
        schedule=one_cycle(optimizer, config.steps, config.learning_rate, 0.1),
        validation=Validation.of_cells(network, uncertainty, config, context),
        stored=stored(kind, shape, network, uncertainty),
        landmarks=taught.landmarks.state(),
        leave_out=taught.leave_out,
        replay=replay,
    )


def views_teach(
    config: FastConfig, network: Network, context: TrainingContext, given: Adapter | None, surface: bool = False
) -> Taught:
    """Views pass the frozen encoder once, and train its adapter where it is to be trained.

    Args:
        config: of the training.
        network: whose encoder sees the views.
        context: frames and device.
        given: what its adapter begins with, and stays where none is trained; None: a new one, or none at all.
        surface: the normals and classes of the views' cells are kept as well.
    """
    similar = SIMILAR
    if isinstance(network.encoder, AdaptedEncoder):
        similar = ADAPTED_SIMILAR
        if given is not None:
            network.encoder.adapter.load_state_dict(given.state_dict())
    filling = Filling(
        views=config.view_count(len(context.training)),
        cells_per_view=config.max_cells_per_view,
        megabytes=config.buffer_megabytes,
        labelled=True,
        keypoints_per_view=config.keypoints_per_view,
        augment=config.augment,
        seed=config.seed,
        keypoint_features=config.contrastive or config.recognized_points > 0,
        surface=surface,
    )
    fill = filled_and_adapted if config.contrastive else filled_from
    filled = fill(network, filling, context, config, "fewer frames or --passes")
    buffer, landmarks = filled.cells, landmarks_from(filled.observations, config.max_landmarks, similar)
    log.info("%d cells, %d landmarks", len(buffer), len(landmarks))
    leave_out = None
    if config.leaves_out and not context.validation:
        left_out = left_out_in_turn(context.training)
        seen = dataclasses.replace(filled.observations, features_nk=None)
        leave_out = LeaveOut(left_out, seen, config.max_landmarks, context.map, context.origin_3, similar)
    return Taught(filling, buffer, landmarks, filled.observations, leave_out)


def fitted(head: CoordinateHead, buffer: CellBuffer, config: FastConfig) -> PredictedUncertainty:
    """Gives a head the statistics of the buffer, and tells the uncertainty that it is to predict."""
    sample = some_cells(buffer, config.seed)
    kmeans_seed = int(stream(config.seed, "anchors").integers(2**31))
    head.fit_statistics(buffer.features_nc[sample], buffer.points_n3[sample], kmeans_seed)
    return PredictedUncertainty.for_scene(config.uncertainty, float(buffer.points_n3[sample].std(0).mean()))


def some_cells(buffer: CellBuffer, seed: int) -> Tensor:
    """Numbers of the cells of which statistics are taken."""
    return torch.from_numpy(stream(seed, "statistics").permutation(len(buffer))[:_STATISTICS_CELLS])


def check_fast(config: FastConfig) -> None:
    """Reads the adapter that it begins with; see `Preset`."""
    given_adapter(config)


def given_adapter(config: FastConfig) -> Adapter | None:
    """The trained adapter to begin with; None: there is none."""
    return None if config.adapter is None else load_adapter(Path(config.adapter))[0]
