"""Which photos of a project are on this disk, and where.

Names are as another machine wrote them, and folders as other programs lay them out: `images/` here and `input/` there,
`IMG_1.JPG` that became `img_1.jpg`, photos that were thrown away after the reconstruction.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from transpose.errors import TransposeError, first_few
from transpose.scenes.image_kinds import HEIF_ENDINGS, IMAGE_ENDINGS, is_image
from transpose.storage import read_text
from transpose.untrusted.paths import below_project, is_file, is_folder

log = logging.getLogger(__name__)
# Where COLMAP, Nerfstudio, gaussian splatting, Instant-NGP and scanners put photos.
_FOLDERS = ("images", "input", "rgb", "image", "photos", "frames", "color", "images_2", "images_4", "images_8")
_ENDINGS = (*IMAGE_ENDINGS, *HEIF_ENDINGS)  # where several fit, the first is taken


class Named(Protocol):
    """A photo as a project names it: `image` is where it is, or would be."""

    @property
    def name(self) -> str:
        """As the project writes it."""
        ...

    @property
    def image(self) -> Path:
        """Where the file is, or would be."""
        ...


P = TypeVar("P", bound=Named)


def plain_name(name: str) -> str:
    """A photo's name with `/` between folders, also where Windows wrote a backslash, and without `./` in front."""
    return PurePosixPath(name.replace("\\", "/")).as_posix()


def stem_of(name: str) -> str:
    """A photo's name in a section: without its ending, and folders are part of it.

    What is all digits is no ending: `frame.0001` and `frame.0002` are two frames.
    """
    path = PurePosixPath(name)
    path = path if path.suffix[1:].isdigit() else path.with_suffix("")
    return "-".join(part.replace(":", "") for part in path.parts if part not in ("/", ".", ".."))


def usual_folders(base: Path, first: str = "images") -> list[Path]:
    """Where photos may be below a folder, the likeliest first, and the folder itself last."""
    names = (first, *(name for name in _FOLDERS if name != first))
    return [*(base / name for name in names if (base / name).is_dir()), base]


def locate(names: Iterable[str], folders: Sequence[Path]) -> dict[str, Path]:
    """Where the photos are.

    All of them are in one folder: the first that holds at least half of them, else the one that holds most. Projects
    hold several versions of a photo, and only one belongs to the poses. Names are tried as they are in every folder;
    only then without folders in front, which were those of another machine.

    Args:
        names: as `plain_name` gives them.
        folders: at least one.

    Returns:
        A path for each name; where there is no such file, the one where it should be.
    """
    names = list(names)
    best_folder, best = folders[0], dict[str, Path]()
    for shortened in (False, True):
        for folder in folders:
            found = _in_folder(names, folder, shortened)
            if len(found) > len(best):
                best_folder, best = folder, found
            if 2 * len(best) >= max(1, len(names)):
                return _with_missing(names, best_folder, best)
    return _with_missing(names, best_folder, best)


def _with_missing(names: list[str], folder: Path, found: dict[str, Path]) -> dict[str, Path]:
    renamed = [name for name in names if (path := found.get(name)) and _other_ending(name, path)]
    if renamed:
        such = f"{found[renamed[0]].name} for {renamed[0]}"
        log.warning("%s: %d photos are there under another ending, such as %s", folder, len(renamed), such)
    return {name: found.get(name) or below_project(folder, name) or folder / _harmless(name) for name in names}


def _harmless(name: str) -> str:
    """A name, of which there is no file, for one that would lead out of the project."""
    return "outside of the project: " + re.sub(r"[/\\\0]", "|", name)[-100:]


def _other_ending(name: str, path: Path) -> bool:
    ending = PurePosixPath(name).suffix.lower()
    return ending in _ENDINGS and ending != path.suffix.lower()


def _in_folder(names: list[str], folder: Path, shortened: bool) -> dict[str, Path]:
    """Those of the names that are in a folder; of those that are not quite it, none of two that would be one file."""
    allowed = {name: path for name in names if (path := below_project(folder, name)) is not None}
    exact = {name: path for name, path in allowed.items() if is_file(path)}
    taken, loose = set(exact.values()), dict[str, Path]()
    folders: dict[Path, dict[str, list[Path]]] = {}
    for name in names:
        parts = PurePosixPath(name).parts
        for start in range(0 if name in exact else len(parts) if shortened else 1):
            below = below_project(folder, "/".join(parts[start:]))
            path = None if below is None else _file(below, folders)
            if path is not None and path not in taken:
                loose[name] = path
                break
    users = Counter(loose.values())
    return exact | {name: path for name, path in loose.items() if users[path] == 1}


def _file(path: Path, folders: dict[Path, dict[str, list[Path]]]) -> Path | None:
    """A file, or the one that differs from it by capitals, by how accents are written, or by its ending alone."""
    if is_file(path):
        return path
    if path.parent not in folders:
        by_stem: dict[str, list[Path]] = {}
        for each in sorted(path.parent.iterdir()) if is_folder(path.parent) else []:
            if is_image(each):
                by_stem.setdefault(_folded(each.stem), []).append(each)
        folders[path.parent] = by_stem
    known = folders[path.parent]
    without = path.stem if path.suffix.lower() in _ENDINGS else path.name
    alike = known.get(_folded(without), [])
    return min(alike, key=lambda each: _unlikeness(each, path, without), default=None)


def _folded(stem: str) -> str:
    """Without capitals, and with accents as one letter each, which macOS writes as two."""
    return unicodedata.normalize("NFC", stem).casefold()


def _unlikeness(candidate: Path, path: Path, stem: str) -> tuple[bool, bool, int]:
    ending = candidate.suffix.lower()
    return ending != path.suffix.lower(), candidate.stem != stem, _ENDINGS.index(ending)


def existing(photos: Sequence[P], section: str, remedy: str = "is the folder of images complete?") -> list[P]:
    """The photos that are there; a warning counts and names those that are missing.

    Raises:
        TransposeError: more than half are missing.
    """
    missing = [photo for photo in photos if not is_file(photo.image)]
    if not missing:
        return list(photos)
    names = first_few([photo.name for photo in missing])
    counted = f"{len(missing)} of {len(photos)} photos of section {section}"
    if 2 * len(missing) > len(photos):
        where = first_few(sorted({str(photo.image.parent) for photo in missing}), 2)
        raise TransposeError(f"{counted} are missing: {names}; they were looked for in {where}; {remedy}")
    log.warning("%s are missing and are left out: %s", counted, names)
    return [photo for photo in photos if is_file(photo.image)]


def listed(photos: Sequence[P], list_file: Path | None) -> list[P]:
    """The photos that a list names, or all of them.

    A line is a name, a stem, or the end of a path; or several of them, where it is none itself. Lines that begin with
    `#` are comments.

    Raises:
        TransposeError: the list is missing or empty, or names what is not there or is not unique.
    """
    if list_file is None:
        return list(photos)
    by_name: dict[str, list[P]] = {}
    for photo in photos:
        path = PurePosixPath(photo.name)
        for name in {photo.name, stem_of(photo.name), path.stem, path.name}:
            by_name.setdefault(name, []).append(photo)
    words: list[str] = []
    for line in map(str.strip, read_text(list_file).splitlines()):
        if plain_name(line) in by_name:
            words.append(line)
        elif not line.startswith("#"):
            words += line.split()
    if not words:
        raise TransposeError(f"{list_file} is empty; it names photos, one a line")
    chosen = dict[int, P]()
    for word in words:
        name = plain_name(word)
        found = by_name.get(name) or [photo for photo in photos if photo.image.as_posix().endswith(f"/{name}")]
        if len(found) != 1:
            what = f"is not unique: {first_few([photo.name for photo in found])}" if found else "is not in this set"
            raise TransposeError(f"{list_file} names {word}, which {what}")
        chosen[id(found[0])] = found[0]
    return list(chosen.values())
