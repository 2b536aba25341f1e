"""A camera in motion: Kalman filters with constant velocities on rotations and positions, many models at once.

The error of a state has twelve entries: rotation in the camera's frame (R_true = R exp(.)), centre in the world,
turning rate in the camera's frame, velocity in the world. A camera that turns keeps flying where it flew, so the
velocity lives in the world. What single frames state as their error, covariance C = L L^T, has a part that is drawn
anew with each frame, `white` C, and a part `shared` C that all frames of a stretch have in common: L b with one unknown
b. The shared part does not average out. It is never estimated, but followed: `S_gx6` is the state's error for each
entry of b, and stated covariances count it (the "consider" filter of Schmidt, 1966).

Axis g: motion models side by side. Axis x: the twelve entries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.poses import Pose, compose, exp_so3, log_so3, right_jacobian_so3

_TURN, _PLACE, _RATE, _SPEED = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)
_POSE = slice(0, 6)


@dataclass(frozen=True)
class Noise:
    """What a model takes for random.

    Attributes:
        turn_g: intensity of the white angular acceleration, rad^2/s^3.
        place_g: intensity of the white acceleration, m^2/s^3.
        white_g: share of the stated covariances that is drawn anew with each frame; above 1 where they are too small.
        shared_g: share that all frames have in common.
    """

    turn_g: np.ndarray
    place_g: np.ndarray
    white_g: np.ndarray
    shared_g: np.ndarray


@dataclass(frozen=True)
class Motion:
    """Where the camera is and how it moves, by each model.

    Attributes:
        R_g33, center_g3: camera to world.
        rate_g3: rad/s in the camera's frame.
        speed_g3: m/s in the world.
        P_gxx: covariance of the error without its shared part.
        S_gx6: the error for each entry of the shared b.
    """

    R_g33: np.ndarray
    center_g3: np.ndarray
    rate_g3: np.ndarray
    speed_g3: np.ndarray
    P_gxx: np.ndarray
    S_gx6: np.ndarray

    def moved(self, change_gx: np.ndarray) -> Motion:
        """The state after a change, and its uncertainty as seen from there."""
        J_gxx = _turned(right_jacobian_so3(change_gx[:, _TURN]))
        return Motion(
            self.R_g33 @ exp_so3(change_gx[:, _TURN]),
            self.center_g3 + change_gx[:, _PLACE],
            self.rate_g3 + change_gx[:, _RATE],
            self.speed_g3 + change_gx[:, _SPEED],
            _through(J_gxx, self.P_gxx),
            J_gxx @ self.S_gx6,
        )

    def minus(self, other: Motion) -> np.ndarray:
        """The change (g, 12) that leads from another state to this one."""
        turn_g3 = log_so3(_t(other.R_g33) @ self.R_g33)
        return np.concatenate(
            [turn_g3, self.center_g3 - other.center_g3, self.rate_g3 - other.rate_g3, self.speed_g3 - other.speed_g3], 1
        )

    def of(self, index: np.ndarray) -> Motion:
        """Some of the models."""
        return Motion(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Sighting:
    """A frame's own pose and the factor of its covariance L L^T over xi = (omega rad, t m) in its camera frame."""

    pose: Pose
    L_66: np.ndarray

    @property
    def covariance_66(self) -> np.ndarray:
        """As the frame states it."""
        return self.L_66 @ self.L_66.T

    @property
    def sigma_rad(self) -> float:
        """Root mean square error about an axis."""
        return float(np.sqrt((self.L_66[:3] ** 2).sum() / 3))

    @property
    def sigma_m(self) -> float:
        """Root mean square error along an axis."""
        return float(np.sqrt((self.L_66[3:] ** 2).sum() / 3))


@dataclass(frozen=True)
class Innovation:
    """How far a sighting is from where each model expects it: T_seen = T_expected moved by z, in state coordinates.

    Attributes:
        z_g6: the difference.
        P_g66: its covariance.
        error_g66: the sighting's part of it.
        shared_g66: the sighting's error for each entry of b.
    """

    z_g6: np.ndarray
    P_g66: np.ndarray
    error_g66: np.ndarray
    shared_g66: np.ndarray

    def squared(self, P_g66: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis length (g,) of the difference under a covariance."""
        return np.einsum("gi,gi->g", self.z_g6, np.linalg.solve(P_g66, self.z_g6[..., None])[..., 0])

    def log_likelihood(self, P_g66: np.ndarray) -> np.ndarray:
        """Natural logarithm (g,) of the normal density of a covariance, up to a constant."""
        return -0.5 * (self.squared(P_g66) + np.linalg.slogdet(P_g66)[1])


def start(sighting: Sighting, noise: Noise, sigma_rad_s: float, sigma_m_s: float) -> Motion:
    """The state at the first sighting: velocities unknown, within the given sigmas around zero."""
    g = len(noise.white_g)
    shared_66 = _to_world(sighting.pose.R_wc) @ sighting.L_66
    P_gxx = np.zeros((g, 12, 12))
    P_gxx[:, _POSE, _POSE] = noise.white_g[:, None, None] * (shared_66 @ shared_66.T)
    P_gxx[:, range(6, 12), range(6, 12)] = np.repeat([sigma_rad_s**2, sigma_m_s**2], 3)
    S_gx6 = np.zeros((g, 12, 6))
    S_gx6[:, _POSE] = shared_66
    still_g3 = np.zeros((g, 3))
    R_g33, center_g3 = np.tile(sighting.pose.R_wc, (g, 1, 1)), np.tile(sighting.pose.center, (g, 1))
    return Motion(R_g33, center_g3, still_g3, still_g3, P_gxx, S_gx6)


def predict(motion: Motion, noise: Noise, seconds: float) -> Motion:
    """The state some time later, moving on as it does."""
    F_gxx = _transition(motion, seconds)
    return Motion(
        motion.R_g33 @ exp_so3(motion.rate_g3 * seconds),
        motion.center_g3 + motion.speed_g3 * seconds,
        motion.rate_g3,
        motion.speed_g3,
        _through(F_gxx, motion.P_gxx) + _process_noise(noise, seconds),
        F_gxx @ motion.S_gx6,
    )


def compare(motion: Motion, noise: Noise, sighting: Sighting) -> Innovation:
    """A sighting against the state predicted for its time."""
    turn_g3 = log_so3(_t(motion.R_g33) @ sighting.pose.R_wc)
    z_g6 = np.concatenate([turn_g3, sighting.pose.center - motion.center_g3], 1)
    # T_true = T_seen exp(xi) is, from the expected pose, z + B xi: exact for any z, to first order in xi.
    B_g66 = np.zeros((len(z_g6), 6, 6))
    B_g66[:, :3, :3] = np.linalg.inv(right_jacobian_so3(turn_g3))
    B_g66[:, 3:, 3:] = sighting.pose.R_wc
    shared_g66 = B_g66 @ sighting.L_66
    apart_g66 = motion.S_gx6[:, _POSE] - shared_g66  # what state and sighting do not have in common
    white_g66 = noise.white_g[:, None, None] * (shared_g66 @ _t(shared_g66))
    error_g66 = white_g66 + noise.shared_g[:, None, None] * (apart_g66 @ _t(apart_g66))
    return Innovation(z_g6, motion.P_gxx[:, _POSE, _POSE] + error_g66, error_g66, shared_g66)


def correct(motion: Motion, innovation: Innovation) -> Motion:
    """The state that has learned from a sighting (Joseph's form: symmetric and positive whatever the rounding)."""
    gain_gx6 = _t(np.linalg.solve(innovation.P_g66, motion.P_gxx[:, _POSE]))
    left_gxx = np.eye(12) - np.pad(gain_gx6, ((0, 0), (0, 0), (0, 6)))
    P_gxx = _through(left_gxx, motion.P_gxx) + _through(gain_gx6, innovation.error_g66)
    S_gx6 = left_gxx @ motion.S_gx6 + gain_gx6 @ innovation.shared_g66
    return replace(motion, P_gxx=P_gxx, S_gx6=S_gx6).moved((gain_gx6 @ innovation.z_g6[..., None])[..., 0])


def look_back(motion: Motion, noise: Noise, seconds: float, later: Motion) -> Motion:
    """The state that has also learned from all that came after it (Rauch, Tung and Striebel, 1965).

    Args:
        motion: the filtered state.
        noise: of the models.
        seconds: from this state to the next.
        later: the smoothed next state.
    """
    expected = predict(motion, noise, seconds)
    F_gxx = _transition(motion, seconds)
    # Scaled to unit variances: metres, radians and unknown velocities lie many orders apart.
    scale_gx = 1 / np.sqrt(np.einsum("gxx->gx", expected.P_gxx))
    scaled_gxx = scale_gx[:, :, None] * expected.P_gxx * scale_gx[:, None, :]
    gain_gxx = _t(np.linalg.solve(scaled_gxx, scale_gx[:, :, None] * (F_gxx @ motion.P_gxx))) * scale_gx[:, None, :]
    change_gx = later.minus(expected)
    J_gxx = _turned(np.linalg.inv(right_jacobian_so3(change_gx[:, _TURN])))
    left_gxx = np.eye(12) - gain_gxx @ F_gxx
    P_gxx = _through(left_gxx, motion.P_gxx)
    P_gxx += _through(gain_gxx, _process_noise(noise, seconds) + _through(J_gxx, later.P_gxx))
    S_gx6 = motion.S_gx6 + gain_gxx @ (J_gxx @ later.S_gx6 - expected.S_gx6)
    return replace(motion, P_gxx=P_gxx, S_gx6=S_gx6).moved((gain_gxx @ change_gx[..., None])[..., 0])


def mix(motion: Motion, weight_g: np.ndarray, own_g: np.ndarray) -> Motion:
    """What each model goes on from when another one may have held until now (interacting models, Blom and others).

    Args:
        motion: the states.
        weight_g: how likely each model held, summing to one.
        own_g: probability that it was the same one that holds from now on; else it was any, by their weights.
    """
    best = motion.of(np.array([weight_g.argmax()]))
    change_gx = motion.minus(best)
    mean_x = weight_g @ change_gx
    P_xx = np.einsum("g,gxy->xy", weight_g, motion.P_gxx + _outer(change_gx - mean_x))
    S_x6 = np.einsum("g,gxi->xi", weight_g, motion.S_gx6)
    all_ = replace(best, P_gxx=P_xx[None], S_gx6=S_x6[None]).moved(mean_x[None])
    change_gx, own_g11 = all_.minus(motion), own_g[:, None, None]
    P_gxx = own_g11 * motion.P_gxx + (1 - own_g11) * (all_.P_gxx + own_g11 * _outer(change_gx))
    mixed = replace(motion, P_gxx=P_gxx, S_gx6=own_g11 * motion.S_gx6 + (1 - own_g11) * all_.S_gx6)
    return mixed.moved((1 - own_g[:, None]) * change_gx)


def blend(motion: Motion, noise: Noise, weight_g: np.ndarray) -> tuple[Pose, np.ndarray]:
    """The pose on which models agree by their weights (summing to one), and its covariance (6, 6) over xi.

    What they disagree on counts as uncertainty.
    """
    best = int(weight_g.argmax())
    R_best_33 = motion.R_g33[best]
    offset_g6 = np.concatenate(
        [log_so3(R_best_33.T @ motion.R_g33), (motion.center_g3 - motion.center_g3[best]) @ R_best_33], 1
    )
    mean_6 = weight_g @ offset_g6
    shared_g66 = motion.S_gx6[:, _POSE]
    P_g66 = motion.P_gxx[:, _POSE, _POSE] + noise.shared_g[:, None, None] * (shared_g66 @ _t(shared_g66))
    P_g66 = _through(_t(_to_world(motion.R_g33)), P_g66)
    spread_g6 = offset_g6 - mean_6
    covariance_66 = np.einsum("g,gij->ij", weight_g, P_g66 + _outer(spread_g6))
    T_wc_44 = compose(R_best_33 @ exp_so3(mean_6[:3]), motion.center_g3[best] + R_best_33 @ mean_6[3:])
    return Pose(T_wc_44), 0.5 * (covariance_66 + covariance_66.T)


def _transition(motion: Motion, seconds: float) -> np.ndarray:
    """How errors travel, (g, 12, 12)."""
    turn_g3 = motion.rate_g3 * seconds
    F_gxx = np.tile(np.eye(12), (len(turn_g3), 1, 1))
    F_gxx[:, _TURN, _TURN] = _t(exp_so3(turn_g3))
    F_gxx[:, _TURN, _RATE] = right_jacobian_so3(turn_g3) * seconds
    F_gxx[:, _PLACE, _SPEED] = np.eye(3) * seconds
    return F_gxx


def _process_noise(noise: Noise, seconds: float) -> np.ndarray:
    """Covariance (g, 12, 12) of what white accelerations add."""
    Q_gxx = np.zeros((len(noise.turn_g), 12, 12))
    for value, rate, intensity_g in ((_TURN, _RATE, noise.turn_g), (_PLACE, _SPEED, noise.place_g)):
        both_g33 = intensity_g[:, None, None] * np.eye(3)
        Q_gxx[:, value, value] = both_g33 * seconds**3 / 3
        Q_gxx[:, value, rate] = Q_gxx[:, rate, value] = both_g33 * seconds**2 / 2
        Q_gxx[:, rate, rate] = both_g33 * seconds
    return Q_gxx


def _turned(J_g33: np.ndarray) -> np.ndarray:
    """(g, 12, 12) that acts on the rotation's error alone."""
    out_gxx = np.tile(np.eye(12), (len(J_g33), 1, 1))
    out_gxx[:, _TURN, _TURN] = J_g33
    return out_gxx


def _to_world(R_33: np.ndarray) -> np.ndarray:
    """(..., 6, 6) that leaves the rotation's part of xi and turns its translation from the camera to the world."""
    out_66 = np.zeros((*R_33.shape[:-2], 6, 6))
    out_66[..., range(3), range(3)] = 1
    out_66[..., 3:, 3:] = R_33
    return out_66


def _outer(v_gi: np.ndarray) -> np.ndarray:
    return v_gi[:, :, None] * v_gi[:, None, :]


def _through(A_gij: np.ndarray, P_gjj: np.ndarray) -> np.ndarray:
    """A P A^T."""
    return A_gij @ P_gjj @ _t(A_gij)


def _t(A_gij: np.ndarray) -> np.ndarray:
    return np.swapaxes(A_gij, -1, -2)
