"""Meshes from other programs: OBJ, GLB/glTF and PLY, with textures or vertex colours."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.storage import refuse_pointer
from transpose.worlds.textures import MAX_TEXTURE_PX, shrunk
from transpose.worlds.world import VERTEX_COLOR, World

log = logging.getLogger(__name__)

MAX_TEXELS = 256_000_000
"""A process that renders takes seven bytes for each: 1.8 GB."""
_ENDINGS = (".obj", ".glb", ".gltf", ".ply")
_GREY = (180, 180, 180)
_FAR_M = 1e4
_TO_Z_UP = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "x": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
}


def read_mesh(path: Path, up: str = "z", scale: float = 1.0, max_texels: float = MAX_TEXELS) -> World:
    """A mesh file as a world.

    Args:
        path: OBJ (with its MTL and images beside it), GLB, glTF or PLY.
        up: which axis of the file points up: x, y, z, -x, -y or -z. The world's z axis is up.
        scale: metres per unit of the file.
        max_texels: textures that have more altogether are shrunk, and a warning says so.

    Raises:
        TransposeError: the file is missing, of another format, or has no triangles.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise TransposeError(f"{path} is no mesh that can be read; formats: {', '.join(_ENDINGS)}")
    if not path.is_file():
        raise TransposeError(f"{path} does not exist")
    refuse_pointer(path)
    if not scale > 0:
        raise TransposeError(f"--scale is the length of a unit in metres, not {scale}")
    if not max_texels >= 1:
        raise TransposeError(f"the textures of a mesh need more than {max_texels} pixels")
    with _images_of_any_size():
        world = _joined(path, _parts(path), up, scale)
    return replace(world, textures=_fitting(path, world.textures, max_texels))


def _parts(path: Path) -> list[Any]:
    """Every instance of the file's scene graph where it stands."""
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except Exception as error:  # trimesh's loaders raise whatever the broken file makes them stumble over
        raise TransposeError(f"{path} cannot be read as a mesh ({type(error).__name__}: {error})") from None
    if not parts:
        raise TransposeError(f"{path} has no triangles")
    return parts


@contextmanager
def _images_of_any_size() -> Iterator[None]:
    """Pillow takes images of 16384 x 16384 pixels for an attack; a file that the user names may hold them."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


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
        key = image_hw3.shape, hashlib.blake2b(image_hw3.data).digest()
        if key not in self._numbers:
            self._numbers[key] = len(self.images)
            self.images.append(image_hw3)
        return self._numbers[key]


def _joined(path: Path, parts: list[Any], up: str, scale: float) -> World:
    vertices, faces, colors, uvs, texture_of_faces = [], [], [], [], []
    textures = _Textures()
    first = 0
    for part in parts:
        part_faces = np.asarray(part.faces, np.int64)
        try:
            rgb_v3, uv_f32, image = _appearance(part)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises of broken images
            raise TransposeError(f"a texture of {path} cannot be read ({error}); copy it again") from None
        number = VERTEX_COLOR if image is None else textures.number(image)
        vertices.append(np.asarray(part.vertices, np.float64))
        faces.append(part_faces + first)
        colors.append(rgb_v3)
        uvs.append(uv_f32)
        texture_of_faces.append(np.full(len(part_faces), number, np.int32))
        first += len(part.vertices)
    rotation_33 = _TO_Z_UP[up[-1]].copy()
    if up.startswith("-"):
        rotation_33 = np.diag([1.0, -1.0, -1.0]) @ rotation_33
    vertices_v3 = np.concatenate(vertices) @ rotation_33.T * scale
    if not np.isfinite(vertices_v3).all():
        raise TransposeError(f"{path} has vertices that are NaN or infinite")
    # Georeferenced meshes: keep float32's digits for the shape, not for the place.
    center_3 = np.round(vertices_v3.mean(0))
    origin_3 = center_3 if np.abs(center_3).max() > _FAR_M else np.zeros(3)
    return World(
        path.stem,
        (vertices_v3 - origin_3).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(colors),
        np.concatenate(uvs).astype(np.float32),
        np.concatenate(texture_of_faces),
        tuple(textures.images),
        origin_3=origin_3,
        facts={"kind": "mesh", "file": path.name, "up": up, "scale": scale},
    )


def _appearance(part: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertex colours (vertices, 3), texture coordinates (faces, 3, 2) and the texture, or None, of one part."""
    rgb_v3 = np.tile(np.array(_GREY, np.uint8), (len(part.vertices), 1))
    uv_f32 = np.zeros((len(part.faces), 3, 2), np.float32)
    visual = part.visual
    if visual.kind == "vertex":
        return np.asarray(visual.vertex_colors, np.uint8)[:, :3], uv_f32, None
    if visual.kind == "face":
        # A world has no face colours; a vertex shared by faces takes the last one's.
        rgb_v3[part.faces.reshape(-1)] = np.repeat(np.asarray(visual.face_colors, np.uint8)[:, :3], 3, axis=0)
        return rgb_v3, uv_f32, None
    if visual.kind != "texture":
        return rgb_v3, uv_f32, None
    material = visual.material
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if image is None or getattr(visual, "uv", None) is None:
        rgb_v3[:] = np.asarray(material.main_color, np.uint8)[:3]
        return rgb_v3, uv_f32, None
    uv_v2 = np.asarray(visual.uv, np.float64)
    # trimesh hands out v upwards from the image's bottom.
    uv_f32 = np.stack([uv_v2[:, 0], 1 - uv_v2[:, 1]], axis=-1)[part.faces]
    return rgb_v3, uv_f32, np.asarray(image.convert("RGB"), np.uint8).copy()
