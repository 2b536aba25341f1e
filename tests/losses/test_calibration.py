from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.losses.calibration import chi2_quantile, covariance_temperature, squared_errors, whitened
from transpose.randomness import stream


def drawn_errors(n: int, freedom: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Errors drawn from covariances of all shapes, and these."""
    rng = stream(0, "calibration")
    A_nkk = rng.standard_normal((n, freedom, freedom)) * rng.uniform(0.01, 10, (n, 1, 1))
    covariance_nkk = A_nkk @ np.swapaxes(A_nkk, 1, 2)
    return (A_nkk @ rng.standard_normal((n, freedom, 1)))[..., 0], covariance_nkk


def test_quantiles_are_those_of_the_tables() -> None:
    assert [chi2_quantile(p, 3) for p in (0.5, 0.9, 0.95)] == pytest.approx([2.366, 6.251, 7.815], abs=5e-4)
    assert [chi2_quantile(p, 6) for p in (0.5, 0.9, 0.95)] == pytest.approx([5.348, 10.645, 12.592], abs=5e-4)
    with pytest.raises(ValueError, match="level"):
        chi2_quantile(1.0, 3)


@pytest.mark.parametrize("freedom", [1, 3, 6])
def test_squared_errors_match_the_inverse(freedom: int) -> None:
    errors_nk, covariance_nkk = drawn_errors(50, freedom)
    expected_n = np.einsum("ni,nij,nj->n", errors_nk, np.linalg.inv(covariance_nkk), errors_nk)
    assert squared_errors(errors_nk, covariance_nkk) == pytest.approx(expected_n, rel=1e-5)


@given(st.floats(0.01, 100), st.sampled_from([0.5, 0.9]))
def test_the_temperature_finds_by_how_much_covariances_are_too_small(factor: float, coverage: float) -> None:
    errors_n3, covariance_n33 = drawn_errors(4000)
    found = covariance_temperature(squared_errors(errors_n3, covariance_n33 / factor), coverage)
    assert found == pytest.approx(factor, rel=0.08)
    mended_n = squared_errors(errors_n3, found / factor * covariance_n33)
    assert covariance_temperature(mended_n, coverage) == pytest.approx(1)
    assert np.mean(mended_n <= chi2_quantile(coverage, 3)) == pytest.approx(coverage, abs=1e-3)


@pytest.mark.parametrize("freedom", [1, 6])
def test_the_temperature_knows_how_many_components_an_error_has(freedom: int) -> None:
    squared_n = squared_errors(*drawn_errors(4000, freedom))
    assert covariance_temperature(squared_n, freedom=freedom) == pytest.approx(1, abs=0.08)


def test_a_few_gross_errors_hardly_change_the_temperature() -> None:
    errors_n3, covariance_n33 = drawn_errors(4000)
    honest = covariance_temperature(squared_errors(errors_n3, covariance_n33))
    errors_n3[:80] *= 1000
    assert covariance_temperature(squared_errors(errors_n3, covariance_n33)) == pytest.approx(honest, rel=0.1)


def test_cells_without_labels_are_left_out() -> None:
    squared_n = squared_errors(*drawn_errors(100))
    assert covariance_temperature(np.append(squared_n, [np.nan] * 50)) == covariance_temperature(squared_n)
    with pytest.raises(ValueError, match="no cell"):
        covariance_temperature(np.full(50, np.nan))
    with pytest.raises(ValueError, match="no cell"):
        covariance_temperature(np.zeros(0))


def test_covariances_that_are_none() -> None:
    errors_n3, covariance_n33 = drawn_errors(3)
    with pytest.raises(ValueError, match="positive definite"):
        squared_errors(errors_n3, -covariance_n33)
    with pytest.raises(ValueError, match="NaN"):
        squared_errors(errors_n3, np.nan * covariance_n33)
    with pytest.raises(ValueError, match="need errors"):
        squared_errors(errors_n3[:2], covariance_n33)
    with pytest.raises(ValueError, match="need errors"):
        whitened(errors_n3[:, :2], covariance_n33)
