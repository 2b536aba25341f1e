"""A world in one word, to notice that it is another one than it was."""

from __future__ import annotations

import hashlib

import numpy as np

from transpose.worlds.world import World


def world_digest(world: World) -> str:
    """A digest (64 hexadecimal digits) of what a camera sees of a world, and of where: not of its name and facts."""
    arrays = (
        *(world.vertices_v3, world.faces_f3, world.vertex_rgb_v3, world.corner_uv_f32, world.face_texture_f),
        *(world.face_class_f, np.asarray(world.origin_3, np.float64), np.asarray(world.up_3, np.float64)),
        *world.textures,
    )
    digest = hashlib.sha256("\n".join(world.class_names).encode())
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype.str}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
