"""What a frame contributes to a sequence, and what it is told in return."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from transpose.errors import TransposeError
from transpose.geometry import Pose
from transpose.geometry.poses import exp_se3
from transpose.localization.sequence.filter import sequence_estimate
from transpose.localization.sequence.imm import ModelBank, Scale
from transpose.localization.sequence.measurement import PoseMeasurement
from transpose.localization.sequence.options import MotionModelOptions, SequenceOptions
from transpose.localization.sequence.track import StateEstimate
from transpose.solvers import PoseEstimate

POSE = Pose(exp_se3(np.array([0.3, -0.2, 0.1, 1, 2, 3])))
COVARIANCE_66 = np.diag([1.0, 4.0, 4.0, 9.0, 25.0, 14.0]) * 1e-4
ONE = PoseEstimate(POSE, "ok", np.ones(3, bool), covariance_66=COVARIANCE_66)


def test_a_measurement_has_its_sigmas_about_and_along_an_axis() -> None:
    found = PoseMeasurement.of(ONE)
    assert found is not None
    np.testing.assert_allclose(found.covariance_66, COVARIANCE_66)
    assert found.sigma_rad == pytest.approx(np.sqrt(3) * 1e-2)
    assert found.sigma_m == pytest.approx(4e-2)
    np.testing.assert_allclose(found.pose.T_wc, POSE.T_wc)


def test_what_is_no_measurement() -> None:
    for wrong in (None, -COVARIANCE_66, np.zeros((6, 6)), np.full((6, 6), np.nan)):
        assert PoseMeasurement.of(replace(ONE, covariance_66=wrong)) is None
    assert PoseMeasurement.of(replace(ONE, pose=None)) is None
    with pytest.raises(TransposeError, match="not rigid"):
        PoseMeasurement.of(replace(ONE, pose=Pose(np.diag([2.0, 1, 1, 1]))))
    rounded = POSE.T_wc.copy()
    rounded[0, 0] += 1e-7  # as of a file with few digits
    found = PoseMeasurement.of(replace(ONE, pose=Pose(rounded)))
    assert found is not None and np.abs(found.pose.R_wc @ found.pose.R_wc.T - np.eye(3)).max() < 1e-14


def test_what_is_typical_are_medians_and_growth_is_in_them() -> None:
    measurements = [PoseMeasurement(POSE, k * np.diag([1.0, 1, 1, 2, 2, 2])) for k in (0.01, 0.03, 5.0)]
    scale = Scale.typical(measurements, [0.1, 0.2, 9.0])
    assert (scale.sigma_rad, scale.sigma_m, scale.interval_s) == pytest.approx((0.03, 0.06, 0.2))
    assert scale.growth(np.diag([0.03**2] * 3 + [0.06**2] * 3)) == pytest.approx(1)
    assert scale.growth(np.diag([0.09**2] * 3 + [0.06**2] * 3)) == pytest.approx(3)
    assert scale.growth(np.diag([0.03**2] * 3 + [0.0, 0.0, 3 * 0.3**2])) == pytest.approx(5)


def test_a_bank_has_every_combination_in_the_units_of_the_sequence() -> None:
    options = MotionModelOptions((0.1, 2.0), (3.0, 1.0), white_fractions=(0.5, 4.0), white_fraction_prior=(1.0, 4.0))
    bank = ModelBank.grid(options)
    found = {
        (a, b, w): p
        for a, b, w, p in zip(
            bank.angular_level_g, bank.linear_level_g, bank.white_fraction_g, bank.prior_g, strict=True
        )
    }
    prior = {0.1: 0.75, 2.0: 0.25}
    assert len(found) == 8
    for (a, b, w), p in found.items():
        assert p == pytest.approx(prior[a] * prior[b] * (0.2 if w == 0.5 else 0.8))
    scale = Scale(0.01, 0.3, 0.5)
    noise = bank.noise(scale)
    np.testing.assert_allclose(noise.angular_psd_g, (bank.angular_level_g * 0.01) ** 2 / 0.125)
    np.testing.assert_allclose(noise.linear_psd_g, (bank.linear_level_g * 0.3) ** 2 / 0.125)
    np.testing.assert_allclose(noise.bias_fraction_g, np.where(bank.white_fraction_g == 0.5, 0.5, 0.0))
    measurement = PoseMeasurement.of(ONE)
    state = bank.initial_state(measurement, noise, scale)
    sigma_12 = np.sqrt(state.P_gxx[0].diagonal())
    np.testing.assert_allclose(sigma_12[6:], [1e4 * 0.01 / 0.5] * 3 + [1e4 * 0.3 / 0.5] * 3)
    with pytest.raises(ValueError, match="starts with a measurement"):
        bank.initial_state(None, noise, scale)


def test_a_frames_answer_is_the_tracks_or_its_own_or_none() -> None:
    options, elsewhere = SequenceOptions(max_growth=5.0), Pose(np.eye(4))
    bare = replace(ONE, pose=None, covariance_66=None, reason="no_consensus")

    def answer(single: PoseEstimate, measured: bool, growth: float) -> tuple[object, str]:
        found = sequence_estimate(single, StateEstimate(elsewhere, np.eye(6), measured, growth), options)
        assert (found.covariance_66 is None) == (found.pose is None)
        return found.pose, found.reason

    assert answer(ONE, True, 0.5) == (elsewhere, "ok")
    assert answer(ONE, True, 1.5)[1] == "ok" and answer(ONE, True, 1.5)[0] is not elsewhere
    assert answer(ONE, False, 4.9) == (elsewhere, "outlier")
    assert answer(bare, False, 4.9) == (elsewhere, "predicted")
    for single in (ONE, bare):
        assert answer(single, False, 5.1) == (None, "lost")
