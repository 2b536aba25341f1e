"""The world as browsers get it: read back by our own reader, reduced, and seen through its backs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from transpose.viewing.glb import world_glb
from transpose.viewing.reduced import facing, reduced
from transpose.worlds.gltf_scenes import read_gltf
from transpose.worlds.world import World


def triangles(vertices_v3: np.ndarray, faces_f3: np.ndarray) -> np.ndarray:
    """Corners of triangles (n, 9), each turned to begin with its least corner, sorted."""
    corner_f33 = np.round(vertices_v3[faces_f3].astype(np.float64), 4)
    turned = []
    for corner_33 in corner_f33:
        first = min(range(3), key=lambda i: tuple(corner_33[i]))
        turned.append(np.roll(corner_33, -first, axis=0).reshape(-1))
    return np.array(sorted(map(tuple, turned)))


def textured(world: World) -> World:
    """Half of its faces with a texture."""
    texture_hw3 = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    count = len(world.faces_f3)
    face_texture_f = np.where(np.arange(count) < count // 2, 0, -1).astype(np.int32)
    uv_f32 = np.random.default_rng(1).uniform(0, 1, (count, 3, 2)).astype(np.float32)
    return replace(world, face_texture_f=face_texture_f, corner_uv_f32=uv_f32, textures=(texture_hw3,))


def test_glb_has_the_same_triangles_and_colours(box_world: World, tmp_path: Path) -> None:
    path = tmp_path / "world.glb"
    path.write_bytes(world_glb(box_world))
    (part,) = read_gltf(path).parts
    assert np.array_equal(
        triangles(part.vertices_v3, part.faces_f3), triangles(box_world.vertices_v3, box_world.faces_f3)
    )
    assert part.rgb_v3 is not None
    near = np.abs(part.rgb_v3.astype(int) - box_world.vertex_rgb_v3[np.unique(box_world.faces_f3)].astype(int))
    assert near.max() <= 1


def test_glb_of_textures_and_colours_together(box_world: World, tmp_path: Path) -> None:
    world, path = textured(box_world), tmp_path / "world.glb"
    path.write_bytes(world_glb(world))
    parts = read_gltf(path).parts
    assert sum(len(part.faces_f3) for part in parts) == len(world.faces_f3)
    part = next(part for part in parts if part.is_textured)
    half = len(world.faces_f3) // 2
    assert np.array_equal(
        triangles(part.vertices_v3, part.faces_f3), triangles(world.vertices_v3, world.faces_f3[:half])
    )
    assert part.uv_f32 is not None
    assert np.allclose(np.sort(part.uv_f32.reshape(-1)), np.sort(world.corner_uv_f32[:half].reshape(-1)), atol=1e-6)
    assert part.picture_hw3 is not None and part.picture_hw3.shape == (16, 16, 3)


def test_small_worlds_stay_as_they_are(box_world: World) -> None:
    assert reduced(box_world, len(box_world.faces_f3)) is box_world


def test_large_worlds_keep_their_shape_with_fewer_triangles(box_world: World) -> None:
    world = textured(box_world)
    smaller = reduced(world, 900)
    assert 200 < len(smaller.faces_f3) <= 900
    assert np.allclose(smaller.bounds, world.bounds, atol=0.5)
    assert len(smaller.corner_uv_f32) == len(smaller.face_texture_f) == len(smaller.faces_f3)
    a, b, c = smaller.faces_f3.T
    assert ((a != b) & (b != c) & (c != a)).all()


def test_faces_seen_from_behind_are_left_out(box_world: World) -> None:
    above = facing(box_world, np.array([0.0, 0.0, 50.0]))
    below = facing(box_world, np.array([0.0, 0.0, -50.0]))
    assert 0 < len(below.faces_f3) < len(above.faces_f3) < len(box_world.faces_f3)
    assert len(above.faces_f3) + len(below.faces_f3) <= len(box_world.faces_f3)
