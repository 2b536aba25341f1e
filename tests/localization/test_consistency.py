"""Cells that contradict the depth and normals that are known of them count less."""

from dataclasses import replace

import numpy as np
import pytest

from transpose.geometry import Camera, Pose
from transpose.geometry.cameras import cell_points
from transpose.geometry.poses import exp_se3, pose_error, transform
from transpose.localization.by_coordinates import by_coordinates
from transpose.localization.consistency import (
    by_consistent_coordinates,
    depth_discrepancy,
    normal_discrepancy,
    trusted,
)
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.options import LocalizationOptions
from transpose.localization.task_maps import DepthMap, NormalMap, TaskMaps
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty

CAMERA = Camera.from_focal(200.0, 320, 240)
POSE = Pose(exp_se3(np.array([0.2, -0.3, 0.1, 1.0, 2.0, 3.0])))
SIGMA = 0.01


def seen(wrong: float = 0.0) -> tuple[CoordinateMap, TaskMaps]:
    """A slanted wall with noise; a share of the cells shows a copy of the place, a metre further and to the side."""
    rng = np.random.default_rng(0)
    px_hw2 = cell_points(CAMERA.width, CAMERA.height)
    rows, columns = px_hw2.shape[:2]
    rays_hw3 = CAMERA.unproject(px_hw2.reshape(-1, 2)).reshape(rows, columns, 3)
    normal_3 = np.array([0.4, 0.0, -1.0]) / np.hypot(0.4, 1)
    depth_hw = -3.0 / (rays_hw3 @ (normal_3 / -normal_3[2]))
    camera_hw3 = rays_hw3 * depth_hw[..., None] + SIGMA * rng.standard_normal((rows, columns, 3))
    wrong_hw = rng.random((rows, columns)) < wrong
    camera_hw3[wrong_hw] += (0.6, 0.0, 1.5)
    points_hw3 = transform(POSE.T_wc, camera_hw3.reshape(-1, 3)).reshape(rows, columns, 3)
    raw_hwk = np.full((rows, columns, 1), np.log(SIGMA))
    predicted = CoordinateMap(points_hw3, raw_hwk, PredictedUncertainty(Uncertainty("isotropic", "gaussian")), CAMERA)
    maps = TaskMaps(
        CAMERA,
        DepthMap(depth_hw * np.exp(rng.laplace(0, 0.03, depth_hw.shape)), np.full(depth_hw.shape, 0.03)),
        NormalMap(np.tile(normal_3, (rows, columns, 1)), np.full(depth_hw.shape, 0.05)),
    )
    return predicted, maps


def in_camera(predicted: CoordinateMap) -> np.ndarray:
    return transform(POSE.T_cw, predicted.points_hw3.reshape(-1, 3)).reshape(predicted.points_hw3.shape)


def test_right_cells_are_off_as_expected_and_wrong_ones_far_more() -> None:
    predicted, maps = seen()
    assert maps.depth is not None and maps.normal is not None
    camera_hw3, sigma_hw = in_camera(predicted), predicted.sigma_hw()
    depth_hw = depth_discrepancy(camera_hw3, sigma_hw, maps.depth)
    assert 0.5 < depth_hw.mean() < 1.2
    assert np.median(normal_discrepancy(camera_hw3, sigma_hw, maps.normal)) < 1.5
    shifted_hw = depth_discrepancy(camera_hw3 + np.array([0, 0, 1.5]), sigma_hw, maps.depth)
    assert shifted_hw.min() > 4
    assert np.isinf(depth_discrepancy(-camera_hw3, sigma_hw, maps.depth)).all()
    turned = NormalMap(np.tile([0.0, -1.0, 0.0], (*sigma_hw.shape, 1)), maps.normal.expected_hw)
    assert np.median(normal_discrepancy(camera_hw3, sigma_hw, turned)[2:-2, 2:-2]) > 5
    assert not normal_discrepancy(camera_hw3[:4], sigma_hw[:4], NormalMap(np.zeros((4, 40, 3)), sigma_hw[:4])).any()


def test_factors_grow_the_covariances_of_the_cells_alone() -> None:
    predicted, maps = seen()
    same = trusted(predicted, maps, POSE, "none")
    assert np.array_equal(same.covariances(None), predicted.covariances(None))
    changed = trusted(predicted, maps, POSE, "depth")
    assert changed.variance_factor_hw is not None and changed.variance_factor_hw.min() >= 1
    ratio_hw = changed.covariances(None)[..., 0, 0] / predicted.covariances(None)[..., 0, 0]
    assert np.allclose(ratio_hw, changed.variance_factor_hw)
    assert np.allclose(changed.sigma_hw() ** 2, predicted.sigma_hw() ** 2 * changed.variance_factor_hw)
    behind = trusted(predicted, maps, Pose(POSE.T_wc @ np.diag([-1.0, 1.0, -1.0, 1.0])), "depth")
    assert behind.variance_factor_hw is not None and np.isfinite(behind.variance_factor_hw).all()


def test_a_copy_of_the_place_draws_the_pose_less() -> None:
    predicted, maps = seen(wrong=0.45)
    options = LocalizationOptions()
    plain = by_coordinates(predicted, options)
    helped = by_consistent_coordinates(predicted, maps, options, "depth+normal")
    assert plain.pose is not None and helped.pose is not None
    assert pose_error(helped.pose, POSE)[1] <= pose_error(plain.pose, POSE)[1] + 1e-3
    assert pose_error(helped.pose, POSE)[1] < 0.02


@pytest.mark.parametrize("how", ["none", "depth", "depth+normal"])
def test_without_maps_or_uncertainty_it_is_the_plain_pose(how: str) -> None:
    predicted, maps = seen(wrong=0.2)
    options = LocalizationOptions()
    certain = replace(
        predicted, raw_hwk=predicted.raw_hwk[..., :0], uncertainty=PredictedUncertainty(Uncertainty("none"))
    )
    for map_, known in ((predicted, TaskMaps(CAMERA)), (certain, maps)):
        plain, found = by_coordinates(map_, options), by_consistent_coordinates(map_, known, options, how)  # type: ignore[arg-type]
        assert plain.pose is not None and found.pose is not None
        assert np.array_equal(plain.pose.T_wc, found.pose.T_wc)
