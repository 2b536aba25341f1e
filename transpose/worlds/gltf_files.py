"""glTF 2.0 files: the JSON, its buffers and the numbers of its accessors; what cannot be read is refused by name."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.texture_files import find_beside

_GLB, _JSON_CHUNK, _BINARY_CHUNK = b"glTF", 0x4E4F534A, 0x004E4942
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_REAL = 5126
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
# Extensions that a file may require and that are honoured, or change nothing about a colour without light.
_HONOURED = (
    "KHR_mesh_quantization",
    "KHR_texture_transform",
    "KHR_texture_basisu",  # its textures are refused one by one, unless they have a plain picture as well
    "EXT_texture_webp",
    "EXT_texture_avif",
    "MSFT_texture_dds",
    "KHR_lights_punctual",
    "KHR_xmp_json_ld",
    "KHR_node_visibility",
    "CESIUM_RTC",
    "CESIUM_primitive_outline",
    "EXT_mesh_features",
    "EXT_structural_metadata",
    "EXT_instance_features",
    "MSFT_lod",
)
_MOST_UNSAID = 1 << 24  # values of an accessor of which the file holds none: zeros, some of which others replace
_COMPRESSIONS = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")
UNCOMPRESSED = "write it without compression, for example with Blender, or: gltf-transform copy IN OUT"


class GltfFile:
    """A .glb or .gltf file.

    Attributes:
        path: of the file.
        json: its JSON object.

    Raises:
        TransposeError: it is broken, of another version, or requires an extension that is not honoured.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes()
        self._binary: bytes | None = None
        if data[:4] == _GLB:
            data = self._chunks(data)
        self.json = self._parsed(data)
        self._buffers: dict[int, bytes] = {}
        self._check()

    def fails(self, why: str) -> TransposeError:
        """The error that says why the file cannot be read."""
        return TransposeError(f"{self.path} cannot be read as a mesh: {why}")

    def _chunks(self, data: bytes) -> bytes:
        """The JSON chunk of a GLB; keeps the binary one."""
        if len(data) < 20:
            raise self.fails("it is truncated; copy it again")
        _, version, length = struct.unpack_from("<4sII", data)
        if version != 2:
            raise self.fails(f"it is glTF {version}, not 2; export it again as glTF 2.0")
        if len(data) < length:
            raise self.fails(f"it is truncated ({len(data)} of {length} bytes); copy it again")
        text, at = b"", 12
        while at + 8 <= length:
            size, kind = struct.unpack_from("<II", data, at)
            content, at = data[at + 8 : at + 8 + size], at + 8 + size
            if kind == _JSON_CHUNK and not text:
                text = content
            elif kind == _BINARY_CHUNK and self._binary is None:
                self._binary = content
        return text

    def _parsed(self, text: bytes) -> dict[str, Any]:
        try:
            content = json.loads(text.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise self.fails(f"it is neither a GLB nor JSON ({error})") from None
        if not isinstance(content, dict) or not isinstance(content.get("asset"), dict):
            raise self.fails("its JSON is no glTF (no `asset`)")
        return content

    def _check(self) -> None:
        version = str(self.json["asset"].get("version", "2.0"))
        if not version.startswith("2"):
            raise self.fails(f"it is glTF {version}, not 2; export it again as glTF 2.0")
        for name in self.json.get("extensionsRequired", []):
            if name in _COMPRESSIONS:
                raise self.fails(f"its geometry is compressed ({name}), which is not read; {UNCOMPRESSED}")
            if name not in _HONOURED and not name.startswith("KHR_materials_"):
                raise self.fails(f"it requires the extension {name}, which is not read; export it without")

    def listed(self, key: str) -> list[Any]:
        """An array of the JSON object, empty where it has none."""
        found: list[Any] = self.json.get(key, [])
        return found

    def resource(self, uri: str) -> bytes | None:
        """What a URI names: data within it, or a file beside; None where there is no such file."""
        if uri.startswith("data:"):
            header, _, content = uri.partition(",")
            try:
                return base64.b64decode(content) if header.endswith(";base64") else unquote_to_bytes(content)
            except ValueError as error:
                raise self.fails(f"a data URI in it is broken ({error})") from None
        found, _ = find_beside(self.path.parent, uri)
        return None if found is None else found.read_bytes()

    def buffer(self, index: int) -> bytes:
        """A buffer's bytes."""
        if index not in self._buffers:
            said = self.listed("buffers")[index]
            if "uri" in said:
                content = self.resource(said["uri"])
                if content is None:
                    raise self.fails(f"its buffer {said['uri']} is not there; copy it beside the file")
            elif index == 0 and self._binary is not None:
                content = self._binary
            else:
                raise self.fails(f"its buffer {index} has no data; its geometry may be compressed: {UNCOMPRESSED}")
            if len(content) < said.get("byteLength", 0):
                raise self.fails(f"its buffer {index} is truncated; copy it again")
            self._buffers[index] = content
        return self._buffers[index]

    def view(self, index: int) -> tuple[bytes, int]:
        """The bytes of a buffer view, and its stride, 0 where values stand side by side."""
        said = self.listed("bufferViews")[index]
        name = next((each for each in _COMPRESSIONS if each in said.get("extensions", {})), None)
        if name is not None and self._is_placeholder(said["buffer"]):
            raise self.fails(f"its geometry is compressed ({name}), which is not read; {UNCOMPRESSED}")
        start = said.get("byteOffset", 0)
        if min(start, said["byteLength"]) < 0:
            raise self.fails(f"its buffer view {index} has a negative offset or length")
        content = self.buffer(said["buffer"])[start : start + said["byteLength"]]
        if len(content) < said["byteLength"]:
            raise self.fails(f"its buffer view {index} reaches beyond the buffer; is the file complete?")
        return content, said.get("byteStride", 0)

    def _is_placeholder(self, index: int) -> bool:
        """Whether a buffer stands for data that only its compressed form has: it has none of its own then."""
        return "uri" not in self.listed("buffers")[index] and (index != 0 or self._binary is None)

    def is_real(self, index: int) -> bool:
        """Whether an accessor holds real numbers, not integers."""
        return int(self.listed("accessors")[index]["componentType"]) == _REAL

    def values(self, index: int) -> np.ndarray:
        """An accessor's values (count, width): float64, normalized integers as fractions, others as they are."""
        said = self.listed("accessors")[index]
        kind, width, count = np.dtype(_COMPONENTS[said["componentType"]]), _WIDTHS[said["type"]], said["count"]
        if "bufferView" in said:
            content, stride = self.view(said["bufferView"])
            values_nw = self._strided(content, said.get("byteOffset", 0), stride, kind, (count, width))
        elif not 0 <= count <= _MOST_UNSAID:
            raise self.fails(f"an accessor without data is said to have {count} values")
        else:
            values_nw = np.zeros((count, width), kind)
        if sparse := said.get("sparse"):
            values_nw = self._with_sparse(values_nw, sparse)
        if kind.kind == "f":
            return values_nw.astype(np.float64)
        if said.get("normalized"):
            return np.maximum(values_nw / float(np.iinfo(kind).max), -1.0)
        return values_nw

    def _strided(
        self, content: bytes, start: int, stride: int, kind: np.dtype[Any], shape: tuple[int, int]
    ) -> np.ndarray:
        count, width = shape
        if min(count, start, stride) < 0:
            raise self.fails("an accessor has a negative count, offset or stride")
        row = kind.itemsize * width
        stride = stride or row
        if count and start + (count - 1) * stride + row > len(content):
            raise self.fails("an accessor reaches beyond its buffer view; is the file complete?")
        values_nw = np.ndarray((count, width), kind, content, start, (stride, kind.itemsize)) if count else None
        return np.zeros(shape, kind) if values_nw is None else values_nw.copy()

    def _with_sparse(self, values_nw: np.ndarray, sparse: dict[str, Any]) -> np.ndarray:
        count, where, what = sparse["count"], sparse["indices"], sparse["values"]
        content, _ = self.view(where["bufferView"])
        index_n = self._strided(
            content, where.get("byteOffset", 0), 0, np.dtype(_COMPONENTS[where["componentType"]]), (count, 1)
        )[:, 0]
        content, _ = self.view(what["bufferView"])
        changed = values_nw.copy()
        changed[index_n.astype(np.int64)] = self._strided(
            content, what.get("byteOffset", 0), 0, values_nw.dtype, (count, values_nw.shape[1])
        )
        return changed
