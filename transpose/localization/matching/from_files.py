"""Features, pairs and matches of hloc's files in the terms of a database: names, pixels and numbers of keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.localization.matching.database import Database
from transpose.localization.matching.matches import ImageMatches
from transpose.models.keypoints import Keypoints
from transpose.scenes.hloc.features import Features, read_features, read_global_descriptors
from transpose.scenes.hloc.h5_files import groups_with, reading, require_names
from transpose.scenes.hloc.matches import Matches


@dataclass(frozen=True, eq=False)
class NumberedKeypoints:
    """Keypoints, the best first, and which number each has in its file (n,)."""

    keypoints: Keypoints
    number_n: np.ndarray


def names_in_file(path: Path, data: str, names: Sequence[str]) -> list[str]:
    """Under which name a file has each photo: SECTION/rgb/FILE, or without its first folders.

    Args:
        path: of features or global descriptors.
        data: what it holds of a photo, such as "keypoints".
        names: of the photos, in the scene folder.

    Raises:
        TransposeError: see `require_names`.
    """
    with reading(path) as file:
        held = set(groups_with(file, data))
    found = [name_among(name, held) or name for name in names]
    require_names(path, found, held, data)
    return found


def name_among(name: str, held: set[str] | Mapping[str, object]) -> str | None:
    """The longest end of a path that is one of some names; None where none is."""
    parts = name.split("/")
    return next((end for i in range(len(parts)) if (end := "/".join(parts[i:])) in held), None)


def features_by_photo(path: Path, names: Sequence[str]) -> dict[str, Features]:
    """The features of a file by the photos' names in the scene folder.

    Raises:
        TransposeError: see `read_features`.
    """
    in_file = names_in_file(path, "keypoints", names)
    features = read_features(path, in_file)
    return {name: features[theirs] for name, theirs in zip(names, in_file, strict=True)}


def global_descriptors(path: Path, names: Sequence[str]) -> Tensor:
    """The unit global descriptors (photos, d) of a file by the photos' names in the scene folder.

    Raises:
        TransposeError: see `read_global_descriptors`.
    """
    in_file = names_in_file(path, "global_descriptor", names)
    return F.normalize(torch.from_numpy(read_global_descriptors(path, in_file)), dim=1)


def seen_keypoints(features: Features, camera: Camera, whose: str) -> NumberedKeypoints:
    """Features as keypoints of an image at another size.

    Args:
        features: of the photo's file.
        camera: of the image.
        whose: name of the photo.

    Raises:
        TransposeError: they are of a photo of another shape.
    """
    width, height = features.size
    if not camera.has_shape_of(width, height):
        raise TransposeError(
            f"the features of {whose} are of a photo of {width} x {height} pixels, the photo has another shape; are "
            "they of another database?"
        )
    best_n = np.argsort(-np.nan_to_num(features.scores_n), kind="stable")
    px_n2 = features.keypoints_n2[best_n] * (camera.width / width, camera.height / height)
    descriptors_nc = F.normalize(torch.from_numpy(features.descriptors_nd[best_n]).float(), dim=1)
    return NumberedKeypoints(Keypoints(torch.from_numpy(px_n2).float(), descriptors_nc), best_n)


def matches_of_file(
    query: NumberedKeypoints, matches: Mapping[int, Matches], database: Database, path: Path
) -> ImageMatches:
    """Matches between files' numbers as matches between a photo's keypoints and those of a database.

    What a database has not kept, since its point is unknown, is left out.

    Args:
        query: of the photo.
        matches: by number of the database's image.
        database: of the place.
        path: of their file.

    Raises:
        TransposeError: they are of other features of the photo.
    """
    most = max((int(each.index_m2[:, 0].max(initial=-1)) for each in matches.values()), default=-1)
    if most >= len(query.number_n):
        raise TransposeError(
            f"{path} matches keypoint {most} of a photo that has {len(query.number_n)}; it is of other features: give "
            "--features as well"
        )
    place_n = np.full(int(query.number_n.max(initial=-1)) + 1, -1)
    place_n[query.number_n] = np.arange(len(query.number_n))
    keypoints, rows, scores = [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0)]
    for image, each in matches.items():
        first, last = int(database.first_v[image]), int(database.first_v[image + 1])
        number_k = database.number_n[first:last].cpu().numpy()
        row_of = np.full(max(int(number_k.max(initial=-1)), int(each.index_m2[:, 1].max(initial=-1))) + 1, -1)
        row_of[number_k] = np.arange(first, last)
        row_m = row_of[each.index_m2[:, 1]]
        kept_m = row_m >= 0
        keypoints.append(torch.from_numpy(place_n[each.index_m2[kept_m, 0]]))
        rows.append(torch.from_numpy(row_m[kept_m]))
        scores.append(torch.from_numpy(np.nan_to_num(each.score_m[kept_m], nan=1.0)).float())
    device = database.points_n3.device
    joined: list[Tensor] = [torch.cat(each).to(device) for each in (keypoints, rows, scores)]
    return ImageMatches(*joined)
