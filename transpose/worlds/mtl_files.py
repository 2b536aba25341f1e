"""MTL: what the materials of an OBJ look like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.texture_files import decoded, find_beside

# Options of a texture map and the numbers or words that follow them; those of three may have fewer.
_OPTIONS = {
    **dict.fromkeys(("-s", "-o", "-t"), 3),
    **dict.fromkeys(("-mm",), 2),
    **dict.fromkeys(
        ("-blendu", "-blendv", "-cc", "-clamp", "-bm", "-boost", "-texres", "-imfchan", "-type", "-colorspace"), 1
    ),
}
# In this order: what a program means by the colour of a surface, and by what else where it says only that.
_MAPS = ("map_kd", "map_ka", "map_ke")


@dataclass(frozen=True)
class Material:
    """A material of an MTL file.

    Attributes:
        rgb_3: its colour, uint8, None where the file says none.
        picture: the name of its picture as the file writes it, or None.
        scale_2, offset_2: from the OBJ's texture coordinates to the picture's.
    """

    rgb_3: np.ndarray | None = None
    picture: str | None = None
    scale_2: tuple[float, float] = (1.0, 1.0)
    offset_2: tuple[float, float] = (0.0, 0.0)


def as_text(data: bytes) -> str:
    """Text of a file that some program wrote: UTF-8 or UTF-16 by its mark, else UTF-8, else Windows' Latin letters."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def read_mtl(path: Path) -> dict[str, Material]:
    """The materials of a file, by name."""
    try:
        text = as_text(path.read_bytes())
    except OSError as error:
        raise TransposeError(f"{path} cannot be read ({error.strerror})") from None
    materials: dict[str, Material] = {}
    name: str | None = None
    maps: dict[str, str] = {}
    for line in text.replace("\r", "\n").split("\n"):
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        key, rest = key.lower(), rest.strip()
        if key == "newmtl":
            name, maps = rest, {}
            materials[name] = Material()
        elif name is None or not rest:
            continue
        elif key == "kd":
            materials[name] = replace(materials[name], rgb_3=_rgb(rest))
        elif key in _MAPS:
            maps[key] = rest
            chosen = next(maps[each] for each in _MAPS if each in maps)
            materials[name] = _with_map(materials[name], chosen)
    return materials


def _rgb(words: str) -> np.ndarray | None:
    try:
        values = [float(word) for word in words.split()[:3]]
    except ValueError:  # `Kd spectral FILE` or `Kd xyz`
        return None
    values = values * 3 if len(values) == 1 else values
    return np.clip(np.array(values) * 255 + 0.5, 0, 255).astype(np.uint8) if len(values) == 3 else None


def _with_map(material: Material, words: str) -> Material:
    """A material with what a map line says behind its key: options, then the name, which may hold blanks."""
    scale_2, offset_2 = (1.0, 1.0), (0.0, 0.0)
    while (match := re.match(r"(-[a-z]+)\s+", words, re.IGNORECASE)) and match[1].lower() in _OPTIONS:
        option, words = match[1].lower(), words[match.end() :]
        numbers: list[float] = []
        for _ in range(_OPTIONS[option]):
            if option in ("-s", "-o", "-t", "-mm") and not re.match(r"[-+.\d][-+.\deE]*(\s|$)", words):
                break
            word, _, words = words.partition(" ")
            words = words.lstrip()
            if option in ("-s", "-o"):
                numbers.append(_number(word))
        if option == "-s" and numbers:
            scale_2 = numbers[0], numbers[1] if len(numbers) > 1 else 1.0
        if option == "-o" and numbers:
            offset_2 = numbers[0], numbers[1] if len(numbers) > 1 else 0.0
    return replace(material, picture=words.strip(), scale_2=scale_2, offset_2=offset_2)


def _number(word: str) -> float:
    """0 of a word that looks like a number but is none, such as `-`."""
    try:
        return float(word)
    except ValueError:
        return 0.0


class Libraries(NamedTuple):
    """Files of materials that are there, names of those that are not, and whether one of another name was taken."""

    files: list[Path]
    lost: list[str]
    guessed: bool = False


def find_libraries(mesh: Path, named: Iterable[str]) -> Libraries:
    """The files of materials that an OBJ names; where none is there, the one that has the OBJ's own name.

    Args:
        mesh: the OBJ.
        named: what stands behind `mtllib`, a line each: a name may hold blanks, and a line several names.
    """
    files: list[Path] = []
    lost: list[str] = []
    for said in dict.fromkeys(named):
        for name in [said] if find_beside(mesh.parent, said)[0] else said.split() or [said]:
            found, _ = find_beside(mesh.parent, name)
            files.append(found) if found else lost.append(name)
    if lost and not files and (own := find_beside(mesh.parent, f"{mesh.stem}.mtl")[0]):
        return Libraries([own], lost, guessed=True)
    return Libraries(files, lost)


class PictureShelf:
    """Pictures beside a mesh, each read once; what is not found is remembered by its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures: dict[Path, np.ndarray] = {}
        self.notes: list[str] = []

    def picture(self, name: str) -> np.ndarray | None:
        """The picture (height, width, 3) that a name means, None where there is none.

        Raises:
            TransposeError: it is there but cannot be read.
        """
        path, guessed = find_beside(self._folder, name)
        if path is None:
            return None
        if guessed and guessed not in self.notes:
            self.notes.append(guessed)
        if path not in self._pictures:
            try:
                data = path.read_bytes()
            except OSError as error:
                raise TransposeError(f"texture {path} cannot be read ({error.strerror})") from None
            self._pictures[path] = decoded(data, str(path))
        return self._pictures[path]
