"""The preset `matching`: a database of images to match with, made at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from transpose.localization.covariance import CameraErrors
from transpose.localization.global_descriptors import Vocabulary
from transpose.localization.localizer import Query
from transpose.localization.matching.database import DatabaseImage, assembled
from transpose.localization.matching.lightglue import LightGlueMatcher
from transpose.localization.matching.localizer import MatchingLocalizer
from transpose.models.local_features import feature_kind
from transpose.runs import Calibration, Checkpoint
from transpose.selection import evenly_chosen
from transpose.training.config import Needs, PresetConfig
from transpose.training.context import TrainingContext
from transpose.training.leave_out import blocks_of
from transpose.training.observed import ObservedImage, ObservedPlace, observe
from transpose.training.plan import Built
from transpose.training.pose_calibration import Posed, calibrated_scales
from transpose.training.sections import left_out_in_turn
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)
_FOUND = 4000  # keypoints of an image, of which those whose point is known are kept
_NEUTRAL = Calibration(covariance_scales={"matches": 1.0})
_MOST_FRAMES = 24


@dataclass(frozen=True)
class MatchingConfig(PresetConfig):
    """Nothing is learned but the words of the global descriptor: seconds to minutes.

    Attributes:
        features: of `transpose.models.local_features.FEATURES`.
        matcher: "nearest": mutual nearest neighbours; "lightglue": a network that matches two images' keypoints.
        keypoints: that the database keeps of an image, the best whose point is known.
        retrieved: images of the database that a photo is matched with.
        described: keypoints, the best of an image, of which its global descriptor is made.
        words: of the vocabulary of global descriptors.
    """

    features: str = "xfeat"
    matcher: Literal["nearest", "lightglue"] = "nearest"
    keypoints: int = 1000
    retrieved: int = 12
    described: int = 1000
    words: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.keypoints, self.retrieved, self.described, self.words) < 1:
            raise ValueError(f"keypoints, retrieved images, described and words must be positive, got {self}")
        if self.matcher not in ("nearest", "lightglue"):
            raise ValueError(f"matcher is nearest or lightglue, not {self.matcher}")

    @property
    def needs(self) -> Needs:
        """Photos without depth are triangulated by the very keypoints that are matched, not by those of `fast`."""
        return "poses"

    @property
    def leaves_out(self) -> bool:
        """See `PresetConfig`."""
        return True


@dataclass(frozen=True, eq=False)
class LeaveOutImages:
    """Databases without some of the images, for validation of photos too few to keep some out.

    Attributes:
        place: all images.
        blocks: numbers of frames that are left out together.
        config: of the databases.
        origin_3: of the run.
    """

    place: ObservedPlace
    blocks: Sequence[Sequence[int]]
    config: MatchingConfig
    origin_3: np.ndarray

    def database(self, block: Sequence[int]) -> dict[str, Any]:
        """What a checkpoint keeps of the images outside the block."""
        return _database(self.place.without(block), self.config, self.origin_3)


def check_matching(config: MatchingConfig) -> None:
    """Builds the features and the matcher, whose weights may be missing."""
    device = torch.device("cpu")
    feature_kind(config.features).build(device, torch.float32)
    if config.matcher == "lightglue":
        LightGlueMatcher(config.features, device)


def plan_matching(config: MatchingConfig, context: TrainingContext) -> Built:
    """The database of the training's images."""
    kind = feature_kind(config.features)
    place = observe(
        context.training,
        kind.build(context.device, context.dtype),
        _FOUND,
        kind.map_similarity,
        config.seed,
        context.callbacks.buffer,
    )
    database = _database(place.images, config, context.origin_3)
    log.info("%d images, %d points", len(database["images"]), len(database["points_n3"]))
    leave_out = None
    if not context.validation:
        blocks = blocks_of(left_out_in_turn(context.training))
        leave_out = LeaveOutImages(place, blocks, config, context.origin_3)
    return Built(database=database, leave_out=leave_out)


def _database(images: Sequence[ObservedImage], config: MatchingConfig, origin_3: np.ndarray) -> dict[str, Any]:
    described = [each.keypoints.strongest(config.described).descriptors_nc for each in images]
    sample_nc = torch.cat(described)
    vocabulary = Vocabulary.learned(sample_nc, min(config.words, len(sample_nc)), config.seed)
    px, points, descriptors = [], [], []
    for each in images:
        kept = np.flatnonzero(np.isfinite(each.points_n3).all(1))[: config.keypoints]
        px.append(each.keypoints.px_n2.numpy()[kept])
        points.append(each.points_n3[kept] - origin_3)
        descriptors.append(each.keypoints.descriptors_nc[torch.from_numpy(kept)])
    vectors_vd = torch.stack([vocabulary.describe(each) for each in described])
    names = [DatabaseImage(each.name, each.camera, each.pose) for each in images]
    database = assembled(config.features, names, px, points, descriptors, vectors_vd, vocabulary)
    settings = {"matcher": config.matcher, "retrieved": config.retrieved, "described": config.described}
    return {**database.state(), **settings}


def calibrate_matching(checkpoint: Checkpoint, context: TrainingContext, learned: Built) -> Calibration:
    """By how much residuals understate the errors of poses: by frames kept out, or by photos left out in turn."""
    checkpoint = replace(checkpoint, calibration=_NEUTRAL)
    leave_out: LeaveOutImages | None = learned.leave_out
    if leave_out is None:
        localizer = MatchingLocalizer(checkpoint, context.device)
        chosen = [context.validation[i] for i in evenly_chosen(len(context.validation), _MOST_FRAMES)]
        posed = [_posed(localizer, each) for each in chosen]
    else:
        every = [frame for block in leave_out.blocks for frame in block]
        few = {every[i] for i in evenly_chosen(len(every), _MOST_FRAMES)}
        posed = []
        for block in leave_out.blocks:
            localizer = MatchingLocalizer(replace(checkpoint, database=leave_out.database(block)), context.device)
            posed += [_posed(localizer, context.training[i]) for i in sorted(few & {*block})]
    return Calibration(covariance_scales=calibrated_scales("matches", posed, checkpoint.unit))


def _posed(localizer: MatchingLocalizer, each: TrainingFrame) -> Posed:
    frame = each.frame
    query = Query.of(localizer.camera, frame.image(), frame.camera)
    matched = localizer.match(query)
    errors = CameraErrors(0.0, 0.0, 0.0) if each.rendered else CameraErrors.of(query, localizer.options.systematic)
    return Posed(frame, localizer.posed(matched), matched.seen.camera, errors)
