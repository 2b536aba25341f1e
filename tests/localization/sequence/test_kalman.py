"""The filter's algebra: derivatives against differences, filtering and smoothing against one large least squares."""

from __future__ import annotations

import numpy as np

from transpose.geometry.poses import Pose, compose, exp_so3
from transpose.localization.sequence.kalman import (
    Motion,
    Noise,
    Sighting,
    blend,
    compare,
    correct,
    look_back,
    mix,
    predict,
    start,
)
from transpose.randomness import stream

NOISE = Noise(np.array([1e-4, 3e-3]), np.array([0.02, 0.5]), np.array([1.0, 1.0]), np.array([0.0, 0.0]))


def some_motion(seed: int, g: int = 2) -> Motion:
    rng = stream(seed, "motion")
    half_gxx = rng.standard_normal((g, 12, 12)) * 0.1
    return Motion(
        exp_so3(rng.standard_normal((g, 3))),
        rng.standard_normal((g, 3)),
        rng.standard_normal((g, 3)),
        rng.standard_normal((g, 3)),
        half_gxx @ np.swapaxes(half_gxx, -1, -2),
        0.1 * rng.standard_normal((g, 12, 6)),
    )


def some_sighting(seed: int) -> Sighting:
    rng = stream(seed, "sighting")
    L_66 = np.tril(rng.standard_normal((6, 6))) * 0.1 + 0.1 * np.eye(6)
    return Sighting(Pose(compose(exp_so3(rng.standard_normal(3)), rng.standard_normal(3))), L_66)


def test_moved_and_minus_undo_each_other() -> None:
    change_gx = 0.5 * stream(0, "change").standard_normal((2, 12))
    motion = some_motion(0)
    assert np.allclose(motion.moved(change_gx).minus(motion), change_gx)


def test_errors_travel_as_they_are_said_to() -> None:
    """The covariance of many slightly different states, each moved on by itself, is the predicted one."""
    motion, still = some_motion(1, 1), Noise(*(np.zeros(1),) * 4)
    step = 1e-6
    moved = predict(motion, still, 0.7)
    nudged = Motion(*(np.repeat(getattr(motion, name), 12, 0) for name in motion.__dataclass_fields__))
    nudged = predict(nudged.moved(step * np.eye(12)), Noise(*(np.zeros(12),) * 4), 0.7)
    F_xx = (nudged.minus(moved) / step).T
    assert np.allclose(F_xx @ motion.P_gxx[0] @ F_xx.T, moved.P_gxx[0], atol=1e-5)
    assert np.allclose(F_xx @ motion.S_gx6[0], moved.S_gx6[0], atol=1e-5)


def test_a_sightings_error_is_seen_from_the_state_as_it_is_said_to_be() -> None:
    """T_true = T_seen exp(xi) lies where z + B xi says, far from the state as well as near it."""
    from transpose.geometry.poses import exp_se3, log_so3

    motion, sighting, step = some_motion(2, 1), some_sighting(2), 1e-6
    innovation = compare(motion, Noise(*(np.ones(1),) * 4), sighting)
    T_true_644 = sighting.pose.T_wc @ exp_se3(step * sighting.L_66.T)
    turn_63 = log_so3(motion.R_g33[0].T @ T_true_644[:, :3, :3])
    moved_66 = np.concatenate([turn_63, T_true_644[:, :3, 3] - motion.center_g3[0]], 1) - innovation.z_g6[0]
    assert np.allclose(moved_66.T / step, innovation.shared_g66[0], atol=1e-5)


def test_filter_and_smoother_are_the_least_squares_of_all_frames() -> None:
    """Without rotation all is linear: one large regression over positions and velocities says the same."""
    rng, times = stream(3, "linear"), np.array([0.0, 1.0, 1.5, 3.0, 3.2])
    noise = Noise(np.array([1e-4]), np.array([0.3]), np.ones(1), np.zeros(1))
    L_66 = np.diag([0.01] * 3 + [0.2, 0.5, 0.3])
    sightings = [Sighting(Pose(compose(np.eye(3), rng.standard_normal(3))), L_66) for _ in times]
    motion = start(sightings[0], noise, 1.0, 2.0)
    forward = [motion]
    for seconds, sighting in zip(np.diff(times), sightings[1:], strict=True):
        motion = predict(motion, noise, seconds)
        motion = correct(motion, compare(motion, noise, sighting))
        forward.append(motion)
    smoothed = [motion]
    for before, seconds in zip(forward[-2::-1], np.diff(times)[::-1], strict=True):
        smoothed.insert(0, look_back(before, noise, seconds, smoothed[0]))
    for axis in range(3):
        sigma, n = L_66[3 + axis, 3 + axis], len(times)
        information, right = np.zeros((2 * n, 2 * n)), np.zeros(2 * n)
        information[1, 1] = 1 / 2.0**2
        for k in range(n):
            information[2 * k, 2 * k] += 1 / sigma**2
            right[2 * k] += sightings[k].pose.center[axis] / sigma**2
        for k, dt in enumerate(np.diff(times)):
            rows_24 = np.array([[-1, -dt, 1, 0], [0, -1, 0, 1]])
            Q_22 = 0.3 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
            information[2 * k : 2 * k + 4, 2 * k : 2 * k + 4] += rows_24.T @ np.linalg.solve(Q_22, rows_24)
        covariance = np.linalg.inv(information)
        mean = covariance @ right
        for k, state in enumerate(smoothed):
            assert np.allclose([state.center_g3[0, axis], state.speed_g3[0, axis]], mean[2 * k : 2 * k + 2])
            own = np.ix_([3 + axis, 9 + axis], [3 + axis, 9 + axis])
            assert np.allclose(state.P_gxx[0][own], covariance[2 * k : 2 * k + 2, 2 * k : 2 * k + 2])


def test_what_all_frames_share_does_not_average_out() -> None:
    """Forty sightings of one place, half of whose error is shared: half of the variance stays, the other half goes."""
    noise = Noise(np.zeros(1), np.zeros(1), np.array([0.5]), np.array([0.5]))
    sighting = some_sighting(4)
    motion = start(sighting, noise, 1e-6, 1e-6)
    for _ in range(39):
        motion = predict(motion, noise, 1.0)
        motion = correct(motion, compare(motion, noise, sighting))
    _, covariance_66 = blend(motion, noise, np.ones(1))
    assert np.allclose(covariance_66, (0.5 + 0.5 / 40) * sighting.covariance_66, rtol=1e-3, atol=1e-9)


def test_mixing_keeps_what_is_believed() -> None:
    """Mean and covariance over all models are the same before and after another may have taken over."""
    motion, rng = some_motion(5, 6), stream(5, "mixing")
    small = motion.of(np.zeros(6, int)).moved(1e-4 * rng.standard_normal((6, 12)))
    weight_g = rng.dirichlet(np.ones(6))
    prior_g, noise = np.full(6, 1 / 6), Noise(*(np.ones(6),) * 4)
    next_g = 0.9 * weight_g + 0.1 * prior_g
    mixed = mix(small, weight_g, 0.9 * weight_g / next_g)
    for before, after in zip(blend(small, noise, weight_g), blend(mixed, noise, next_g), strict=True):
        values = [each.T_wc if isinstance(each, Pose) else each for each in (before, after)]
        assert np.allclose(*values, atol=1e-5)  # second order in the 1e-4 that the models are apart
    assert all(
        np.allclose(getattr(mix(small, weight_g, np.ones(6)), name), getattr(small, name))
        for name in ("R_g33", "P_gxx")
    )
