"""hloc's files, written by h5py group by group and dtype by dtype as hloc does."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from transpose.randomness import stream

PHOTOS = {"db/day/1.jpg": 40, "db/day/2.jpg": 30, "query/1.jpg": 25}
SIZE = (1600, 1066)


def write_features(path: Path, channels: int = 16, scores: str = "scores") -> dict[str, np.ndarray]:
    """Returns the keypoints as the file holds them."""
    rng = stream(0, "features")
    keypoints = {}
    for name, count in PHOTOS.items():
        keypoints[name] = np.float16(rng.uniform(0, 1000, (count, 2)))
        with h5py.File(path, "a", libver="latest") as file:
            group = file.create_group(name)
            group.create_dataset("keypoints", data=keypoints[name])
            group.create_dataset("descriptors", data=np.float16(rng.normal(size=(channels, count))))
            group.create_dataset(scores, data=np.float16(rng.random(count)))
            group.create_dataset("image_size", data=np.array(SIZE))
            group["keypoints"].attrs["uncertainty"] = 1.5
    return keypoints


def write_global_descriptors(path: Path, channels: int = 8) -> np.ndarray:
    descriptors_nd = np.float16(stream(0, "global").normal(size=(len(PHOTOS), channels)))
    for name, row_d in zip(PHOTOS, descriptors_nd, strict=True):
        with h5py.File(path, "a", libver="latest") as file:
            group = file.create_group(name)
            group.create_dataset("global_descriptor", data=row_d)
            group.create_dataset("image_size", data=np.array(SIZE))
    return descriptors_nd


def write_matches(path: Path, first: str, second: str, separator: str = "/") -> np.ndarray:
    """Returns `matches0`, every second of which is -1."""
    count = min(PHOTOS[first], PHOTOS[second])
    to_n = np.full(PHOTOS[first], -1, np.int16)
    to_n[:count:2] = stream(0, "matches").permutation(PHOTOS[second])[:count:2]
    with h5py.File(path, "a", libver="latest") as file:
        group = file.create_group(separator.join((first.replace("/", "-"), second.replace("/", "-"))))
        group.create_dataset("matches0", data=to_n)
        group.create_dataset("matching_scores0", data=np.float16(np.where(to_n >= 0, 0.75, 0)))
    return to_n
