"""hloc's text files: pairs of photos, and poses that came out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.poses import Pose, compose, invert, quaternion_wxyz, rotation_from_quaternion
from transpose.storage import read_text, replacing_file

_LEAST_NORM = 0.5  # of a quaternion


def read_pairs(path: Path, known: Collection[str] | None = None) -> list[tuple[str, str]]:
    """Pairs of photos' names, one pair a line, each once.

    Args:
        path: such as `pairs-netvlad20.txt`.
        known: names that may occur.

    Raises:
        TransposeError: the file is missing or empty, a line is no pair, or names a photo that is not known.
    """
    pairs = list(dict.fromkeys(_pair(path, number, words) for number, words in _lines(path)))
    if not pairs:
        raise TransposeError(f"{path} is empty; it names two photos a line")
    if known is not None and (strange := sorted({name for pair in pairs for name in pair} - set(known))):
        raise TransposeError(
            f"{path} names {len(strange)} photos that do not occur ({first_few(strange, 3)}); is it of another "
            "database?"
        )
    return pairs


def _pair(path: Path, number: int, words: list[str]) -> tuple[str, str]:
    if len(words) != 2:
        raise TransposeError(f"{path}, line {number}: {len(words)} words, not the names of two photos")
    return words[0], words[1]


def write_pairs(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Writes pairs of photos' names, one pair a line.

    Raises:
        TransposeError: a name has a blank in it, at which hloc would cut it in two.
    """
    _write(path, [f"{_word(path, first)} {_word(path, second)}" for first, second in pairs])


def read_results(path: Path) -> dict[str, Pose]:
    """Poses by photo: lines of `name qw qx qy qz tx ty tz`, world to camera.

    hloc writes names without their folders.

    Raises:
        TransposeError: the file is missing or empty, a line is something else, holds NaN, or names a photo twice.
    """
    poses: dict[str, Pose] = {}
    for number, words in _lines(path):
        name = words[0]
        if name in poses:
            raise TransposeError(f"{path}, line {number}: {name} has a pose already")
        poses[name] = _pose(words[1:], f"{path}, line {number}")
    if not poses:
        raise TransposeError(f"{path} is empty; it has a pose a line: name qw qx qy qz tx ty tz")
    return poses


def _pose(words: list[str], where: str) -> Pose:
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.zeros(0)
    if len(values) != 7:
        raise TransposeError(f"{where}: not a name and the seven numbers qw qx qy qz tx ty tz; is the file whole?")
    if not np.isfinite(values).all() or np.linalg.norm(values[:4]) < _LEAST_NORM:
        raise TransposeError(f"{where}: its pose is none (NaN, or no quaternion)")
    return Pose(invert(compose(rotation_from_quaternion(values[:4]), values[4:])))


def write_results(path: Path, poses: Mapping[str, Pose | None]) -> None:
    """Writes poses by photo as hloc does, world to camera; a photo without one, which was refused, has no line.

    Raises:
        TransposeError: a name has a blank in it.
    """
    lines = []
    for name, pose in poses.items():
        if pose is not None:
            T_cw = pose.T_cw
            numbers = [*quaternion_wxyz(T_cw[:3, :3]), *T_cw[:3, 3]]
            lines.append(" ".join([_word(path, name), *(repr(float(number)) for number in numbers)]))
    _write(path, lines)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbers and words of the lines that hold any."""
    return [(n, words) for n, line in enumerate(read_text(path).splitlines(), 1) if (words := line.split())]


def _word(path: Path, name: str) -> str:
    if name.split() != [name]:
        raise TransposeError(
            f"{path}: the name of {name!r} has a blank in it, which hloc's lists cannot hold; rename it"
        )
    return name


def _write(path: Path, lines: list[str]) -> None:
    with replacing_file(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
