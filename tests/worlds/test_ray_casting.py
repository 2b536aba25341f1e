"""Ray casters: each agrees with the slow twin, in threads as well, and one is found where the other is missing."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import looking_down
from tests.worlds.ray_casters import CASTERS, caster_named, trace_slowly
from transpose.errors import MissingPackageError
from transpose.geometry import Camera
from transpose.geometry.cameras import pixel_centers
from transpose.worlds.ray_casting import EmbreexCaster, Open3dCaster, ray_caster
from transpose.worlds.renderer import Renderer
from transpose.worlds.view_rays import RayCache
from transpose.worlds.world import World


@pytest.mark.parametrize("name", CASTERS)
def test_hits_are_those_of_the_twin(name: str, box_world: World, camera: Camera) -> None:
    caster = caster_named(name)(box_world.vertices_v3, box_world.faces_f3)
    pose = looking_down(0.3, -0.4, 2.5, 30, -25)  # shows the floor, boxes and nothing
    px_n2 = pixel_centers(128, 96).reshape(-1, 2)[::53]
    depth_n, face_n, _ = trace_slowly(box_world, camera, pose, px_n2)
    hit_n = np.isfinite(depth_n)
    assert 0.2 < hit_n.mean() < 0.9
    directions_n3 = (camera.unproject(px_n2) @ pose.R_wc.T).astype(np.float32)
    origins_n3 = np.broadcast_to(pose.center.astype(np.float32), directions_n3.shape)
    hits = caster.first_hits(origins_n3, directions_n3)
    assert np.array_equal(hits.face_n >= 0, hit_n)
    assert np.array_equal(caster.meets_anything(origins_n3, directions_n3), hit_n)
    assert (hits.face_n[hit_n] == face_n[hit_n]).mean() > 0.99
    assert np.allclose(hits.distance_n[hit_n], depth_n[hit_n], rtol=1e-4)
    corners_n33 = box_world.vertices_v3[box_world.faces_f3[hits.face_n[hit_n]]]
    u_n1, v_n1 = hits.u_n[hit_n, None], hits.v_n[hit_n, None]
    points_n3 = (1 - u_n1 - v_n1) * corners_n33[:, 0] + u_n1 * corners_n33[:, 1] + v_n1 * corners_n33[:, 2]
    assert np.allclose(points_n3, (origins_n3 + depth_n[:, None] * directions_n3)[hit_n], atol=1e-3)
    edges_n23 = corners_n33[:, 1:] - corners_n33[:, :1]
    assert np.allclose(hits.normal_n3[hit_n], np.cross(edges_n23[:, 0], edges_n23[:, 1]), atol=1e-5)


@pytest.mark.parametrize("name", CASTERS)
def test_no_ray_from_afar_slips_through_an_edge(name: str) -> None:
    """Else a map is speckled along the diagonals of its triangles."""
    x, y = np.meshgrid(np.linspace(-200, 200, 81), np.linspace(-200, 200, 81))
    vertices_v3 = np.stack([x, y, 2 * np.sin(x / 20) * np.cos(y / 30)], -1).reshape(-1, 3).astype(np.float32)
    i = np.arange(81 * 81, dtype=np.int32).reshape(81, 81)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    faces_f3 = np.concatenate([np.stack(each, -1).reshape(-1, 3) for each in ((a, b, c), (a, c, d))])
    caster = caster_named(name)(vertices_v3, faces_f3, from_afar=True)
    u, v = np.meshgrid(np.linspace(-190, 190, 700), np.linspace(-190, 190, 700))
    eye_3 = np.array([0, 0, 20_000], np.float32)
    directions_n3 = (np.stack([u, v, 0 * u], -1).reshape(-1, 3) - eye_3).astype(np.float32) / 20_000
    assert caster.meets_anything(np.broadcast_to(eye_3, directions_n3.shape), directions_n3).all()


@pytest.mark.parametrize("name", CASTERS)
def test_threads_share_a_renderer(name: str, box_world: World, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transpose.worlds.renderer.ray_caster", caster_named(name))
    poses = [looking_down(0.1 * i, 0.05 * i, 2.5, 20 * i, -70) for i in range(24)]
    expected = [Renderer(box_world).view(camera, pose).depth_hw for pose in poses]
    renderer = Renderer(box_world)
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda pose: renderer.view(camera, pose).depth_hw, poses))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, expected, strict=True))


def test_open3d_stands_in_where_embreex_is_missing(box_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = box_world.vertices_v3, box_world.faces_f3
    caster_named("open3d")
    if isinstance(ray_caster(*mesh), EmbreexCaster):
        monkeypatch.setitem(sys.modules, "embreex.mesh_construction", None)
    assert isinstance(ray_caster(*mesh), Open3dCaster)
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(MissingPackageError, match="embreex or Open3D is needed to render"):
        ray_caster(*mesh)


def test_rays_are_kept_by_their_size_and_the_last_cameras_always() -> None:
    camera = Camera.from_focal(90.0, 100, 80)
    cache = RayCache(max_bytes=5 * 100 * 80 * 16)
    rays_hw3, length_n = cache(camera, 1)
    assert np.allclose(length_n, np.linalg.norm(camera.unproject(pixel_centers(100, 80)), axis=-1).reshape(-1))
    for k in range(40):  # photos whose focal lengths differ
        cache(replace(camera, fx=91.0 + k), 1)
        cache(replace(camera, fx=91.0 + k), 8)
        assert cache.bytes <= 5 * 100 * 80 * 16
    assert cache(camera, 1)[0] is not rays_hw3
    large = Camera.from_focal(90.0, 400, 300)
    kept = cache(large, 1), cache(large, 8)
    assert cache(large, 1)[0] is kept[0][0]
    assert cache(large, 8)[0] is kept[1][0]
