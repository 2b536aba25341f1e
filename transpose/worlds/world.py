"""A world: triangles with colour from textures or vertices, optional classes, kept in one folder.

`world.json` says what it is, `mesh.npz` holds the arrays, `texture_NNN.png` the textures; `preview.png` is for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError, quoted
from transpose.scenes import files
from transpose.storage import read_json, recover_folder, refuse_foreign, replacing_folder, write_json
from transpose.untrusted.arrays import load_arrays

VERTEX_COLOR = -1
_FORMAT = 1
# What a number that Python or NumPy cannot take for what it should be makes them raise.
_BROKEN = (OSError, LookupError, TypeError, ValueError, OverflowError, AttributeError)


@dataclass(frozen=True)
class World:
    """Triangles in metres, relative to `origin_3` (float64, in the frame of the source), so that float32 suffices.

    Attributes:
        name: shown to people.
        vertices_v3: float32.
        faces_f3: int32 vertex indices, counter-clockwise seen from outside.
        vertex_rgb_v3: uint8 colours of the vertices, used by faces without texture.
        corner_uv_f32: float32 texture coordinates of each face's corners, (faces, 3, 2); (0, 0) is the texture's top
            left corner, (1, 1) the bottom right; beyond [0, 1] the texture repeats.
        face_texture_f: int32 index into `textures`, or `VERTEX_COLOR`.
        textures: uint8 RGB images of any size.
        face_class_f: uint8 index into `class_names`, or `UNKNOWN_CLASS`; empty where the world has no classes. Class
            0 is the sky, what no triangle covers.
        up_3: which way is up in this frame, unit length.
        facts: where the world came from, its licence and whatever else a person may ask.
    """

    name: str
    vertices_v3: np.ndarray
    faces_f3: np.ndarray
    vertex_rgb_v3: np.ndarray
    corner_uv_f32: np.ndarray
    face_texture_f: np.ndarray
    textures: tuple[np.ndarray, ...] = ()
    face_class_f: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    class_names: tuple[str, ...] = ()
    origin_3: np.ndarray = field(default_factory=lambda: np.zeros(3))
    up_3: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.vertices_v3) == 0 or len(self.faces_f3) == 0:
            raise TransposeError(f"world {self.name} has no triangles")
        if not np.isfinite(self.vertices_v3).all():
            raise TransposeError(f"world {self.name} has vertices that are NaN or infinite")
        if self.faces_f3.min() < 0 or self.faces_f3.max() >= len(self.vertices_v3):
            raise TransposeError(f"world {self.name} has faces that name vertices it lacks")
        if self.face_texture_f.max() >= len(self.textures):
            raise TransposeError(f"world {self.name} has faces that name textures it lacks")

    @property
    def has_classes(self) -> bool:
        """Whether each face has a class."""
        return len(self.face_class_f) > 0

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of the box around all vertices."""
        return self.vertices_v3.min(0), self.vertices_v3.max(0)


def vertex_colored_world(
    name: str, vertices_v3: np.ndarray, faces_f3: np.ndarray, rgb_v3: np.ndarray, **more: Any
) -> World:
    """A world without textures."""
    faces = len(faces_f3)
    return World(
        name,
        np.ascontiguousarray(vertices_v3, np.float32),
        np.ascontiguousarray(faces_f3, np.int32),
        np.ascontiguousarray(rgb_v3, np.uint8),
        np.zeros((faces, 3, 2), np.float32),
        np.full(faces, VERTEX_COLOR, np.int32),
        **more,
    )


def refuse_no_world(folder: Path) -> None:
    """Refuses to write a world in the place of a folder that holds anything but a world.

    Raises:
        TransposeError: it does; what is not a world's would be lost.
    """
    names = ("world.json", "mesh.npz", "preview.png", "texture_[0-9]*.png")
    refuse_foreign(folder, lambda path: any(path.match(name) for name in names), "a world")


def save_world(world: World, folder: Path, preview_hw3: np.ndarray | None = None) -> Path:
    """Writes a world's folder in one step, with a picture of it where there is one, and returns its path.

    Raises:
        TransposeError: there is a folder that holds something else.
    """
    refuse_no_world(folder)
    with replacing_folder(folder) as temporary:
        np.savez(
            temporary / "mesh.npz",
            vertices=world.vertices_v3,
            faces=world.faces_f3,
            vertex_rgb=world.vertex_rgb_v3,
            corner_uv=world.corner_uv_f32,
            face_texture=world.face_texture_f,
            face_class=world.face_class_f,
        )
        for index, texture in enumerate(world.textures):
            files.write_image(temporary / f"texture_{index:03d}.png", texture)
        if preview_hw3 is not None:
            files.write_image(temporary / "preview.png", preview_hw3)
        low, high = world.bounds
        write_json(
            temporary / "world.json",
            {
                "format": _FORMAT,
                "name": world.name,
                "vertices": len(world.vertices_v3),
                "triangles": len(world.faces_f3),
                "textures": len(world.textures),
                "bounds_m": [low.tolist(), high.tolist()],
                "origin": world.origin_3.tolist(),
                "up": world.up_3.tolist(),
                "class_names": list(world.class_names),
                "facts": world.facts,
            },
        )
    return folder


@dataclass(frozen=True)
class WorldMetadata:
    """What `world.json` says, without the geometry; `bounds` are relative to the origin."""

    name: str
    bounds: tuple[np.ndarray, np.ndarray]
    origin_3: np.ndarray
    facts: dict[str, Any]


def read_metadata(folder: Path) -> WorldMetadata:
    """What a world says of itself, without loading it; raises `TransposeError` where it is none or broken."""
    facts = _read_facts(folder)
    try:
        low, high = np.array(facts["bounds_m"], np.float64)
        return WorldMetadata(str(facts["name"]), (low, high), _place(facts["origin"]), dict(facts["facts"]))
    except _BROKEN as error:
        raise TransposeError(f"world {folder} is broken ({error}); build it again") from None


def _read_facts(folder: Path) -> dict[str, Any]:
    recover_folder(folder)
    if not (folder / "world.json").is_file():
        raise TransposeError(
            f"{folder} is not a world (no world.json); make one with: transpose build ... --out {quoted(folder)}"
        )
    facts = read_json(folder / "world.json")
    if not isinstance(facts, dict):
        raise TransposeError(f"world {folder} is broken (world.json holds no object); build it again")
    return facts


def load_world(folder: Path) -> World:
    """Reads a world's folder; raises `TransposeError` where it is none or broken."""
    facts = _read_facts(folder)
    try:
        arrays = load_arrays(folder / "mesh.npz")
        vertices, faces = len(arrays["vertices"]), len(arrays["faces"])
        class_f = _shaped(arrays, "face_class", np.uint8, (len(arrays["face_class"]),))
        if len(class_f) not in (0, faces):
            raise ValueError(f"{len(class_f)} classes of {faces} faces")
        return World(
            str(facts["name"]),
            _shaped(arrays, "vertices", np.float32, (vertices, 3)),
            _shaped(arrays, "faces", np.int32, (faces, 3)),
            _shaped(arrays, "vertex_rgb", np.uint8, (vertices, 3)),
            _shaped(arrays, "corner_uv", np.float32, (faces, 3, 2)),
            _shaped(arrays, "face_texture", np.int32, (faces,)),
            tuple(files.read_image(folder / f"texture_{i:03d}.png") for i in range(facts["textures"])),
            class_f,
            tuple(map(str, facts["class_names"])),
            _place(facts["origin"]),
            _place(facts["up"]),
            dict(facts["facts"]),
        )
    except _BROKEN as error:
        raise TransposeError(f"world {folder} is broken ({error}); build it again") from None
    except TransposeError as error:
        raise TransposeError(f"world {folder} is broken: {error}; build it again") from None


def _shaped(arrays: dict[str, np.ndarray], name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """An array of a kind and a shape, or a ValueError."""
    array = arrays[name]
    if array.shape != shape or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ValueError(f"{name} are {array.shape} of {array.dtype}, not {shape} of {np.dtype(dtype)}")
    return array.astype(dtype, copy=False)


def _place(numbers: Any) -> np.ndarray:
    """Three finite numbers, float64, or a ValueError."""
    place_3 = np.array(numbers, np.float64)
    if place_3.shape != (3,) or not np.isfinite(place_3).all():
        raise ValueError(f"{numbers!r} are not three numbers")
    return place_3
