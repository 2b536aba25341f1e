from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import looking_down
from tests.worlds.ray_casters import CASTERS, caster_named, trace_slowly
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.poses import transform
from transpose.scenes import open_section
from transpose.worlds.render_section import render_frame, render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.textures import TextureSheets, color_levels, shrunk
from transpose.worlds.viewpoints import (
    HypercubeRanges,
    NearOffsets,
    ViewCheck,
    Viewpoint,
    at_section,
    hypercube,
    latin_hypercube,
    near_section,
    rotation_from_angles,
    survey_flight,
)
from transpose.worlds.world import World, load_world, read_metadata, save_world, vertex_colored_world


@pytest.mark.parametrize("pitch", [-90.0, -60.0])
@pytest.mark.parametrize("caster", CASTERS)
def test_layers_match_the_reference_twin(
    box_world: World, camera: Camera, caster: str, pitch: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transpose.worlds.renderer.ray_caster", caster_named(caster))
    pose = looking_down(0.3, -0.4, 2.5, 30, pitch)
    view = Renderer(box_world).view(camera, pose)
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 96, 150), rng.integers(0, 128, 150)
    px_n2 = pixel_centers(128, 96)[rows, columns]
    depth, face, rgb = trace_slowly(box_world, camera, pose, px_n2)
    hit = np.isfinite(depth)
    assert hit.mean() > 0.9
    assert np.array_equal(view.seen_hw[rows, columns], hit)
    assert np.allclose(view.depth_hw[rows, columns][hit], depth[hit], rtol=1e-4)
    points = transform(pose.T_wc, camera.unproject(px_n2) * depth[:, None])
    assert np.allclose(view.coordinates_hw3[rows, columns][hit], points[hit], atol=1e-3)
    assert np.abs(view.rgb_hw3[rows, columns][hit].astype(float) - rgb[hit]).max() < 2
    corners = box_world.vertices_v3[box_world.faces_f3[face]].astype(float)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    rays = camera.unproject(px_n2) @ pose.R_wc.T
    normal *= -np.sign((normal * rays).sum(1, keepdims=True))
    assert np.allclose(view.normals_hw3[rows, columns][hit], (normal @ pose.R_wc)[hit], atol=1e-3)


def test_cell_labels_are_cast_through_the_cell_points(box_world: World, camera: Camera) -> None:
    pose = looking_down(0, 0, 3, 0, -80)
    cells = Renderer(box_world).cells(camera, pose)
    seen = cells.coordinates_hw3[cells.seen_hw]
    from transpose.geometry import cell_points

    assert np.allclose(camera.project(transform(pose.T_cw, seen)), cell_points(128, 96)[cells.seen_hw], atol=1e-2)


def test_a_far_origin_keeps_the_digits(box_world: World, camera: Camera) -> None:
    from dataclasses import replace

    origin = np.array([4.3e6, 5.6e5, 4.7e6])
    far = replace(box_world, origin_3=origin)
    pose = looking_down(0, 0, 3)
    moved = Pose(pose.T_wc.copy())
    moved.T_wc[:3, 3] += origin
    near_view, far_view = Renderer(box_world).view(camera, pose), Renderer(far).view(camera, moved)
    assert np.allclose(far_view.coordinates_hw3 - origin, near_view.coordinates_hw3, atol=1e-4, equal_nan=True)


def test_textures_are_sampled_where_they_are_and_filtered_far_away(camera: Camera) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    world = World("t", corners, faces, np.zeros((4, 3), np.uint8), uv[faces], np.zeros(2, np.int32), (stripes,))
    renderer = Renderer(world)
    near = renderer.view(camera, looking_down(0, 0, 0.2, pitch=-90)).rgb_hw3
    assert near.std() > 60
    far = renderer.view(camera, looking_down(0, 0, 20, pitch=-90))
    inside = far.rgb_hw3[far.seen_hw].astype(float)
    assert abs(inside.mean() - 127) < 12
    assert inside.std() < 30


@pytest.mark.parametrize("max_px", [40, 60, 32767])
def test_sheets_agree_with_direct_bilinear_sampling(max_px: int) -> None:
    rng = np.random.default_rng(0)
    textures = tuple(rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((16, 32), (7, 5), (36, 36), (36, 20)))
    sheets = TextureSheets(textures, max_px)
    assert (len(sheets.sheets) > 1) == (max_px < 1000)
    assert all(max(sheet.shape) <= max_px for sheet in sheets.sheets)
    uv = rng.uniform(-1.5, 2.5, (200, 2)).astype(np.float32)
    which = rng.integers(0, len(textures), 200)
    out = sheets.sample(which, uv, np.zeros(200, np.float32))
    for k in range(200):
        texture = textures[which[k]].astype(float)
        height, width = texture.shape[:2]
        x, y = (uv[k, 0] % 1) * width - 0.5, (uv[k, 1] % 1) * height - 0.5
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        a, b = x - x0, y - y0
        value = sum(
            wx * wy * texture[(y0 + j) % height, (x0 + i) % width]
            for i, wx in ((0, 1 - a), (1, a))
            for j, wy in ((0, 1 - b), (1, b))
        )
        assert np.abs(out[k] - value).max() < 10  # OpenCV interpolates in steps of 1/32 pixel


def test_many_textures_look_alike_on_one_sheet_and_on_several() -> None:
    rng = np.random.default_rng(0)
    textures = tuple(rng.integers(0, 256, (rng.integers(3, 60), rng.integers(3, 60), 3), np.uint8) for _ in range(50))
    which, uv = rng.integers(0, 50, 5000), rng.uniform(-2, 2, (5000, 2)).astype(np.float32)
    level = rng.uniform(-1, 7, 5000).astype(np.float32)
    one, several = TextureSheets(textures), TextureSheets(textures, 128)
    assert len(one.sheets) == 1
    assert len(several.sheets) > 3
    # remap rounds places to 1/32 pixel, and they are others on other sheets.
    difference = one.sample(which, uv, level).astype(int) - several.sample(which, uv, level)
    assert np.abs(difference).max() <= 10
    assert np.abs(difference).mean() < 0.2


def test_a_world_of_many_textures_is_rendered_from_several_sheets(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    monkeypatch.setattr("transpose.worlds.renderer.TextureSheets", partial(TextureSheets, max_px=64))
    rng, side = np.random.default_rng(0), 5
    colors = rng.integers(0, 256, (side * side, 3), np.uint8)
    textures = tuple(np.broadcast_to(color, (24, 20, 3)).copy() for color in colors)
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    corner = np.stack([x, y, 0 * x], -1).reshape(-1, 1, 3) - np.array([side / 2, side / 2, 0])
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    vertices = (corner + square).reshape(-1, 3).astype(np.float32)
    quads = np.array([[0, 1, 2], [0, 2, 3]])
    faces = (4 * np.arange(side * side)[:, None, None] + quads).reshape(-1, 3).astype(np.int32)
    uv = np.tile(np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)[quads], (side * side, 1, 1))
    texture_f = np.repeat(np.arange(side * side, dtype=np.int32), 2)
    world = World("t", vertices, faces, np.zeros_like(vertices, np.uint8), uv, texture_f, textures)
    renderer = Renderer(world)
    view = renderer.view(camera, looking_down(0, 0, 3.5, pitch=-90))
    assert len(renderer._sheets.sheets) > 5
    cell = np.floor(view.coordinates_hw3[..., :2] + side / 2)
    away = np.abs(view.coordinates_hw3[..., :2] + side / 2 - cell - 0.5).max(-1) < 0.49
    index = (cell[..., 1] * side + cell[..., 0])[away & view.seen_hw].astype(int)
    assert len(np.unique(index)) > 15
    assert np.array_equal(view.rgb_hw3[away & view.seen_hw], colors[index])


def test_sheets_hold_as_many_large_textures_as_there_are() -> None:
    from transpose.worlds.textures import _place_in_rows

    sizes = [(8192, 8192)] * 12
    places, heights = _place_in_rows(sizes, 16384, 32767)
    assert len(heights) == 4
    assert max(heights) <= 32767
    assert len(set(places)) == 12


def test_a_texture_larger_than_a_sheet_is_refused() -> None:
    with pytest.raises(TransposeError, match="build the world again"):
        TextureSheets((np.zeros((20, 130, 3), np.uint8),), 128)


def test_textures_shrink_alike_to_what_they_may_take() -> None:
    rng = np.random.default_rng(0)
    textures = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((64, 128), (100, 100), (2, 400))]
    same = shrunk(textures, 64 * 128 + 100 * 100 + 800)
    assert all(a is b for a, b in zip(same, textures, strict=True))
    half = shrunk(textures, (64 * 128 + 100 * 100 + 800) / 4)
    assert [t.shape[:2] for t in half] == [(32, 64), (50, 50), (1, 200)]
    assert half[1].mean() == pytest.approx(textures[1].mean(), abs=1)
    assert [t.shape[:2] for t in shrunk(textures, 1e9, 200)] == [(64, 128), (100, 100), (1, 200)]


def test_levels_of_vertex_colours_are_means_over_neighbours() -> None:
    """One vertex in the middle of a fan of six: it counts once and each neighbour twice."""
    rim = np.array([[np.cos(t), np.sin(t), 0] for t in np.arange(6) * np.pi / 3])
    vertices = np.concatenate([np.zeros((1, 3)), rim, [[9, 9, 9]]])  # and one that no face uses
    faces = np.array([[0, 1 + i, 1 + (i + 1) % 6] for i in range(6)])
    rgb = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    levels = color_levels(vertex_colored_world("fan", vertices, faces, rgb))
    assert np.array_equal(levels[0], rgb)
    assert np.abs(levels[1][0] - (rgb[0] + 2.0 * rgb[1:7].sum(0)) / 13).max() <= 0.5
    assert all(np.array_equal(level[7], rgb[7]) for level in levels)
    even = color_levels(vertex_colored_world("fan", vertices, faces, np.full((8, 3), 77)))
    assert all((level == 77).all() for level in even)


def test_shadows(box_world: World, camera: Camera) -> None:
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], float)
    roof = corners * [0.3, 0.3, 1] + [0, 0, 1]
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    renderer = Renderer(vertex_colored_world("t", np.concatenate([corners, roof]), faces, np.zeros((8, 3))))
    points = np.array([[0, 0, 0], [0.8, 0.8, 0]])
    up = np.tile([0.0, 0, 1], (2, 1))
    assert renderer.is_lit(points, up, np.array([0, 0, 1.0])).tolist() == [False, True]
    assert renderer.is_lit(points, up, np.array([0.9, 0, 0.44])).tolist() == [True, True]
    assert np.allclose(renderer.surface_height(np.array([[0, 0], [0.8, 0.8], [5, 5]])), [1, 0, np.nan], 0, 1e-6, True)


def test_angles_follow_crosslocs_convention() -> None:
    ahead = rotation_from_angles(90, -30, 0)[:, 2]
    assert np.allclose(ahead, [np.cos(np.radians(30)), 0, -0.5])
    R_33 = rotation_from_angles(37, -50, 10)
    assert np.allclose(R_33 @ R_33.T, np.eye(3))
    assert np.linalg.det(R_33) > 0


def test_worlds_round_trip(box_world: World, tmp_path: Path) -> None:
    again = load_world(save_world(box_world, tmp_path / "w"))
    assert np.array_equal(again.vertices_v3, box_world.vertices_v3)
    assert np.array_equal(again.vertex_rgb_v3, box_world.vertex_rgb_v3)
    # A process that dies while it builds the world again leaves the old one aside for a moment.
    (tmp_path / "w").rename(tmp_path / ".w.old")
    assert read_metadata(tmp_path / "w").name == box_world.name
    (tmp_path / "w" / "mesh.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(TransposeError, match="is broken"):
        load_world(tmp_path / "w")
    with pytest.raises(TransposeError, match="no triangles"):
        vertex_colored_world("none", np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3)))


def test_hypercube_has_one_point_in_every_stratum() -> None:
    sample = hypercube(6, 50, 3, "x")
    assert (np.sort(np.floor(50 * sample), axis=0) == np.arange(50)[:, None]).all()
    assert np.abs(np.corrcoef(hypercube(6, 4000, 3, "x").T) - np.eye(6)).max() < 0.06
    assert np.array_equal(sample, hypercube(6, 50, 3, "x"))
    assert not np.array_equal(sample, hypercube(6, 50, 4, "x"))


def test_viewpoints_and_rendered_sections(box_world: World, camera: Camera, tmp_path: Path) -> None:
    renderer = Renderer(box_world)
    ranges = HypercubeRanges((2, 3), (0, 360), (-90, -70), (-5, 5), margin=0.2)
    check = ViewCheck(min_seen=0.6)
    viewpoints = latin_hypercube(renderer, camera, 12, 0, ranges, check)
    assert len(viewpoints) == 12
    assert all(1.9 < v.pose.center[2] < 4.2 for v in viewpoints)
    assert len(survey_flight(renderer, camera, 10, 0, ranges, check)) == 10
    world = save_world(box_world, tmp_path / "w")
    written = render_section(world, viewpoints, (tmp_path / "s", "a"), {"n": 1}, processes=1)
    section = open_section(written)
    assert len(section) == 12
    assert section.has("init")
    assert section.has("normal")
    near = near_section(renderer, section, 5, 0, NearOffsets(0.2, 5, 5, 5), check)
    assert len(near) == 5
    twin = at_section(section)
    assert [v.stem for v in twin] == [frame.stem for frame in section.frames]
    frame = render_frame(renderer, twin[3])
    assert (
        np.abs(frame.labels.depth_hw - section.frames[3].depth())[renderer.view(camera, twin[3].pose).seen_hw].max()
        < 1e-3
    )
    from dataclasses import replace

    for choose in (latin_hypercube, survey_flight):
        with pytest.raises(TransposeError, match="z axis is up"):
            choose(Renderer(replace(box_world, up_3=np.array([0.0, -1.0, 0.0]))), camera, 5, 0, ranges, check)
    with pytest.raises(TransposeError, match="see enough of the world"):
        away = [Viewpoint(camera, looking_down(500, 500, 3), "x")]
        from transpose.worlds.viewpoints import accepted_views

        accepted_views(renderer, lambda _: iter(away), 1, check, "far away")


def test_views_from_inside_a_wall_are_not_taken(box_world: World, camera: Camera) -> None:
    below = looking_down(0, 0, -2.0, pitch=80)  # under the floor, looking up at its back
    view = Renderer(box_world).cells(camera, below)
    assert view.back_fraction > 0.9
    assert not ViewCheck(min_seen=0.1).accepts(view)


def test_classes_of_a_world_are_written_as_those_of_scenes(box_world: World) -> None:
    names = ("sky", "building", "road", "object", "bridge")
    for index, expected in ((1, 3), (2, 1), (3, 255), (4, 5)):  # a road is ground, an object nothing that is known
        kinds = np.full(len(box_world.faces_f3), index, np.uint8)
        renderer = Renderer(replace(box_world, face_class_f=kinds, class_names=names))
        viewpoint = Viewpoint(Camera.from_focal(60, 128, 96), looking_down(0, 0, 3))
        written_hw = render_frame(renderer, viewpoint).labels.semantics_hw
        assert written_hw is not None
        assert np.unique(written_hw[renderer.view(viewpoint.camera, viewpoint.pose).seen_hw]).tolist() == [expected]


def test_below_the_horizon_nothing_is_no_sky(box_world: World) -> None:
    from transpose.scenes.classes import UNKNOWN_CLASS

    classed = replace(box_world, face_class_f=np.ones(len(box_world.faces_f3), np.uint8), class_names=("sky", "ground"))
    camera = Camera.from_focal(60, 128, 96)
    view = Renderer(classed).view(camera, looking_down(0, 0, 3, 0, 0))
    classes = view.semantics_hw
    assert (classes[view.seen_hw] == 1).all()
    assert (classes[:48][~view.seen_hw[:48]] == 0).all()
    below = classes[48:][~view.seen_hw[48:]]
    assert len(below)
    assert (below == UNKNOWN_CLASS).all()


def test_a_lens_bends_the_view_and_its_labels_alike(box_world: World, tmp_path: Path) -> None:
    from dataclasses import replace

    camera = replace(Camera.from_focal(90.0, 128, 96), k1=-0.2, k2=0.05)
    pose = looking_down(0.3, -0.4, 2.5, 30, -70)
    renderer = Renderer(box_world)
    view, straight = renderer.view(camera, pose), renderer.view(replace(camera, k1=0.0, k2=0.0), pose)
    # What a pixel sees projects onto that pixel through the lens.
    seen = view.seen_hw
    px = camera.project(transform(pose.T_cw, view.coordinates_hw3[seen]))
    assert np.abs(px - pixel_centers(128, 96)[seen]).max() < 0.05
    # Barrel distortion shows more of the world: the corner of the straight image lies inside the bent one.
    assert not np.allclose(view.depth_hw[seen], straight.depth_hw[seen], atol=1e-3)
    written = render_section(
        save_world(box_world, tmp_path / "w"),
        [Viewpoint(camera, pose, "a")],
        (tmp_path / "s", "a"),
        {"n": 1},
        processes=1,
    )
    loaded = open_section(written).frames[0].camera
    assert loaded == camera
