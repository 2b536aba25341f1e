"""Lens distortion inside the solvers: the batched twin of `Camera`, and pixels that no ray reaches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.solvers.test_pnp import problem
from transpose.geometry import Camera, pose_error
from transpose.solvers import RansacOptions, solve_pnp
from transpose.solvers.lenses import Lenses

# The image's corners lie beyond what this lens images: 30 % of the pixels have no ray.
FOLDED = replace(Camera.from_focal(384, 640, 480), k1=-0.35)


@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(-0.2, 0.2)), min_size=1, max_size=3))
def test_a_batch_of_lenses_is_the_twin_of_cameras(coefficients: list[tuple[float, float]]) -> None:
    cameras = [Camera(640, 480, 400, 410, 322, 238, k1, k2) for k1, k2 in coefficients]
    px_n2 = np.random.default_rng(0).uniform((-50, -50), (690, 530), (60, 2))
    lenses = Lenses.of(cameras, len(cameras), torch.device("cpu"))
    rays_b3n = lenses.unproject(torch.from_numpy(px_n2).expand(len(cameras), -1, -1)).numpy()
    points_n3 = np.random.default_rng(1).uniform((-3, -3, 0.5), (3, 3, 2), (60, 3))
    points_b3n = torch.from_numpy(points_n3.T).expand(len(cameras), -1, -1)
    projected_bn2 = lenses.project(points_b3n).numpy()
    for camera, rays_3n, projected_n2 in zip(cameras, rays_b3n, projected_bn2, strict=True):
        expected_n2 = camera.unproject(px_n2)[:, :2]
        assert np.array_equal(np.isnan(rays_3n[0]), np.isnan(expected_n2[:, 0]))
        assert np.allclose(rays_3n[:2].T, expected_n2, atol=1e-9, equal_nan=True)
        assert np.allclose(camera.project(points_n3), projected_n2, equal_nan=True)


def test_cameras_that_distort_and_do_not_share_a_batch() -> None:
    cameras = [Camera.from_focal(500, 640, 480), FOLDED]
    px_b12 = torch.tensor([[[5.0, 5.0]]], dtype=torch.float64).expand(2, 1, 2)
    rays_b3n = Lenses.of(cameras, 2, torch.device("cpu")).unproject(px_b12)
    assert torch.isfinite(rays_b3n[0]).all()
    assert torch.isnan(rays_b3n[1, :2]).all()


@pytest.mark.parametrize("covariances", [False, True])
def test_pixels_without_a_ray_are_left_out(covariances: bool) -> None:
    px_n2, points_n3, truth, _ = problem(0, n=400, outliers=0)
    camera_n3 = (points_n3 - truth.center) @ truth.R_wc
    projected_n2 = FOLDED.project(camera_n3)
    blind_n = ~np.isfinite(projected_n2).all(1) | (np.arange(400) % 4 == 0)
    corner_n2 = np.random.default_rng(0).uniform(0, 40, (400, 2))
    assert np.isnan(FOLDED.unproject(corner_n2)[:, :2]).all()
    px_n2 = np.where(blind_n[:, None], corner_n2, projected_n2)
    covariances_n33 = np.broadcast_to(1e-4 * np.eye(3), (400, 3, 3)) if covariances else None
    estimate = solve_pnp(px_n2, points_n3, FOLDED, RansacOptions(), covariances_n33)
    assert pose_error(estimate.pose, truth)[1] < 1e-4
    assert not estimate.inlier_mask_n[blind_n].any()
    assert estimate.inlier_mask_n[~blind_n].all()


def test_an_image_of_pixels_without_a_ray_is_refused() -> None:
    px_n2 = np.random.default_rng(0).uniform(0, 40, (50, 2))
    estimate = solve_pnp(px_n2, np.random.default_rng(1).uniform(-1, 1, (50, 3)), FOLDED)
    assert estimate.reason == "too_few_points"


def test_skew_is_refused() -> None:
    K_33 = np.array([[500.0, 7, 320], [0, 500, 240], [0, 0, 1]])
    with pytest.raises(ValueError, match="skew"):
        solve_pnp(np.zeros((5, 2)), np.zeros((5, 3)), K_33)
