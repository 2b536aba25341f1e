"""Which side of a mesh's triangles is the front, where a file has it the other way round."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from transpose.worlds.world import World

log = logging.getLogger(__name__)

# Of area that faces down, to area that faces up. Of a closed body there is as much of both, and of a room with its
# floor and ceiling; of a place that was scanned, more faces up.
_MOSTLY = 3.0


def right_way_round(world: World) -> World:
    """The world with its triangles wound the other way where most of its surface faces down, and a warning says so.

    Backs of faces are the insides of things: no view of them is rendered. Fronts are wound counter-clockwise, as
    nearly all programs have it; those that do not write whole meshes the other way.
    """
    corner_f32 = world.vertices_v3[:, :2][world.faces_f3]
    one_f2, other_f2 = corner_f32[:, 1] - corner_f32[:, 0], corner_f32[:, 2] - corner_f32[:, 0]
    up_f = one_f2[:, 0] * other_f2[:, 1] - one_f2[:, 1] * other_f2[:, 0]  # twice the area as seen from above
    if not -up_f[up_f < 0].sum() > _MOSTLY * up_f[up_f > 0].sum():
        return world
    taken = "so its triangles are taken to be wound the other way (--as-wound keeps them)"
    log.warning("%s: most of its surface faces down, %s", world.name, taken)
    return replace(
        world,
        faces_f3=np.ascontiguousarray(world.faces_f3[:, ::-1]),
        corner_uv_f32=np.ascontiguousarray(world.corner_uv_f32[:, ::-1]),
        facts={**world.facts, "faces_turned": True},
    )
