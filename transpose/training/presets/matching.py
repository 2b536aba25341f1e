"""The preset `matching`: a database of images to match with, made at once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from transpose.localization.confidence import confidence, offset
from transpose.localization.matching.lightglue import LightGlueMatcher
from transpose.localization.matching.localizer import MatchingLocalizer
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import Query
from transpose.models.local_features import FROM_FILES, feature_kind
from transpose.runs import Calibration, Checkpoint
from transpose.scenes.hloc.h5_files import reading
from transpose.selection import evenly_chosen
from transpose.training.config import Needs, PresetConfig
from transpose.training.context import TrainingContext
from transpose.training.leave_out import blocks_of
from transpose.training.matching_database import DatabaseSettings, ImageSource, PlaceDatabase
from transpose.training.observed import name_of, observe
from transpose.training.plan import Built
from transpose.training.pose_calibration import Posed, calibrated_scales, camera_errors, judged
from transpose.training.sections import left_out_in_turn
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)
_NEUTRAL = Calibration(covariance_scales={"matches": 1.0})
_MOST_FRAMES = 24
_SURE = 1 - LocalizationOptions().risk  # poses that are given


@dataclass(frozen=True)
class MatchingConfig(PresetConfig):
    """Nothing is learned but the words of the global descriptor: seconds to minutes.

    Attributes:
        features: of `transpose.models.local_features.FEATURES`.
        matcher: "nearest": mutual nearest neighbours; "lightglue": a network that matches two images' keypoints.
        keypoints: that the database keeps of an image, the best whose point is known.
        retrieved: images of the database that a photo is matched with.
        rerank: whether the most similar images are put in another order by their mutual neighbours.
        described: keypoints, the best of an image, of which its global descriptor is made.
        words: of the vocabulary of global descriptors.
        hloc_features: a file of local features that hloc extracted of the sections' images, in place of `features`.
        hloc_global: one of its global descriptors of them, in place of those of the vocabulary.
    """

    features: str = "xfeat"
    matcher: Literal["nearest", "lightglue"] = "nearest"
    keypoints: int = 1000
    retrieved: int = 12
    rerank: bool = False
    described: int = 1000
    words: int = 64
    hloc_features: str | None = None
    hloc_global: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.keypoints, self.retrieved, self.described, self.words) < 1:
            raise ValueError(
                "--keypoints, --retrieved, described and words must be 1 or more, not "
                f"{self.keypoints}, {self.retrieved}, {self.described}, {self.words}"
            )
        if self.matcher not in ("nearest", "lightglue"):
            raise ValueError(f"matcher is nearest or lightglue, not {self.matcher}")
        if self.hloc_global and not self.hloc_features:
            raise ValueError("--hloc-global goes with --hloc-features: photos get both from hloc, or neither")
        if self.hloc_features and (self.features, self.matcher) != (type(self).features, type(self).matcher):
            raise ValueError("--hloc-features brings features of its own: leave --features and --matcher away")

    @property
    def needs(self) -> Needs:
        """Photos without depth are triangulated by the very keypoints that are matched, not by those of `fast`."""
        return "poses"

    @property
    def leaves_out(self) -> bool:
        """See `PresetConfig`."""
        return True

    def settings(self) -> DatabaseSettings:
        """What determines the database besides its images."""
        kind = FROM_FILES if self.hloc_features else self.features
        return DatabaseSettings(
            kind, self.matcher, self.keypoints, self.retrieved, self.rerank, self.described, self.words, self.seed
        )

    def source(self, context: TrainingContext) -> ImageSource:
        """Where keypoints and global descriptors come from."""
        if self.hloc_features is None:
            features = feature_kind(self.features).build(context.device, context.dtype)
            return ImageSource.of_our_own(features)
        names = [name_of(each.frame) for each in (*context.training, *context.validation)]
        return ImageSource.of_files(
            Path(self.hloc_features), Path(self.hloc_global) if self.hloc_global else None, names
        )


def check_matching(config: MatchingConfig) -> None:
    """Builds the features and the matcher, whose weights may be missing, and opens files that are named."""
    device = torch.device("cpu")
    feature_kind(config.features).build(device, torch.float32)
    if config.matcher == "lightglue":
        LightGlueMatcher(config.features, device)
    for path in (config.hloc_features, config.hloc_global):
        if path is not None:
            with reading(Path(path)):
                pass


def plan_matching(config: MatchingConfig, context: TrainingContext) -> Built:
    """The database of the training's images."""
    settings, source = config.settings(), config.source(context)
    similarity = feature_kind(settings.features).map_similarity
    place = observe(context.training, source.find, similarity, config.seed, context.callbacks.buffer)
    blocks = [] if context.validation else blocks_of(left_out_in_turn(context.training))
    made = PlaceDatabase(place, settings, source, blocks, context.origin_3)
    database = made.state()
    log.info("%d images, %d points", len(database["images"]), len(database["points_n3"]))
    return Built(database=database, leave_out=made)


def calibrate_matching(checkpoint: Checkpoint, context: TrainingContext, learned: Built) -> Calibration:
    """By how much residuals understate the errors of poses: by frames kept out, or by photos left out in turn."""
    made: PlaceDatabase = learned.leave_out
    checkpoint = replace(checkpoint, calibration=_NEUTRAL)
    posed = []
    if made.blocks:
        every = [frame for block in made.blocks for frame in block]
        few = {every[i] for i in evenly_chosen(len(every), _MOST_FRAMES)}
        for block in made.blocks:
            localizer = MatchingLocalizer(replace(checkpoint, database=made.state(without=block)), context.device)
            posed += [_posed(localizer, made.source, context.training[i]) for i in sorted(few & {*block})]
    else:
        localizer = MatchingLocalizer(checkpoint, context.device)
        chosen = [context.validation[i] for i in evenly_chosen(len(context.validation), _MOST_FRAMES)]
        posed = [_posed(localizer, made.source, each) for each in chosen]
    offsets = {"matches": offset(judged(posed))}
    sure = [each for each in posed if (confidence(each.candidate, each.camera, offsets) or 0.0) >= _SURE]
    return Calibration(
        covariance_scales=calibrated_scales("matches", sure, checkpoint.unit), confidence_offsets=offsets
    )


def _posed(localizer: MatchingLocalizer, source: ImageSource, each: TrainingFrame) -> Posed:
    frame = each.frame
    query = Query.of(localizer.camera, frame.image(), frame.camera)
    seen, name = localizer.see(query), name_of(frame)
    keypoints = source.find(name, seen.image_hw3, seen.camera).keypoints
    vector_d = localizer.described(keypoints) if source.vectors is None else source.vectors[name]
    matched = localizer.matched(seen, keypoints, localizer.alike(vector_d))
    errors = camera_errors(each, query, localizer.options.systematic, "matches")
    return Posed(frame, localizer.posed(matched), seen.camera, errors)
