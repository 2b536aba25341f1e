"""Images turned by quarters, and normals of maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from transpose.geometry import Camera, Pose
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.normals import normals_of_map
from transpose.geometry.poses import exp_se3, homogeneous, transform
from transpose.geometry.turning import turn, turned_camera

CAMERA = Camera(64, 48, 50.0, 52.0, 30.0, 25.0, k1=0.03)
POSE = Pose(exp_se3(np.array([0.3, -0.2, 0.1, 1, 2, 3])))


@pytest.mark.parametrize("quarters", range(-1, 5))
def test_a_turned_image_sees_each_point_where_the_turned_pixels_are(quarters: int) -> None:
    px_hw2 = pixel_centers(64, 48)
    points_n3 = transform(POSE.T_wc, (CAMERA.unproject(px_hw2) * 3.0).reshape(-1, 3))
    camera = turned_camera(CAMERA, quarters)
    seen_n2 = camera.project(transform(Pose(POSE.T_wc @ turn(quarters)).T_cw, points_n3))
    order_hw = np.rot90(np.arange(64 * 48).reshape(48, 64), quarters)
    assert (camera.height, camera.width) == order_hw.shape
    np.testing.assert_allclose(seen_n2[order_hw], pixel_centers(camera.width, camera.height), atol=1e-6)


def test_the_normal_of_a_plane_points_at_the_camera_wherever_it_stands() -> None:
    normal_3 = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])
    rays_hw3 = replace(CAMERA, k1=0.0).unproject(pixel_centers(16, 12))
    points_hw3 = rays_hw3 * (-2 / (rays_hw3 @ normal_3))[..., None]
    world_hw3 = points_hw3 @ POSE.R_wc.T + POSE.center
    found_hw3 = normals_of_map(world_hw3, POSE.center)
    np.testing.assert_allclose(found_hw3, np.broadcast_to(POSE.R_wc @ normal_3, found_hw3.shape), atol=1e-7)
    # Points of another surface, far behind, and unknown ones have no say.
    world_hw3[:, 8:] = (3 * points_hw3[:, 8:]) @ POSE.R_wc.T + POSE.center
    world_hw3[5, 3] = np.nan
    found_hw3 = normals_of_map(world_hw3, POSE.center)
    assert np.isnan(found_hw3[5, 3]).all() and np.isfinite(found_hw3).all(-1).sum() == 16 * 12 - 1
    np.testing.assert_allclose(np.delete(found_hw3, 5, 0) @ (POSE.R_wc @ normal_3), 1, atol=1e-7)


def test_too_few_points_or_points_on_a_line_have_no_normal() -> None:
    nowhere_hw3 = np.full((5, 5, 3), np.nan)
    for count, known in ((3, False), (4, True)):
        some = nowhere_hw3.copy()
        for x, y in [(1, 1), (2, 1), (1, 2), (2, 2)][:count]:
            some[y, x] = (0.1 * x, 0.1 * y, 2.0)
        found = np.isfinite(normals_of_map(some, np.zeros(3))).all(-1)
        assert found.any() == known and found.sum() == (4 if known else 0)
    line_hw3 = np.stack(np.broadcast_arrays(0.1 * np.arange(5.0), 0.0, 2.0), -1)[None].repeat(5, 0)
    assert np.isnan(normals_of_map(line_hw3, np.zeros(3))).all()


def test_rows_of_a_transform_are_read_as_people_write_them() -> None:
    rows = np.arange(12.0).reshape(3, 4)
    whole = np.concatenate([rows, [[0.0, 0, 0, 1]]])
    for said in (rows, whole, rows.ravel(), whole.ravel(), rows.astype(str).tolist()):
        assert np.array_equal(homogeneous(said), whole)
    assert homogeneous(2 * whole)[3, 3] == 2
    for said in (["a", "b"], None, [[1.0, 2], [3]], {"a": 1}):
        with pytest.raises(ValueError, match=r"no matrix of numbers|not 4 rows"):
            homogeneous(said)  # type: ignore[arg-type]
    for shape in ((4, 3), (3, 3), (13,), (1, 3, 4)):
        with pytest.raises(ValueError, match="not 4 rows of 4 numbers"):
            homogeneous(np.zeros(shape))
