"""Laws of what is drawn: frusta end at the image's corners, ellipsoids hold what they are made to hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, exp_se3, exp_so3, transform
from transpose.viewing.shapes import (
    CHI2_3_90,
    PROBABILITY,
    camera_depth,
    centers,
    frustum_lines,
    position_ellipsoids,
    pyramid_scales,
)

FAR = np.array([576_715.0, 5_188_162.0, 162.0])  # as of UTM
CAMERA = Camera(640, 480, 500.0, 510.0, 300.0, 250.0)


def some_pose(rng: np.random.Generator) -> Pose:
    return Pose(compose(exp_so3(rng.normal(size=3)), FAR + rng.normal(size=3)))


def some_covariance(rng: np.random.Generator) -> np.ndarray:
    A = rng.normal(size=(6, 6)) * np.array([0.01, 0.02, 0.01, 0.3, 0.1, 0.02])[:, None]
    return A @ A.T


def test_the_quantile_is_that_of_chi_square() -> None:
    assert pytest.approx(chi2.ppf(PROBABILITY, 3)) == CHI2_3_90


def test_ellipsoids_hold_nine_of_ten_true_centres() -> None:
    rng = np.random.default_rng(0)
    pose, C_66 = some_pose(rng), some_covariance(rng)
    xi_n6 = rng.multivariate_normal(np.zeros(6), C_66, 20_000)
    true_n3 = (pose.T_wc @ exp_se3(xi_n6))[:, :3, 3] - FAR
    found = position_ellipsoids([pose], C_66[None], FAR)
    unit_n3 = (true_n3 - found.centers_n3[0]) @ found.R_n33[0] / found.radii_n3[0]
    assert np.mean((unit_n3**2).sum(1) < 1) == pytest.approx(PROBABILITY, abs=0.01)


def test_axes_stand_in_the_world_and_are_right_handed() -> None:
    rng = np.random.default_rng(1)
    poses = [some_pose(rng) for _ in range(20)]
    C_66 = np.diag([0.0, 0.0, 0.0, 9.0, 4.0, 1.0])  # long along the camera's x
    found = position_ellipsoids(poses, np.repeat(C_66[None], 20, 0), FAR)
    assert np.allclose(np.linalg.det(found.R_n33), 1)
    longest_n3 = found.R_n33[:, :, 2]
    right_n3 = np.array([pose.R_wc[:, 0] for pose in poses])
    assert np.allclose(np.abs((longest_n3 * right_n3).sum(1)), 1)
    assert np.allclose(found.radii_n3, np.sqrt(CHI2_3_90) * np.array([1, 2, 3]))


def test_no_estimates_have_no_ellipsoids() -> None:
    assert len(position_ellipsoids([], np.zeros((0, 6, 6)), FAR)) == 0
    assert frustum_lines([], [], FAR, 1.0).shape == (0, 10, 2, 3)


def test_float32_keeps_a_hundredth_of_a_millimetre_far_from_zero() -> None:
    pose = some_pose(np.random.default_rng(2))
    shown_3 = centers([pose], FAR)[0]
    assert np.abs(shown_3.astype(np.float32) - (pose.center - FAR)).max() < 1e-5


def test_frusta_end_at_the_image_s_corners() -> None:
    pose = some_pose(np.random.default_rng(3))
    lines_23 = frustum_lines([CAMERA], [pose], FAR, 2.5)[0]
    corners_43 = transform(pose.T_cw, lines_23[:4, 1] + FAR)
    assert np.allclose(lines_23[:4, 0], pose.center - FAR)
    assert np.allclose(corners_43[:, 2], 2.5)
    assert np.allclose(CAMERA.project(corners_43), [(0, 0), (640, 0), (640, 480), (0, 480)], atol=1e-5)
    above_23 = transform(pose.T_cw, lines_23[8:].reshape(-1, 3) + FAR)
    assert (CAMERA.project(above_23)[:, 1] < 1e-5).all()  # the mark lies over the upper edge


def test_pyramids_are_as_wide_as_the_frusta() -> None:
    scale_3 = pyramid_scales([CAMERA], 2.0)[0]
    assert np.allclose(scale_3, [2 * 320 / 500, 2 * 240 / 510, 2])


def test_cameras_are_drawn_at_a_size_that_can_be_seen() -> None:
    rng = np.random.default_rng(4)
    few, many = rng.uniform(-5, 5, (50, 3)), rng.uniform(-5, 5, (5000, 3))
    assert camera_depth(few, None) > camera_depth(many, None) > 0.01
    assert camera_depth(np.zeros((1, 3)), None) > 0
    assert camera_depth(np.zeros((0, 3)), (np.zeros(3), np.ones(3) * 100)) > 0.5
