"""Localizing photos with any of hloc's halves in place of our own, and writing what was used in hloc's layout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError, first_few
from transpose.geometry.cameras import Camera
from transpose.localization.matching.from_files import (
    NumberedKeypoints,
    features_by_photo,
    global_descriptors,
    matches_of_file,
    name_among,
    seen_keypoints,
)
from transpose.localization.matching.localizer import MatchedImage, MatchingLocalizer
from transpose.localization.query import Query
from transpose.localization.seeing import SeenImage
from transpose.models.keypoints import Keypoints
from transpose.scenes.hloc.features import Features, write_features, write_global_descriptors
from transpose.scenes.hloc.lists import read_pairs, write_pairs, write_results
from transpose.scenes.hloc.matches import Matches, read_matches, write_matches
from transpose.scenes.layout import Frame
from transpose.solvers import PoseEstimate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenFiles:
    """Files of hloc that stand in for our own steps; None: our own.

    Attributes:
        features: local features of the photos.
        vectors: global descriptors of the photos, of the kind that the database was made with.
        pairs: which images of the database each photo is matched with.
        matches: of these pairs.
    """

    features: Path | None = None
    vectors: Path | None = None
    pairs: Path | None = None
    matches: Path | None = None


@dataclass(frozen=True, eq=False)
class Exchanged:
    """A photo that was localized, with all that goes into hloc's files.

    Attributes:
        name: its file's path in the scene folder.
        size: width and height of the file.
        vector_d: its global descriptor; None where pairs were given.
        matched: keypoints, images of the database and matches.
        estimate: lengths as learned.
    """

    name: str
    size: tuple[int, int]
    vector_d: Tensor | None
    matched: MatchedImage
    estimate: PoseEstimate


def localize_with_files(
    localizer: MatchingLocalizer,
    photos: Mapping[str, Frame],
    given: GivenFiles,
    progress: Callable[[Sequence[str]], Iterable[str]],
) -> list[Exchanged]:
    """Localizes photos, each step by hloc's file where one is given.

    Args:
        localizer: of the place.
        photos: by their path in the scene folder.
        given: the files.
        progress: wraps the names as they are worked through.

    Raises:
        TransposeError: a file is missing, broken, or of other photos or another database.
    """
    names = list(photos)
    features = None if given.features is None else features_by_photo(given.features, names)
    vectors = None
    if given.vectors is not None:
        vectors = dict(zip(names, global_descriptors(given.vectors, names), strict=True))
    pairs = None if given.pairs is None else _Pairs.read(given.pairs, localizer)
    out = []
    for name in progress(names):
        frame = photos[name]
        try:
            seen = localizer.see(Query(frame.image(), frame.camera))
        except TransposeError as error:
            log.warning("%s; it is left out", error)
            continue
        own = None if features is None else seen_keypoints(features[name], seen.camera, name)
        found = _own(localizer, seen) if own is None else replace(own, keypoints=own.keypoints.to(localizer.device))
        vector_d = None
        if pairs is not None:
            images_v = pairs.of(name)
        else:
            vector_d = localizer.described(found.keypoints) if vectors is None else vectors[name].to(localizer.device)
            images_v = localizer.alike(vector_d)
        matches = None
        if given.matches is not None:
            held = _matches(given.matches, name, images_v, localizer, pairs)
            matches = matches_of_file(found, held, localizer.database, given.matches)
        matched = localizer.matched(seen, found.keypoints, images_v, matches)
        size = (frame.camera.width, frame.camera.height)
        out.append(Exchanged(name, size, vector_d, matched, localizer.answer(matched)))
    return out


def _own(localizer: MatchingLocalizer, seen: SeenImage) -> NumberedKeypoints:
    keypoints = localizer.keypoints(seen)
    return NumberedKeypoints(keypoints, np.arange(len(keypoints)))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of a file: by the photo's name there, the database's images by their names there."""

    path: Path
    by_photo: Mapping[str, list[str]]
    image_of: Mapping[str, int]

    @classmethod
    def read(cls, path: Path, localizer: MatchingLocalizer) -> _Pairs:
        by_photo: dict[str, list[str]] = {}
        for photo, image in read_pairs(path):
            by_photo.setdefault(photo, []).append(image)
        theirs = {image for images in by_photo.values() for image in images}
        named = {name_among(each.name, theirs): i for i, each in enumerate(localizer.database.images)}
        image_of = {name: i for name, i in named.items() if name is not None}
        if strange := sorted(theirs - image_of.keys()):
            raise TransposeError(
                f"{path} names {len(strange)} images that the database lacks ({first_few(strange, 3)}); is it of "
                "another database?"
            )
        return cls(path, by_photo, image_of)

    def name(self, photo: str) -> str:
        """Of a photo in this file."""
        found = name_among(photo, self.by_photo)
        if found is None:
            raise TransposeError(f"{self.path} has no pair of {photo}; is it of other photos?")
        return found

    def of(self, photo: str) -> Tensor:
        """Numbers of the images that a photo is matched with."""
        return torch.tensor([self.image_of[image] for image in self.by_photo[self.name(photo)]])


def _matches(
    path: Path, photo: str, images_v: Tensor, localizer: MatchingLocalizer, pairs: _Pairs | None
) -> dict[int, Matches]:
    """The matches of a photo by the number of the database's image."""
    theirs = {i: localizer.database.images[i].name for i in images_v.tolist()}
    name = photo
    if pairs is not None:
        name, back = pairs.name(photo), {i: image for image, i in pairs.image_of.items()}
        theirs = {i: back[i] for i in theirs}
    held = read_matches(path, [(name, image) for image in theirs.values()])
    return {i: held[name, image] for i, image in theirs.items()}


def write_exchange(out: Path, localizer: MatchingLocalizer, photos: Sequence[Exchanged]) -> None:
    """Writes features, global descriptors, pairs, matches and poses of photos and database in hloc's layout.

    `features.h5`, `global.h5` (where our own retrieval chose the pairs), `pairs.txt`, `matches.h5`, `results.txt` with
    the poses of the photos that have one, and `database.txt` with those of the database's images.

    Args:
        out: a folder, made if need be.
        localizer: of the place.
        photos: that were localized.

    Raises:
        TransposeError: names of photos do not go into hloc's files.
        MissingPackageError: h5py is not installed.
    """
    out.mkdir(parents=True, exist_ok=True)
    database, factor = localizer.database, localizer.checkpoint.unit.learned
    names = [each.name for each in database.images]
    features = {
        each.name: _file_features(each.matched.keypoints, each.matched.seen.camera, each.size) for each in photos
    }
    for i, image in enumerate(database.images):
        rows_k = torch.arange(int(database.first_v[i]), int(database.first_v[i + 1]))
        keypoints = Keypoints(database.px_n2[rows_k], database.descriptors(rows_k))
        features[image.name] = _file_features(keypoints, image.camera, image.size)
    write_features(out / "features.h5", features)
    vectors = [each.vector_d for each in photos if each.vector_d is not None]
    if len(vectors) == len(photos):
        all_nd = torch.cat([database.vectors_vd.float().cpu(), torch.stack(vectors).cpu()]).numpy()
        write_global_descriptors(out / "global.h5", [*names, *(each.name for each in photos)], all_nd)
    write_pairs(out / "pairs.txt", [(each.name, names[i]) for each in photos for i in each.matched.images_v.tolist()])
    matches = {pair: held for each in photos for pair, held in _pair_matches(each, localizer).items()}
    write_matches(out / "matches.h5", matches, {name: len(each) for name, each in features.items()})
    poses = {each.name: None if each.estimate.pose is None else each.estimate.pose.scaled(factor) for each in photos}
    write_results(out / "results.txt", poses)
    write_results(out / "database.txt", {each.name: each.pose.scaled(factor) for each in database.images})


def _file_features(keypoints: Keypoints, camera: Camera, size: tuple[int, int]) -> Features:
    """Keypoints in pixels of their file; their rank stands for a score, which our detectors do not share."""
    px_n2 = keypoints.px_n2.cpu().numpy() * np.array([size[0] / camera.width, size[1] / camera.height], np.float32)
    scores_n = 1 - np.arange(len(keypoints), dtype=np.float32) / max(1, len(keypoints))
    return Features(px_n2, keypoints.descriptors_nc.cpu().numpy(), scores_n, size)


def _pair_matches(photo: Exchanged, localizer: MatchingLocalizer) -> dict[tuple[str, str], Matches]:
    """The matches of a photo with each image, by the numbers that `features.h5` gives to keypoints."""
    first_v, matches = localizer.database.first_v.cpu(), photo.matched.matches
    keypoint_m, row_m, score_m = matches.keypoint_m.cpu(), matches.row_m.cpu(), matches.similarity_m.cpu()
    image_m = torch.searchsorted(first_v, row_m, right=True) - 1
    found = {}
    for image in photo.matched.images_v.tolist():
        of_image_m = image_m == image
        index_m2 = torch.stack([keypoint_m[of_image_m], row_m[of_image_m] - first_v[image]], 1)
        held = Matches(index_m2.numpy(), score_m[of_image_m].numpy())
        found[photo.name, localizer.database.images[image].name] = held
    return found
