"""Error-state Kalman filter and smoother of a camera with constant velocities, for many motion models at once.

Process: dR/dt = R [omega]x, dp/dt = v, with white angular acceleration and white acceleration (the continuous
white-noise acceleration model; Bar-Shalom, Li and Kirubarajan 2001, section 6.2). Measurement: a pose with covariance.
For the error's axes, its covariance P and its sensitivity S to the measurements' bias see `state`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from transpose.geometry.poses import exp_so3, log_so3, right_jacobian_so3
from transpose.localization.sequence.measurement import PoseMeasurement
from transpose.localization.sequence.state import (
    ANGULAR_VELOCITY,
    POSE,
    POSITION,
    ROTATION,
    VELOCITY,
    MotionState,
    NoiseModel,
    propagate_covariance,
    rotation_block,
    translation_to_world,
    transposed,
)


@dataclass(frozen=True)
class Innovation:
    """How far a measurement is from each model's prediction: T_measured is T_predicted `plus` z.

    Attributes:
        z_g6: the innovation, in coordinates of a state's pose error (rad, m).
        covariance_g66: of z, P + R.
        noise_g66: R, the measurement's part of it, bias included.
        sensitivity_g66: B L, the measurement's error for each entry of the bias b.
    """

    z_g6: np.ndarray
    covariance_g66: np.ndarray
    noise_g66: np.ndarray
    sensitivity_g66: np.ndarray

    def squared_mahalanobis(self, covariance_g66: np.ndarray) -> np.ndarray:
        """z^T C^-1 z of each model, (g,)."""
        return np.einsum("gi,gi->g", self.z_g6, np.linalg.solve(covariance_g66, self.z_g6[..., None])[..., 0])

    def log_likelihood(self, covariance_g66: np.ndarray) -> np.ndarray:
        """Natural logarithm (g,) of the normal density of z, up to a constant."""
        return -0.5 * (self.squared_mahalanobis(covariance_g66) + np.linalg.slogdet(covariance_g66)[1])


def initial_state(measurement: PoseMeasurement, noise: NoiseModel, sigma_rad_s: float, sigma_m_s: float) -> MotionState:
    """The state at the first measurement: velocities unknown, zero within the given sigmas."""
    g = len(noise.white_fraction_g)
    bias_66 = translation_to_world(measurement.pose.R_wc) @ measurement.L_66
    P_gxx = np.zeros((g, 12, 12))
    P_gxx[:, POSE, POSE] = noise.white_fraction_g[:, None, None] * (bias_66 @ bias_66.T)
    P_gxx[:, range(6, 12), range(6, 12)] = np.repeat([sigma_rad_s**2, sigma_m_s**2], 3)
    S_gx6 = np.zeros((g, 12, 6))
    S_gx6[:, POSE] = bias_66
    zero_g3 = np.zeros((g, 3))
    R_g33, center_g3 = np.tile(measurement.pose.R_wc, (g, 1, 1)), np.tile(measurement.pose.center, (g, 1))
    return MotionState(R_g33, center_g3, zero_g3, zero_g3, P_gxx, S_gx6)


def predict(state: MotionState, noise: NoiseModel, seconds: float) -> MotionState:
    """The state some time later: P <- F P F^T + Q, S <- F S."""
    F_gxx = _transition(state, seconds)
    return MotionState(
        state.R_g33 @ exp_so3(state.angular_velocity_g3 * seconds),
        state.center_g3 + state.velocity_g3 * seconds,
        state.angular_velocity_g3,
        state.velocity_g3,
        propagate_covariance(F_gxx, state.P_gxx) + _process_noise(noise, seconds),
        F_gxx @ state.S_gx6,
    )


def innovate(state: MotionState, noise: NoiseModel, measurement: PoseMeasurement) -> Innovation:
    """The innovation of a measurement against the state predicted for its time.

    R = w (B L) (B L)^T + beta (S - B L) (S - B L)^T: state and measurement have the bias in common.
    """
    theta_g3 = log_so3(transposed(state.R_g33) @ measurement.pose.R_wc)
    z_g6 = np.concatenate([theta_g3, measurement.pose.center - state.center_g3], 1)
    # T_true = T_measured exp(xi) is, from the predicted pose, z + B xi: exact for any z, to first order in xi.
    B_g66 = np.zeros((len(z_g6), 6, 6))
    B_g66[:, :3, :3] = np.linalg.inv(right_jacobian_so3(theta_g3))
    B_g66[:, 3:, 3:] = measurement.pose.R_wc
    sensitivity_g66 = B_g66 @ measurement.L_66
    difference_g66 = state.S_gx6[:, POSE] - sensitivity_g66
    white_g66 = noise.white_fraction_g[:, None, None] * (sensitivity_g66 @ transposed(sensitivity_g66))
    bias_g66 = noise.bias_fraction_g[:, None, None] * (difference_g66 @ transposed(difference_g66))
    noise_g66 = white_g66 + bias_g66
    return Innovation(z_g6, state.P_gxx[:, POSE, POSE] + noise_g66, noise_g66, sensitivity_g66)


def update(state: MotionState, innovation: Innovation) -> MotionState:
    """The state given a measurement: gain K = P H^T (H P H^T + R)^-1, where H takes the pose from an error.

    P <- (I - K H) P (I - K H)^T + K R K^T (Joseph's form: symmetric and positive whatever the rounding),
    S <- (I - K H) S + K B L. The difference of the biases of state and measurement counts twice, in R as if it were
    white and in S, so that P + beta S S^T is an upper bound of the covariance.
    """
    K_gx6 = transposed(np.linalg.solve(innovation.covariance_g66, state.P_gxx[:, POSE]))
    I_KH_gxx = np.eye(12) - np.pad(K_gx6, ((0, 0), (0, 0), (0, 6)))
    P_gxx = propagate_covariance(I_KH_gxx, state.P_gxx) + propagate_covariance(K_gx6, innovation.noise_g66)
    S_gx6 = I_KH_gxx @ state.S_gx6 + K_gx6 @ innovation.sensitivity_g66
    return replace(state, P_gxx=P_gxx, S_gx6=S_gx6).plus((K_gx6 @ innovation.z_g6[..., None])[..., 0])


def rts_smooth(state: MotionState, noise: NoiseModel, seconds: float, later: MotionState) -> MotionState:
    """The state given also all later measurements: one backward step of Rauch, Tung and Striebel (1965).

    With the gain G = P F^T (F P F^T + Q)^-1 and J from the later state's tangent space to the predicted one's:
    P <- (I - G F) P (I - G F)^T + G (Q + J P_later J^T) G^T, S <- S + G (J S_later - F S).

    Args:
        state: the filtered state.
        noise: of the models.
        seconds: from this state to the next.
        later: the smoothed next state.
    """
    predicted = predict(state, noise, seconds)
    F_gxx = _transition(state, seconds)
    # Scaled to unit variances: metres, radians and unknown velocities lie many orders apart.
    scale_gx = 1 / np.sqrt(np.einsum("gxx->gx", predicted.P_gxx))
    scaled_gxx = scale_gx[:, :, None] * predicted.P_gxx * scale_gx[:, None, :]
    G_gxx = transposed(np.linalg.solve(scaled_gxx, scale_gx[:, :, None] * (F_gxx @ state.P_gxx))) * scale_gx[:, None, :]
    delta_gx = later.minus(predicted)
    J_gxx = rotation_block(np.linalg.inv(right_jacobian_so3(delta_gx[:, ROTATION])))
    I_GF_gxx = np.eye(12) - G_gxx @ F_gxx
    P_gxx = propagate_covariance(I_GF_gxx, state.P_gxx)
    P_gxx += propagate_covariance(G_gxx, _process_noise(noise, seconds) + propagate_covariance(J_gxx, later.P_gxx))
    S_gx6 = state.S_gx6 + G_gxx @ (J_gxx @ later.S_gx6 - predicted.S_gx6)
    return replace(state, P_gxx=P_gxx, S_gx6=S_gx6).plus((G_gxx @ delta_gx[..., None])[..., 0])


def _transition(state: MotionState, seconds: float) -> np.ndarray:
    """F (g, 12, 12), the derivative of a predicted error by the error before."""
    theta_g3 = state.angular_velocity_g3 * seconds
    F_gxx = np.tile(np.eye(12), (len(theta_g3), 1, 1))
    F_gxx[:, ROTATION, ROTATION] = transposed(exp_so3(theta_g3))
    F_gxx[:, ROTATION, ANGULAR_VELOCITY] = right_jacobian_so3(theta_g3) * seconds
    F_gxx[:, POSITION, VELOCITY] = np.eye(3) * seconds
    return F_gxx


def _process_noise(noise: NoiseModel, seconds: float) -> np.ndarray:
    """Q (g, 12, 12): white accelerations of power spectral density q add q [[t^3/3, t^2/2], [t^2/2, t]]."""
    Q_gxx = np.zeros((len(noise.angular_psd_g), 12, 12))
    for value, rate, psd_g in (
        (ROTATION, ANGULAR_VELOCITY, noise.angular_psd_g),
        (POSITION, VELOCITY, noise.linear_psd_g),
    ):
        q_g33 = psd_g[:, None, None] * np.eye(3)
        Q_gxx[:, value, value] = q_g33 * seconds**3 / 3
        Q_gxx[:, value, rate] = Q_gxx[:, rate, value] = q_g33 * seconds**2 / 2
        Q_gxx[:, rate, rate] = q_g33 * seconds
    return Q_gxx
