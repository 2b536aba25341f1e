"""Systematic uncertainty: a lens and a map that are a little wrong."""

import numpy as np

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, exp_so3, invert, log_se3
from transpose.localization.systematic import systematic_covariance
from transpose.randomness import stream
from transpose.solvers import RansacOptions, solve_pnp

CAMERA = Camera.from_focal(500.0, 640, 480)
USUAL = {"focal": 0.003, "center": 0.003, "map_": 0.003}
POSE = Pose(compose(exp_so3(np.array([0.2, -0.4, 0.1])), np.array([1.0, 2.0, -0.5])))


def test_a_wrong_lens_moves_the_solved_pose_as_predicted() -> None:
    """Poses solved with drawn errors of focal length and centre scatter as the covariance says."""
    rng = stream(0, "systematic")
    px_n2 = rng.uniform((20, 20), (620, 460), (300, 2))
    points_n3 = CAMERA.unproject(px_n2) * rng.uniform(1.5, 4.0, (300, 1)) @ POSE.R_wc.T + POSE.center
    predicted_66 = systematic_covariance(points_n3, CAMERA, POSE, **USUAL)
    predicted_66[3:, 3:] -= np.eye(3) * (0.003 * np.median((points_n3 - POSE.center) @ POSE.R_wc[:, 2])) ** 2
    xi = []
    for df, dx, dy in 0.003 * rng.standard_normal((200, 3)):
        focal_px = CAMERA.fx * (1 + df)
        wrong = Camera(640, 480, focal_px, focal_px, 320 + 500 * dx, 240 + 500 * dy)
        found = solve_pnp(px_n2, points_n3, wrong, RansacOptions(max_error_px=20))
        assert found.pose is not None
        xi.append(log_se3(invert(found.pose.T_wc) @ POSE.T_wc))
    scattered_66 = np.cov(np.array(xi).T)
    sigma_6 = np.sqrt(np.diag(predicted_66))
    assert np.allclose(np.sqrt(np.diag(scattered_66)), sigma_6, rtol=0.25, atol=0.05 * sigma_6.max())


def test_uncertainty_grows_with_distance() -> None:
    rng = stream(1, "systematic")
    px_n2 = rng.uniform((20, 20), (620, 460), (100, 2))
    rays_n3 = CAMERA.unproject(px_n2) * rng.uniform(1.5, 4.0, (100, 1))
    points = [times * rays_n3 @ POSE.R_wc.T + POSE.center for times in (1, 10)]
    near, far = (systematic_covariance(points_n3, CAMERA, POSE, **USUAL) for points_n3 in points)
    assert np.allclose(np.sqrt(np.diag(far))[3:], 10 * np.sqrt(np.diag(near))[3:])
    assert np.allclose(np.sqrt(np.diag(far))[:3], np.sqrt(np.diag(near))[:3])
