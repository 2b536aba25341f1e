"""What a pose puts into an image, and how much of it is found there."""

import numpy as np
import pytest

from transpose.geometry import Camera, Pose
from transpose.localization.matching.confirmation import confirmed_share
from transpose.randomness import stream

CAMERA = Camera.from_focal(300.0, 320, 240)
POSE = Pose(np.eye(4))


def test_the_share_is_that_of_cells_with_keypoints() -> None:
    px_n2 = stream(0, "pixels").uniform((0, 0), (320, 240), (400, 2))
    points_n3 = CAMERA.unproject(px_n2) * stream(0, "depth").uniform(1, 5, (400, 1))
    twin = {tuple(cell) for cell in (px_n2 // 16).astype(int).tolist()}
    assert confirmed_share(POSE, CAMERA, points_n3, px_n2, px_n2) == 1.0
    agreeing_m2 = px_n2[:90]
    agreeing = {tuple(cell) for cell in (agreeing_m2 // 16).astype(int).tolist()}
    expected = len(agreeing) / len(twin)
    assert confirmed_share(POSE, CAMERA, points_n3, px_n2, agreeing_m2) == pytest.approx(expected)
    left_k2 = px_n2[px_n2[:, 0] < 160]  # where the photo has no keypoints, nothing can be confirmed
    assert confirmed_share(POSE, CAMERA, points_n3, left_k2, left_k2) == 1.0


def test_nothing_expected_is_nothing_confirmed() -> None:
    behind_n3 = np.array([[0.0, 0.0, -2.0], [50.0, 0.0, 1.0]])
    px_k2 = np.array([[160.0, 120.0]])
    assert confirmed_share(POSE, CAMERA, behind_n3, px_k2, px_k2) == 0.0
    assert confirmed_share(POSE, CAMERA, np.zeros((0, 3)), px_k2, px_k2) == 0.0
    assert confirmed_share(POSE, CAMERA, np.array([[0.0, 0.0, 2.0]]), np.zeros((0, 2)), np.zeros((0, 2))) == 0.0
