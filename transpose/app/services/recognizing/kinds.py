"""What recognizers return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transpose.worlds.companions import companions

Holds = Literal["photos", "model", "world", "scene", "run"]


@dataclass(frozen=True)
class Recognized:
    """An input that is known.

    Attributes:
        kind: its short name, such as "colmap".
        what: in words, such as "a COLMAP project".
        saw: what it was known by.
        holds: photos to be set up, a model to be built, or what is a world, a scene or a run already.
        source: the file or folder.
        words: the command that takes it in, behind `transpose` and without `--out`; empty where none is needed.
        files: whose change means that all is to be done again.
    """

    kind: str
    what: str
    saw: str
    holds: Holds
    source: Path
    words: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class NearMiss:
    """Something that is of a kind but lacks what is needed.

    Attributes:
        why: what it is, what it lacks, and what to do, on one line.
    """

    why: str


Recognizer = Callable[[Path], Recognized | NearMiss | None]


def photos_kind(kind: str, what: str, saw: str, source: Path, *more: str) -> Recognized:
    """Photos that `transpose setup KIND` takes."""
    words = ("setup", kind, "--source", str(source), *more)
    return Recognized(kind, what, saw, "photos", source, words, (source,) if source.is_file() else ())


def model_kind(kind: str, what: str, saw: str, source: Path) -> Recognized:
    """A model that `transpose build KIND` takes."""
    words = ("build", kind, str(source))
    files = (source, *companions(source)) if source.is_file() else ()
    return Recognized(kind, what, saw, "model", source, words, files)
