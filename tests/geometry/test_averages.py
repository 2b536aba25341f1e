"""Averages of poses: laws, and what outliers may not do."""

from __future__ import annotations

import numpy as np
import pytest

from transpose.geometry.averages import mean_pose, robust_mean_pose
from transpose.geometry.poses import Pose, exp_se3, pose_error
from transpose.randomness import stream


def near(pose_44: np.ndarray, count: int, *, rad: float = 0.1, metres: float = 0.2) -> np.ndarray:
    xi_n6 = stream(0, "near").normal(size=(count, 6)) * ([rad] * 3 + [metres] * 3)
    return pose_44 @ exp_se3(xi_n6)


SOMEWHERE = exp_se3(np.array([0.3, -2.0, 0.9, 5.0, -3.0, 8.0]))


def test_the_mean_of_one_pose_is_that_pose() -> None:
    for mean in (mean_pose(SOMEWHERE[None], np.ones(1)), robust_mean_pose(SOMEWHERE[None], np.ones(1))[0]):
        np.testing.assert_allclose(mean.T_wc, SOMEWHERE, atol=1e-12)


def test_equal_turns_either_way_cancel() -> None:
    xi_n6 = np.array([[0.4, 0, 0, 1.0, 0, 0], [-0.4, 0, 0, -1.0, 0, 0]])
    np.testing.assert_allclose(mean_pose(SOMEWHERE @ exp_se3(xi_n6), np.ones(2)).T_wc, SOMEWHERE, atol=1e-12)


def test_the_chordal_mean_is_least() -> None:
    T_n44, weight_n = near(SOMEWHERE, 6, rad=0.5), np.array([1.0, 2.0, 3.0, 1.0, 1.0, 0.5])

    def cost(R_33: np.ndarray) -> float:
        return float((weight_n * np.square(T_n44[:, :3, :3] - R_33).sum((1, 2))).sum())

    mean = mean_pose(T_n44, weight_n)
    for xi_6 in 1e-3 * np.concatenate([np.eye(6)[:3], -np.eye(6)[:3]]):
        assert cost(mean.R_wc) < cost((mean.T_wc @ exp_se3(xi_6))[:3, :3])


def test_a_moved_world_moves_the_mean() -> None:
    T_n44, weight_n, moved = near(SOMEWHERE, 8), np.linspace(1, 2, 8), exp_se3(np.array([1.0, 0.2, -0.4, 3, 2, 1]))
    expected = moved @ robust_mean_pose(T_n44, weight_n)[0].T_wc
    np.testing.assert_allclose(robust_mean_pose(moved @ T_n44, weight_n)[0].T_wc, expected, atol=1e-9)


@pytest.mark.parametrize("outliers", [1, 4])
def test_outliers_have_no_say(outliers: int) -> None:
    inliers_n44 = near(SOMEWHERE, 8, rad=0.02, metres=0.05)
    elsewhere = exp_se3(np.array([-1.0, 1.5, 0.2, -40.0, 20.0, 0.0]))
    T_n44 = np.concatenate([inliers_n44, near(elsewhere, outliers, rad=1.0, metres=10.0)])
    mean, share_n = robust_mean_pose(T_n44, np.ones(len(T_n44)))
    degrees, metres = pose_error(mean, Pose(SOMEWHERE))
    assert degrees < 3 and metres < 0.1
    assert share_n[8:].max() < 1e-3 and share_n.sum() == pytest.approx(1)


def test_of_three_poses_the_one_apart_has_no_say() -> None:
    turn_6 = np.array([0.01, 0, 0, 0.05, 0, 0])
    T_n44 = SOMEWHERE @ exp_se3(np.stack([turn_6, -turn_6, np.array([0.5, 0.3, 0, 20.0, -30.0, 5.0])]))
    mean, share_n = robust_mean_pose(T_n44, np.ones(3))
    assert share_n[2] < 1e-6
    degrees, metres = pose_error(mean, Pose(SOMEWHERE))
    assert degrees < 0.6 and metres <= 0.05  # between the two


def test_the_same_pose_many_times() -> None:
    mean, share_n = robust_mean_pose(np.repeat(SOMEWHERE[None], 5, 0), np.ones(5))
    np.testing.assert_allclose(mean.T_wc, SOMEWHERE, atol=1e-9)
    np.testing.assert_allclose(share_n, 0.2)


def test_of_two_poses_most_say_nothing_and_the_mean_lies_between() -> None:
    T_n44 = SOMEWHERE @ exp_se3(np.array([[0.1, 0, 0, 0.5, 0, 0], [-0.1, 0, 0, -0.5, 0, 0]]))
    mean, share_n = robust_mean_pose(T_n44, np.ones(2))
    assert share_n.sum() == pytest.approx(1) and share_n.min() > 0
    along = np.linalg.inv(SOMEWHERE) @ mean.T_wc
    assert np.abs(along[:3, 3]).max() <= 0.5 and np.abs(along[1:3, 3]).max() < 1e-9
