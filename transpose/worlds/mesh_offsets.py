"""Where a mesh stands on the map: programs that write meshes leave its offset and its map's name in files beside it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.reference_systems import system_code
from transpose.storage import read_text

log = logging.getLogger(__name__)

_ODM_FILES = ("coords.txt", "odm_georeferencing_model_geo.txt")
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_ENU = re.compile(rf"\s*ENU\s*:\s*({_NUMBER})\s*,\s*({_NUMBER})\s*", re.IGNORECASE)
_ABSOLUTE_M = 1e5  # coordinates beyond are those of a map already


@dataclass(frozen=True)
class Offset:
    """What is added to a mesh's coordinates, and the map that they are in then.

    Attributes:
        origin_3: metres, z up.
        crs: whatever pyproj understands, None where the file does not say.
        file: that says so.
    """

    origin_3: np.ndarray
    crs: str | None
    file: Path


def offset_beside(mesh: Path) -> Offset | None:
    """The offset that a program left for a mesh: OpenDroneMap, ContextCapture, DJI Terra, Metashape, Pix4D and others.

    Raises:
        TransposeError: such a file is there, but broken, or there are several for one mesh.
    """
    for name, read in _READERS.items():
        found = [path for folder in _folders(mesh) for path in _matching(folder, name, mesh)]
        if not found:
            continue
        if len(found) > 1 and name.startswith("*"):
            named = ", ".join(path.name for path in found)
            raise TransposeError(f"{mesh} has several offset files beside it ({named}); say which by --origin X Y Z")
        if (offset := read(found[0])) is not None:
            return Offset(offset.origin_3, offset.crs or _projection_beside(mesh), offset.file)
    if (crs := _projection_beside(mesh)) is not None:
        return Offset(np.zeros(3), crs, _projection_files(mesh)[0])
    return None


def unread_beside(mesh: Path) -> Path | None:
    """A file beside a mesh that says where it is, but is not read: RealityCapture's."""
    return next(_matching(mesh.resolve().parent, "*.rcinfo", mesh), None)


def is_on_the_map(vertices_v3: np.ndarray, offset: Offset) -> bool:
    """Whether a mesh has its offset in its coordinates already."""
    center_2 = np.median(vertices_v3[:, :2], axis=0)
    return bool(np.abs(offset.origin_3[:2]).max() > 0 and np.abs(center_2).max() > _ABSOLUTE_M)


def _folders(mesh: Path) -> list[Path]:
    """The mesh's own, those above it, and where OpenDroneMap and Pix4D keep such files in a project."""
    folder = mesh.resolve().parent
    near = [folder, folder.parent, folder.parent.parent]
    return [*near, folder.parent / "odm_georeferencing", *(each / "1_initial" / "params" for each in near)]


def _matching(folder: Path, name: str, mesh: Path) -> Iterator[Path]:
    """Files of a folder with a name or pattern, capitals or not; above its own folder only projects'."""
    if not folder.is_dir():
        return
    pattern = name.lower()
    is_near = folder == mesh.resolve().parent
    if not is_near and name in ("offset.txt", "shift.txt"):
        return
    if not is_near and name.startswith("*") and folder.name != "params":
        return
    for path in sorted(folder.iterdir()):
        if path.is_file() and (
            path.name.lower() == pattern or (pattern[0] == "*" and path.name.lower().endswith(pattern[1:]))
        ):
            yield path


def _projection_files(mesh: Path) -> list[Path]:
    folder = mesh.resolve().parent
    params = [each / "1_initial" / "params" for each in (folder.parent, folder.parent.parent)]
    found = [folder / f"{mesh.stem}.prj"]
    found += [path for each in (folder, *params) if each.is_dir() for path in sorted(each.glob("*_wkt.prj"))]
    return [path for path in found if path.is_file()]


def _projection_beside(mesh: Path) -> str | None:
    files = _projection_files(mesh)
    return read_text(files[0]).strip() or None if files else None


def read_odm_offset(path: Path) -> Offset | None:
    """OpenDroneMap's: the map's name, then east and north; None where it is some other file of this name."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    words = lines[1].split() if len(lines) > 1 else []
    if len(words) not in (2, 3) or not all(re.fullmatch(_NUMBER, word) for word in words):
        return None
    return Offset(np.array([*map(float, words), 0.0][:3]), system_code(lines[0]), path)


def _read_metadata(path: Path) -> Offset | None:
    """`<SRS>` and `<SRSOrigin>` of ContextCapture, iTwin, DJI Terra and Metashape; None where it has neither."""
    content = path.read_bytes()
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        if b"SRSOrigin" not in content:
            return None
        raise TransposeError(f"{path} is no XML ({error}); remove it, or say --origin X Y Z and --crs") from None
    found = {element.tag.rpartition("}")[2].lower(): (element.text or "").strip() for element in root.iter()}
    if "srs" not in found and "srsorigin" not in found:
        return None
    words = re.split(r"[,;\s]+", found.get("srsorigin") or "0,0,0")
    if len(words) not in (2, 3) or not all(re.fullmatch(_NUMBER, word) for word in words):
        raise TransposeError(f"{path}: <SRSOrigin> is {found['srsorigin']!r}, not three numbers; say --origin X Y Z")
    return Offset(np.array([*map(float, words), 0.0][:3]), _system(path, found.get("srs") or ""), path)


def _system(path: Path, said: str) -> str | None:
    """A reference system's name; a local frame that points east, north and up becomes the map that touches it there."""
    if match := _ENU.fullmatch(said):
        log.warning(
            "%s: the mesh is in a plane that touches the earth at %s, %s, not in a map; heights leave the true ones by "
            "8 cm at 1 km from there", path, match[1], match[2],
        )  # fmt: skip
        return f"+proj=tmerc +lat_0={match[1]} +lon_0={match[2]} +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"
    return system_code(said) if said and "local" not in said.lower() else None


def _read_numbers(path: Path) -> Offset | None:
    """Three numbers, perhaps behind the name of a system (`EPSG::32633 x y z`), perhaps with `x =` before each."""
    text = read_text(path).strip()
    code = re.match(r"EPSG[:\s]*\d+", text, re.IGNORECASE)
    numbers = re.findall(_NUMBER, text[code.end() :] if code else text)
    if len(numbers) != 3:
        raise TransposeError(f"{path} holds {len(numbers)} numbers, an offset has three; say --origin X Y Z instead")
    return Offset(np.array([float(number) for number in numbers]), system_code(code[0]) if code else None, path)


# Names, or patterns, of files; the first that is there counts.
_READERS: dict[str, Callable[[Path], Offset | None]] = {
    **dict.fromkeys(_ODM_FILES, read_odm_offset),
    "metadata.xml": _read_metadata,
    "*_offset.xyz": _read_numbers,
    "offset.txt": _read_numbers,
    "offset.xyz": _read_numbers,
    "shift.txt": _read_numbers,
}
