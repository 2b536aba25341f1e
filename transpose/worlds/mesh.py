"""Meshes from other programs: OBJ, GLB/glTF and PLY, with textures or vertex colours."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.storage import refuse_pointer
from transpose.worlds.gltf_scenes import read_gltf
from transpose.worlds.mesh_frames import MeshFrame, placed, warn_of_odd_frames
from transpose.worlds.mesh_parts import MeshContent
from transpose.worlds.obj_files import read_obj
from transpose.worlds.ply_meshes import read_ply
from transpose.worlds.textures import MAX_TEXTURE_PX, shrunk
from transpose.worlds.winding import right_way_round
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
    refuse_pointer(path)
    if not max_texels >= 1:
        raise TransposeError(f"the textures of a mesh need more than {max_texels} pixels")
    content = read(path)
    if not any(len(part.faces_f3) for part in content.parts):
        raise TransposeError(f"{path} has no triangles")
    joined = _joined(path, content)
    mesh = placed(path, joined.vertices_v3, content, frame)
    if not np.isfinite(mesh.vertices_v3).all():
        raise TransposeError(f"{path} cannot be read as a mesh: it has vertices that are NaN, or too far away")
    world = World(
        path.stem,
        mesh.vertices_v3,
        joined.faces_f3,
        joined.rgb_v3,
        joined.uv_f32,
        joined.texture_f,
        _fitting(path, joined.textures, max_texels),
        origin_3=mesh.origin_3,
        facts={
            "kind": "mesh",
            "file": path.name,
            **mesh.facts,
            "colored_faces": joined.colored_faces,
            "textures_missing": joined.missing,
        },
    )
    warn_of_odd_frames(path, world, frame)
    return world if frame.as_wound else right_way_round(world)


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
    elif not joined.textures and (joined.rgb_v3 == joined.rgb_v3[0]).all():
        notes.insert(0, "it has one colour and no textures; its renders show shapes in it, which teach nothing")
    elif joined.colored_faces < 1:
        notes.insert(0, f"{colored} of its faces have a colour, the others are grey")
    if notes:
        log.warning("%s: %s", path, "; ".join(notes))
