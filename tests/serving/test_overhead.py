"""Where a camera is on the picture from above."""

from __future__ import annotations

import numpy as np
import pytest

from transpose.geometry.poses import Pose, compose, exp_se3
from transpose.serving.overhead import Overhead
from transpose.worlds.top_down import top_down


@pytest.fixture
def plan() -> Overhead:
    corners_n3 = np.array([[0.0, 0.0, 0.0], [10.0, 5.0, 0.0]])
    return Overhead(top_down(corners_n3, np.array([0.0, 0.0, 1.0])), (np.zeros(2), np.array([10.0, 5.0])), b"")


def test_corners_and_headings(plan: Overhead) -> None:
    east = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # looks along x
    top_left = plan.at(Pose(compose(east, np.array([0.0, 5.0, 2.0]))), None)
    assert (top_left["x"], top_left["y"]) == pytest.approx((0, 0)) and top_left["ellipse"] is None
    assert top_left["heading_deg"] == pytest.approx(0)
    north = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # looks along y, up on the picture
    middle = plan.at(Pose(compose(north, np.array([5.0, 2.5, 2.0]))), None)
    assert (middle["x"], middle["y"], middle["heading_deg"]) == pytest.approx((0.5, 0.5, -90))


def test_the_ellipse_holds_ninety_of_a_hundred(plan: Overhead) -> None:
    rng = np.random.default_rng(0)
    R_wc = exp_se3(np.array([0.4, -0.8, 0.3, 0, 0, 0]))[:3, :3]
    root_66 = 0.05 * rng.normal(size=(6, 6))
    covariance_66 = root_66 @ root_66.T
    pose = Pose(compose(R_wc, np.array([4.0, 2.0, 1.0])))
    said = plan.at(pose, covariance_66)
    xi_n6 = rng.multivariate_normal(np.zeros(6), covariance_66, 4000)
    held = 0
    angle = np.radians(said["ellipse"]["angle_deg"])
    turn_22 = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for xi_6 in xi_n6:
        other = plan.at(Pose(pose.T_wc @ exp_se3(np.r_[np.zeros(3), xi_6[3:]])), None)
        # In widths of the picture, down as the picture's rows go.
        off_2 = turn_22 @ np.array([other["x"] - said["x"], (other["y"] - said["y"]) * 0.5])
        held += np.hypot(off_2[0] / said["ellipse"]["major"], off_2[1] / said["ellipse"]["minor"]) < 1
    assert held / len(xi_n6) == pytest.approx(0.9, abs=0.02)
