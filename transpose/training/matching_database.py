"""The database of `matching`, made of the images of a training as they were observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transpose.localization.global_descriptors import Vocabulary
from transpose.localization.matching.database import DatabaseImage, ImagePoints, assembled
from transpose.localization.matching.from_files import features_by_photo, global_descriptors, seen_keypoints
from transpose.models.local_features import FROM_FILES, LocalFeatures
from transpose.training.observed import Finder, ObservedImage, ObservedPlace, finding

_FOUND = 4000  # keypoints of an image, of which those whose point is known are kept
# Of a photo's keypoint, beside those that a point was triangulated from, each off by one. Points from depth count as
# exact beside it. Without weights, points that few photos show from one side bend poses from elsewhere (RedKitchen
# without depth, learned from frames 0..219, tested on 300..699: 21 mm, with them 12; learned from the nearer 60 % of
# the photos, tested on the farthest 15 %: 7.0 mm, with them 4.4).
_PHOTO_PX = 0.5


@dataclass(frozen=True)
class DatabaseSettings:
    """What determines a database besides its images; see `MatchingConfig`."""

    features: str
    matcher: str
    keypoints: int
    retrieved: int
    rerank: bool
    described: int
    words: int
    seed: int


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Where keypoints come from, and global descriptors by the image's name; None: those are made of keypoints."""

    find: Finder
    vectors: Mapping[str, Tensor] | None = None

    @classmethod
    def of_our_own(cls, features: LocalFeatures) -> ImageSource:
        """Found by local features."""
        return cls(finding(features, _FOUND))

    @classmethod
    def of_files(cls, features: Path, vectors: Path | None, names: Sequence[str]) -> ImageSource:
        """Read from files that hloc wrote.

        Args:
            features: local features.
            vectors: global descriptors.
            names: of the images that are wanted, in the scene folder.

        Raises:
            TransposeError: a file is missing or broken, or lacks an image.
        """
        given = features_by_photo(features, names)
        by_name = None if vectors is None else dict(zip(names, global_descriptors(vectors, names), strict=True))
        return cls(lambda name, _, camera: seen_keypoints(given[name], camera, name), by_name)


@dataclass(frozen=True, eq=False)
class PlaceDatabase:
    """The database of a place, whole and without some of its images.

    Attributes:
        place: all images.
        settings: of the database.
        source: of keypoints and global descriptors.
        blocks: numbers of images that are left out together for validation; empty: frames were kept out.
        origin_3: of the run.
    """

    place: ObservedPlace
    settings: DatabaseSettings
    source: ImageSource
    blocks: Sequence[Sequence[int]]
    origin_3: np.ndarray

    def state(self, without: Sequence[int] = ()) -> dict[str, Any]:
        """What a checkpoint keeps of all images but some."""
        images, settings = self.place.without(without), self.settings
        described = [each.found.keypoints.strongest(settings.described).descriptors_nc for each in images]
        sample_nc = torch.cat(described)
        vocabulary = Vocabulary.learned(sample_nc, min(settings.words, len(sample_nc)), settings.seed)
        if self.source.vectors is None:
            vectors_vd = torch.stack([vocabulary.describe(each) for each in described])
        else:
            vectors_vd = torch.stack([self.source.vectors[each.name] for each in images])
        named = [DatabaseImage(each.name, each.size, each.camera, each.pose) for each in images]
        covariances_p33 = self.place.covariances(without)
        shown = [self._kept(each, covariances_p33) for each in images]
        database = assembled(settings.features, named, shown, vectors_vd, vocabulary)
        how = ("matcher", "retrieved", "rerank", "described")
        return {**database.state(), **{name: getattr(settings, name) for name in how}}

    def _kept(self, image: ObservedImage, covariances_p33: np.ndarray | None) -> ImagePoints:
        """The best keypoints of an image whose point is known; covariances are those of the map."""
        known_n = np.isfinite(image.points_n3).all(1)
        if covariances_p33 is not None and len(covariances_p33):
            # A triangulated point of which nobody knows how sure it is must not count as exact.
            sure_p = np.isfinite(covariances_p33).all((1, 2))
            known_n &= (image.mapped_n < 0) | sure_p[image.mapped_n.clip(0)]
        kept = np.flatnonzero(known_n)[: self.settings.keypoints]
        keypoints = image.found.keypoints
        # Features that only this database keeps are numbered as it keeps them.
        from_file = self.settings.features == FROM_FILES
        return ImagePoints(
            keypoints.px_n2.numpy()[kept],
            image.points_n3[kept] - self.origin_3,
            image.found.number_n[kept] if from_file else np.arange(len(kept)),
            keypoints.descriptors_nc[torch.from_numpy(kept)],
            None if covariances_p33 is None else _uncertain(image, kept, covariances_p33),
        )


def _uncertain(image: ObservedImage, kept_k: np.ndarray, covariances_p33: np.ndarray) -> np.ndarray:
    """Covariances (k, 3, 3) of what keypoints of an image show, and of a photo's keypoint there, about as far away."""
    points_k3, mapped_k = image.points_n3[kept_k], image.mapped_n[kept_k]
    pixel_k = np.linalg.norm(points_k3 - image.pose.center, axis=1) / image.camera.fx
    mapped_k33 = np.zeros((len(kept_k), 3, 3))
    mapped_k33[mapped_k >= 0] = covariances_p33[mapped_k[mapped_k >= 0]]
    return mapped_k33 + np.square(_PHOTO_PX * pixel_k)[:, None, None] * np.eye(3)
