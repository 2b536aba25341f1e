"""Wavefront OBJ: vertices with or without colours, polygons, and the materials that they name."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.worlds.mesh_parts import MeshContent, MeshPart, only_used
from transpose.worlds.mtl_files import Material, PictureShelf, as_text, find_libraries, read_mtl
from transpose.worlds.polygons import triangles_of
from transpose.worlds.texture_files import find_beside
from transpose.worlds.udim import udim_tiles


@dataclass
class _Lines:
    """The lines of a file by what they say; faces by material, None before the first `usemtl`."""

    vertices: list[str] = field(default_factory=list)
    texture_points: list[str] = field(default_factory=list)
    faces: dict[str | None, list[str]] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)


def read_obj(path: Path) -> MeshContent:
    """An OBJ with its MTL and pictures beside it.

    Raises:
        TransposeError: it is broken, or its faces name pictures of which not one is there.
    """
    lines = _sorted_lines(as_text(path.read_bytes()))
    vertices_v3, rgb_v3 = _vertices(path, lines.vertices)
    wardrobe = _Wardrobe(path, lines, _numbers(path, lines.texture_points, "vt", most=2))
    parts = []
    for name, face_lines in lines.faces.items():
        corner_c2, sides_n = _corners(path, face_lines)
        _check_range(path, corner_c2[:, 0], len(vertices_v3), "vertices")
        corner_f32, _ = triangles_of(corner_c2, sides_n, vertices_v3[corner_c2[:, 0] - 1])
        if len(corner_f32) == 0:
            continue
        used_v3, faces_f3, used_v = only_used(vertices_v3, corner_f32[..., 0] - 1)
        part = MeshPart(used_v3, faces_f3, None if rgb_v3 is None else rgb_v3[used_v])
        parts += wardrobe.dressed(part, corner_f32[..., 1], name)
    return MeshContent(parts, notes=wardrobe.notes)


def _sorted_lines(text: str) -> _Lines:
    lines = _Lines()
    faces = lines.faces.setdefault(None, [])
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\\\n", " ").replace("\t", " ")
    for line in text.split("\n"):
        key, _, rest = line.lstrip().partition(" ")
        if key == "v":
            lines.vertices.append(rest)
        elif key == "vt":
            lines.texture_points.append(rest)
        elif key == "f":
            rest = rest.partition("#")[0]
            if "-" in rest:
                rest = _counted_from_the_start(rest, len(lines.vertices), len(lines.texture_points))
            faces.append(rest)
        elif key == "usemtl":
            faces = lines.faces.setdefault(rest.strip(), [])
        elif key == "mtllib":
            lines.libraries.append(rest.strip())
    return lines


def _counted_from_the_start(face: str, vertices: int, texture_points: int) -> str:
    """A face whose negative numbers count back from what stands above it."""
    words = []
    for word in face.split():
        numbers = word.split("/")[:2]
        counts = (vertices, texture_points)
        words.append("/".join(_from_the_start(n, c) for n, c in zip(numbers, counts, strict=False)))
    return " ".join(words)


def _from_the_start(number: str, count: int) -> str:
    """A negative number counted from the start; what is no number stays, for others to refuse."""
    try:
        return str(count + 1 + int(number)) if number.startswith("-") else number
    except ValueError:
        return number


def _numbers(path: Path, rows: list[str], key: str, most: int) -> np.ndarray:
    """The first numbers of each row, (n, most); what a row lacks is NaN."""
    if not rows:
        return np.zeros((0, most))
    columns = len(rows[0].split())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that are none, which the size shows
        try:
            values_k = np.fromstring(" ".join(rows), np.float64, sep=" ")
        except ValueError:
            values_k = np.zeros(0)
    if columns >= most and len(values_k) == columns * len(rows) and len(rows[-1].split()) == columns:
        return values_k.reshape(len(rows), columns)[:, :most]
    values_nm = np.full((len(rows), most), np.nan)
    for n, row in enumerate(rows):
        words = row.partition("#")[0].replace(",", ".").split()[:most]
        try:
            values_nm[n, : len(words)] = [float(word) for word in words]
        except ValueError:
            raise TransposeError(
                f"{path} cannot be read as a mesh: `{key} {row.strip()}` is no row of numbers"
            ) from None
    return values_nm


def _vertices(path: Path, rows: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Places (vertices, 3) and sRGB colours, None where there are none: behind x, y, z, or behind x, y, z, w."""
    columns = Counter(len(row.split()) for row in rows[:1000]).most_common(1)
    width = min(columns[0][0], 8) if columns else 3
    values_nk = _numbers(path, rows, "v", max(width, 3))
    if not rows or np.isnan(values_nk[:, :3]).any():
        raise TransposeError(
            f"{path} cannot be read as a mesh: it has {'no vertices' if not rows else 'broken vertices'}"
        )
    rgb_n3 = None if width < 6 else values_nk[:, 4:7] if width == 8 else values_nk[:, 3:6]
    return values_nk[:, :3], None if rgb_n3 is None else srgb_from_numbers(rgb_n3)


def srgb_from_numbers(rgb_n3: np.ndarray) -> np.ndarray:
    """Colours that some program wrote from 0 to 1, 255 or 65535, as uint8; NaN, where a row has none, as grey."""
    most = float(np.nanmax(rgb_n3, initial=0))
    scale = 255.0 if most <= 1 + 1e-6 else 1.0 if most <= 255 else 255 / 65535
    return np.clip(np.nan_to_num(rgb_n3 * scale, nan=180.0) + 0.5, 0, 255).astype(np.uint8)


def _corners(path: Path, faces: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Vertex and texture point of each corner, (corners, 2), from 1, 0 for none; and each face's corners."""
    text = "\n".join(faces) + "\n"
    byte_k = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    gap_k = byte_k <= ord(" ")
    start_c = np.flatnonzero(~gap_k & np.concatenate([[True], gap_k[:-1]]))
    face_c = np.searchsorted(np.flatnonzero(byte_k == ord("\n")), start_c)
    sides_n = np.bincount(face_c, minlength=len(faces))
    if len(start_c) == 0:
        return np.zeros((0, 2), np.int64), sides_n
    slash_k = byte_k == ord("/")
    slashes_c = np.add.reduceat(slash_k, start_c, dtype=np.int64)
    bare = text.count("//")
    is_regular = (
        (slashes_c == slashes_c[0]).all() and bare in (0, len(start_c)) and not (slash_k[:-1] & gap_k[1:]).any()
    )
    try:
        if is_regular:
            columns = int(slashes_c[0]) + 1 - (bare > 0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of numbers that are none, which the size shows
                number_ck = np.fromstring(text.replace("/", " "), np.int64, sep=" ").reshape(-1, columns)
            texture_c = number_ck[:, 1] if columns > 1 and not bare else np.zeros(len(number_ck), np.int64)
            corner_c2 = np.stack([number_ck[:, 0], texture_c], axis=1)
        else:  # some corners have texture points and others none
            pairs = [[*word.split("/"), "0"][:2] for word in text.split()]
            corner_c2 = np.array([(int(v), int(t or 0)) for v, t in pairs], np.int64)
    except (ValueError, OverflowError) as error:
        raise TransposeError(f"{path} cannot be read as a mesh: a face is broken ({error})") from None
    if len(corner_c2) != len(start_c):
        raise TransposeError(f"{path} cannot be read as a mesh: a face is broken (not a row of numbers)")
    return corner_c2, sides_n


def _check_range(path: Path, number_k: np.ndarray, count: int, what: str) -> None:
    if number_k.min(initial=1) < 1 or number_k.max(initial=1) > count:
        raise TransposeError(f"{path} cannot be read as a mesh: its faces name {what} that it lacks; is it complete?")


class _Wardrobe:
    """Gives parts the pictures and colours of their materials."""

    def __init__(self, path: Path, lines: _Lines, uv_t2: np.ndarray) -> None:
        self._path, self._uv_t2 = path, uv_t2
        self._shelf = PictureShelf(path.parent)
        self._notes: list[str] = []
        self._materials = self._read_materials(lines.libraries)

    @property
    def notes(self) -> list[str]:
        """What was not there, and what was taken instead."""
        return self._notes + self._shelf.notes

    def _read_materials(self, libraries: list[str]) -> dict[str, Material]:
        """The materials of all libraries."""
        files, lost, guessed = find_libraries(self._path, libraries)
        if guessed:
            self._notes.append(f"its materials are taken from {files[0].name}, since {first_few(lost)} is not there")
        elif lost:
            self._notes.append(f"its file of materials, {first_few(lost)}, is not there")
        return {name: material for file in files for name, material in read_mtl(file).items()}

    def dressed(self, part: MeshPart, texture_f3: np.ndarray, name: str | None) -> list[MeshPart]:
        """A part with its material's picture or colour; in two where some faces have no texture coordinates.

        Args:
            part: its faces.
            texture_f3: their corners' texture points, counted from 1, 0 for none.
            name: of the material.
        """
        material = self._material(name)
        has_uv_f = np.logical_and.reduce(texture_f3 > 0, axis=1) & (len(self._uv_t2) > 0)
        if material is None:
            return [_missing(part, f"material {name}") if name is not None and has_uv_f.any() else part]
        plain = part if part.rgb_v3 is not None or material.rgb_3 is None else _painted(part, material.rgb_3)
        if material.picture is None:
            return [plain]
        if not has_uv_f.any():
            is_there = find_beside(self._path.parent, material.picture)[0] is not None
            return [_missing(part, f"texture coordinates of {material.picture}" if is_there else material.picture)]
        dressed = self._with_pictures(part, texture_f3, has_uv_f, material)
        return dressed if has_uv_f.all() else [*dressed, _of_faces(plain, ~has_uv_f)]

    def _with_pictures(
        self, part: MeshPart, texture_f3: np.ndarray, has_uv_f: np.ndarray, material: Material
    ) -> list[MeshPart]:
        """The faces that have texture coordinates, a part for each picture of their material."""
        _check_range(self._path, texture_f3[has_uv_f], len(self._uv_t2), "texture coordinates")
        uv_f32 = self._uv_t2[texture_f3[has_uv_f] - 1] * material.scale_2 + material.offset_2
        tiles = udim_tiles(
            material.picture or "", uv_f32, lambda name: find_beside(self._path.parent, name)[0] is not None
        )
        uv_f32[..., 1] = 1 - uv_f32[..., 1]  # an OBJ counts v upwards from the picture's bottom
        parts, all_f = [], np.flatnonzero(has_uv_f)
        for name, shows_f in tiles:
            here_f = np.zeros_like(has_uv_f)
            here_f[all_f[shows_f]] = True
            picture_hw3 = self._shelf.picture(name)
            uv = None if picture_hw3 is None else uv_f32[shows_f].astype(np.float32)
            of_tile = _of_faces(part, here_f, uv, picture_hw3)
            parts.append(_missing(of_tile, name) if picture_hw3 is None else of_tile)
        return parts

    def _material(self, name: str | None) -> Material | None:
        """The material that faces name: written alike but for letters' case and blanks, or the only one there is."""
        if name in self._materials:
            return self._materials[name]
        alike = {" ".join(each.split()).casefold(): material for each, material in self._materials.items()}
        if name is not None and (found := alike.get(" ".join(name.split()).casefold())):
            return found
        if len(self._materials) != 1:
            return None
        (only,) = self._materials
        if name is not None:
            self._notes.append(f"material {only} is taken for {name}")
        return self._materials[only]


def _painted(part: MeshPart, rgb_3: np.ndarray) -> MeshPart:
    return MeshPart(part.vertices_v3, part.faces_f3, np.tile(rgb_3, (len(part.vertices_v3), 1)))


def _missing(part: MeshPart, what: str) -> MeshPart:
    return MeshPart(part.vertices_v3, part.faces_f3, part.rgb_v3, missing=what)


def _of_faces(
    part: MeshPart, keep_f: np.ndarray, uv_f32: np.ndarray | None = None, picture_hw3: np.ndarray | None = None
) -> MeshPart:
    vertices_v3, faces_f3, used_v = only_used(part.vertices_v3, part.faces_f3[keep_f])
    rgb_v3 = None if part.rgb_v3 is None else part.rgb_v3[used_v]
    return MeshPart(vertices_v3, faces_f3, rgb_v3, uv_f32, picture_hw3)
