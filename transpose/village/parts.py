"""The mesh builder: faces with texture coordinates, a texture and a class, and the solids that many objects share."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from transpose.village.atlas import Atlas
from transpose.village.maps import turned
from transpose.worlds.world import VERTEX_COLOR

CLASS_NAMES = ("sky", "ground", "vegetation", "building", "water", "road", "object")


class Kind(IntEnum):
    """Class of a face; the value is the index into `CLASS_NAMES`."""

    SKY = 0
    GROUND = 1
    VEGETATION = 2
    BUILDING = 3
    WATER = 4
    ROAD = 5
    OBJECT = 6


class Texture(IntEnum):
    """Texture of a face; the value is the index into the world's textures."""

    NONE = VERTEX_COLOR
    GROUND = 0
    ROOFS = 1
    FACADES = 2
    CROWNS = 3
    LEAVES = 4
    STONE = 5
    WOOD = 6
    STRAW = 7
    SURROUNDINGS = 8


Color = Sequence[int]


class MeshBuilder:
    """Collects triangles; texture coordinates on an atlas are pixels of a piece until `finish` places the pieces."""

    def __init__(self) -> None:
        self._vertices: list[np.ndarray] = []
        self._colors: list[np.ndarray] = []
        self._faces: list[np.ndarray] = []
        self._uvs: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._count = 0

    def add(
        self,
        vertices_n3: np.ndarray,
        faces_m3: np.ndarray,
        kind: Kind,
        texture: Texture = Texture.NONE,
        corner_uv_m32: np.ndarray | None = None,
        rgb: Color | np.ndarray = (128, 128, 128),
        piece: int = -1,
    ) -> None:
        """Adds triangles, counter-clockwise seen from outside.

        Args:
            vertices_n3: metres.
            faces_m3: indices into these vertices.
            kind: class of all faces.
            texture: texture of all faces.
            corner_uv_m32: texture coordinates; pixels of the piece if there is a piece.
            rgb: one colour, or one per vertex; seen only where the texture is `Texture.NONE`.
            piece: the piece of the texture's atlas, -1 where the texture is no atlas.
        """
        faces = np.asarray(faces_m3, np.int64)
        self._vertices.append(np.asarray(vertices_n3, np.float64))
        self._colors.append(np.broadcast_to(np.asarray(rgb, np.uint8), (len(vertices_n3), 3)))
        self._faces.append(faces + self._count)
        self._uvs.append(np.zeros((len(faces), 3, 2)) if corner_uv_m32 is None else np.asarray(corner_uv_m32, float))
        self._labels.append(np.tile([int(kind), int(texture), piece], (len(faces), 1)))
        self._count += len(vertices_n3)

    def polygon(
        self,
        points_k3: np.ndarray,
        outward_3: Sequence[float] | np.ndarray,
        kind: Kind,
        texture: Texture = Texture.NONE,
        uv_k2: np.ndarray | None = None,
        rgb: Color | np.ndarray = (128, 128, 128),
        piece: int = -1,
    ) -> None:
        """Adds a convex planar polygon; its corners are put in the order that makes it face `outward_3`."""
        order = np.arange(len(points_k3))
        if polygon_normal(points_k3) @ np.asarray(outward_3, float) < 0:
            order = order[::-1]
        middle = np.arange(1, len(order) - 1)
        faces = order[np.stack([np.zeros_like(middle), middle, middle + 1], 1)]
        uv = None if uv_k2 is None else np.asarray(uv_k2)[faces]
        self.add(points_k3, faces, kind, texture, uv, rgb, piece)

    def add_by_kind(
        self, vertices_n3: np.ndarray, faces_m3: np.ndarray, kind_m: np.ndarray, texture: Texture, uv_n2: np.ndarray
    ) -> None:
        """Adds faces of differing classes that share vertices and texture coordinates."""
        for kind in np.unique(kind_m):
            chosen = faces_m3[kind_m == kind]
            used, local = np.unique(chosen, return_inverse=True)
            self.add(vertices_n3[used], local.reshape(-1, 3), Kind(int(kind)), texture, uv_n2[chosen])

    def finish(self, atlases: dict[Texture, Atlas]) -> dict[str, np.ndarray]:
        """All arrays of a `World`; the atlases must be packed."""
        labels, uv = np.concatenate(self._labels), np.concatenate(self._uvs)
        for texture, atlas in atlases.items():
            on = (labels[:, 1] == texture) & (labels[:, 2] >= 0)
            uv[on] = atlas.texture_uv(uv[on], labels[on, 2])
        return {
            "vertices_v3": np.concatenate(self._vertices).astype(np.float32),
            "faces_f3": np.concatenate(self._faces).astype(np.int32),
            "vertex_rgb_v3": np.ascontiguousarray(np.concatenate(self._colors)),
            "corner_uv_f32": np.ascontiguousarray(uv, np.float32),
            "face_texture_f": labels[:, 1].astype(np.int32),
            "face_class_f": labels[:, 0].astype(np.uint8),
        }


def polygon_normal(points_k3: np.ndarray) -> np.ndarray:
    """Newell's normal of a planar polygon, not normalised."""
    x, y, z = np.asarray(points_k3, float).T
    u, v, w = np.roll([x, y, z], -1, axis=1)
    return np.array([y @ w - z @ v, z @ u - x @ w, x @ v - y @ u])


def to_village_frame(vertices_n3: np.ndarray, at_3: Sequence[float] | np.ndarray, yaw: float = 0.0) -> np.ndarray:
    """Vertices of an object's own frame in the village's: turned about the vertical and moved."""
    moved = np.array(vertices_n3, float)
    moved[:, :2] = turned(moved[:, :2], yaw)
    return moved + np.asarray(at_3, float)


def box(
    x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, taper: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (8, 3) and faces (12, 3) of a box whose top is drawn in by `taper` metres on each side."""
    low = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)
    high = low + taper * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    return prism(low, z0, z1, high)


def prism(
    low_k2: np.ndarray, z0: float | np.ndarray, z1: float | np.ndarray, high_k2: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A closed prism over a convex counter-clockwise polygon; the heights may differ by corner."""
    count = len(low_k2)
    high = low_k2 if high_k2 is None else high_k2
    bottom = np.column_stack([low_k2, np.broadcast_to(z0, count)])
    top = np.column_stack([high, np.broadcast_to(z1, count)])
    a = np.arange(count)
    b = (a + 1) % count
    sides = np.concatenate([np.stack([a, b, b + count], 1), np.stack([a, b + count, a + count], 1)])
    fan = np.stack([np.zeros(count - 2, int), np.arange(1, count - 1), np.arange(2, count)], 1)
    return np.concatenate([bottom, top]), np.concatenate([sides, fan[:, ::-1], fan + count])


def cylinder(
    radius: float, z0: float, z1: float, sides: int = 8, top: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """An upright cylinder about the z axis, or a frustum whose upper radius is `top`."""
    angle = np.arange(sides) * 2 * np.pi / sides
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    return prism(radius * circle, z0, z1, (radius if top is None else max(top, 1e-3)) * circle)


def boxed_uv(
    vertices_n3: np.ndarray, faces_m3: np.ndarray, tile_m: float, offset_2: Sequence[float] | np.ndarray = (0.0, 0.0)
) -> np.ndarray:
    """Coordinates of a repeating texture, projected along the main axis of each face's normal, (faces, 3, 2)."""
    corners = vertices_n3[faces_m3]
    normal = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    axes = np.array([[1, 2], [0, 2], [0, 1]])[np.argmax(normal, 1)]
    uv = np.take_along_axis(corners, np.repeat(axes[:, None, :], 3, 1), 2)
    # Texture rows run downwards, heights upwards.
    return uv * [1.0, -1.0] / tile_m + np.asarray(offset_2)
