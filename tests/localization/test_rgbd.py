"""Localization with measured depth (DSAC*'s mode 2)."""

import numpy as np
import pytest
import torch

from tests.localization.test_choice import CAMERA, checkpoint
from transpose.errors import TransposeError
from transpose.geometry import Pose
from transpose.geometry.poses import compose, pose_error, transform
from transpose.localization import SceneCoordinateLocalizer
from transpose.localization.coordinate_map import CoordinateMap
from transpose.losses.uncertainty import StatedUncertainty, Uncertainty
from transpose.worlds.viewpoints import rotation_from_angles

IMAGE = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
POSE = Pose(compose(rotation_from_angles(20.0, -70.0, 6.0), np.array([1.0, 2.0, 3.0])))


def true_map(depth_hw: np.ndarray) -> CoordinateMap:
    """What a perfect network would say of a view with this depth at its cells."""
    stated = StatedUncertainty(Uncertainty("none"))
    rows, columns = CAMERA.height // 8, CAMERA.width // 8
    empty = CoordinateMap(np.zeros((rows, columns, 3)), np.zeros((rows, columns, 0)), stated, CAMERA)
    px_hw2 = empty.cell_px()
    cells_hw = depth_hw[4::8, 4::8]
    points_hw3 = transform(POSE.T_wc, CAMERA.unproject(px_hw2.reshape(-1, 2)) * cells_hw.reshape(-1, 1))
    return CoordinateMap(points_hw3.reshape(rows, columns, 3), empty.raw_hwk, stated, CAMERA)


@pytest.fixture
def depth_hw() -> np.ndarray:
    """A slanted plane with a hole."""
    x_w = np.linspace(0, 0.3, CAMERA.width, dtype=np.float32)
    depth_hw = np.broadcast_to(2.0 + x_w, (CAMERA.height, CAMERA.width)).copy()
    depth_hw[:16, :16] = np.nan
    return depth_hw


def test_the_pose_is_found_from_points_alone(monkeypatch: pytest.MonkeyPatch, depth_hw: np.ndarray) -> None:
    localizer = SceneCoordinateLocalizer(checkpoint())
    predicted = true_map(np.nan_to_num(depth_hw, nan=2.0))
    rng = np.random.default_rng(0)
    noisy_hw3 = predicted.points_hw3 + rng.normal(0, 0.01, predicted.points_hw3.shape)
    noisy_hw3[rng.random(noisy_hw3.shape[:2]) < 0.3] += rng.uniform(-2, 2, 3)
    monkeypatch.setattr(
        localizer, "coordinates", lambda *_: CoordinateMap(noisy_hw3, predicted.raw_hwk, predicted.stated, CAMERA)
    )
    estimate = localizer.localize_rgbd(IMAGE, depth_hw, CAMERA)
    degrees, metres = pose_error(estimate.pose, POSE)
    assert metres < 0.02 and degrees < 1
    assert np.linalg.eigvalsh(estimate.covariance_66).min() > 0


def test_points_that_agree_on_nothing_are_refused(monkeypatch: pytest.MonkeyPatch, depth_hw: np.ndarray) -> None:
    localizer = SceneCoordinateLocalizer(checkpoint())
    predicted = true_map(np.nan_to_num(depth_hw, nan=2.0))
    random_hw3 = np.random.default_rng(0).uniform(-5, 5, predicted.points_hw3.shape)
    monkeypatch.setattr(
        localizer, "coordinates", lambda *_: CoordinateMap(random_hw3, predicted.raw_hwk, predicted.stated, CAMERA)
    )
    assert localizer.localize_rgbd(IMAGE, depth_hw, CAMERA).pose is None
    blind = np.full_like(depth_hw, np.nan)
    assert localizer.localize_rgbd(IMAGE, blind, CAMERA).reason == "too_few_points"


def test_depth_of_another_size_is_an_error() -> None:
    torch.manual_seed(0)
    with pytest.raises(TransposeError, match="one size"):
        SceneCoordinateLocalizer(checkpoint()).localize_rgbd(IMAGE, np.ones((5, 5), np.float32), CAMERA)
