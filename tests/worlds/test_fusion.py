import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import looking_down
from transpose.errors import MissingPackageError, TransposeError
from transpose.geometry import Camera
from transpose.scenes import open_section
from transpose.worlds.fusion import (
    FusionOptions,
    _in_space_order,
    _read_ahead,
    _without_edges,
    fuse_section,
)
from transpose.worlds.optional_open3d import import_open3d
from transpose.worlds.render_section import render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, save_world, vertex_colored_world


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


def test_frames_come_in_order_while_they_are_read_ahead(scan: Path) -> None:
    frames = open_section(scan).frames
    assert [view.stem for view in _read_ahead(frames, 0.05)] == [frame.stem for frame in frames]


def test_a_scan_becomes_the_surface_and_colour_that_was_seen(scan: Path) -> None:
    try:
        import_open3d()
    except MissingPackageError:
        pytest.skip("fusion needs Open3D")
    section = open_section(scan)
    world: World = fuse_section(section, FusionOptions(voxel_m=0.015))
    renderer = Renderer(world)
    frame = section.frames[2]
    view = renderer.view(frame.camera, frame.pose)
    assert view.seen_hw.mean() > 0.6
    known = view.seen_hw & np.isfinite(frame.depth())
    assert np.median(np.abs(view.depth_hw - frame.depth())[known]) < 0.004
    assert np.abs(view.rgb_hw3[known].astype(float) - frame.image()[known]).mean() < 8


def test_a_section_without_depth_cannot_be_fused(scan: Path) -> None:
    section = open_section(scan)
    for frame in section.frames:
        frame.paths.pop("depth")
    with pytest.raises(TransposeError, match="has no depth"):
        fuse_section(section)
