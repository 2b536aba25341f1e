"""The procedural village: the same from its seed, another from another, sound as a mesh."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from transpose.village import SEASONS, build_village
from transpose.village.atlas import GUTTER_PX, Atlas
from transpose.village.ground_shape import shape_terrain
from transpose.village.parts import Kind, MeshBuilder, Texture, box, cylinder
from transpose.village.planner import plan_village
from transpose.village.surroundings import add_surroundings, paint_surroundings
from transpose.worlds.ray_casting import ray_caster
from transpose.worlds.world import VERTEX_COLOR, World

_DETAIL = 0.125  # Coarse textures; the geometry does not depend on it.


@cache
def village(seed: int = 0, season: str = "summer", moved: int = 0) -> World:
    return build_village(seed, season, moved, detail=_DETAIL)


def normals(world: World) -> np.ndarray:
    """Twice the area of each face along its normal, (faces, 3)."""
    corners = world.vertices_v3[world.faces_f3].astype(float)
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def triangles(world: World, kind: Kind) -> np.ndarray:
    return world.vertices_v3[world.faces_f3[world.face_class_f == kind]]


def test_same_seed_gives_the_same_village() -> None:
    first, again = village(0), build_village(0, detail=_DETAIL)
    for name in ("vertices_v3", "faces_f3", "vertex_rgb_v3", "corner_uv_f32", "face_texture_f", "face_class_f"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert all(np.array_equal(a, b) for a, b in zip(first.textures, again.textures, strict=True))


def test_another_seed_gives_another_village() -> None:
    houses, others = triangles(village(0), Kind.BUILDING), triangles(village(3), Kind.BUILDING)
    assert houses.shape != others.shape or not np.allclose(houses, others)
    assert not np.array_equal(village(0).textures[Texture.GROUND], village(3).textures[Texture.GROUND])


def test_a_later_day_moves_things_but_not_houses_roads_and_ground() -> None:
    survey, later = village(0), village(0, moved=1)
    for kind in (Kind.GROUND, Kind.BUILDING, Kind.WATER, Kind.ROAD):
        assert np.array_equal(triangles(survey, kind), triangles(later, kind)), kind.name
    for kind in (Kind.OBJECT, Kind.VEGETATION):
        before, after = triangles(survey, kind), triangles(later, kind)
        assert before.shape != after.shape or not np.array_equal(before, after), kind.name
    for texture in (Texture.GROUND, Texture.ROOFS, Texture.FACADES):
        assert np.array_equal(survey.textures[texture], later.textures[texture]), texture.name


def test_a_season_changes_colors_only() -> None:
    summer, other = village(0), village(0, "winter")
    assert np.array_equal(summer.vertices_v3, other.vertices_v3)
    assert np.array_equal(summer.faces_f3, other.faces_f3)
    assert np.array_equal(summer.corner_uv_f32, other.corner_uv_f32)
    for texture in (Texture.GROUND, Texture.CROWNS, Texture.LEAVES):
        assert np.abs(summer.textures[texture].astype(int) - other.textures[texture]).mean() > 5, texture.name


@pytest.mark.parametrize("seed", [0, 3])
def test_mesh_is_sound(seed: int) -> None:
    world = village(seed)
    assert 30_000 <= len(world.faces_f3) <= 130_000
    assert world.class_names == ("sky", "ground", "vegetation", "building", "water", "road", "object")
    assert set(np.unique(world.face_class_f)) == set(range(1, 7))
    assert np.isfinite(world.vertices_v3).all() and np.isfinite(world.corner_uv_f32).all()
    assert world.face_texture_f.min() == VERTEX_COLOR
    low, high = world.bounds
    assert np.all(low[:2] >= -125) and np.all(high[:2] <= 125) and high[2] - low[2] < 60
    assert (np.linalg.norm(normals(world), axis=1) > 1e-9).mean() > 0.995
    assert world.facts["simulated"] is True and world.facts["licence"] == "Apache-2.0"


def test_atlas_coordinates_stay_on_their_texture() -> None:
    world = village(0)
    for texture in (Texture.GROUND, Texture.ROOFS, Texture.FACADES, Texture.CROWNS):
        uv = world.corner_uv_f32[world.face_texture_f == texture]
        assert uv.min() >= -1e-6 and uv.max() <= 1 + 1e-6, texture.name


def test_ground_and_roofs_face_upwards() -> None:
    world = village(0)
    up = normals(world)[:, 2]
    assert (up[np.isin(world.face_class_f, (Kind.GROUND, Kind.WATER))] > 0).all()
    assert (up[world.face_texture_f == Texture.ROOFS] > -1e-9).all()


def test_walls_turn_away_from_their_house() -> None:
    world, (layout, _) = village(0), plan_village(0)
    walls = world.face_texture_f == Texture.FACADES
    centres, outward = world.vertices_v3[world.faces_f3[walls]].mean(1)[:, :2], normals(world)[walls][:, :2]
    # Without dormers, and convex: every wall looks away from the middle.
    plain = [b for b in layout.buildings if len(b.blocks) == 1 and b.blocks[0].roof in ("hip", "flat", "shed")]
    assert plain
    for building in plain:
        main = building.blocks[0]
        near = np.linalg.norm(centres - building.centre_2, axis=1) < np.hypot(main.x1, main.y1) + 0.1
        away = ((centres - building.centre_2) * outward).sum(1)
        assert near.any() and (away[near] > 0).all(), building.number


def test_a_ray_from_above_hits_front_faces() -> None:
    world = village(0)
    rng = np.random.default_rng(0)
    start = np.column_stack([rng.uniform(-109, 109, (4000, 2)), np.full(4000, 90.0)]).astype(np.float32)
    down = np.tile(np.array([0, 0, -1], np.float32), (4000, 1))
    hit = ray_caster(world.vertices_v3, world.faces_f3).first_hits(start, down).face_n
    assert (hit >= 0).all(), "there is ground everywhere"
    assert (normals(world)[hit][:, 2] > 0).mean() > 0.999


@pytest.mark.parametrize("seed", range(1, 3))
def test_plan_has_a_village(seed: int) -> None:
    layout, free = plan_village(seed)
    kinds = [building.kind for building in layout.buildings]
    assert 33 <= len(kinds) <= 60 and kinds.count("church") == 1 and kinds.count("barn") >= 1
    assert layout.bridges and layout.fields and layout.plants and free.any()
    outlines = {tuple(np.round([block.x1, block.y1, block.eave_m], 3)) for b in layout.buildings for block in b.blocks}
    assert len(outlines) == sum(len(building.blocks) for building in layout.buildings), "no two houses are the same"


def test_doors_of_another_village_are_elsewhere() -> None:
    def doors(seed: int) -> np.ndarray:
        buildings = plan_village(seed)[0].buildings
        fronts = [(building.blocks[0].x0, building.blocks[0].x1) for building in buildings[:20]]
        return np.array([(b.door_x - x0) / (x1 - x0) for b, (x0, x1) in zip(buildings, fronts, strict=False)])

    first, second = doors(1), doors(2)
    assert ((first > 0.29) & (first < 0.71)).all()
    assert np.abs(first - second).min() > 1e-6


def test_solids_are_closed_and_face_outwards() -> None:
    for vertices, faces in (box(-1, 2, -1, 1, 0, 3, taper=0.2), cylinder(1.0, 0.0, 2.0, 7, top=0.4)):
        corners = vertices[faces] - vertices.mean(0)
        volumes = np.einsum("fi,fi->f", np.cross(corners[:, 0], corners[:, 1]), corners[:, 2])
        assert (volumes > 0).all()


def test_polygon_is_turned_towards_its_outside() -> None:
    builder = MeshBuilder()
    clockwise = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0.0]])
    builder.polygon(clockwise, (0, 0, 1), Kind.ROAD)
    arrays = builder.finish({})
    corners = arrays["vertices_v3"][arrays["faces_f3"]]
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0).all()


def test_atlas_keeps_pieces_and_extends_their_borders() -> None:
    rng, atlas = np.random.default_rng(0), Atlas(128)
    pieces = [rng.integers(0, 256, (int(h), int(w), 3)).astype(np.uint8) for h, w in rng.integers(5, 40, (9, 2))]
    numbers = [atlas.add(piece) for piece in pieces]
    texture = atlas.pack(multiple_px=64)
    assert texture.shape[0] % 64 == 0
    for number, piece in zip(numbers, pieces, strict=True):
        corner = atlas.texture_uv(np.zeros((1, 1, 2)), np.array([number]))[0, 0] * texture.shape[1::-1]
        left, top = np.round(corner).astype(int)
        assert np.array_equal(texture[top : top + piece.shape[0], left : left + piece.shape[1]], piece)
        assert np.array_equal(texture[top, left - GUTTER_PX], piece[0, 0])


def test_unknown_season_and_detail_are_refused() -> None:
    assert SEASONS == ("summer", "autumn", "winter")
    with pytest.raises(ValueError, match="spring"):
        build_village(0, "spring")
    with pytest.raises(ValueError, match="detail"):
        build_village(0, detail=0)


def test_surroundings_join_the_village_without_a_gap() -> None:
    layout, _ = plan_village(1)
    terrain, builder = shape_terrain(1, layout), MeshBuilder()
    sheet = paint_surroundings(1, layout, "summer", 256)
    add_surroundings(builder, terrain, layout, 1, sheet)
    arrays = builder.finish({})
    vertices = arrays["vertices_v3"]
    inner = np.abs(vertices[:, :2]).max(1) < 110.01
    assert inner.any() and np.abs(vertices[:, :2]).max() == pytest.approx(400, abs=1e-3)
    assert np.allclose(vertices[inner, 2], terrain.height(vertices[inner, :2].astype(float)), atol=1e-4)
    corners = vertices[arrays["faces_f3"]]
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0).all()
