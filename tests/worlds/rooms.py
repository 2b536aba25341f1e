"""Small houses to stand in: a floor, walls, perhaps a ceiling and a table, as a coloured world."""

from __future__ import annotations

import numpy as np
import trimesh

from transpose.worlds.world import World, vertex_colored_world

WIDE_M, LONG_M, HIGH_M, TABLE_M = 6.0, 5.0, 2.6, 0.75


def house(storeys: int = 1, ceiling: bool = True, lift_m: float = 0.0) -> trimesh.Trimesh:
    """Slabs 0.2 m thick and walls 0.1 m thick, z up; a table of 1.6 x 1 m stands in the middle of each storey."""
    parts = []

    def box(size: tuple[float, float, float], low: tuple[float, float, float]) -> None:
        parts.append(
            trimesh.creation.box(size, trimesh.transformations.translation_matrix(np.add(low, np.divide(size, 2))))
        )

    step_m = HIGH_M + 0.2
    for storey in range(storeys):
        z = storey * step_m + lift_m
        box((WIDE_M, LONG_M, 0.2), (0, 0, z - 0.2))
        box((WIDE_M, 0.1, HIGH_M), (0, 0, z))
        box((WIDE_M, 0.1, HIGH_M), (0, LONG_M - 0.1, z))
        box((0.1, LONG_M, HIGH_M), (0, 0, z))
        box((0.1, LONG_M, HIGH_M), (WIDE_M - 0.1, 0, z))
        box((1.6, 1.0, 0.05), (2.2, 2.0, z + TABLE_M - 0.05))
    if ceiling:
        box((WIDE_M, LONG_M, 0.2), (0, 0, storeys * step_m - 0.2 + lift_m))
    return trimesh.util.concatenate(parts)


def world_of(mesh: trimesh.Trimesh) -> World:
    """Painted at random, finely enough to be told apart."""
    fine = mesh.subdivide().subdivide()
    rng = np.random.default_rng(0)
    return vertex_colored_world("house", fine.vertices, fine.faces, rng.integers(0, 256, (len(fine.vertices), 3)))
