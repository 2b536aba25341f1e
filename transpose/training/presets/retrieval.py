"""The preset `retrieval`: a database of images and where they were taken, made at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from transpose.localization.global_descriptors import GeneralizedMean, Vocabulary, Whitening
from transpose.localization.retrieval import PoseDatabase, RetrievalLocalizer, RetrievalOptions, RetrievedPose
from transpose.models.local_features import FEATURES
from transpose.randomness import stream
from transpose.runs import Calibration, Checkpoint
from transpose.selection import evenly_chosen
from transpose.training.alike_views import MOST_VIEWS, AlikeTraining, AlikeViews, learned_whitening, overlaps
from transpose.training.answer_calibration import Answer, answers, calibrated_answers, neutral
from transpose.training.config import Needs, PresetConfig
from transpose.training.context import TrainingContext
from transpose.training.leave_out import blocks_of
from transpose.training.plan import Built
from transpose.training.sections import left_out_in_turn
from transpose.training.views import training_view

log = logging.getLogger(__name__)
_TAUGHT_NUMBERS = 128  # of an image's vector
_MOST_WHITENED = 1000  # images whose principal components a taught map begins with


@dataclass(frozen=True)
class RetrievalConfig(PresetConfig):
    """Nothing is learned but the words of the global descriptor, and a linear map: seconds to minutes.

    Attributes:
        pose: "nearest": that of the most similar image; "interpolated": the robust mean of the `top` most similar.
        descriptor: "vlad" with so many `words`, or "gem", the generalized mean.
        whitened: numbers of an image's vector after whitening by what the database shows; None: as it is.
        contrastive: in place of whitening, a linear map is trained on which views show the same
            (`training.alike_views`), to `whitened` numbers, or 128.
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
    contrastive: bool = False

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
    frames = context.training
    local = _local_descriptors(config, context, range(len(frames)))
    describer = _describer(config, local)
    if config.contrastive:
        describer = _taught(describer, local, config, context)
    vectors_nd = torch.stack([describer.describe(each) for each in local])
    T_n44 = np.stack([each.frame.pose.T_wc for each in frames])
    database = PoseDatabase(describer, vectors_nd, T_n44, config.options())
    log.info("%d images, %d numbers each", *vectors_nd.shape)
    blocks = None if context.validation else blocks_of(left_out_in_turn(frames))
    return Built(database=database.state(), leave_out=blocks)


def _local_descriptors(
    config: RetrievalConfig, context: TrainingContext, which: Sequence[int], augmented: bool = False
) -> list[Tensor]:
    """Of some training frames (m, c), as they are or in another look."""
    features = FEATURES["xfeat"].build(context.device, context.dtype)
    purpose, augment = ("copies", config.augment) if augmented else ("database", None)
    local = []
    for i in context.callbacks.buffer(which, len(which)):
        seen = training_view(context.training, i, stream(config.seed, purpose, str(i)), augment)
        local.append(features.keypoints(seen.image_hw3, config.keypoints).descriptors_nc)
    return local


def _describer(config: RetrievalConfig, local: Sequence[Tensor]) -> Vocabulary | GeneralizedMean:
    every_nc = torch.cat(list(local))
    made: Vocabulary | GeneralizedMean = GeneralizedMean()
    if config.descriptor == "vlad":
        made = Vocabulary.learned(every_nc, config.words, config.seed)
    if config.whitened is None or config.contrastive:
        return made
    return made.whitened(torch.stack([made.describe(each) for each in local]), config.whitened)


def _taught(
    describer: Vocabulary | GeneralizedMean, local: Sequence[Tensor], config: RetrievalConfig, context: TrainingContext
) -> Vocabulary | GeneralizedMean:
    """The descriptor with a linear map that is trained on some of the images, so many photos and renders at most."""
    frames, training = context.training, AlikeTraining()
    photos = [i for i, each in enumerate(frames) if not each.rendered]
    renders = [i for i, each in enumerate(frames) if each.rendered]
    chosen = [group[i] for group in (photos, renders) for i in evenly_chosen(len(group), MOST_VIEWS // 2)]
    similarity_nn = overlaps([frames[i].frame for i in chosen], training.positive)
    copies = [local[i] for i in chosen], _local_descriptors(config, context, chosen, augmented=True)
    vectors_cnd = torch.stack([torch.stack([describer.describe(each) for each in copy]) for copy in copies])
    some = evenly_chosen(len(chosen), _MOST_WHITENED)
    start = Whitening.learned(vectors_cnd[0][some], training.components).unscaled
    views = AlikeViews(start(vectors_cnd).cpu(), similarity_nn, training)
    dimensions = config.whitened or _TAUGHT_NUMBERS
    return replace(describer, whitening=learned_whitening(start, views, dimensions, config.seed, context.device))


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
