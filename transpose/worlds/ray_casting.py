"""Which triangle each ray meets first: Embree, by its own Python package or, where that has no wheel, by Open3D's.

Both packages wrap the same library; embreex is a tenth of Open3D's size and loads at once, Open3D has wheels for Linux
on 64-bit ARM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from transpose.errors import MissingPackageError
from transpose.worlds.optional_open3d import import_open3d

_NONE = np.uint32(0xFFFFFFFF)  # Open3D's face of a ray that meets nothing


@dataclass(frozen=True)
class RayHits:
    """The first hit of each of n rays.

    Attributes:
        face_n: int32 index of the triangle, -1 where there is none; the other arrays mean nothing there.
        distance_n: float32, in lengths of the ray's direction.
        u_n, v_n: float32 barycentric weights of the triangle's second and third corner.
        normal_n3: float32 (second - first corner) x (third - first corner): twice the triangle's area long.
    """

    face_n: np.ndarray
    distance_n: np.ndarray
    u_n: np.ndarray
    v_n: np.ndarray
    normal_n3: np.ndarray


class RayCaster(Protocol):
    """Holds triangles and casts rays at them, in the thread that calls. Several threads may cast at once.

    Origins and directions are float32 (n, 3); origins may be a read-only view of one point. Directions of any length.
    """

    def first_hits(self, origins_n3: np.ndarray, directions_n3: np.ndarray) -> RayHits:
        """What each ray meets first."""
        ...

    def meets_anything(self, origins_n3: np.ndarray, directions_n3: np.ndarray) -> np.ndarray:
        """Whether each ray meets a triangle at all, (n,) bool."""
        ...


def ray_caster(vertices_v3: np.ndarray, faces_f3: np.ndarray, from_afar: bool = False) -> RayCaster:
    """The caster of this machine over float32 vertices and int32 faces: embreex where it is installed, else Open3D.

    Args:
        vertices_v3: corners.
        faces_f3: triangles.
        from_afar: no ray slips through an edge either where it comes from many times the size of the whole.

    Raises:
        MissingPackageError: neither is installed.
    """
    try:
        return EmbreexCaster(vertices_v3, faces_f3, from_afar)
    except (ImportError, OSError):
        return Open3dCaster(vertices_v3, faces_f3, from_afar)


class EmbreexCaster:
    """By embreex; raises ImportError where it is missing."""

    def __init__(self, vertices_v3: np.ndarray, faces_f3: np.ndarray, from_afar: bool = False) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        # A fifth faster without; of views of the place a ray slips through an edge once in a million.
        self._scene = EmbreeScene(robust=from_afar)
        TriangleMesh(self._scene, vertices_v3, faces_f3)

    def first_hits(self, origins_n3: np.ndarray, directions_n3: np.ndarray) -> RayHits:
        """See `RayCaster`."""
        hits = self._scene.run(origins_n3, directions_n3, query="INTERSECT", output=1)
        return RayHits(hits["primID"], hits["tfar"], hits["u"], hits["v"], hits["Ng"])

    def meets_anything(self, origins_n3: np.ndarray, directions_n3: np.ndarray) -> np.ndarray:
        """See `RayCaster`."""
        return self._scene.run(origins_n3, directions_n3, query="OCCLUDED") >= 0


class Open3dCaster:
    """By Open3D; raises MissingPackageError where it is missing. No ray slips through an edge, from afar or not."""

    def __init__(self, vertices_v3: np.ndarray, faces_f3: np.ndarray, from_afar: bool = False) -> None:
        try:
            o3d = import_open3d()
        except MissingPackageError as error:
            raise MissingPackageError("embreex or Open3D", "fusion", "to render") from error
        self._tensor = o3d.core.Tensor.from_numpy
        # Open3D's own normals are unit vectors; a triangle's area is asked for as well.
        corners_f33 = np.asarray(vertices_v3, np.float32)[faces_f3]
        self._normal_f3 = np.cross(corners_f33[:, 1] - corners_f33[:, 0], corners_f33[:, 2] - corners_f33[:, 0])
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            self._tensor(np.ascontiguousarray(vertices_v3, np.float32)),
            self._tensor(np.ascontiguousarray(faces_f3, np.uint32)),
        )
        # The first cast builds the tree, which two threads must not do at once.
        self.meets_anything(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))

    def first_hits(self, origins_n3: np.ndarray, directions_n3: np.ndarray) -> RayHits:
        """See `RayCaster`."""
        hits = self._scene.cast_rays(self._rays(origins_n3, directions_n3), nthreads=1)
        face_n = hits["primitive_ids"].numpy()
        face_n = np.where(face_n == _NONE, -1, face_n.astype(np.int32))
        uv_n2 = hits["primitive_uvs"].numpy()
        u_n, v_n = np.ascontiguousarray(uv_n2[:, 0]), np.ascontiguousarray(uv_n2[:, 1])
        normal_n3 = np.take(self._normal_f3, face_n, axis=0, mode="clip")
        return RayHits(face_n, hits["t_hit"].numpy(), u_n, v_n, normal_n3)

    def meets_anything(self, origins_n3: np.ndarray, directions_n3: np.ndarray) -> np.ndarray:
        """See `RayCaster`."""
        return self._scene.test_occlusions(self._rays(origins_n3, directions_n3), nthreads=1).numpy()

    def _rays(self, origins_n3: np.ndarray, directions_n3: np.ndarray) -> object:
        return self._tensor(np.concatenate([origins_n3, directions_n3], axis=1, dtype=np.float32))
