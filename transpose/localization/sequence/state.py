"""States of a moving camera, one for each motion model of a bank, and the noise that each model assumes.

The error of a state has twelve entries, (theta, p, omega, v): rotation in the camera's frame, R_true = R exp(theta);
centre in the world; angular velocity in the camera's frame; velocity in the world. A camera that turns keeps flying
where it flew, so the velocity lives in the world.

Axis g: motion models. Axis x: the twelve entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.geometry.poses import exp_so3, log_so3, right_jacobian_so3

ROTATION, POSITION, ANGULAR_VELOCITY, VELOCITY = slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)
POSE = slice(0, 6)


@dataclass(frozen=True)
class NoiseModel:
    """Process and measurement noise of each model.

    A measurement with covariance C = L L^T has the error xi = L (sqrt(w) n_k + sqrt(beta) b): n_k is white noise, drawn
    anew with each frame, b a bias that all frames have in common, both standard normal. A bias does not average out.

    Attributes:
        angular_psd_g: power spectral density of the white angular acceleration, rad^2/s^3.
        linear_psd_g: power spectral density of the white acceleration, m^2/s^3.
        white_fraction_g: w, above 1 where the covariances of measurements are too small.
        bias_fraction_g: beta.
    """

    angular_psd_g: np.ndarray
    linear_psd_g: np.ndarray
    white_fraction_g: np.ndarray
    bias_fraction_g: np.ndarray


@dataclass(frozen=True)
class MotionState:
    """Mean and covariance of the camera's motion by each model.

    The bias b is not estimated, but considered (the Schmidt-Kalman or consider filter, Schmidt 1966; Tapley, Schutz and
    Born 2004, chapter 6): the error is a part independent of b plus S b, its covariance P + beta S S^T.

    Attributes:
        R_g33, center_g3: camera to world, metres.
        angular_velocity_g3: rad/s in the camera's frame.
        velocity_g3: m/s in the world.
        P_gxx: covariance of the error without the bias.
        S_gx6: sensitivity of the error to the bias b.
    """

    R_g33: np.ndarray
    center_g3: np.ndarray
    angular_velocity_g3: np.ndarray
    velocity_g3: np.ndarray
    P_gxx: np.ndarray
    S_gx6: np.ndarray

    def plus(self, delta_gx: np.ndarray) -> MotionState:
        """The state after a change of its mean (boxplus; Hertzberg et al. 2013), uncertainty in the new tangent space.

        Args:
            delta_gx: (g, 12), coordinates of an error.
        """
        J_gxx = rotation_block(right_jacobian_so3(delta_gx[:, ROTATION]))
        return MotionState(
            self.R_g33 @ exp_so3(delta_gx[:, ROTATION]),
            self.center_g3 + delta_gx[:, POSITION],
            self.angular_velocity_g3 + delta_gx[:, ANGULAR_VELOCITY],
            self.velocity_g3 + delta_gx[:, VELOCITY],
            propagate_covariance(J_gxx, self.P_gxx),
            J_gxx @ self.S_gx6,
        )

    def minus(self, other: MotionState) -> np.ndarray:
        """The change (g, 12) that leads from another state to this one (boxminus)."""
        return np.concatenate(
            [
                log_so3(transposed(other.R_g33) @ self.R_g33),
                self.center_g3 - other.center_g3,
                self.angular_velocity_g3 - other.angular_velocity_g3,
                self.velocity_g3 - other.velocity_g3,
            ],
            1,
        )

    def select(self, index: np.ndarray) -> MotionState:
        """The states of some models."""
        return MotionState(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def rotation_block(J_g33: np.ndarray) -> np.ndarray:
    """Matrices (g, 12, 12) that act on the rotation's error alone."""
    out_gxx = np.tile(np.eye(12), (len(J_g33), 1, 1))
    out_gxx[:, ROTATION, ROTATION] = J_g33
    return out_gxx


def translation_to_world(R_33: np.ndarray) -> np.ndarray:
    """Matrices (..., 6, 6) from xi = (omega, t) to errors of a state's pose: t turns from camera to world axes."""
    out_66 = np.zeros((*R_33.shape[:-2], 6, 6))
    out_66[..., range(3), range(3)] = 1
    out_66[..., 3:, 3:] = R_33
    return out_66


def propagate_covariance(A_gij: np.ndarray, P_gjj: np.ndarray) -> np.ndarray:
    """A P A^T."""
    return A_gij @ P_gjj @ transposed(A_gij)


def outer(v_gi: np.ndarray) -> np.ndarray:
    """v v^T of each row."""
    return v_gi[:, :, None] * v_gi[:, None, :]


def transposed(A_gij: np.ndarray) -> np.ndarray:
    """The transpose of each matrix."""
    return np.swapaxes(A_gij, -1, -2)
