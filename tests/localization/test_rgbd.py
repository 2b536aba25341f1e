"""Localization with measured depth (DSAC*'s mode 2)."""

import numpy as np
import pytest

from tests.localization.checkpoints import CAMERA
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, pose_error, transform
from transpose.localization import LocalizationOptions, Query
from transpose.localization.by_coordinates import by_coordinates, by_coordinates_and_depth
from transpose.localization.confidence import confidence
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.evidence import Evidence
from transpose.localization.seeing import SeenImage, see
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.worlds.viewpoints import rotation_from_angles

OPTIONS = LocalizationOptions()
POSE = Pose(compose(rotation_from_angles(20.0, -70.0, 5.0), np.array([1.0, 2.0, 3.0])))


def true_map(depth_hw: np.ndarray, camera: Camera = CAMERA) -> CoordinateMap:
    """A perfect network's output for a view with this depth at its cells."""
    uncertainty = PredictedUncertainty(Uncertainty("none"))
    rows, columns = camera.height // 8, camera.width // 8
    empty = CoordinateMap(np.zeros((rows, columns, 3)), np.zeros((rows, columns, 0)), uncertainty, camera)
    px_hw2 = empty.cell_px()
    cells_hw = depth_hw[4::8, 4::8]
    points_hw3 = transform(POSE.T_wc, camera.unproject(px_hw2.reshape(-1, 2)) * cells_hw.reshape(-1, 1))
    return CoordinateMap(points_hw3.reshape(rows, columns, 3), empty.raw_hwk, uncertainty, camera)


def noisy(predicted: CoordinateMap, sigma_m: float = 0.01) -> CoordinateMap:
    rng = np.random.default_rng(0)
    points_hw3 = predicted.points_hw3 + rng.normal(0, sigma_m, predicted.points_hw3.shape)
    points_hw3[rng.random(points_hw3.shape[:2]) < 0.3] += rng.uniform(-2, 2, 3)
    return CoordinateMap(points_hw3, predicted.raw_hwk, predicted.uncertainty, predicted.camera)


def seen_as(given: Camera, learned_height: int | None = None) -> SeenImage:
    return see(Query(np.zeros((given.height, given.width, 3), np.uint8), given), CAMERA, learned_height, OPTIONS)


@pytest.fixture
def depth_hw() -> np.ndarray:
    """A slanted plane with a hole."""
    x_w = np.linspace(0, 0.3, CAMERA.width, dtype=np.float32)
    depth_hw = np.broadcast_to(2.0 + x_w, (CAMERA.height, CAMERA.width)).copy()
    depth_hw[:16, :16] = np.nan
    return depth_hw


def test_the_pose_is_found_from_points_alone(depth_hw: np.ndarray) -> None:
    predicted = noisy(true_map(np.nan_to_num(depth_hw, nan=2.0)))
    found = by_coordinates_and_depth(predicted, seen_as(CAMERA), depth_hw, OPTIONS).estimate
    degrees, metres = pose_error(found.pose, POSE)
    assert metres < 0.02 and degrees < 1
    assert np.linalg.eigvalsh(found.covariance_66).min() > 0


def test_points_that_agree_on_nothing_are_refused(depth_hw: np.ndarray) -> None:
    predicted = true_map(np.nan_to_num(depth_hw, nan=2.0))
    random_hw3 = np.random.default_rng(0).uniform(-5, 5, predicted.points_hw3.shape)
    lost = CoordinateMap(random_hw3, predicted.raw_hwk, predicted.uncertainty, CAMERA)
    found = by_coordinates_and_depth(lost, seen_as(CAMERA), depth_hw, OPTIONS)
    assert found.if_scored(OPTIONS.min_score).pose is None
    blind = np.full_like(depth_hw, np.nan)
    assert by_coordinates_and_depth(lost, seen_as(CAMERA), blind, OPTIONS).estimate.reason == "too_few_points"


@pytest.mark.parametrize("times", [1, 3])
def test_an_enlarged_photo_is_as_certain_as_the_photo(depth_hw: np.ndarray, times: int) -> None:
    """What a network says does not depend on how many pixels a photo has."""
    filled_hw = np.nan_to_num(depth_hw, nan=2.0)
    predicted = noisy(true_map(filled_hw))
    small = by_coordinates_and_depth(predicted, seen_as(CAMERA), filled_hw, OPTIONS).estimate
    large_camera = CAMERA.resized(times * CAMERA.width, times * CAMERA.height)
    large_hw = filled_hw.repeat(times, 0).repeat(times, 1)
    large = by_coordinates_and_depth(predicted, seen_as(large_camera), large_hw, OPTIONS).estimate
    ratio_6 = np.sqrt(np.diag(large.covariance_66) / np.diag(small.covariance_66))
    assert np.allclose(ratio_6, 1, atol=0.1)


def test_what_agrees_depends_on_the_distance() -> None:
    """From 60 m a network that errs by 1 m is right; in a room it is not."""
    far_hw = np.full((CAMERA.height, CAMERA.width), 60.0, np.float32)
    found = by_coordinates_and_depth(noisy(true_map(far_hw), 1.0), seen_as(CAMERA), far_hw, OPTIONS).estimate
    assert found.pose is not None and found.inliers > 0.6 * found.inlier_mask_n.size
    near = by_coordinates_and_depth(noisy(true_map(far_hw / 30), 1.0), seen_as(CAMERA), far_hw / 30, OPTIONS)
    assert near.estimate.pose is None or near.estimate.inliers < 0.2 * near.estimate.inlier_mask_n.size


def test_a_large_photo_has_as_many_inliers_as_a_small_one() -> None:
    """The threshold of 10 px is one of the image that the network sees."""
    flat_hw = np.full((CAMERA.height, CAMERA.width), 4.0)
    found = by_coordinates(noisy(true_map(flat_hw), 2.0 / CAMERA.fx * 4.0), OPTIONS)
    assert found.support > 0.95 * 0.7 * 16 * 12 and found.estimate.by == "coordinates"


def test_what_agrees_by_centimetres_of_depth_alone_speaks_for_no_pose() -> None:
    """A floor lies on another floor; its points are seen elsewhere."""
    camera = Camera.from_focal(525.0, 640, 480)
    depth_hw = np.broadcast_to(2.0 + np.linspace(0, 0.3, 640, dtype=np.float32), (480, 640))
    exact, rng = true_map(depth_hw, camera), np.random.default_rng(0)
    confidences, agreeing = [], []
    for sigma_m in (0.01, 0.045):  # of 4 mm a pixel
        moved_hw3 = exact.points_hw3 + rng.normal(0, sigma_m, exact.points_hw3.shape)
        predicted = CoordinateMap(moved_hw3, exact.raw_hwk, exact.uncertainty, camera)
        found = by_coordinates_and_depth(predicted, seen_as(camera, 480), depth_hw, OPTIONS)
        assert found.pose is not None and found.support > 0.75 * moved_hw3[..., 0].size
        agreeing.append(Evidence.of(found, camera).agreeing / found.support)
        confidences.append(confidence(found, camera, {}) or 0.0)
    assert agreeing[0] > 0.95 and agreeing[1] < 0.6 and confidences[0] > confidences[1]
