"""Meshes from other programs: OBJ, GLB/glTF and PLY, with textures or vertex colours."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.worlds.georeference import metric_crs
from transpose.worlds.gltf_scenes import read_gltf
from transpose.worlds.mesh_offsets import is_on_the_map, offset_beside
from transpose.worlds.mesh_parts import MeshContent
from transpose.worlds.obj_files import read_obj
from transpose.worlds.ply_meshes import read_ply
from transpose.worlds.textures import MAX_TEXTURE_PX, shrunk
from transpose.worlds.world import VERTEX_COLOR, World

log = logging.getLogger(__name__)

MAX_TEXELS = 256_000_000
"""A process that renders takes seven bytes for each: 1.8 GB."""
_READERS: dict[str, Callable[[Path], MeshContent]] = {
    ".obj": read_obj,
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".ply": read_ply,
}
_GREY = (180, 180, 180)
_FAR_M = 1e4
_HIGHEST_M, _LONGEST_M, _SHORTEST_M = 3e3, 1e5, 0.1  # what is beyond has another unit, more often than not
_LYING_SHARE = 3.0  # so much more surface faces another axis than the one that is taken for up
_TO_Z_UP = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "x": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
}
UNITS_M = {
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), 1.0),
    **dict.fromkeys(("mm", "millimetre", "millimetres", "millimeter", "millimeters"), 0.001),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters"), 0.01),
    **dict.fromkeys(("dm", "decimetre", "decimeter"), 0.1),
    **dict.fromkeys(("km", "kilometre", "kilometer"), 1000.0),
    **dict.fromkeys(("in", "inch", "inches"), 0.0254),
    **dict.fromkeys(("ft", "foot", "feet"), 0.3048),
    **dict.fromkeys(("us-ft", "ftus", "usft", "us-survey-foot"), 1200 / 3937),
    **dict.fromkeys(("yd", "yard", "yards"), 0.9144),
}


@dataclass(frozen=True)
class MeshFrame:
    """What is known of a mesh's frame beside what its file says; None leaves it to the file, its format and its folder.

    Attributes:
        up: the axis of the file that points up: x, y, z, -x, -y or -z.
        unit_m: metres per unit of the file.
        origin_3: where the file's (0, 0, 0) is on the map, metres, z up.
        crs: the map, whatever pyproj understands.
    """

    up: str | None = None
    unit_m: float | None = None
    origin_3: tuple[float, float, float] | None = None
    crs: str | None = None


def unit_in_metres(said: str) -> float:
    """Metres per unit of a name, such as mm or ft, or of a number; raises `TransposeError` where it is neither."""
    unit_m = UNITS_M.get(said.strip().lower())
    if unit_m is None:
        try:
            unit_m = float(said)
        except ValueError:
            names = "mm, cm, m, km, in, ft, us-ft, yd"
            raise TransposeError(f"--unit is {names}, or metres per unit as a number, not {said}") from None
    if not 0 < unit_m < float("inf"):
        raise TransposeError(f"--unit is the length of a unit in metres, not {said}")
    return unit_m


def read_mesh(path: Path, frame: MeshFrame | None = None, max_texels: float = MAX_TEXELS) -> World:
    """A mesh file as a world; z is up there, and a unit is a metre.

    Args:
        path: OBJ (with its MTL and pictures beside it), GLB, glTF or PLY.
        frame: axes, unit and place, where the file does not say or says something wrong.
        max_texels: textures that have more altogether are shrunk, and a warning says so.

    Raises:
        TransposeError: the file is missing, of another format, has no triangles, needs what is not read, or names
            textures of which none is there.
    """
    frame = frame or MeshFrame()
    read = _READERS.get(path.suffix.lower())
    if path.is_dir():
        raise TransposeError(f"{path} is a folder; name the mesh in it{_meshes_in(path)}")
    if read is None:
        raise TransposeError(
            f"{path} is no mesh that can be read; formats: {', '.join(_READERS)}; Blender converts others"
        )
    if not path.is_file():
        raise TransposeError(f"{path} does not exist")
    if not max_texels >= 1:
        raise TransposeError(f"the textures of a mesh need more than {max_texels} pixels")
    content = read(path)
    if not any(len(part.faces_f3) for part in content.parts):
        raise TransposeError(f"{path} has no triangles")
    world = _placed(path, _joined(path, content), content, frame)
    return replace(world, textures=_fitting(path, world.textures, max_texels))


def _meshes_in(folder: Path) -> str:
    found = [p.name for p in sorted(folder.iterdir()) if p.suffix.lower() in _READERS]
    return f": {first_few(found)}" if found else ""


def _fitting(path: Path, textures: tuple[np.ndarray, ...], max_texels: float) -> tuple[np.ndarray, ...]:
    """Textures that a renderer can hold."""
    smaller = tuple(shrunk(list(textures), max_texels))
    if any(a is not b for a, b in zip(smaller, textures, strict=True)):
        before, after = _said(textures), _said(smaller)
        log.warning(
            "%s: %d textures of %s are shrunk to %s; --texture-megapixels keeps more, but no side over %d pixels",
            path, len(textures), before, after, MAX_TEXTURE_PX,
        )  # fmt: skip
    return smaller


def _said(textures: tuple[np.ndarray, ...]) -> str:
    height, width = max((t.shape[:2] for t in textures), key=lambda shape: shape[0] * shape[1])
    return f"up to {width} x {height} ({sum(t.shape[0] * t.shape[1] for t in textures) / 1e6:.0f} megapixels)"


class _Textures:
    """Images by number, each kept once: the parts of a mesh often share them."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self._numbers: dict[tuple[tuple[int, ...], bytes], int] = {}

    def number(self, image_hw3: np.ndarray) -> int:
        """Of an image, that of an equal one where there was one before."""
        image_hw3 = np.ascontiguousarray(image_hw3)
        key = image_hw3.shape, hashlib.blake2b(image_hw3.data).digest()
        if key not in self._numbers:
            self._numbers[key] = len(self.images)
            self.images.append(image_hw3)
        return self._numbers[key]


@dataclass(frozen=True)
class _Joined:
    """All parts in one: arrays as in `World`, vertices as in the file; and how much of it has a colour."""

    vertices_v3: np.ndarray
    faces_f3: np.ndarray
    rgb_v3: np.ndarray
    uv_f32: np.ndarray
    texture_f: np.ndarray
    textures: tuple[np.ndarray, ...]
    colored_faces: float
    missing: list[str]


def _joined(path: Path, content: MeshContent) -> _Joined:
    parts = [part for part in content.parts if len(part.faces_f3)]
    textures, number_p = _Textures(), []
    for part in parts:
        shown = part.picture_hw3 if part.is_textured else None
        number_p.append(VERTEX_COLOR if shown is None else textures.number(shown))
    sizes = [len(part.faces_f3) for part in parts]
    first_p = np.cumsum([0, *(len(part.vertices_v3) for part in parts[:-1])])
    grey_p = [np.tile(np.array(_GREY, np.uint8), (len(part.vertices_v3), 1)) for part in parts]
    colored_p = [
        number != VERTEX_COLOR or part.rgb_v3 is not None for part, number in zip(parts, number_p, strict=True)
    ]
    joined = _Joined(
        np.concatenate([part.vertices_v3 for part in parts]),
        np.concatenate([part.faces_f3 + first for part, first in zip(parts, first_p, strict=True)]).astype(np.int32),
        np.concatenate(
            [grey if part.rgb_v3 is None else part.rgb_v3 for part, grey in zip(parts, grey_p, strict=True)]
        ),
        np.concatenate(
            [
                part.uv_f32 if part.is_textured else np.zeros((n, 3, 2), np.float32)
                for part, n in zip(parts, sizes, strict=True)
            ]
        ).astype(np.float32),
        np.repeat(np.array(number_p, np.int32), sizes),
        tuple(textures.images),
        float(np.average(colored_p, weights=sizes)),
        list(dict.fromkeys(part.missing for part in parts if part.missing is not None)),
    )
    _tell_of_what_is_lost(path, content, joined)
    return joined


def _tell_of_what_is_lost(path: Path, content: MeshContent, joined: _Joined) -> None:
    """One warning for all that was left out, or a refusal where all named pictures are lost."""
    colored, missing, notes = f"{100 * joined.colored_faces:.0f} %", joined.missing, list(content.notes)
    if missing and joined.colored_faces == 0:
        told = f" ({'; '.join(notes)})" if notes else ""
        raise TransposeError(
            f"{path}: its textures are not there: {first_few(missing)}{told}; looked for beside it and in "
            "folders there, by name, capitals or not; copy them beside it"
        )
    if missing:
        notes.insert(0, f"textures are not there: {first_few(missing)}; {colored} of its faces have a colour")
    elif joined.colored_faces == 0:
        notes.insert(0, "it has neither textures nor colours; its renders show shapes in one grey, which teach nothing")
    elif joined.colored_faces < 1:
        notes.insert(0, f"{colored} of its faces have a colour, the others are grey")
    if notes:
        log.warning("%s: %s", path, "; ".join(notes))


def _placed(path: Path, joined: _Joined, content: MeshContent, frame: MeshFrame) -> World:
    """The joined parts with z up, in metres, at their place on the map."""
    up, unit_m = frame.up or content.up, 1.0 if frame.unit_m is None else frame.unit_m
    rotation_33 = _TO_Z_UP[up[-1]].copy()
    if up.startswith("-"):
        rotation_33 = np.diag([1.0, -1.0, -1.0]) @ rotation_33
    vertices_v3 = joined.vertices_v3 @ rotation_33.T * unit_m
    if not np.isfinite(vertices_v3).all():
        raise TransposeError(f"{path} has vertices that are NaN or infinite")
    shift_3, crs, place_from = _place(path, vertices_v3, content, frame)
    # Georeferenced meshes: keep float32's digits for the shape, not for the place.
    center_3 = np.round(vertices_v3.mean(0))
    own_3 = center_3 if np.abs(center_3).max() > _FAR_M else np.zeros(3)
    facts = {
        "kind": "mesh",
        "file": path.name,
        "up": up,
        "up_from": "--up" if frame.up else content.up_from,
        "unit_m": unit_m,
        "unit_from": "--unit" if frame.unit_m is not None else content.unit_from,
        "crs": crs,
        "origin_from": place_from,
        "colored_faces": joined.colored_faces,
        "textures_missing": joined.missing,
    }
    local_v3 = (vertices_v3 - own_3).astype(np.float32)
    world = World(
        path.stem,
        local_v3,
        joined.faces_f3,
        joined.rgb_v3,
        joined.uv_f32,
        joined.texture_f,
        joined.textures,
        origin_3=own_3 + shift_3,
        facts=facts,
    )
    _doubt(path, world, frame)
    return world


def _place(
    path: Path, vertices_v3: np.ndarray, content: MeshContent, frame: MeshFrame
) -> tuple[np.ndarray, str | None, str | None]:
    """What is added to the vertices, the map's code, and who says so."""
    offset = offset_beside(path)
    shift_3, place_from = np.zeros(3), None
    if frame.origin_3 is not None:
        shift_3, place_from = np.array(frame.origin_3, np.float64), "--origin"
    elif content.origin_3 is not None:
        shift_3, place_from = content.origin_3, "CESIUM_RTC"
    elif offset is not None and offset.origin_3.any():
        if is_on_the_map(vertices_v3, offset):
            log.warning("%s is on the map already; the offset in %s is not added", path, offset.file)
        elif path.stem == "odm_textured_model":
            log.warning(
                "%s is in a frame of its own, whose place %s does not say; take the _geo one", path, offset.file
            )
            offset = None
        else:
            shift_3, place_from = offset.origin_3, offset.file.name
    said = frame.crs or (offset.crs if offset else None)
    if said is None:
        return shift_3, None, place_from
    placed_v3 = vertices_v3[:: max(1, len(vertices_v3) // 1000)] + shift_3
    return (
        shift_3,
        metric_crs(
            said, path if frame.crs else offset.file if offset else path, np.stack([placed_v3.min(0), placed_v3.max(0)])
        ),
        place_from,
    )


def _doubt(path: Path, world: World, frame: MeshFrame) -> None:
    """Says so where nobody named axis or unit and what comes out is odd."""
    low_3, high_3 = world.bounds
    extent_3 = (high_3 - low_3).astype(np.float64)
    if frame.unit_m is None and (
        extent_3[2] > _HIGHEST_M or extent_3.max() > _LONGEST_M or extent_3.max() < _SHORTEST_M
    ):
        log.warning(
            "%s would be %s m large; where its unit is not the metre, say --unit mm, cm, ft ...",
            path, " x ".join(f"{each:.4g}" for each in extent_3),
        )  # fmt: skip
    if frame.up is not None:
        return
    a_f3, b_f3, c_f3 = np.moveaxis(world.vertices_v3[world.faces_f3], 1, 0)
    facing_3 = np.abs(np.cross(b_f3 - a_f3, c_f3 - a_f3)).sum(0)
    if facing_3[1] > _LYING_SHARE * (facing_3[2] + 1e-9) and facing_3[1] > facing_3[0]:
        up = str(world.facts["up"])
        other = {"z": "y", "y": "z"}.get(up, "")
        log.warning(
            "%s: most of its surface stands upright, with the file's %s axis taken for up; where it lies on its side, "
            "say --up %s", path, up, other,
        )  # fmt: skip
