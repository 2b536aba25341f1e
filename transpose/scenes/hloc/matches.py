"""hloc's matches: one HDF5 group for each pair of photos, `NAME0/NAME1` with every `/` within a name written as `-`.

`matches0` says for each keypoint of the first photo which of the second it is matched with, -1 for none, and
`matching_scores0` how surely. A pair may be stored in either order; older files join both names by `_`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.scenes.hloc.h5_files import numbers_in, photo_of, reading, stored, writing

Pair = tuple[str, str]
_INT16_MAX = np.iinfo(np.int16).max


class Matches(NamedTuple):
    """Matches of a pair: which keypoint of the first photo with which of the second, and how surely, 0 to 1.

    `score_m` is NaN where nothing says so.
    """

    index_m2: np.ndarray
    score_m: np.ndarray


def read_matches(path: Path, pairs: Sequence[Pair], counts: Mapping[str, int] | None = None) -> dict[Pair, Matches]:
    """The matches of pairs, in their order; columns are turned where the file has a pair the other way round.

    Args:
        path: hloc's file of matches.
        pairs: which are wanted, by the photos' names.
        counts: keypoints of each photo, against which matches are checked.

    Raises:
        TransposeError: the file is missing, truncated, lacks a pair, or its matches do not fit the keypoints.
        MissingPackageError: h5py is not installed.
    """
    if counts is not None and (unknown := sorted({name for pair in pairs for name in pair} - set(counts))):
        raise TransposeError(f"{path}: the features have no photo {first_few(unknown, 3)}, which its pairs name")
    with reading(path) as file:
        found = {pair: _group_of(file, pair) for pair in pairs}
        if lacking := [f"{a} {b}" for (a, b), group in found.items() if group is None]:
            held = first_few(sorted(file), 2) or "none at all"
            raise TransposeError(
                f"{path} has no matches of {len(lacking)} of {len(found)} pairs ({first_few(lacking, 2)}); it has "
                f"those of {held}; is it of another database or another list of pairs?"
            )
        return {pair: _matches(*group, pair, path, counts) for pair, group in found.items() if group is not None}


def _group_of(file: Any, pair: Pair) -> tuple[Any, bool] | None:
    """A pair's group, and whether it holds the pair the other way round."""
    plain = [name.replace("/", "-") for name in pair]
    for separator in ("/", "_"):
        for turned in (False, True):
            first, second = reversed(plain) if turned else plain
            group = file.get(f"{first}{separator}{second}")
            if group is not None and hasattr(group, "keys") and "matches0" in group:
                return group, turned
    return None


def _matches(group: Any, turned: bool, pair: Pair, path: Path, counts: Mapping[str, int] | None) -> Matches:
    to_n = stored(group["matches0"], path)
    if to_n.ndim != 1 or to_n.dtype.kind not in "iu":
        raise TransposeError(f"{path}: matches0 of {photo_of(group)} is no list of whole numbers")
    to_n = to_n.astype(np.int64)
    scores_n = numbers_in(group, "matching_scores0", path)
    if scores_n is not None and scores_n.shape != to_n.shape:
        raise TransposeError(f"{path}: {photo_of(group)} has {len(to_n)} matches0, but {scores_n.size} scores")
    first, second = reversed(pair) if turned else pair
    if to_n.min(initial=0) < -1:
        raise TransposeError(f"{path}: matches0 of {photo_of(group)} holds {to_n.min()}, which is no keypoint")
    if counts is not None and (len(to_n) != counts[first] or to_n.max(initial=-1) >= counts[second]):
        raise TransposeError(
            f"{path}: matches of {first} and {second} are of {len(to_n)} and at least {to_n.max(initial=-1) + 1} "
            f"keypoints, but the features have {counts[first]} and {counts[second]}; they are of other features"
        )
    kept_m = np.flatnonzero(to_n >= 0)
    index_m2 = np.stack([kept_m, to_n[kept_m]], 1)
    score_m = np.full(len(kept_m), np.nan, np.float32) if scores_n is None else scores_n[kept_m]
    return Matches(index_m2[:, ::-1].copy() if turned else index_m2, score_m)


def write_matches(path: Path, matches: Mapping[Pair, Matches], counts: Mapping[str, int]) -> None:
    """Writes matches as hloc does; a file that is there is replaced when the new one is whole.

    Args:
        path: of the file.
        matches: by pair; each keypoint of the first photo is matched once at most.
        counts: keypoints of each photo.

    Raises:
        TransposeError: names of two pairs differ by `/` and `-` alone, which hloc's files cannot hold.
        ValueError: a keypoint of a first photo is matched twice, or is none of `counts`.
        MissingPackageError: h5py is not installed.
    """
    with writing(path) as file:
        for (first, second), each in matches.items():
            name = f"{first.replace('/', '-')}/{second.replace('/', '-')}"
            if name in file:
                raise TransposeError(f"{path}: two pairs would be called {name} there; rename photos of {first}")
            to_n, score_n = _by_first(each, counts[first], counts[second], name)
            group = file.create_group(name)
            group.create_dataset("matches0", data=to_n)
            group.create_dataset("matching_scores0", data=np.float16(score_n))


def _by_first(matches: Matches, first: int, second: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    a_m, b_m = np.asarray(matches.index_m2, np.int64).reshape(-1, 2).T
    if len(np.unique(a_m)) < len(a_m):
        raise ValueError(f"{name}: a keypoint of the first photo is matched twice")
    if min(a_m.min(initial=0), b_m.min(initial=0)) < 0 or a_m.max(initial=-1) >= first or b_m.max(initial=-1) >= second:
        raise ValueError(f"{name}: a match is of a keypoint that is none of {first} and {second}")
    to_n = np.full(first, -1, np.int16 if second <= _INT16_MAX else np.int32)
    score_n = np.zeros(first)
    to_n[a_m] = b_m
    score_n[a_m] = np.nan_to_num(matches.score_m, nan=1.0)
    return to_n, score_n
