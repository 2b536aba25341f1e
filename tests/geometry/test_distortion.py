"""The polynomials of lens distortion: their derivatives, and where they turn back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from transpose.geometry.distortion import Distortion, fold_radius2
from transpose.geometry.lens import Lens

LENSES = {
    "barrel": {"k1": -0.2, "k2": 0.03, "k3": -0.004},
    "pincushion": {"k1": 0.2, "k2": 0.03, "k3": 0.01},
    "rational": {"k1": 0.3, "k2": -0.1, "k3": 0.02, "k4": 0.4, "k5": -0.05, "k6": 0.03},
}


@pytest.mark.parametrize("name", LENSES)
def test_the_rise_of_the_radial_factor_is_that_of_finite_differences(name: str) -> None:
    lens, r2_n = Distortion(**LENSES[name]), np.linspace(0.01, 2.0, 50)
    (ahead_n, _), (behind_n, _), (_, rise_n) = (lens._radial(r2_n + step) for step in (1e-6, -1e-6, 0.0))
    np.testing.assert_allclose(rise_n, (ahead_n - behind_n) / 2e-6, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LENSES)
def test_the_fold_is_where_the_radius_stops_growing(name: str) -> None:
    k = LENSES[name]
    fold_r2 = fold_radius2(k["k1"], k["k2"], k["k3"], below=tuple(k.get(n, 0.0) for n in ("k4", "k5", "k6")))
    r_n = np.linspace(0.01, min(math.sqrt(fold_r2), 5.0) - 1e-3, 500)
    image_n, _ = Distortion(**k).distorted(r_n, 0 * r_n)
    assert (np.diff(image_n) > 0).all()
    if math.isfinite(fold_r2):
        r = math.sqrt(fold_r2)
        (before, at, after), _ = Distortion(**k).distorted(np.array([r - 1e-3, r, r + 1e-3]), np.zeros(3))
        assert at > max(before, after)


def test_few_steps_are_enough_for_every_lens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newton's method with the right derivatives doubles its digits; with others it would creep."""
    from transpose.geometry import distortion

    monkeypatch.setattr(distortion, "_NEWTON_STEPS", 6)
    rng = np.random.default_rng(0)
    for k in LENSES.values():
        lens = Distortion(**k, p1=0.003, p2=-0.002)
        x_n, y_n = rng.uniform(-0.6, 0.6, (2, 200))
        x_back_n, y_back_n, solved_n = lens.undistorted(*lens.distorted(x_n, y_n))
        assert solved_n.all()
        np.testing.assert_allclose(x_back_n, x_n, atol=1e-12)
        np.testing.assert_allclose(y_back_n, y_n, atol=1e-12)


@pytest.mark.parametrize(
    "coefficients", [{"k4": 0.8}, {"k1": -1 / 3 / 1.25}, {"k2": -0.2 / 1.25**2}, {"k3": -1 / 7 / 1.25**3}]
)
def test_nothing_is_imaged_beyond_the_fold_whichever_coefficient_folds(coefficients: dict[str, float]) -> None:
    """r / (1 + 0.8 r^2), and r (1 + k r^2i), are largest at r^2 = 1.25."""
    lens = Lens(640, 480, 300.0, 300.0, 320.0, 240.0, **coefficients)
    r = math.sqrt(1.25)
    px_n2 = lens.px_of_directions(np.array([[0.99 * r, 0, 1], [1.01 * r, 0, 1], [0, -0.99 * r, 1], [0, 1.2 * r, 1]]))
    assert np.isnan(px_n2).all(1).tolist() == [False, True, False, True]
