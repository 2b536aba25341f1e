"""Poses by recognized map points: right ones among wrong, what is refused, and that coordinates stand in."""

import numpy as np
import torch

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, pose_error
from transpose.localization.by_recognition import by_recognition
from transpose.localization.options import LocalizationOptions
from transpose.models.keypoints import Keypoints
from transpose.models.recognition import Recognized

CAMERA = Camera.from_focal(500.0, 640, 480)
ORIGIN_3 = np.array([100.0, -50.0, 3.0])
OPTIONS = LocalizationOptions()


def seen(count: int, wrong: float, likely: float = 0.9) -> tuple[Recognized, Keypoints, Pose]:
    """Keypoints of points in front of a camera, some of which are taken for others."""
    rng = np.random.default_rng(0)
    pose = Pose(compose(np.eye(3), ORIGIN_3 + np.array([0.1, 0.2, 0.3])))
    px_n2 = rng.uniform((0, 0), (640, 480), (count, 2))
    points_n3 = CAMERA.unproject(px_n2) * rng.uniform(2, 6, (count, 1)) + pose.center - ORIGIN_3
    mixed_n = rng.random(count) < wrong
    points_n3[mixed_n] = rng.permutation(points_n3[mixed_n])
    recognized = Recognized(torch.from_numpy(points_n3).float(), torch.full((count,), likely))
    return recognized, Keypoints(torch.from_numpy(px_n2).float(), torch.zeros(count, 64)), pose


def test_right_points_among_three_times_as_many_wrong_ones_give_the_pose() -> None:
    recognized, keypoints, pose = seen(800, 0.75)
    found = by_recognition(recognized, keypoints, ORIGIN_3, CAMERA, OPTIONS)
    assert found.pose is not None and found.estimate.by == "recognition"
    off_m, off_deg = pose_error(found.pose, pose)
    assert off_m < 0.005 and off_deg < 0.1
    assert 150 < found.support < 260


def test_unlikely_points_have_no_say() -> None:
    recognized, keypoints, _ = seen(800, 0.2, likely=0.05)
    assert by_recognition(recognized, keypoints, ORIGIN_3, CAMERA, OPTIONS).pose is None


def test_too_few_or_no_right_points_give_no_pose() -> None:
    for count, wrong in ((25, 0.0), (600, 1.0), (0, 0.0)):
        recognized, keypoints, _ = seen(count, wrong)
        found = by_recognition(recognized, keypoints, ORIGIN_3, CAMERA, OPTIONS)
        assert found.pose is None and found.estimate.covariance_66 is None
