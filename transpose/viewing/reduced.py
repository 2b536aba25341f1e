"""A world with fewer triangles, where a browser could not hold it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.worlds.world import World

MOST_TRIANGLES = 1_500_000
_FINER = 0.8  # by which cells grow until few enough triangles are left


def reduced(world: World, most_triangles: int = MOST_TRIANGLES) -> World:
    """The world with at most so many triangles; itself where it has no more.

    Vertices in one cell of a grid become one, their mean, and triangles that lose a side are left out (Rossignac and
    Borrel, Multi-resolution 3D approximations for rendering complex scenes, 1993). Cells are as small as they can be,
    within a quarter. Texture coordinates stay those of the corners.
    """
    if len(world.faces_f3) <= most_triangles:
        return world
    low_3, high_3 = world.bounds
    cell = float(np.linalg.norm(high_3 - low_3)) / (4 * most_triangles**0.5)
    while True:
        smaller = _clustered(world, cell)
        if smaller is None:  # even its largest triangles are within a cell
            return _with_faces(world, np.arange(most_triangles))
        if len(smaller.faces_f3) <= most_triangles:
            return smaller
        cell /= _FINER


def _clustered(world: World, cell: float) -> World | None:
    low_3, _ = world.bounds
    key_v3 = np.floor((world.vertices_v3 - low_3) / cell).astype(np.int64)
    key_v = (key_v3[:, 0] << 42) + (key_v3[:, 1] << 21) + key_v3[:, 2]
    _, cluster_v, count_c = np.unique(key_v, return_inverse=True, return_counts=True)
    faces_f3 = cluster_v[world.faces_f3]
    a_f, b_f, c_f = faces_f3.T
    kept_f = np.flatnonzero((a_f != b_f) & (b_f != c_f) & (c_f != a_f))
    if not len(kept_f):
        return None
    return replace(
        _with_faces(world, kept_f),
        faces_f3=faces_f3[kept_f].astype(np.int32),
        vertices_v3=_means(world.vertices_v3, cluster_v, count_c).astype(np.float32),
        vertex_rgb_v3=_means(world.vertex_rgb_v3, cluster_v, count_c).round().astype(np.uint8),
    )


def _means(values_v3: np.ndarray, cluster_v: np.ndarray, count_c: np.ndarray) -> np.ndarray:
    sums = [np.bincount(cluster_v, values_v3[:, c], len(count_c)) for c in range(3)]
    return np.stack(sums, -1) / count_c[:, None]


def _with_faces(world: World, kept_f: np.ndarray) -> World:
    return replace(
        world,
        faces_f3=world.faces_f3[kept_f],
        corner_uv_f32=world.corner_uv_f32[kept_f],
        face_texture_f=world.face_texture_f[kept_f],
        face_class_f=world.face_class_f[kept_f] if world.has_classes else world.face_class_f,
    )


def facing(world: World, eye_3: np.ndarray) -> World:
    """The faces whose front a point (relative to the world's origin) sees; all where it sees none.

    So a room is seen from outside through its walls and its ceiling, as in the browser.
    """
    corner_f33 = world.vertices_v3[world.faces_f3]
    normal_f3 = np.cross(corner_f33[:, 1] - corner_f33[:, 0], corner_f33[:, 2] - corner_f33[:, 0])
    towards_f3 = np.asarray(eye_3, np.float32) - corner_f33[:, 0]
    kept_f = np.flatnonzero(np.einsum("fi,fi->f", normal_f3, towards_f3) > 0)
    return _with_faces(world, kept_f) if len(kept_f) else world
