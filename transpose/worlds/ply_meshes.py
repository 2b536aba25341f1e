"""PLY meshes: trimesh reads the numbers; names of properties and pictures, which differ, are sorted out here."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.untrusted.values import BAD_VALUES
from transpose.worlds.mesh_parts import MeshContent, MeshPart, only_used, too_coarse
from transpose.worlds.mtl_files import PictureShelf
from transpose.worlds.obj_files import srgb_from_numbers
from transpose.worlds.ply_headers import is_whole, least_bytes
from transpose.worlds.polygons import triangles_of

_COLORS = ("red", "green", "blue")
# What programs call what trimesh knows as red, green, blue; the first that is complete counts.
_COLOR_NAMES = (
    _COLORS,
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ("color_red", "color_green", "color_blue"),
    ("color_r", "color_g", "color_b"),
    ("col_r", "col_g", "col_b"),
    ("ambient_red", "ambient_green", "ambient_blue"),
    ("scalar_red", "scalar_green", "scalar_blue"),
    ("f_red", "f_green", "f_blue"),
)
_CORNERS = ("vertex_indices", "vertex_index")
_UV = ("s", "t")
_UV_NAMES = (
    ("texture_u", "texture_v"),
    ("u", "v"),
    _UV,
    ("tex_u", "tex_v"),
    ("texcoord_u", "texcoord_v"),
    ("texcoord_x", "texcoord_y"),
    ("texture_s", "texture_t"),
)
_PICTURE = re.compile(r"^comment\s+texture[_ ]?(?:file)?\s*[:=]?\s+(\S.*)$", re.IGNORECASE)
_LAST_BLANK = 1  # which text may lack
_PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


class _Header:
    """The text before a PLY's numbers, whose names can be changed."""

    def __init__(self, path: Path, data: bytes) -> None:
        match = re.search(rb"end_header[ \t]*\r?\n?", data[:1_000_000])
        if not data.lstrip().startswith(b"ply") or match is None:
            raise TransposeError(f"{path} cannot be read as a mesh: it is no PLY file, or its header has no end")
        self.lines = data[: match.end()].decode("latin-1").splitlines(keepends=True)
        self.body = data[match.end() :]
        words = [line.split() for line in self.lines]
        if wrong := next((each for each in words if not is_whole(each)), None):
            raise TransposeError(f"{path} cannot be read as a mesh: its header has the line `{' '.join(wrong)[:80]}`")
        if (least := least_bytes(words)) > len(self.body) + _LAST_BLANK:
            raise TransposeError(
                f"{path} cannot be read as a mesh: it is truncated ({len(self.body)} of {least} bytes at least)"
            )
        self.pictures = [m[1].strip() for line in self.lines if (m := _PICTURE.match(line.strip()))]

    def names(self, element: str) -> list[str]:
        """The properties of an element."""
        return [line.split()[-1] for line in self._of(element)]

    def _of(self, element: str) -> list[str]:
        found, inside = [], False
        for line in self.lines:
            words = line.split()
            if words[:1] == ["element"]:
                inside = words[1:2] == [element]
            elif inside and words[:1] == ["property"]:
                found.append(line)
        return found

    @property
    def is_single(self) -> bool:
        """Whether places are binary numbers of 32 bits; text has all its digits."""
        kinds = {line.split()[1] for line in self._of("vertex") if line.split()[-1] in ("x", "y", "z")}
        is_text = any(line.split()[:2] == ["format", "ascii"] for line in self.lines)
        return not is_text and bool(kinds & {"float", "float32"})

    def rename(self, element: str, names: dict[str, str]) -> None:
        """Other names for properties of an element."""
        own = {id(line): line for line in self._of(element)}
        for place, line in enumerate(self.lines):
            if id(line) in own and (name := line.split()[-1]) in names:
                head, _, tail = line.rpartition(name)
                self.lines[place] = head + names[name] + tail

    def file(self) -> io.BytesIO:
        """The whole file with the names as they are now."""
        return io.BytesIO("".join(self.lines).encode("latin-1") + self.body)


def read_ply(path: Path) -> MeshContent:
    """A PLY mesh with its pictures beside it.

    Raises:
        TransposeError: it is broken, or its geometry is of a form that is not read.
    """
    header = _Header(path, path.read_bytes())
    try:
        return _content(path, header)
    except BAD_VALUES as error:  # of numbers and names that do not go together
        raise TransposeError(f"{path} cannot be read as a mesh ({type(error).__name__}: {error})") from None


def _content(path: Path, header: _Header) -> MeshContent:
    shelf, notes = PictureShelf(path.parent), list[str]()
    colored = {element: _named_alike(header, element, _COLOR_NAMES, _COLORS) for element in ("vertex", "face")}
    has_uv = _named_alike(header, "vertex", _UV_NAMES, _UV) or "texcoord" in header.names("face")
    names = header.pictures
    if has_uv and not names and (beside := _of_the_same_name(path)):
        names = [beside.name]
        notes.append(f"{beside.name} is taken for its texture, which it does not name")
    pictures = [shelf.picture(name) for name in names] if has_uv else []
    if not any(picture is not None for picture in pictures):
        # trimesh would split vertices by texture coordinates, and colours would not fit them any longer.
        header.rename("vertex", {name: f"unused_{name}" for name in _UV} if has_uv else {})
        header.rename("face", {"texcoord": "unused_texcoord"})
    mesh = _loaded(path, header)
    if header.is_single and (rounded := too_coarse(np.asarray(mesh.vertices))):
        notes.append(rounded)
    if any(picture is not None for picture in pictures):
        return MeshContent(_textured(path, mesh, names, pictures), notes=notes + shelf.notes)
    part = _colored(path, mesh, colored)
    missing = names[0] if names and has_uv else None
    return MeshContent([MeshPart(part.vertices_v3, part.faces_f3, part.rgb_v3, missing=missing)], notes=notes)


def _named_alike(header: _Header, element: str, families: tuple[tuple[str, ...], ...], to: tuple[str, ...]) -> bool:
    """Gives the first complete family of properties the names that trimesh knows; whether there is one."""
    names = {name.lower(): name for name in header.names(element)}
    for family in families:
        if set(family) <= set(names):
            header.rename(element, {names[name]: new for name, new in zip(family, to, strict=True)})
            return True
    return False


def _of_the_same_name(path: Path) -> Path | None:
    alike = [p for p in sorted(path.parent.iterdir()) if p.suffix.lower() in _PICTURE_ENDINGS and p.stem == path.stem]
    return alike[0] if len(alike) == 1 else None


def _loaded(path: Path, header: _Header) -> Any:
    import trimesh

    try:
        mesh = trimesh.load(header.file(), file_type="ply", process=False, skip_materials=True)
    except Exception as error:  # trimesh's loader raises whatever the broken file makes it stumble over
        raise TransposeError(f"{path} cannot be read as a mesh ({type(error).__name__}: {error})") from None
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0:
        if any(line.split()[:2] == ["element", "tristrips"] for line in header.lines):
            raise TransposeError(
                f"{path} has no triangles but strips of them; save it with plain faces, as MeshLab does"
            )
        raise TransposeError(f"{path} has no triangles; where it is a cloud of points: transpose build cloud")
    return mesh


def _column(element: dict[str, Any], name: str) -> np.ndarray:
    return np.asarray(element["data"][name]).reshape(-1)


def _colored(path: Path, mesh: Any, colored: dict[str, bool]) -> MeshPart:
    """With colours of vertices or, where there are only these, of faces, which then share no vertices."""
    vertices_v3 = np.asarray(mesh.vertices, np.float64)
    raw = mesh.metadata["_ply_raw"]
    faces_f3, polygon_f = _triangles(path, mesh, vertices_v3)
    if colored["vertex"]:
        rgb_v3 = _rgb([_column(raw["vertex"], name) for name in _COLORS])
        if len(rgb_v3) == len(vertices_v3):
            return MeshPart(vertices_v3, faces_f3, rgb_v3)
    if colored["face"]:
        rgb_f3 = _rgb([_column(raw["face"], name) for name in _COLORS])[polygon_f]
        own_f3 = np.arange(3 * len(faces_f3)).reshape(-1, 3)
        return MeshPart(vertices_v3[faces_f3].reshape(-1, 3), own_f3, np.repeat(rgb_f3, 3, axis=0))
    return MeshPart(vertices_v3, faces_f3)


def _triangles(path: Path, mesh: Any, vertices_v3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces (faces, 3) in the order of the file's polygons, and each one's polygon, (faces,).

    trimesh has triangles of polygons, too, but in another order, and of concave ones wrong.
    """
    data = mesh.metadata["_ply_raw"]["face"]["data"]
    names = data.dtype.names if isinstance(data, np.ndarray) else data
    name = next(each for each in (*_CORNERS, *names) if each in names)
    corners = data[name]["f1"] if isinstance(data, np.ndarray) else data[name]
    if isinstance(corners, np.ndarray) and corners.ndim == 2:
        sides_n, corner_k = np.full(len(corners), corners.shape[1]), corners.reshape(-1).astype(np.int64)
    else:
        sides_n = np.array([len(each) for each in corners], np.int64)
        corner_k = np.concatenate([np.asarray(each, np.int64) for each in corners])
    if corner_k.min() < 0 or corner_k.max() >= len(vertices_v3):
        raise TransposeError(f"{path} cannot be read as a mesh: its faces name vertices that it lacks; is it complete?")
    return triangles_of(corner_k, sides_n, vertices_v3[corner_k])


def _rgb(columns: list[np.ndarray]) -> np.ndarray:
    rgb_n3 = np.stack(columns, axis=1)
    return rgb_n3.astype(np.uint8) if rgb_n3.dtype.itemsize == 1 else srgb_from_numbers(rgb_n3.astype(np.float64))


def _textured(path: Path, mesh: Any, names: list[str], pictures: list[np.ndarray | None]) -> list[MeshPart]:
    """A part for each picture, by the number that faces name."""
    vertices_v3, faces_f3 = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    uv_v2 = np.asarray(mesh.visual.uv, np.float64)
    # trimesh hands out v upwards from the picture's bottom.
    uv_f32 = np.stack([uv_v2[:, 0], 1 - uv_v2[:, 1]], axis=-1)[faces_f3].astype(np.float32)
    if len(pictures) == 1:
        return [MeshPart(vertices_v3, faces_f3, None, uv_f32, pictures[0])]
    try:
        number_f = _column(mesh.metadata["_ply_raw"]["face"], "texnumber").astype(np.int64)
    except (KeyError, ValueError):
        number_f = np.zeros(0, np.int64)
    if len(number_f) != len(faces_f3):
        raise TransposeError(f"{path} names {len(pictures)} textures but not which face has which; save it as OBJ")
    parts = []
    for number in np.unique(number_f):
        here_f = number_f == number
        own_v3, own_f3, _ = only_used(vertices_v3, faces_f3[here_f])
        picture = pictures[number] if 0 <= number < len(pictures) else None
        missing = None if picture is not None else names[number] if 0 <= number < len(names) else f"texture {number}"
        parts.append(MeshPart(own_v3, own_f3, None, uv_f32[here_f], picture, missing))
    return parts
