"""hloc's local features and global descriptors: one HDF5 group for each photo, under the photo's name.

Local features are `keypoints` (n, 2), `descriptors` (channels, n), `scores` (n,) and `image_size` (width, height); a
global descriptor is `global_descriptor` (channels,). hloc counts the centre of the first pixel as 0, 0, and TransPose
as 0.5, 0.5: keypoints are moved by half a pixel here, when read and when written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.scenes.hloc.h5_files import groups_with, numbers_in, photo_of, reading, require_names, writing

_PIXEL_CENTER = 0.5
_SCORES = ("scores", "keypoint_scores")  # the second is what some extractors call them
_UNCERTAINTY_PX = 1.0  # hloc's own default, of a keypoint's position


@dataclass(frozen=True, eq=False)
class Features:
    """Local features of one photo, float32.

    Attributes:
        keypoints_n2: continuous pixels of the photo, the first pixel's centre at 0.5, 0.5.
        descriptors_nd: one row a keypoint.
        scores_n: of the detector; NaN where it says none.
        size: width and height of the photo in pixels.
    """

    keypoints_n2: np.ndarray
    descriptors_nd: np.ndarray
    scores_n: np.ndarray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.keypoints_n2)


def read_features(path: Path, names: Sequence[str] | None = None) -> dict[str, Features]:
    """Local features by photo, in the order of the names.

    Args:
        path: hloc's file, such as `feats-superpoint-n4096-r1024.h5`.
        names: of the photos that are wanted; all in the file where none are given.

    Raises:
        TransposeError: the file is missing or truncated, lacks a photo, or holds numbers that are NaN or do not go
            together.
        MissingPackageError: h5py is not installed.
    """
    with reading(path) as file:
        held = groups_with(file, "keypoints")
        names = held if names is None else names
        require_names(path, names, held, "keypoints")
        return {name: _features(file[name], path) for name in names}


def _features(group: Any, path: Path) -> Features:
    name = photo_of(group)
    keypoints_n2, descriptors_dn, size = (
        _required(group, what, path) for what in ("keypoints", "descriptors", "image_size")
    )
    if keypoints_n2.ndim != 2 or keypoints_n2.shape[1] != 2:
        raise TransposeError(f"{path}: keypoints of {name} have shape {keypoints_n2.shape}, not (number, 2)")
    count = len(keypoints_n2)
    if descriptors_dn.ndim != 2 or descriptors_dn.shape[1] != count:
        hint = "; they are one column a keypoint, not one row" if len(descriptors_dn) == count else ""
        raise TransposeError(
            f"{path}: {name} has {count} keypoints, but descriptors of shape {descriptors_dn.shape}{hint}"
        )
    scores_n = next((found for each in _SCORES if (found := numbers_in(group, each, path)) is not None), None)
    if scores_n is not None and scores_n.shape != (count,):
        raise TransposeError(f"{path}: {name} has {count} keypoints, but scores of shape {scores_n.shape}")
    if size.shape != (2,) or size.min() < 1:
        raise TransposeError(f"{path}: image_size of {name} is {size.tolist()}, not width and height in pixels")
    return Features(
        keypoints_n2 + np.float32(_PIXEL_CENTER),
        np.ascontiguousarray(descriptors_dn.T),
        np.full(count, np.nan, np.float32) if scores_n is None else scores_n,
        (round(float(size[0])), round(float(size[1]))),
    )


def write_features(path: Path, features: Mapping[str, Features]) -> None:
    """Writes local features by photo as hloc does; a file that is there is replaced when the new one is whole.

    Descriptors and scores are half precision as hloc's are; keypoints are not, because half precision rounds them to
    a whole pixel from pixel 1024 on. hloc reads both.

    Raises:
        ValueError: numbers of keypoints, descriptors and scores differ.
        MissingPackageError: h5py is not installed.
    """
    with writing(path) as file:
        for name, each in features.items():
            if not len(each.keypoints_n2) == len(each.descriptors_nd) == len(each.scores_n):
                raise ValueError(f"{name}: numbers of keypoints, descriptors and scores differ")
            group = file.create_group(name)
            keypoints = group.create_dataset("keypoints", data=np.float32(each.keypoints_n2 - _PIXEL_CENTER))
            keypoints.attrs["uncertainty"] = _UNCERTAINTY_PX
            group.create_dataset("descriptors", data=np.float16(each.descriptors_nd.T))
            if np.isfinite(each.scores_n).all():
                group.create_dataset("scores", data=np.float16(each.scores_n))
            group.create_dataset("image_size", data=np.array(each.size, np.int64))


def read_global_descriptors(path: Path, names: Sequence[str]) -> np.ndarray:
    """Global descriptors (photos, channels), float32, in the order of the names.

    Raises:
        TransposeError: the file is missing or truncated, lacks a photo, or holds NaN or descriptors of several lengths.
        MissingPackageError: h5py is not installed.
    """
    with reading(path) as file:
        require_names(path, names, groups_with(file, "global_descriptor"), "global descriptors")
        rows = [_required(file[name], "global_descriptor", path).ravel() for name in names]
    if len({len(row) for row in rows}) > 1:
        raise TransposeError(f"{path}: its global descriptors have several lengths; they are of several networks")
    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def write_global_descriptors(path: Path, names: Sequence[str], descriptors_nd: np.ndarray) -> None:
    """Writes one global descriptor a photo as hloc does, in half precision.

    Raises:
        MissingPackageError: h5py is not installed.
    """
    with writing(path) as file:
        for name, row_d in zip(names, descriptors_nd, strict=True):
            file.create_group(name).create_dataset("global_descriptor", data=np.float16(row_d))


def _required(group: Any, name: str, path: Path) -> np.ndarray:
    values = numbers_in(group, name, path)
    if values is None:
        raise TransposeError(f"{path}: {photo_of(group)} has no {name}; is this a file of hloc's features?")
    return values
