"""A world as a binary glTF file, as browsers draw it: unlit, since light and shadow are in its colours already.

Khronos, glTF 2.0 specification, with the extension KHR_materials_unlit.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from transpose.worlds.textures import shrunk
from transpose.worlds.world import VERTEX_COLOR, World

MOST_TEXELS = 48_000_000
"""Of all textures; a browser holds four bytes for each, and a third more for the mip levels."""
MOST_TEXTURE_PX = 4096
"""A side that every WebGL 2 reads, on telephones as well."""
_JPEG_QUALITY = 88
_FLOAT, _UINT16, _UINT32 = 5126, 5123, 5125
_ARRAY, _INDICES = 34962, 34963


def shown_textures(world: World) -> list[np.ndarray]:
    """A world's textures at the size at which a browser gets them; the same arrays where none is too large."""
    return shrunk(list(world.textures), MOST_TEXELS, MOST_TEXTURE_PX)


def world_glb(world: World, both_sides: bool = False) -> bytes:
    """A world, relative to its origin, as GLB.

    Args:
        world: of any kind.
        both_sides: whether triangles are seen from behind as well; else one looks into a room from outside.
    """
    gltf, pictures = _Gltf(), shown_textures(world)
    for texture in np.unique(world.face_texture_f):
        faces_f = np.flatnonzero(world.face_texture_f == texture)
        if texture == VERTEX_COLOR:
            gltf.colored(world, faces_f, both_sides)
        else:
            gltf.textured(world, faces_f, pictures[texture], both_sides)
    return gltf.packed()


class _Gltf:
    """A file in the making: one mesh with a primitive for each texture."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._primitives: list[dict[str, Any]] = []
        self._lists: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("accessors", "bufferViews", "materials", "textures", "images")
        }

    def colored(self, world: World, faces_f: np.ndarray, both_sides: bool) -> None:
        """Faces with the colours of their vertices, which glTF wants linear."""
        vertex_n, index_f3 = np.unique(world.faces_f3[faces_f], return_inverse=True)
        rgba_n4 = np.full((len(vertex_n), 4), 65535, np.uint16)
        rgba_n4[:, :3] = _LINEAR[world.vertex_rgb_v3[vertex_n]]
        attributes = {
            "POSITION": self._positions(world.vertices_v3[vertex_n]),
            "COLOR_0": self._accessor(rgba_n4, _UINT16, "VEC4", _ARRAY, normalized=True),
        }
        self._primitive(attributes, index_f3, {}, both_sides)

    def textured(self, world: World, faces_f: np.ndarray, picture_hw3: np.ndarray, both_sides: bool) -> None:
        """Faces with a texture: a vertex for each pair of a place and a texture coordinate."""
        corner_n = world.faces_f3[faces_f].reshape(-1)
        uv_n2 = world.corner_uv_f32[faces_f].reshape(-1, 2)
        row_n3 = np.ascontiguousarray(np.column_stack([corner_n.view(np.float32), uv_n2]))
        _, first_n, index_n = np.unique(row_n3.view("V12").reshape(-1), return_index=True, return_inverse=True)
        attributes = {
            "POSITION": self._positions(world.vertices_v3[corner_n[first_n]]),
            "TEXCOORD_0": self._accessor(uv_n2[first_n], _FLOAT, "VEC2", _ARRAY),
        }
        self._lists["images"].append(self._jpeg(picture_hw3))
        self._lists["textures"].append({"source": len(self._lists["images"]) - 1})
        color = {"baseColorTexture": {"index": len(self._lists["textures"]) - 1}}
        self._primitive(attributes, index_n, color, both_sides)

    def packed(self) -> bytes:
        """The whole file."""
        content = {
            "asset": {"version": "2.0", "generator": "TransPose"},
            "extensionsUsed": ["KHR_materials_unlit"],
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": self._primitives}],
            "buffers": [{"byteLength": self._size}],
            **{name: values for name, values in self._lists.items() if values},
        }
        text = json.dumps(content, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self._size
        head = struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(text), b"JSON")
        return b"".join([head, text, struct.pack("<I4s", self._size, b"BIN\0"), *self._parts])

    def _primitive(
        self, attributes: dict[str, int], index_n: np.ndarray, color: dict[str, Any], both_sides: bool
    ) -> None:
        rough = {**color, "metallicFactor": 0.0, "roughnessFactor": 1.0}
        material = {"pbrMetallicRoughness": rough, "extensions": {"KHR_materials_unlit": {}}, "doubleSided": both_sides}
        self._lists["materials"].append(material)
        indices = self._accessor(index_n.reshape(-1).astype(np.uint32), _UINT32, "SCALAR", _INDICES)
        number = len(self._lists["materials"]) - 1
        self._primitives.append({"attributes": attributes, "indices": indices, "material": number})

    def _positions(self, points_n3: np.ndarray) -> int:
        number = self._accessor(points_n3.astype(np.float32), _FLOAT, "VEC3", _ARRAY)
        low_3, high_3 = points_n3.min(0), points_n3.max(0)
        self._lists["accessors"][number] |= {"min": low_3.tolist(), "max": high_3.tolist()}
        return number

    def _accessor(self, values: np.ndarray, kind: int, shape: str, target: int, normalized: bool = False) -> int:
        view = {**self._stored(np.ascontiguousarray(values).tobytes()), "target": target}
        self._lists["bufferViews"].append(view)
        number = len(self._lists["bufferViews"]) - 1
        entry = {"bufferView": number, "componentType": kind, "count": len(values), "type": shape}
        self._lists["accessors"].append({**entry, "normalized": True} if normalized else entry)
        return len(self._lists["accessors"]) - 1

    def _jpeg(self, rgb_hw3: np.ndarray) -> dict[str, Any]:
        import cv2

        _, data = cv2.imencode(".jpg", rgb_hw3[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        self._lists["bufferViews"].append(self._stored(data.tobytes()))
        return {"bufferView": len(self._lists["bufferViews"]) - 1, "mimeType": "image/jpeg"}

    def _stored(self, data: bytes) -> dict[str, Any]:
        place = {"buffer": 0, "byteOffset": self._size, "byteLength": len(data)}
        padded = data + bytes(-len(data) % 4)
        self._parts.append(padded)
        self._size += len(padded)
        return place


def _linear_levels() -> np.ndarray:
    """Linear intensities, of 65535, of the 256 levels of sRGB (IEC 61966-2-1)."""
    level = np.arange(256) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return np.asarray((65535 * linear).round().astype(np.uint16))


_LINEAR = _linear_levels()
