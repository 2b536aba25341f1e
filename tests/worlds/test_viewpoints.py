"""Viewpoints: how cameras are held."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.geometry.turning import turn
from transpose.worlds.viewpoints import Viewpoint, north_up, rotation_from_angles

CAMERA = Camera.from_focal(90.0, 128, 96)


@settings(max_examples=30)
@given(st.floats(0, 360), st.floats(-90, -30), st.floats(-15, 15))
def test_north_up_is_one_of_four_quarters_and_whichever_way_a_camera_is_held(
    yaw: float, pitch: float, roll: float
) -> None:
    held = Viewpoint(CAMERA, Pose(compose(rotation_from_angles(yaw, pitch, roll), np.array([3.0, 4.0, 50.0]))), "a")
    found = north_up(held)
    assert (found.stem, found.camera) == (held.stem, held.camera)
    turned = [held.pose.T_wc @ turn(quarters) for quarters in range(4)]
    assert min(np.abs(found.pose.T_wc - each).max() for each in turned) < 1e-12
    up_y = [-(each[1, 1]) for each in turned]
    assert -found.pose.R_wc[1, 1] == pytest.approx(max(up_y))
    other_way = north_up(Viewpoint(CAMERA, Pose(turned[1])))
    if sorted(up_y)[-1] - sorted(up_y)[-2] > 1e-6:
        np.testing.assert_allclose(other_way.pose.T_wc, found.pose.T_wc, atol=1e-9)
    if pitch < -89:  # straight down, north is up to an eighth of a turn
        assert -found.pose.R_wc[1, 1] > np.cos(np.radians(46))
