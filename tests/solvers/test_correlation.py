"""The cluster-robust covariance: honest where the errors of neighbours are correlated."""

import numpy as np
import pytest

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, exp_so3, normalized_error
from transpose.randomness import stream
from transpose.solvers import RansacOptions, solve_pnp

CAMERA = Camera.from_focal(500.0, 640, 480)
POSE = Pose(compose(exp_so3(np.array([0.2, -0.4, 0.1])), np.array([1.0, 2.0, -0.5])))


def _nees(correlation_px: float, shared_px: float, problems: int = 60) -> float:
    rng = stream(0, "correlation", str(shared_px))
    errors = []
    for _ in range(problems):
        px_n2 = rng.uniform((1, 1), (639, 479), (900, 2))
        points_n3 = CAMERA.unproject(px_n2) * rng.uniform(1.5, 4.0, (900, 1)) @ POSE.R_wc.T + POSE.center
        square_n = (px_n2 // 80).astype(int) @ (1, 8)
        shift_c2 = shared_px * rng.standard_normal((square_n.max() + 1, 2))
        noisy_n2 = px_n2 + shift_c2[square_n] + rng.standard_normal(px_n2.shape)
        options = RansacOptions(correlation_px=correlation_px)
        found = solve_pnp(noisy_n2, points_n3, CAMERA, options)
        assert found.pose is not None
        assert found.covariance_66 is not None
        errors.append(normalized_error(found.pose, POSE, found.covariance_66))
    return float(np.median(errors))


def test_it_is_right_with_and_without_correlated_neighbours() -> None:
    assert _nees(0.0, 1.0) > 15  # each point taken as a cluster of its own: far over-confident
    assert 4.0 < _nees(80.0, 1.0) < 8.0
    assert 3.5 < _nees(80.0, 0.0) < 8.0


def test_the_pose_does_not_depend_on_it() -> None:
    rng = stream(2, "correlation")
    px_n2 = rng.uniform((1, 1), (639, 479), (200, 2))
    points_n3 = CAMERA.unproject(px_n2) * rng.uniform(1.5, 4.0, (200, 1)) @ POSE.R_wc.T + POSE.center
    noisy_n2 = px_n2 + rng.standard_normal(px_n2.shape)
    a, b = (solve_pnp(noisy_n2, points_n3, CAMERA, RansacOptions(correlation_px=c)) for c in (0.0, 50.0))
    assert a.pose is not None
    assert b.pose is not None
    assert np.array_equal(a.pose.T_wc, b.pose.T_wc)
    with pytest.raises(ValueError, match="correlation_px"):
        RansacOptions(correlation_px=-1.0)
