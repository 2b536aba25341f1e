"""glTF 2.0 as parts of a mesh: every primitive of the scene where its nodes put it, with picture or colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.worlds.gltf_files import UNCOMPRESSED, GltfFile
from transpose.worlds.gltf_materials import Appearance, GltfMaterials, linear_of_srgb, srgb_of_linear
from transpose.worlds.mesh_parts import MeshContent, MeshPart, too_coarse

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_INSTANCES = "EXT_mesh_gpu_instancing"
_MOST_CORNERS = 1 << 28
"""Of all triangles of a scene, meshes counted as often as nodes show them: 10 GB of arrays."""
_GEOCENTRIC_M = 6.3e6
_BORDER = 0.01  # of a picture, by which texture coordinates may leave it before anyone sees that it repeats


def read_gltf(path: Path) -> MeshContent:
    """A .glb or .gltf file; y points up and a unit is a metre, as the format has it.

    Raises:
        TransposeError: it is broken, or what it needs is not read: compression, an extension, a texture's format.
    """
    try:
        return _Scene(GltfFile(path)).content()
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        # Of JSON that is not as the format has it, whatever it lacks.
        raise TransposeError(f"{path} cannot be read as a mesh ({type(error).__name__}: {error})") from None


class _Scene:
    def __init__(self, file: GltfFile) -> None:
        self._file, self._materials = file, GltfMaterials(file)
        self._corners = 0

    def content(self) -> MeshContent:
        """Every part, and the frame."""
        parts = [
            part
            for node, T_44 in self._placed()
            if "mesh" in node
            for primitive in self._file.listed("meshes")[node["mesh"]]["primitives"]
            if (part := self._part(primitive, T_44, node)) is not None
        ]
        origin_3 = self._relative_to()
        up, up_from = ("y", "as glTF prescribes; else --up") if origin_3 is None else ("z", "of a map, by CESIUM_RTC")
        return MeshContent(parts, up, up_from, "as glTF prescribes", origin_3, self._materials.notes)

    def _relative_to(self) -> np.ndarray | None:
        """Where CESIUM_RTC puts the file's (0, 0, 0): OpenDroneMap writes a place on its map there, others ECEF."""
        said = self._file.json.get("extensions", {}).get("CESIUM_RTC", {}).get("center")
        if said is None:
            return None
        center_3 = np.array(said, np.float64)
        if center_3.shape != (3,) or not np.isfinite(center_3).all():
            raise self._file.fails("its CESIUM_RTC has no centre of three numbers")
        if center_3[2] != 0 and np.linalg.norm(center_3) > _GEOCENTRIC_M:
            raise self._file.fails("its CESIUM_RTC is geocentric (ECEF); export it in a metric map projection")
        return center_3

    def _placed(self) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """The nodes of the scene with their places in it."""
        nodes = self._file.listed("nodes")
        scenes = self._file.listed("scenes")
        if scenes:
            roots = scenes[self._file.json.get("scene", 0)].get("nodes", [])
            if len(scenes) > 1:
                self._materials.note(f"of its {len(scenes)} scenes only the first that it shows is taken")
        else:  # a file without scenes is a library; all of it is shown
            children = {child for node in nodes for child in node.get("children", [])}
            roots = [index for index in range(len(nodes)) if index not in children]
        stack, placed = [(index, np.eye(4)) for index in reversed(roots)], set[int]()
        while stack:
            index, parent_44 = stack.pop()
            node = nodes[index]
            # A node has one parent at most, as the format has it; else a few of them could stand for millions.
            if index in placed:
                raise self._file.fails(f"its node {index} stands in two places, or its nodes are in a circle")
            placed.add(index)
            if node.get("extensions", {}).get("KHR_node_visibility", {}).get("visible") is False:
                continue
            T_44 = parent_44 @ _local(node)
            yield node, T_44
            stack += [(child, T_44) for child in reversed(node.get("children", []))]

    def _part(self, primitive: dict[str, Any], T_44: np.ndarray, node: dict[str, Any]) -> MeshPart | None:
        """A primitive in its place, None where it has no triangles."""
        attributes = primitive["attributes"]
        if _INSTANCES in node.get("extensions", {}):
            raise self._file.fails(f"it repeats meshes by {_INSTANCES}, which is not read; export it without")
        if "skin" in node:
            self._materials.note("bones are not applied: meshes stand as they were modelled")
        if "POSITION" not in attributes:
            return None
        self._refuse_compressed(primitive, attributes)
        local_v3 = np.asarray(self._file.values(attributes["POSITION"]), np.float64)
        faces_f3 = self._faces(primitive, len(local_v3))
        self._corners += len(local_v3) + (0 if faces_f3 is None else faces_f3.size)
        if self._corners > _MOST_CORNERS:
            raise self._file.fails(f"its meshes, shown as often as its nodes say, have over {_MOST_CORNERS} corners")
        if faces_f3 is None or len(faces_f3) == 0:
            return None
        if (rounded := too_coarse(local_v3)) is not None and self._file.is_real(attributes["POSITION"]):
            self._materials.note(rounded)
        if np.linalg.det(T_44[:3, :3]) < 0:  # mirrored, so that the other side would be the front
            faces_f3 = faces_f3[:, ::-1]
        vertices_v3 = local_v3 @ T_44[:3, :3].T + T_44[:3, 3]
        look = self._materials.appearance(primitive.get("material"))
        return self._dressed(MeshPart(vertices_v3, faces_f3), attributes, look)

    def _refuse_compressed(self, primitive: dict[str, Any], attributes: dict[str, int]) -> None:
        """Where a compression is an option, plain data may stand beside it; where they do not, accessors are empty."""
        if "KHR_draco_mesh_compression" not in primitive.get("extensions", {}):
            return
        if "bufferView" not in self._file.listed("accessors")[attributes["POSITION"]]:
            raise self._file.fails(
                f"its geometry is compressed (KHR_draco_mesh_compression), which is not read; {UNCOMPRESSED}"
            )

    def _faces(self, primitive: dict[str, Any], vertices: int) -> np.ndarray | None:
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):
            self._materials.note("points and lines are left out")
            return None
        if "indices" in primitive:
            index_k = self._file.values(primitive["indices"])[:, 0].astype(np.int64)
        else:
            index_k = np.arange(vertices)
        if index_k.min(initial=0) < 0 or index_k.max(initial=0) >= vertices:
            raise self._file.fails("its faces name vertices that it lacks; is it complete?")
        if mode == _TRIANGLES:
            return index_k[: len(index_k) // 3 * 3].reshape(-1, 3)
        first_f = np.arange(max(len(index_k) - 2, 0))
        if mode == _FAN:
            return np.stack([index_k[first_f + 1], index_k[first_f + 2], index_k[np.zeros_like(first_f)]], axis=1)
        odd_f = first_f % 2  # every other triangle of a strip is the other way round
        faces_f3 = np.stack([index_k[first_f], index_k[first_f + 1 + odd_f], index_k[first_f + 2 - odd_f]], axis=1)
        a_f, b_f, c_f = faces_f3.T
        return faces_f3[(a_f != b_f) & (b_f != c_f) & (a_f != c_f)]

    def _dressed(self, part: MeshPart, attributes: dict[str, int], look: Appearance) -> MeshPart:
        vertices_v3, faces_f3 = part.vertices_v3, part.faces_f3
        color_v3 = self._materials.vertex_colors(attributes["COLOR_0"]) if "COLOR_0" in attributes else None
        set_name = f"TEXCOORD_{look.texture_set}"
        flat_3 = None if color_v3 is None or look.picture_hw3 is None else _only_color(look.picture_hw3)
        if color_v3 is not None and flat_3 is not None:  # some programs put a white picture under vertex colours
            return MeshPart(vertices_v3, faces_f3, srgb_of_linear(color_v3 * linear_of_srgb(flat_3 / 255)))
        if look.picture_hw3 is not None and set_name in attributes:
            if color_v3 is not None and np.abs(color_v3 - 1).max(initial=0) > 0.05:
                self._materials.note("vertex colours over a texture are left out")
            uv_v2 = np.asarray(self._file.values(attributes[set_name]), np.float64)
            assert look.uv_23 is not None
            uv_v2 = uv_v2 @ look.uv_23[:, :2].T + look.uv_23[:, 2]
            if not look.repeats and np.abs(uv_v2 - 0.5).max(initial=0) > 0.5 + _BORDER:
                self._materials.note("textures repeat beyond their borders, where the file says clamp or mirror")
            return MeshPart(vertices_v3, faces_f3, None, uv_v2[faces_f3].astype(np.float32), look.picture_hw3)
        missing = look.missing
        if look.picture_hw3 is not None:
            missing = f"the texture coordinates {set_name} of a material"
        rgb_v3 = None
        if color_v3 is not None:
            rgb_v3 = srgb_of_linear(color_v3 * look.rgb_linear_3)
        elif look.is_said and missing is None:
            rgb_v3 = np.tile(srgb_of_linear(look.rgb_linear_3), (len(vertices_v3), 1))
        return MeshPart(vertices_v3, faces_f3, rgb_v3, missing=missing)


def _only_color(picture_hw3: np.ndarray) -> np.ndarray | None:
    """The colour (3,) that a picture has everywhere, None of others."""
    first_3 = picture_hw3[0, 0]
    return first_3 if (picture_hw3 == first_3).all() else None


def _local(node: dict[str, Any]) -> np.ndarray:
    """From a node's own frame to its parent's, (4, 4)."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T  # column by column in the file
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), np.float64)
    R_33 = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    T_44 = np.eye(4)
    T_44[:3, :3] = R_33 * np.array(node.get("scale", (1, 1, 1)), np.float64)
    T_44[:3, 3] = node.get("translation", (0, 0, 0))
    return T_44
