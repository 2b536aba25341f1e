"""Covariances that users get: what the correspondences tell, calibrated, and errors of camera and map on top."""

import numpy as np

from tests.localization.checkpoints import CAMERA
from tests.localization.test_choice import candidate
from transpose.geometry.poses import transform
from transpose.localization import Query
from transpose.localization.candidates import Candidate
from transpose.localization.covariance import EXACT, CameraErrors, calibrated, stated_part
from transpose.localization.error_model import error_model, scale_of
from transpose.localization.systematic import SystematicErrors
from transpose.runs.checkpoint import UNMEASURED_SCALE, Calibration

USUAL = CameraErrors(0.003, 0.003, 0.003)


def with_points(by: str = "matches", shift_px: float = 0.0) -> Candidate:
    """Of a pose that is right, whose points are seen where they are, but for a shift of those on the right."""
    points_n3 = np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 4), (400, 3))
    px_n2 = CAMERA.project(transform(np.eye(4), points_n3))
    px_n2[px_n2[:, 0] > CAMERA.cx, 0] += shift_px
    return Candidate(candidate(len(points_n3), by).estimate, points_n3, px_n2)  # type: ignore[arg-type]


def one(by: str) -> float:
    return 1.0


def test_what_was_not_measured_is_stated_large() -> None:
    calibration = Calibration(covariance_scales={"coordinates": 2.0})
    assert calibration.measured("coordinates") and not calibration.measured("matches")
    estimate = calibrated(with_points(), CAMERA, scale_of(calibration), EXACT)
    assert np.allclose(estimate.covariance_66, UNMEASURED_SCALE * np.eye(6))
    # Where the package knows how such poses err, untested ones are doubted less.
    stated_66 = stated_part(with_points("landmarks"), CAMERA)
    estimate = calibrated(with_points("landmarks"), CAMERA, scale_of(calibration), EXACT)
    assert stated_66 is not None and np.allclose(estimate.covariance_66, 4 * stated_66)


def test_covariances_are_scaled_by_what_gave_the_pose() -> None:
    calibration = Calibration(covariance_scales={"landmarks": 4.0, "matches": 9.0})
    for by, scale in calibration.covariance_scales.items():
        estimate, stated_66 = (
            calibrated(with_points(by), CAMERA, calibration.scale, EXACT),
            stated_part(with_points(by), CAMERA),
        )
        assert stated_66 is not None and np.allclose(estimate.covariance_66, scale * stated_66) and estimate.by == by
    assert np.allclose(calibrated(with_points(), CAMERA, one, EXACT).covariance_66, np.eye(6))


def test_a_map_that_does_not_fit_is_told_by_the_residuals() -> None:
    known = [np.trace(stated_part(with_points("landmarks", shift_px), CAMERA)) for shift_px in (0.0, 1.0, 3.0)]
    assert known[0] < known[1] < known[2]
    model = error_model("landmarks")
    assert model is not None and known[0] >= 6 * model.residual_scale


def test_errors_of_camera_and_map_are_added_unscaled() -> None:
    exact = calibrated(with_points(), CAMERA, lambda _: 4.0, EXACT).covariance_66
    usual = calibrated(with_points(), CAMERA, lambda _: 4.0, USUAL).covariance_66
    unscaled = calibrated(with_points(), CAMERA, one, USUAL).covariance_66
    assert np.linalg.eigvalsh(usual - exact).min() > -1e-12 and np.trace(usual) > np.trace(exact)
    assert np.allclose(usual - exact, unscaled - np.eye(6))


def test_an_error_model_stands_in_for_what_is_usual_of_maps() -> None:
    query = Query.of(CAMERA, np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8), CAMERA)
    usual = SystematicErrors()
    assert CameraErrors.of(query, usual, "matches") == CameraErrors(usual.focal, usual.center, usual.map)
    assert CameraErrors.of(query, usual, "landmarks") == CameraErrors(usual.modelled, usual.modelled, 0.0)


def test_a_refusal_stays_one() -> None:
    assert calibrated(candidate(0), CAMERA, one, USUAL).pose is None
