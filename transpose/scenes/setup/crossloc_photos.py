"""Drone photos and the renders at their poses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transpose.errors import TransposeError
from transpose.scenes import files
from transpose.scenes.image_kinds import is_image
from transpose.scenes.setup.topo import TopoFrame


def paired_photos(folder: Path, frames: Sequence[TopoFrame]) -> dict[str, Path]:
    """Photos by the stem of their render, which ends with the photo's own name; by order where none does.

    Raises:
        TransposeError: there are not as many photos as renders, some have none by name, or their sizes differ.
    """
    photos = sorted(path for path in folder.iterdir() if is_image(path))
    if len(photos) != len(frames):
        raise TransposeError(f"{folder} has {len(photos)} photos, but there are {len(frames)} renders at their poses")
    stem_of_tail = {tail: stem for stem, tail in _tails([frame.stem for frame in frames])}
    named = [stem_of_tail.get(photo.stem.removesuffix("_img")) for photo in photos]
    lost = [photo for photo, stem in zip(photos, named, strict=True) if stem is None]
    if len(lost) == len(photos):
        named = [frame.stem for frame in frames]
    elif lost or len(set(named)) < len(named):
        odd = lost[0].name if lost else "two of them"
        raise TransposeError(f"{folder}: most photos have the name of a render, but not {odd}")
    pairs = {stem: photo for stem, photo in zip(named, photos, strict=True) if stem is not None}
    for frame in frames:
        _check_same_size(pairs[frame.stem], frame.image)
    return pairs


def _tails(stems: Sequence[str]) -> list[tuple[str, str]]:
    """What each stem ends with, from one `_` on, where no other ends with it."""
    seen: dict[str, list[str]] = {}
    for stem in stems:
        words = stem.split("_")
        for i in range(len(words)):
            seen.setdefault("_".join(words[i:]), []).append(stem)
    return [(which[0], tail) for tail, which in seen.items() if len(which) == 1]


def _check_same_size(photo: Path, render: Path) -> None:
    sizes = [files.image_size(path) for path in (photo, render)]
    if sizes[0] != sizes[1]:
        told = [f"{width} x {height}" for width, height in sizes]
        raise TransposeError(
            f"{photo} has {told[0]} pixels, its render {told[1]}; bring photos to the render's camera first "
            "(transpose undistort --crossloc-drone --size)"
        )
