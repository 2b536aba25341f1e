"""Interacting models: mixing, what data say of models, and sampled sequences of models against exact ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from tests.localization.sequence.flights import flown, measured
from tests.localization.sequence.test_kalman import some_measurement, some_state
from transpose.geometry.poses import Pose
from transpose.localization import MotionModelOptions
from transpose.localization.sequence.imm import ModelBank, Scale, combine, mix, p_value
from transpose.localization.sequence.kalman import innovate
from transpose.localization.sequence.measurement import PoseMeasurement
from transpose.localization.sequence.state import NoiseModel
from transpose.randomness import stream

TWO_LEVELS = MotionModelOptions((0.1, 30.0), (1.0, 1.0), white_fractions=(1.0,), white_fraction_prior=(1.0,))
TWO_FRACTIONS = MotionModelOptions((0.1,), (1.0,), white_fractions=(0.1, 1.0), white_fraction_prior=(1.0, 1.0))


def last_weights(options: MotionModelOptions, poses: list[Pose], bias: float = 0.0) -> tuple[ModelBank, np.ndarray]:
    """The bank, and its weights after measurements of some poses."""
    bank = ModelBank.grid(options)
    measurements = [PoseMeasurement.of(estimate) for estimate in measured(poses, 1, bias)]
    intervals_s = np.ones(len(poses) - 1)
    scale = Scale.typical([each for each in measurements if each is not None], intervals_s)
    return bank, bank.filtered_weights(measurements, intervals_s, scale)[-1]


@pytest.mark.parametrize(("acceleration", "level"), [((0.0, 0.0), (0.1, 0.1)), ((0.05, 2.0), (30.0, 30.0))])
def test_the_process_noise_of_a_flight_is_found(acceleration: tuple[float, float], level: tuple[float, float]) -> None:
    bank, weight_g = last_weights(TWO_LEVELS, flown(2, 40, acceleration))
    best = weight_g.argmax()
    assert (bank.angular_level_g[best], bank.linear_level_g[best]) == level
    assert weight_g[best] > 0.8


@pytest.mark.parametrize(("bias", "white_fraction"), [(0.0, 1.0), (0.9, 0.1)])
def test_the_bias_of_measurements_is_found(bias: float, white_fraction: float) -> None:
    bank, weight_g = last_weights(TWO_FRACTIONS, flown(3, 40, (0.0, 0.0)), bias)
    assert bank.white_fraction_g[weight_g.argmax()] == white_fraction
    assert weight_g.max() > 0.8


def test_sampled_sequences_of_models_have_the_exact_marginals() -> None:
    """Forward filtering, backward sampling against the backward recursion of a hidden Markov model."""
    options = MotionModelOptions(
        (1.0,), (1.0,), white_fractions=(0.1, 1.0, 4.0), white_fraction_prior=(3.0, 2.0, 1.0), switch_probability=0.3
    )
    bank, rng = ModelBank.grid(options), stream(0, "weights")
    weight_ng = rng.dirichlet(np.ones(3), 6)
    transition_gg = 0.7 * np.eye(3) + 0.3 * bank.prior_g
    marginal_g = weight_ng[-1]
    exact = [marginal_g]
    for weight_g in weight_ng[-2::-1]:
        joint_gg = weight_g[:, None] * transition_gg
        marginal_g = (joint_gg / joint_gg.sum(0)) @ marginal_g
        exact.insert(0, marginal_g)
    index_ns = bank.sample_model_sequences(weight_ng, 20_000)
    frequency_ng = (index_ns[:, :, None] == np.arange(3)).mean(1)
    assert np.allclose(frequency_ng, exact, atol=0.02)


def test_p_value_is_the_tail_of_chi_square() -> None:
    state, noise = some_state(6), NoiseModel(*(np.ones(2),) * 4)
    innovation = innovate(state, noise, some_measurement(6))
    tail_g = chi2.sf(innovation.squared_mahalanobis(innovation.covariance_g66), 6)
    assert np.isclose(p_value(np.array([0.3, 0.7]), innovation), np.array([0.3, 0.7]) @ tail_g)


def test_mixing_keeps_mean_and_covariance() -> None:
    """Mean and covariance over all models are the same before and after another may have taken over."""
    state, rng = some_state(5, 6), stream(5, "mixing")
    small = state.select(np.zeros(6, int)).plus(1e-4 * rng.standard_normal((6, 12)))
    weight_g = rng.dirichlet(np.ones(6))
    prior_g, noise = np.full(6, 1 / 6), NoiseModel(*(np.ones(6),) * 4)
    next_g = 0.9 * weight_g + 0.1 * prior_g
    mixed = mix(small, weight_g, 0.9 * weight_g / next_g)
    for before, after in zip(combine(small, noise, weight_g), combine(mixed, noise, next_g), strict=True):
        values = [each.T_wc if isinstance(each, Pose) else each for each in (before, after)]
        assert np.allclose(*values, atol=1e-5)  # second order in the 1e-4 that the models are apart
    assert all(
        np.allclose(getattr(mix(small, weight_g, np.ones(6)), name), getattr(small, name))
        for name in ("R_g33", "P_gxx")
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"process_noise_levels": (1.0,)}, "process_noise_levels and process_noise_prior"),
        ({"white_fractions": (), "white_fraction_prior": ()}, "white_fractions and white_fraction_prior"),
        ({"white_fractions": (0.0, 0.1, 1.0, 2.0)}, "numbers above 0"),
        ({"switch_probability": 0.0}, "between 0 and 1"),
        ({"scale_window": 0}, "at least one frame"),
    ],
)
def test_options_that_make_no_sense_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MotionModelOptions(**changed)


def test_each_model_goes_on_from_the_moments_of_what_may_have_held() -> None:
    """Its own state with the probability that it stays, else the mixture of all: by mean and covariance of both."""
    rng = stream(8, "moments")
    apart = some_state(8, 1).select(np.zeros(4, int)).plus(1e-4 * rng.standard_normal((4, 12)))
    half_gxx = 1e-4 * rng.standard_normal((4, 12, 12))
    apart = replace(apart, P_gxx=half_gxx @ np.swapaxes(half_gxx, -1, -2))
    weight_g, stays_g = rng.dirichlet(np.ones(4)), rng.uniform(0.1, 0.9, 4)
    mixed, base = mix(apart, weight_g, stays_g), apart.select(np.zeros(4, int))
    mean_gx = apart.minus(base)
    merged_x = weight_g @ mean_gx
    merged_xx = sum(
        w * (P_xx + np.outer(m_x - merged_x, m_x - merged_x))
        for w, P_xx, m_x in zip(weight_g, apart.P_gxx, mean_gx, strict=True)
    )
    for g, stays in enumerate(stays_g):
        expected_x = stays * mean_gx[g] + (1 - stays) * merged_x
        expected_xx = stays * (apart.P_gxx[g] + np.outer(mean_gx[g] - expected_x, mean_gx[g] - expected_x))
        expected_xx += (1 - stays) * (merged_xx + np.outer(merged_x - expected_x, merged_x - expected_x))
        np.testing.assert_allclose(mixed.minus(base)[g], expected_x, atol=1e-7)
        np.testing.assert_allclose(mixed.P_gxx[g], expected_xx, rtol=1e-2, atol=1e-10)
