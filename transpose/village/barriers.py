"""Hedges, fences, garden walls and bridges: profiles drawn along lines."""

from __future__ import annotations

import numpy as np

from transpose.randomness import stream
from transpose.village.ground_shape import Terrain
from transpose.village.maps import HALF_M, turned, walk
from transpose.village.parts import Kind, MeshBuilder, Texture
from transpose.village.site_layout import Barrier, Bridge

_FOOT_M = -0.35
# Half of the thickness in metres, the texture and its size in metres, the class.
_MAKE = {
    "hedge": (0.42, Texture.LEAVES, 5.0, Kind.VEGETATION),
    "picket": (0.03, Texture.WOOD, 3.0, Kind.OBJECT),
    "boards": (0.04, Texture.WOOD, 4.0, Kind.OBJECT),
    "wall": (0.17, Texture.STONE, 8.0, Kind.OBJECT),
}


def _profile(kind: str, half_m: float, height_m: float) -> np.ndarray:
    """Offsets to the left and heights, from the foot on the right over the top to the foot on the left."""
    if kind == "hedge":
        right = [[-0.85, _FOOT_M], [-1.0, 0.5 * height_m], [-0.8, 0.95 * height_m]]
        half = np.array([*right, [0.0, 1.03 * height_m]])
        return np.concatenate([half, half[-2::-1] * [-1, 1]]) * [half_m, 1]
    return np.array([[-half_m, _FOOT_M], [-half_m, height_m], [half_m, height_m], [half_m, _FOOT_M]])


def swept(
    stations_n3: np.ndarray, left_n2: np.ndarray, profile_nk2: np.ndarray, tile_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A profile drawn along a line, closed at both ends.

    Args:
        stations_n3: points of the line.
        left_n2: horizontal unit vectors to the left of the line.
        profile_nk2: offset to the left and height of each profile point at each station.
        tile_m: size of the repeating texture.

    Returns:
        Vertices (n * k, 3), faces (m, 3), texture coordinates (m, 3, 2).
    """
    n, k = profile_nk2.shape[:2]
    vertices = np.repeat(stations_n3[:, None], k, 1).astype(float)
    vertices[..., :2] += left_n2[:, None] * profile_nk2[..., :1]
    vertices[..., 2] += profile_nk2[..., 1]
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(stations_n3, axis=0), axis=1))])
    around = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile_nk2[0], axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(along[:, None], around[None, :]), -1).reshape(-1, 2) / tile_m
    index = np.arange(n * k).reshape(n, k)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    fan = np.stack([np.zeros(k - 2, int), np.arange(1, k - 1), np.arange(2, k)], 1)
    ends = np.concatenate([fan, fan[:, ::-1] + (n - 1) * k])
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1), ends])
    corner_uv = uv[faces]
    # The ends are seen along the line: across instead of along.
    corner_uv[len(faces) - len(ends) :] = profile_nk2.reshape(-1, 2)[ends] / tile_m
    return vertices.reshape(-1, 3), faces, corner_uv


def _left(directions_n2: np.ndarray) -> np.ndarray:
    return turned(directions_n2, np.pi / 2)


def add_barrier(builder: MeshBuilder, terrain: Terrain, barrier: Barrier, seed: int, number: int) -> None:
    """Models one hedge, fence or wall on the ground."""
    rng = stream(seed, "village", "barrier", str(number))
    half, texture, tile_m, kind = _MAKE[barrier.kind]
    hedge = barrier.kind == "hedge"
    points, directions = walk(barrier.line_n2, 1.2 if hedge else 2.0)
    points = np.concatenate([points, barrier.line_n2[-1:]])
    directions = np.concatenate([directions, directions[-1:]])
    profile = np.repeat(_profile(barrier.kind, half, barrier.height_m)[None], len(points), 0)
    if hedge:
        profile = profile * rng.uniform(0.8, 1.2, (len(points), 1, 1)) + rng.normal(0, 0.05, profile.shape)
        profile[:, [0, -1], 1] = _FOOT_M
    vertices, faces, uv = swept(terrain.on_ground(points), _left(directions), profile, tile_m)
    builder.add(vertices, faces, kind, texture, uv + rng.random(2))


def add_bridge(builder: MeshBuilder, terrain: Terrain, bridge: Bridge) -> None:
    """A deck that shows the road of the ground's picture, stone sides and parapets."""
    reach = np.linspace(-0.5, 0.5, 9) * bridge.length_m
    line = bridge.centre_2 + reach[:, None] * bridge.direction_2
    ends = terrain.height(line[[0, -1]])
    deck = ends[0] + (ends[1] - ends[0]) * (reach / bridge.length_m + 0.5) + 0.06
    deck += 0.3 * (1 - (2 * reach / bridge.length_m) ** 2)
    # No part of the ground may come through the deck.
    half = bridge.width_m / 2 + 0.2
    left = np.repeat(_left(bridge.direction_2[None]), len(line), 0)
    sides = [terrain.height(line + offset * left) for offset in (-half, 0.0, half)]
    deck = np.maximum(deck, np.max(sides, axis=0) + 0.04)
    stations = np.column_stack([line, deck])
    width = half + 0.35
    body = np.array([[-width, -2.6], [-width, -0.02], [width, -0.02], [width, -2.6]])
    vertices, faces, uv = swept(stations, left, np.repeat(body[None], len(line), 0), 8.0)
    builder.add(vertices, faces, Kind.ROAD, Texture.STONE, uv)
    top = np.array([[-width, 0.0], [width, 0.0]])
    vertices, faces, _ = swept(stations, left, np.repeat(top[None], len(line), 0), 8.0)
    ground_uv = (vertices[:, :2] * [1, -1] + HALF_M) / (2 * HALF_M)
    builder.add(vertices, faces, Kind.ROAD, Texture.GROUND, ground_uv[faces])
    for side in (-1, 1):
        low, high = sorted((side * half, side * (half + 0.33)))
        rail = np.array([[low, -0.1], [low, 0.85], [high, 0.85], [high, -0.1]])
        vertices, faces, uv = swept(stations, left, np.repeat(rail[None], len(line), 0), 8.0)
        builder.add(vertices, faces, Kind.OBJECT, Texture.STONE, uv + 0.3)
