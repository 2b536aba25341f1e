"""The errors of a depth sensor, told from the points that photos triangulate."""

import numpy as np
import pytest

from transpose.geometry import Camera
from transpose.mapping.depth_error import DepthError, Sample, error_of_samples, fitted_error
from transpose.randomness import stream

ERROR = DepthError(-0.004, 0.012, -0.018, 0.006)


def _measurements(count: int, outliers: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = stream(0, "depths")
    xy_n2 = rng.uniform(-0.6, 0.6, (count, 2))
    measured_n = rng.uniform(0.8, 3.5, count)
    true_n = measured_n / (1 + ERROR.at(measured_n, xy_n2))
    wrong_n = rng.random(count) < outliers
    measured_n = np.where(wrong_n, rng.uniform(0.5, 4, count), measured_n * (1 + 0.005 * rng.standard_normal(count)))
    return measured_n, true_n * (1 + 0.005 * rng.standard_normal(count)), xy_n2


def test_the_error_is_found_among_wrong_points() -> None:
    measured_n, true_n, xy_n2 = _measurements(5000, outliers=0.2)
    measured_n[:100], true_n[100:200], measured_n[200:300] = np.nan, -1.0, 0.0
    found = fitted_error(measured_n, true_n, xy_n2)
    assert found is not None
    for name in ("constant", "per_metre", "right", "down"):
        assert getattr(found, name) == pytest.approx(getattr(ERROR, name), abs=0.0015), name


def test_few_points_tell_nothing() -> None:
    assert fitted_error(*_measurements(900, outliers=0.0)) is None
    assert fitted_error(np.full(5000, np.nan), np.ones(5000), np.zeros((5000, 2))) is None


def test_a_corrected_image_is_what_is_there() -> None:
    camera = Camera.from_focal(50.0, 64, 48)
    rays_hw3 = camera.unproject(np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5), -1))
    measured_hw = np.full((48, 64), 2.5, np.float32)
    measured_hw[3, 4] = np.nan
    corrected_hw = ERROR.corrected(measured_hw, camera)
    assert corrected_hw.dtype == np.float32 and np.isnan(corrected_hw[3, 4])
    error_hw = ERROR.at(np.float64(2.5), rays_hw3[..., :2])
    known_hw = np.isfinite(measured_hw)
    assert np.allclose((corrected_hw * (1 + error_hw))[known_hw], 2.5, atol=1e-5)
    assert np.abs(DepthError(0.0, 1.0, 0.0, 0.0).at(np.float64(50.0), np.zeros(2))) == 0.05


def _frames() -> list[Sample]:
    """Frames that have the error in common."""
    each = _measurements(6000, outliers=0.1)
    return list(zip(*(np.array_split(values, 12) for values in each), strict=True))


def test_an_error_is_taken_out_where_half_of_the_frames_tell_that_of_the_others() -> None:
    found = error_of_samples(_frames())
    assert found is not None and found.per_metre == pytest.approx(ERROR.per_metre, abs=0.002)
    no_error = [(t * (1 + 0.005 * np.sin(np.arange(len(t)))), t, xy) for _, t, xy in _frames()]
    assert error_of_samples(no_error) is None
    assert error_of_samples([]) is None
