"""Writes small glTF files as different programs do."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from tests.worlds.quarters import plane

_COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class Gltf:
    """A glTF file in the making; `json` may be changed before it is written."""

    def __init__(self, **more: Any) -> None:
        self.binary = b""
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], **more}

    def view(self, data: bytes) -> int:
        """A new buffer view; its number."""
        self.binary += bytes(-len(self.binary) % 4)
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)})
        self.binary += data
        return len(self.json["bufferViews"]) - 1

    def accessor(self, values: np.ndarray, *, normalized: bool = False) -> int:
        """A new accessor; its number."""
        values = values.reshape(len(values), -1)
        said = {
            "componentType": _COMPONENTS[values.dtype.str[1:]],
            "count": len(values),
            "type": _TYPES[values.shape[1]],
            "bufferView": self.view(values.tobytes()),
        }
        self.json["accessors"].append({**said, "normalized": True} if normalized else said)
        return len(self.json["accessors"]) - 1

    def plane(self, material: dict[str, Any] | None = None, **attributes: int) -> dict[str, Any]:
        """The plane as the only mesh; its primitive."""
        vertices, faces = plane()
        attributes.setdefault("POSITION", self.accessor(vertices.astype("f4")))
        primitive: dict[str, Any] = {"attributes": attributes, "indices": self.accessor(faces.astype("u4").ravel())}
        if material is not None:
            self.json["materials"] = [material]
            primitive["material"] = 0
        self.json |= {"meshes": [{"primitives": [primitive]}], "nodes": [{"mesh": 0}], "scenes": [{"nodes": [0]}]}
        return primitive

    def texture(self, data: bytes, mime: str = "image/png", **texture: Any) -> None:
        """The only texture, and its image within the file."""
        self.json["images"] = [{"bufferView": self.view(data), "mimeType": mime}]
        self.json["textures"] = [texture or {"source": 0}]

    def write_glb(self, path: Path) -> Path:
        """Writes it as .glb."""
        binary = self.binary + bytes(-len(self.binary) % 4)
        self.json["buffers"] = [{"byteLength": len(binary)}, *self.json.get("buffers", [])[1:]]
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path

    def write_gltf(self, path: Path, uri: str, buffer: Path) -> Path:
        """Writes it as .gltf with its buffer in a file."""
        buffer.parent.mkdir(parents=True, exist_ok=True)
        buffer.write_bytes(self.binary)
        self.json["buffers"] = [{"byteLength": len(self.binary), "uri": uri}]
        path.write_text(json.dumps(self.json))
        return path
