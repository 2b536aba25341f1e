"""Covariances that users get: scattered parts scaled by what gave the pose, errors of camera and map on top."""

import numpy as np

from tests.localization.checkpoints import CAMERA
from tests.localization.test_choice import candidate
from transpose.localization.candidates import Candidate
from transpose.localization.covariance import CameraErrors, calibrated
from transpose.runs.checkpoint import UNMEASURED_SCALE, Calibration

EXACT, USUAL = CameraErrors(0.0, 0.0, 0.0), CameraErrors(0.003, 0.003, 0.003)


def with_points(by: str = "landmarks") -> Candidate:
    points_n3 = np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 4), (50, 3))
    return Candidate(candidate(50, by).estimate, points_n3, points_n3[:, :2])  # type: ignore[arg-type]


def one(by: str) -> float:
    return 1.0


def test_what_was_not_measured_is_stated_large() -> None:
    calibration = Calibration(covariance_scales={"coordinates": 2.0})
    assert calibration.measured("coordinates") and not calibration.measured("landmarks")
    estimate = calibrated(with_points(), CAMERA, calibration.scale, EXACT)
    assert np.allclose(estimate.covariance_66, UNMEASURED_SCALE * np.eye(6))


def test_covariances_are_scaled_by_what_gave_the_pose() -> None:
    calibration = Calibration(covariance_scales={"landmarks": 4.0, "coordinates": 9.0})
    for by, scale in calibration.covariance_scales.items():
        estimate = calibrated(with_points(by), CAMERA, calibration.scale, EXACT)
        assert np.allclose(estimate.covariance_66, scale * np.eye(6)) and estimate.by == by
    assert np.allclose(calibrated(with_points(), CAMERA, one, EXACT).covariance_66, np.eye(6))


def test_errors_of_camera_and_map_are_added_unscaled() -> None:
    exact = calibrated(with_points(), CAMERA, lambda _: 4.0, EXACT).covariance_66
    usual = calibrated(with_points(), CAMERA, lambda _: 4.0, USUAL).covariance_66
    unscaled = calibrated(with_points(), CAMERA, one, USUAL).covariance_66
    assert np.linalg.eigvalsh(usual - exact).min() > -1e-12 and np.trace(usual) > np.trace(exact)
    assert np.allclose(usual - exact, unscaled - np.eye(6))


def test_a_refusal_stays_one() -> None:
    assert calibrated(candidate(0), CAMERA, one, USUAL).pose is None
