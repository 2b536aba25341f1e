"""The preset `retrieval`: a database of images and where they were taken, made at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from transpose.localization.global_descriptors import GeneralizedMean, Vocabulary
from transpose.localization.retrieval import PoseDatabase, RetrievalLocalizer, RetrievalOptions, RetrievedPose
from transpose.models.local_features import FEATURES
from transpose.randomness import stream
from transpose.runs import Calibration, Checkpoint
from transpose.training.answer_calibration import Answer, answers, calibrated_answers, neutral
from transpose.training.config import Needs, PresetConfig
from transpose.training.context import TrainingContext
from transpose.training.leave_out import blocks_of
from transpose.training.plan import Built
from transpose.training.sections import left_out_in_turn
from transpose.training.views import training_view

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetrievalConfig(PresetConfig):
    """Nothing is learned but the words of the global descriptor: seconds to minutes.

    Attributes:
        pose: "nearest": that of the most similar image; "interpolated": the robust mean of the `top` most similar.
        descriptor: "vlad" with so many `words`, or "gem", the generalized mean.
        whitened: numbers of an image's vector after whitening by what the database shows; None: as it is.
        keypoints: of an image, the strongest, that describe it.
        top, rerank: see `RetrievalOptions`.
    """

    pose: RetrievedPose = "interpolated"
    descriptor: Literal["vlad", "gem"] = "vlad"
    words: int = 64
    whitened: int | None = None
    keypoints: int = 1000
    top: int = 10
    rerank: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.descriptor not in ("vlad", "gem"):
            raise ValueError(f"--descriptor is vlad or gem, not {self.descriptor}")
        if self.words < 1 or (self.whitened is not None and self.whitened < 1):
            raise ValueError(f"words and whitened must be 1 or more, not {self.words}, {self.whitened}")
        self.options()

    @property
    def needs(self) -> Needs:
        """See `PresetConfig`."""
        return "poses"

    @property
    def leaves_out(self) -> bool:
        """See `PresetConfig`."""
        return True

    def options(self) -> RetrievalOptions:
        """How poses are made of what is retrieved."""
        return RetrievalOptions(self.pose, self.keypoints, self.top, self.rerank)


def plan_retrieval(config: RetrievalConfig, context: TrainingContext) -> Built:
    """Each image of the training as one vector, with its pose."""
    features = FEATURES["xfeat"].build(context.device, context.dtype)
    frames, local, poses = context.training, [], []
    for i in context.callbacks.buffer(range(len(frames)), len(frames)):
        seen = training_view(frames, i, stream(config.seed, "database", str(i)), None)
        local.append(features.keypoints(seen.image_hw3, config.keypoints).descriptors_nc)
        poses.append(seen.pose.T_wc)
    describer = _describer(config, local)
    vectors_nd = torch.stack([describer.describe(each) for each in local])
    database = PoseDatabase(describer, vectors_nd, np.stack(poses), config.options())
    log.info("%d images, %d numbers each", *vectors_nd.shape)
    blocks = None if context.validation else blocks_of(left_out_in_turn(frames))
    return Built(database=database.state(), leave_out=blocks)


def _describer(config: RetrievalConfig, local: Sequence[Tensor]) -> Vocabulary | GeneralizedMean:
    every_nc = torch.cat(list(local))
    made: Vocabulary | GeneralizedMean = GeneralizedMean()
    if config.descriptor == "vlad":
        made = Vocabulary.learned(every_nc, config.words, config.seed)
    if config.whitened is None:
        return made
    return made.whitened(torch.stack([made.describe(each) for each in local]), config.whitened)


def calibrate_retrieval(checkpoint: Checkpoint, context: TrainingContext, learned: Built) -> Calibration:
    """By frames kept out; of photos too few for that by each from a database without its neighbours."""
    checkpoint = replace(checkpoint, calibration=neutral("retrieval"))
    localizer = RetrievalLocalizer(checkpoint, context.device)
    if learned.leave_out is None:
        return calibrated_answers("retrieval", answers(localizer, context.validation), checkpoint.unit)
    whole, found = localizer.database, list[Answer]()
    for block in learned.leave_out:
        localizer.database = whole.without(block)
        found += answers(localizer, [context.training[i] for i in block])
    return calibrated_answers("retrieval", found, checkpoint.unit)
