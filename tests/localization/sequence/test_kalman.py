"""The filter's algebra: derivatives against differences, filtering and smoothing against one large least squares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.geometry.poses import Pose, compose, exp_se3, exp_so3, log_so3
from transpose.localization.sequence.imm import combine
from transpose.localization.sequence.kalman import initial_state, innovate, predict, rts_smooth, update
from transpose.localization.sequence.measurement import PoseMeasurement
from transpose.localization.sequence.state import MotionState, NoiseModel, rotation_block
from transpose.randomness import stream


def some_state(seed: int, g: int = 2) -> MotionState:
    rng = stream(seed, "motion")
    half_gxx = rng.standard_normal((g, 12, 12)) * 0.1
    return MotionState(
        exp_so3(rng.standard_normal((g, 3))),
        rng.standard_normal((g, 3)),
        rng.standard_normal((g, 3)),
        rng.standard_normal((g, 3)),
        half_gxx @ np.swapaxes(half_gxx, -1, -2),
        0.1 * rng.standard_normal((g, 12, 6)),
    )


def some_measurement(seed: int) -> PoseMeasurement:
    rng = stream(seed, "measurement")
    L_66 = np.tril(rng.standard_normal((6, 6))) * 0.1 + 0.1 * np.eye(6)
    return PoseMeasurement(Pose(compose(exp_so3(rng.standard_normal(3)), rng.standard_normal(3))), L_66)


def there_and_back(
    state: MotionState, measurements: list[PoseMeasurement], times: np.ndarray, noise: NoiseModel
) -> tuple[list[MotionState], list[MotionState]]:
    """Filtered and smoothed states of measurements, from the state at the first of them."""
    forward = [state]
    for seconds, measurement in zip(np.diff(times), measurements[1:], strict=True):
        state = predict(state, noise, seconds)
        state = update(state, innovate(state, noise, measurement))
        forward.append(state)
    smoothed = [state]
    for before, seconds in zip(forward[-2::-1], np.diff(times)[::-1], strict=True):
        smoothed.insert(0, rts_smooth(before, noise, seconds, smoothed[0]))
    return forward, smoothed


def test_plus_and_minus_undo_each_other() -> None:
    change_gx = 0.5 * stream(0, "change").standard_normal((2, 12))
    state = some_state(0)
    assert np.allclose(state.plus(change_gx).minus(state), change_gx)


def test_transition_is_the_derivative_of_prediction() -> None:
    """The covariance of many slightly different states, each moved on by itself, is the predicted one."""
    state, noiseless = some_state(1, 1), NoiseModel(*(np.zeros(1),) * 4)
    step = 1e-6
    predicted = predict(state, noiseless, 0.7)
    nudged = MotionState(*(np.repeat(getattr(state, name), 12, 0) for name in state.__dataclass_fields__))
    nudged = predict(nudged.plus(step * np.eye(12)), NoiseModel(*(np.zeros(12),) * 4), 0.7)
    F_xx = (nudged.minus(predicted) / step).T
    assert np.allclose(F_xx @ state.P_gxx[0] @ F_xx.T, predicted.P_gxx[0], atol=1e-5)
    assert np.allclose(F_xx @ state.S_gx6[0], predicted.S_gx6[0], atol=1e-5)


def test_sensitivity_is_the_derivative_of_the_innovation() -> None:
    """T_true = T_measured exp(xi) lies where z + B xi says, far from the state as well as near it."""
    state, measurement, step = some_state(2, 1), some_measurement(2), 1e-6
    innovation = innovate(state, NoiseModel(*(np.ones(1),) * 4), measurement)
    T_true_644 = measurement.pose.T_wc @ exp_se3(step * measurement.L_66.T)
    theta_63 = log_so3(state.R_g33[0].T @ T_true_644[:, :3, :3])
    difference_66 = np.concatenate([theta_63, T_true_644[:, :3, 3] - state.center_g3[0]], 1) - innovation.z_g6[0]
    assert np.allclose(difference_66.T / step, innovation.sensitivity_g66[0], atol=1e-5)


def test_filter_and_smoother_are_the_least_squares_of_all_frames() -> None:
    """Without rotation all is linear: one large regression over positions and velocities says the same."""
    rng, times = stream(3, "linear"), np.array([0.0, 1.0, 1.5, 3.0, 3.2])
    noise = NoiseModel(np.array([1e-4]), np.array([0.3]), np.ones(1), np.zeros(1))
    L_66 = np.diag([0.01] * 3 + [0.2, 0.5, 0.3])
    measurements = [PoseMeasurement(Pose(compose(np.eye(3), rng.standard_normal(3))), L_66) for _ in times]
    _, smoothed = there_and_back(initial_state(measurements[0], noise, 1.0, 2.0), measurements, times, noise)
    for axis in range(3):
        sigma, n = L_66[3 + axis, 3 + axis], len(times)
        information, right = np.zeros((2 * n, 2 * n)), np.zeros(2 * n)
        information[1, 1] = 1 / 2.0**2
        for k in range(n):
            information[2 * k, 2 * k] += 1 / sigma**2
            right[2 * k] += measurements[k].pose.center[axis] / sigma**2
        for k, dt in enumerate(np.diff(times)):
            rows_24 = np.array([[-1, -dt, 1, 0], [0, -1, 0, 1]])
            Q_22 = 0.3 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
            information[2 * k : 2 * k + 4, 2 * k : 2 * k + 4] += rows_24.T @ np.linalg.solve(Q_22, rows_24)
        covariance = np.linalg.inv(information)
        mean = covariance @ right
        for k, state in enumerate(smoothed):
            assert np.allclose([state.center_g3[0, axis], state.velocity_g3[0, axis]], mean[2 * k : 2 * k + 2])
            own = np.ix_([3 + axis, 9 + axis], [3 + axis, 9 + axis])
            assert np.allclose(state.P_gxx[0][own], covariance[2 * k : 2 * k + 2, 2 * k : 2 * k + 2])


def test_bias_does_not_average_out() -> None:
    """Forty measurements of one place, half of whose variance is a bias: that half stays, the other half goes."""
    noise = NoiseModel(np.zeros(1), np.zeros(1), np.array([0.5]), np.array([0.5]))
    measurement = some_measurement(4)
    state = initial_state(measurement, noise, 1e-6, 1e-6)
    for _ in range(39):
        state = predict(state, noise, 1.0)
        state = update(state, innovate(state, noise, measurement))
    _, covariance_66 = combine(state, noise, np.ones(1))
    assert np.allclose(covariance_66, (0.5 + 0.5 / 40) * measurement.covariance_66, rtol=1e-3, atol=1e-9)


def test_what_is_stated_of_a_bias_is_how_the_answers_move_with_it() -> None:
    """S is the derivative of filtered and of smoothed states by an error that all measurements share, xi = L u."""
    noise = NoiseModel(np.array([1e-2]), np.array([0.3]), np.ones(1), np.zeros(1))
    times, step = np.array([0.0, 0.7, 1.0, 2.2]), 1e-6
    turn_3, way_3 = np.array([0.2, -0.1, 0.3]), np.array([0.5, 0.1, -0.2])
    L_66 = some_measurement(6).L_66

    def answers(u_6: np.ndarray) -> list[MotionState]:
        """Filtered, then smoothed; the measurements follow the motion, so that only what they share moves anything."""
        poses = [Pose(compose(exp_so3(turn_3 * t), way_3 * t) @ exp_se3(L_66 @ u_6)) for t in times]
        measurements = [PoseMeasurement(pose, L_66) for pose in poses]
        state = replace(
            initial_state(measurements[0], noise, 1.0, 2.0), angular_velocity_g3=turn_3[None], velocity_g3=way_3[None]
        )
        forward, smoothed = there_and_back(state, measurements, times, noise)
        return [*forward, *smoothed]

    still = answers(np.zeros(6))
    moved = [answers(step * axis_6) for axis_6 in np.eye(6)]
    for i, state in enumerate(still):
        by_axis_6x = np.array([each[i].minus(state)[0] for each in moved]) / step
        np.testing.assert_allclose(by_axis_6x.T, state.S_gx6[0], atol=2e-3)


def test_a_rotation_s_block_acts_on_nothing_else() -> None:
    J_g33 = stream(7, "block").standard_normal((2, 3, 3))
    change_gx = stream(7, "change").standard_normal((2, 12))
    out_gx = np.einsum("gxy,gy->gx", rotation_block(J_g33), change_gx)
    np.testing.assert_allclose(out_gx[:, :3], np.einsum("gij,gj->gi", J_g33, change_gx[:, :3]))
    np.testing.assert_array_equal(out_gx[:, 3:], change_gx[:, 3:])
