"""COLMAP's sparse models as text, also as people and other programs write it by hand."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.storage import read_text

log = logging.getLogger(__name__)
_NO_POINT = -1
_HIGHEST_ID = np.iinfo(np.int64).max
_BETWEEN = re.compile(r"[,\s]+")


@dataclass(frozen=True)
class RawCamera:
    """A camera as a model has it: the model's name, its parameters in order, and the size in pixels."""

    model: str
    parameters: list[float]
    width: int
    height: int


@dataclass(frozen=True)
class RawImage:
    """An image as a model has it: qw qx qy qz tx ty tz, world to camera, and ids of the points seen, -1 for none."""

    name: str
    camera_id: int
    quaternion_translation_7: np.ndarray
    point_ids_m: np.ndarray


@dataclass(frozen=True)
class RawModel:
    """What a model's files say, unchecked; cameras by id."""

    cameras: dict[int, RawCamera]
    images: list[RawImage]
    point_ids_n: np.ndarray
    points_n3: np.ndarray


def read_text_model(folder: Path) -> RawModel:
    """Reads `cameras.txt`, `images.txt` and, where it is there, `points3D.txt`.

    Raises:
        TransposeError: a line is none of COLMAP's.
    """
    point_ids_n, points_n3 = _points(folder / "points3D.txt")
    return RawModel(_cameras(folder / "cameras.txt"), _images(folder / "images.txt"), point_ids_n, points_n3)


def _cameras(path: Path) -> dict[int, RawCamera]:
    cameras = {}
    for number, line in _lines(path):
        words = _words(line)
        try:
            values = [float(word) for word in words[4:]]
            cameras[_whole(words[0])] = RawCamera(words[1].upper(), values, _whole(words[2]), _whole(words[3]))
        except (ValueError, IndexError):
            raise TransposeError(f"{path}, line {number}: expected `id model width height parameters...`") from None
    return cameras


def _images(path: Path) -> list[RawImage]:
    """Two lines an image; the second one, the points seen in it, may be empty. Where people left it out, it is missing.

    An empty line between two images is no second line of either.
    """
    images: list[RawImage] = []
    awaited, without = False, 0  # whether the last image's second line may come, and how many have none
    for number, line in _lines(path, keep_empty=True):
        if awaited and (point_ids_m := _seen(line)) is not None:
            last = images[-1]
            images[-1] = RawImage(last.name, last.camera_id, last.quaternion_translation_7, point_ids_m)
            awaited = False
        elif line:
            without += awaited
            images.append(_image(path, number, line))
            awaited = True
    if without:
        log.warning(
            "%s: %d images lack their second line; which points they show is not known", path, without + awaited
        )
    return images


def _seen(line: str) -> np.ndarray | None:
    """The ids of the points in the second line of an image, x y id each; None where the line is something else."""
    words = _words(line)
    if len(words) % 3:
        return None
    try:
        # What COLMAP counts as the highest number of 64 bits stands for no point, and other libraries print that.
        ids = [_whole(word) for word in words[2::3]]
        float(words[0]) if words else 0
        return np.array([each if 0 <= each <= _HIGHEST_ID else _NO_POINT for each in ids], np.int64)
    except ValueError:
        return None


def _image(path: Path, number: int, line: str) -> RawImage:
    words = _BETWEEN.split(line.strip(), maxsplit=9)  # a name may hold blanks, also two of them, and commas
    try:
        values_7 = np.array([float(word) for word in words[1:8]])
        _whole(words[0])
        return RawImage(words[9], _whole(words[8]), values_7, np.zeros(0, np.int64))
    except (ValueError, IndexError):
        raise TransposeError(
            f"{path}, line {number}: expected `id qw qx qy qz tx ty tz camera name`, "
            "then a line of the points seen, `x y id` each, which may be empty"
        ) from None


def _points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    ids, points = [], []
    for number, line in _lines(path) if path.is_file() else []:
        words = _words(line)
        try:
            ids.append(np.int64(_whole(words[0])))
            points.append((float(words[1]), float(words[2]), float(words[3])))
        except (ValueError, IndexError, OverflowError):
            raise TransposeError(f"{path}, line {number}: expected `id x y z r g b error track...`") from None
    return np.array(ids, np.int64), np.array(points, np.float64).reshape(-1, 3)


def _lines(path: Path, keep_empty: bool = False) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(map(str.strip, read_text(path, "replace").splitlines()), 1):
        if not line.startswith("#") and (keep_empty or line):
            yield number, line


def _words(line: str) -> list[str]:
    return line.replace(",", " ").split()


def _whole(word: str) -> int:
    """A whole number, also where it is written `640.0` or `1e3`.

    Raises:
        ValueError: it is none.
    """
    try:
        return int(word)
    except ValueError:
        value = float(word)
        if not value.is_integer():  # nor is what is infinite or no number
            raise ValueError(f"{word} is not a whole number") from None
        return int(value)
