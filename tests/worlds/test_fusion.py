import builtins
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import looking_down
from transpose.app import checkup
from transpose.errors import MissingPackageError, TransposeError
from transpose.geometry import Camera
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.poses import Pose, compose
from transpose.scenes import open_section
from transpose.scenes.facts import record_in_scene
from transpose.scenes.files import read_pose, write_pose
from transpose.worlds.fusion import (
    FusionOptions,
    _in_space_order,
    _read_ahead,
    _read_view,
    _without_edges,
    fuse_section,
)
from transpose.worlds.optional_open3d import import_open3d
from transpose.worlds.render_section import render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.undistorted_frames import Undistorter
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, save_world, vertex_colored_world


def needs_open3d() -> None:
    """Loads Open3D as the program does, which finds it a libusb; skips where it is not installed."""
    try:
        import_open3d()
    except MissingPackageError as error:
        pytest.skip(str(error))


def test_edges_and_holes_are_not_trusted_and_slopes_are() -> None:
    depth_hw = np.linspace(1, 1.2, 60)[:, None].repeat(40, 1).astype(np.float32)
    depth_hw[:, 20:] += 1
    depth_hw[30, 5] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean_hw = _without_edges(depth_hw, 0.05)
        assert (_without_edges(np.full((8, 8), np.nan, np.float32), 0.05) == 0).all()
    assert (clean_hw[:, 18:22] == 0).all()
    assert clean_hw[30, 5] == 0
    rest = np.ones_like(clean_hw, bool)
    rest[:, 18:22] = rest[30, 5] = False
    assert np.array_equal(clean_hw[rest], depth_hw[rest])


def test_a_missing_library_of_the_system_is_no_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "libEGL.so.1: cannot open shared object file: No such file or directory"

    def load(name: str, *rest: Any, **more: Any) -> Any:
        if name == "open3d":
            raise ImportError(said)
        return of_python(name, *rest, **more)

    of_python = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", load)
    with pytest.raises(MissingPackageError, match=r"libEGL\.so\.1.* to fuse .*; a library of the system .*apt"):
        import_open3d()
    assert checkup._extra("fusion", (("numpy",),), "build rgbd").mark == "note"
    said = "No module named 'open3d'"
    with pytest.raises(MissingPackageError, match=r"pip install 'transpose-loc\[fusion\]'"):
        import_open3d()


def test_the_order_in_space_keeps_the_mesh_and_brings_neighbours_together() -> None:
    rng = np.random.default_rng(0)
    vertices = rng.uniform(-2, 3, (5000, 3)).astype(np.float32)
    faces = rng.integers(0, 5000, (9000, 3))
    moved, renamed = _in_space_order(vertices, faces)

    def sorted_corners(v: np.ndarray, f: np.ndarray) -> np.ndarray:
        rows = v[f].reshape(-1, 9)
        return rows[np.lexsort(rows.T)]

    assert np.array_equal(sorted_corners(moved, renamed), sorted_corners(vertices, faces))
    steps = [np.linalg.norm(np.diff(v, axis=0), axis=1).mean() for v in (vertices, moved)]
    assert steps[1] < steps[0] / 5


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A textured slab with a step, seen from a circle of cameras."""
    folder = tmp_path_factory.mktemp("scan")
    x, y = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101))
    z = 0.05 * np.sin(4 * x) * np.cos(3 * y)
    i = np.arange(101 * 101).reshape(101, 101)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    rgb = np.stack([100 + 100 * np.sin(9 * x), 100 + 100 * np.cos(9 * y), 100 + 0 * x], -1).reshape(-1, 3)
    world = vertex_colored_world("slab", np.stack([x, y, z], -1).reshape(-1, 3), faces, rgb)
    camera = Camera.from_focal(130, 160, 120)
    views = [
        Viewpoint(camera, looking_down(0.2 * np.cos(t), 0.2 * np.sin(t), 1.2, 57.3 * t, -85)) for t in np.arange(0, 6)
    ]
    return render_section(save_world(world, folder / "w"), views, (folder / "s", "a"), {}, processes=1)


def test_up_is_what_the_scene_says_else_as_cameras_were_held(scan: Path, tmp_path: Path) -> None:
    needs_open3d()
    shutil.copytree(scan, tmp_path / "s" / "a")
    section, options = open_section(tmp_path / "s" / "a"), FusionOptions(voxel_m=0.05)
    world: World = fuse_section(section, options)
    held_3 = -np.mean([frame.pose.R_wc[:, 1] for frame in section.frames], axis=0)
    if np.linalg.norm(held_3) > 0.1:
        np.testing.assert_allclose(world.up_3, held_3 / np.linalg.norm(held_3))
    assert world.facts["up_from"] == "as cameras were held"
    record_in_scene(tmp_path / "s", up=[0, 2, 0])
    world = fuse_section(section, options)
    assert world.up_3.tolist() == [0, 1, 0] and world.facts["up_from"] == "the scene"


def test_frames_come_in_order_while_they_are_read_ahead(scan: Path) -> None:
    frames = open_section(scan).frames
    views = _read_ahead(frames, lambda frame: _read_view(frame, FusionOptions(), Undistorter(), np.zeros(3)))
    assert [view.stem for view in views] == [frame.stem for frame in frames]


@pytest.mark.parametrize("at", [(0.0, 0.0, 0.0), (500_000.0, 5_300_000.0, 400.0)])
def test_a_scan_becomes_the_surface_and_colour_that_was_seen(
    scan: Path, tmp_path: Path, at: tuple[float, float, float]
) -> None:
    """Also where a map projection counts its metres, far beyond the digits of float32."""
    needs_open3d()
    shutil.copytree(scan, tmp_path / "s" / "a")
    for path in (tmp_path / "s" / "a" / "poses").iterdir():
        pose = read_pose(path)
        write_pose(path, Pose(compose(pose.R_wc, pose.center + at)))
    section = open_section(tmp_path / "s" / "a")
    world: World = fuse_section(section, FusionOptions(voxel_m=0.015))
    assert np.array_equal(world.origin_3, at)
    renderer = Renderer(world)
    frame = section.frames[2]
    view = renderer.view(frame.camera, frame.pose)
    assert view.seen_hw.mean() > 0.6
    known = view.seen_hw & np.isfinite(frame.depth())
    assert np.median(np.abs(view.depth_hw - frame.depth())[known]) < 0.004
    assert np.abs(view.rgb_hw3[known].astype(float) - frame.image()[known]).mean() < 8


def flat_world(reach_m: float) -> World:
    """Coloured ground at z = 0."""
    n = 61
    x, y = np.meshgrid(np.linspace(-reach_m, reach_m, n), np.linspace(-reach_m, reach_m, n))
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    rgb = np.stack([128 + 100 * np.sin(9 * x / reach_m), 128 + 100 * np.cos(7 * y / reach_m), 90 + 0 * x], -1)
    return vertex_colored_world("flat", np.stack([x, y, 0 * x], -1).reshape(-1, 3), faces, rgb.reshape(-1, 3))


def test_depth_far_beyond_65_metres_is_where_it_was_measured(tmp_path: Path) -> None:
    needs_open3d()
    camera = Camera.from_focal(200.0, 160, 120)
    views = [Viewpoint(camera, looking_down(x, 0, 80, 0, -90)) for x in (-5, 0, 5, 8)]
    folder = save_world(flat_world(60), tmp_path / "w")
    section = open_section(render_section(folder, views, (tmp_path / "s", "a"), {}, processes=1))
    world = fuse_section(section, FusionOptions(voxel_m=0.5, max_depth_m=100))
    assert np.abs(world.vertices_v3[:, 2]).max() < 0.25
    assert np.ptp(world.vertices_v3[:, 0]) > 55
    with pytest.raises(TransposeError, match="no surface"):
        fuse_section(section, FusionOptions(voxel_m=0.5, max_depth_m=70))


def test_a_lens_with_distortion_puts_corners_where_they_are(tmp_path: Path) -> None:
    needs_open3d()
    camera = replace(Camera.from_focal(200.0, 320, 240), k1=-0.25, k2=0.05)
    views = [Viewpoint(camera, looking_down(0.3 * x, 0, 10, 0, -90)) for x in (-1, 0, 1)]
    truth = flat_world(20)
    folder = save_world(truth, tmp_path / "w")
    section = open_section(render_section(folder, views, (tmp_path / "s", "a"), {}, processes=1))
    world = fuse_section(section, FusionOptions(voxel_m=0.1, max_depth_m=20))
    assert np.abs(world.vertices_v3[:, 2]).max() < 0.05
    # What the corner pixels see lies farther out than a pinhole would have it, and is part of the surface.
    corner_m = np.abs(10 * camera.unproject(np.array([2.0, 2.0]))[:2])
    assert (corner_m > 10 * (np.array([160, 120]) - 2) / 200 * 1.3).all()
    for sign in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        gap = np.linalg.norm(world.vertices_v3[:, :2] - corner_m * sign, axis=1).min()
        assert gap < 0.35, sign
    # Colours as well are those of the place: the reference is the world that was rendered.
    above = Viewpoint(Camera.from_focal(170.0, 300, 240), looking_down(0, 0, 10, 0, -90))
    found, expected = (Renderer(each).view(above.camera, above.pose) for each in (world, truth))
    assert found.seen_hw.mean() > 0.9
    assert np.abs(found.rgb_hw3[found.seen_hw].astype(float) - expected.rgb_hw3[found.seen_hw]).mean() < 8


def test_a_lens_that_folds_gives_no_depth_beyond_the_fold() -> None:
    camera = replace(Camera.from_focal(60.0, 128, 96), k1=-0.4)
    undistorter = Undistorter()
    pinhole = undistorter.pinhole(camera)
    depth = undistorter.depth(np.full((96, 128), 3.0, np.float32), camera)
    assert depth.shape == (pinhole.height, pinhole.width)
    radius = np.linalg.norm(pinhole.unproject(pixel_centers(pinhole.width, pinhole.height))[..., :2], axis=-1)
    assert (depth[radius > (1 / 1.2) ** 0.5] == 0).all()
    assert np.allclose(depth[depth > 0], 3)
    assert (depth[radius < 0.5] > 0).all()


def test_planes_stay_planes_under_a_lens() -> None:
    camera = replace(Camera.from_focal(90.0, 128, 96), k1=0.1, k2=-0.02)
    undistorter = Undistorter()
    pinhole = undistorter.pinhole(camera)

    def plane_depth(of: Camera) -> np.ndarray:  # n . X = d, seen at a slant
        return (2 / (of.unproject(pixel_centers(of.width, of.height)) @ [0.5, 0.2, 0.8])).astype(np.float32)

    depth = undistorter.depth(plane_depth(camera), camera)
    known = depth > 0
    assert known.mean() > 0.8
    assert np.abs(depth - plane_depth(pinhole))[known].max() < 2e-3
    same = replace(camera, k1=0.0, k2=0.0)
    assert undistorter.pinhole(same) is same


def test_a_section_without_depth_cannot_be_fused(scan: Path) -> None:
    section = open_section(scan)
    for frame in section.frames:
        frame.paths.pop("depth")
    with pytest.raises(TransposeError, match="has no depth"):
        fuse_section(section)
