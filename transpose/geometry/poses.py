"""Rigid poses: SE(3) maps in float64 NumPy, projection to rotations, and the errors that the tables report."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Pose:
    """A camera pose. `T_wc` (4, 4) maps camera points to the world: float64, metres, OpenCV axes."""

    T_wc: np.ndarray

    @property
    def center(self) -> np.ndarray:
        """The camera centre in the world, (3,), metres."""
        return self.T_wc[:3, 3]

    @property
    def R_wc(self) -> np.ndarray:
        """The rotation from camera to world, (3, 3)."""
        return self.T_wc[:3, :3]

    @property
    def T_cw(self) -> np.ndarray:
        """World to camera, (4, 4)."""
        return invert(self.T_wc)

    def scaled(self, factor: float) -> Pose:
        """The same pose in a world whose lengths are all multiplied by a factor."""
        return self if factor == 1 else Pose(compose(self.R_wc, factor * self.center))


def invert(T_44: np.ndarray) -> np.ndarray:
    """The inverse of rigid transforms (..., 4, 4)."""
    R_t = np.swapaxes(T_44[..., :3, :3], -1, -2)
    out = np.zeros_like(T_44)
    out[..., :3, :3] = R_t
    out[..., :3, 3] = -np.einsum("...ij,...j->...i", R_t, T_44[..., :3, 3])
    out[..., 3, 3] = 1
    return out


def compose(R_33: np.ndarray, t_3: np.ndarray) -> np.ndarray:
    """The 4x4 transforms of rotations (..., 3, 3) and translations (..., 3)."""
    T_44 = np.zeros((*np.broadcast_shapes(R_33.shape[:-2], t_3.shape[:-1]), 4, 4))
    T_44[..., :3, :3], T_44[..., :3, 3], T_44[..., 3, 3] = R_33, t_3, 1
    return T_44


def homogeneous(values: ArrayLike) -> np.ndarray:
    """A transform (4, 4) float64 of its rows: 4 of 4 numbers, or 3, whose fourth is 0 0 0 1; flat lists go row by row.

    Raises:
        ValueError: it has another shape, or holds what is no number.
    """
    try:
        rows = np.array(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError("its pose is no matrix of numbers") from None
    if rows.shape in ((12,), (16,)):
        rows = rows.reshape(-1, 4)
    if rows.shape not in ((3, 4), (4, 4)):
        raise ValueError(f"its pose has shape {rows.shape}, not 4 rows of 4 numbers or 3 rows of 4")
    return np.concatenate([rows[:3], rows[3:] if len(rows) == 4 else [[0.0, 0.0, 0.0, 1.0]]])


def transform(T_44: np.ndarray, points_n3: np.ndarray) -> np.ndarray:
    """Points (..., 3) moved by one transform (4, 4)."""
    return points_n3 @ T_44[:3, :3].T + T_44[:3, 3]


def project_to_rotation(M_33: np.ndarray) -> np.ndarray:
    """The rotations nearest to matrices (..., 3, 3) in the Frobenius norm (orthogonal Procrustes)."""
    U, _, Vt = np.linalg.svd(M_33)
    U[..., :, 2] *= np.sign(np.linalg.det(U @ Vt))[..., None]
    return U @ Vt


def rigid_defect(T_44: np.ndarray) -> str | None:
    """What keeps a 4x4 matrix from being a rigid transform, in words; None where nothing does.

    A rotation off by more than `RIGID_TOLERANCE` in any entry of R R^T counts as a defect.
    """
    if T_44.shape != (4, 4):
        return f"it has shape {T_44.shape}, not (4, 4)"
    if not np.isfinite(T_44).all():
        return "it holds NaN or infinite numbers"
    if not np.allclose(T_44[3], (0, 0, 0, 1), atol=1e-6):
        return f"its last row is {T_44[3].tolist()}, not [0, 0, 0, 1]"
    R_33 = T_44[:3, :3]
    if np.linalg.det(R_33) < 0:
        return "its rotation part is a reflection (negative determinant)"
    if not np.allclose(R_33 @ R_33.T, np.eye(3), atol=RIGID_TOLERANCE):
        return f"its upper 3x3 part is not a rotation (determinant {np.linalg.det(R_33):.4f})"
    return None


def exp_so3(omega_n3: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) of rotation vectors (..., 3) in radians (Rodrigues), exact at and near zero."""
    omega_n3 = np.asarray(omega_n3, dtype=np.float64)
    theta2 = (omega_n3**2).sum(-1)[..., None, None]
    theta = np.sqrt(theta2)
    a = np.sinc(theta / np.pi)
    half = np.sinc(theta / (2 * np.pi))
    W = skew(omega_n3)
    return np.eye(3) + a * W + 0.5 * half**2 * (W @ W)


def log_so3(R_33: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), norm at most pi, of rotations (..., 3, 3).

    Directly where no rotation comes near a half turn, where sines lose the axis, and none is off by more than rounding;
    else by SciPy's quaternions, which are slower and find the nearest rotation first.
    """
    R_33 = np.asarray(R_33, dtype=np.float64)
    sine_3 = 0.5 * np.stack(
        [R_33[..., 2, 1] - R_33[..., 1, 2], R_33[..., 0, 2] - R_33[..., 2, 0], R_33[..., 1, 0] - R_33[..., 0, 1]], -1
    )
    cosine = 0.5 * (R_33[..., 0, 0] + R_33[..., 1, 1] + R_33[..., 2, 2] - 1)
    sine = np.sqrt((sine_3**2).sum(-1))
    defects = np.abs(R_33 @ np.swapaxes(R_33, -1, -2) - np.eye(3))
    # A reflection has another sum of squares here.
    if (cosine > -0.4).all() and (np.abs(sine**2 + cosine**2 - 1) < 1e-9).all() and (defects < 1e-12).all():
        theta = np.arctan2(sine, cosine)
        return sine_3 / np.sinc(theta / np.pi)[..., None]
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(R_33.reshape(-1, 3, 3)).as_rotvec().reshape(*R_33.shape[:-2], 3)


def right_jacobian_so3(omega_n3: np.ndarray) -> np.ndarray:
    """J (..., 3, 3) with exp(omega + d) = exp(omega) exp(J d) to first order in d, exact at and near zero.

    Invertible for angles below a full turn (Chirikjian, Stochastic Models, Information Theory, and Lie Groups, 2012).
    """
    omega_n3 = np.asarray(omega_n3, dtype=np.float64)
    theta2 = (omega_n3**2).sum(-1)[..., None, None]
    theta = np.sqrt(theta2)
    W = skew(omega_n3)
    small = theta < 1e-3  # there the difference loses its digits and the series has them all
    b = np.where(small, (1 - theta2 / 20) / 6, (theta - np.sin(theta)) / np.where(small, 1.0, theta2 * theta))
    return np.eye(3) - 0.5 * np.sinc(theta / (2 * np.pi)) ** 2 * W + b * (W @ W)


def exp_se3(xi_n6: np.ndarray) -> np.ndarray:
    """The transforms (..., 4, 4) of xi = (omega in rad, t in m): rotation by omega and translation t, uncoupled.

    This is the retraction R = exp(omega), t = t that the 6x6 covariances use; to first order it is the SE(3)
    exponential.
    """
    xi_n6 = np.asarray(xi_n6, dtype=np.float64)
    return compose(exp_so3(xi_n6[..., :3]), xi_n6[..., 3:])


def log_se3(T_44: np.ndarray) -> np.ndarray:
    """The inverse of `exp_se3`: (..., 6), rotation first."""
    return np.concatenate([log_so3(T_44[..., :3, :3]), T_44[..., :3, 3]], axis=-1)


def skew(v_n3: np.ndarray) -> np.ndarray:
    """Cross-product matrices (..., 3, 3): skew(a) @ b = a x b."""
    v_n3 = np.asarray(v_n3, dtype=np.float64)
    W_n33 = np.zeros((*v_n3.shape, 3))
    W_n33[..., 2, 1], W_n33[..., 0, 2], W_n33[..., 1, 0] = v_n3[..., 0], v_n3[..., 1], v_n3[..., 2]
    return W_n33 - np.swapaxes(W_n33, -1, -2)


def rotation_error_deg(R_a: np.ndarray, R_b: np.ndarray) -> float:
    """The angle between two rotations in degrees.

    From the Frobenius distance, |R_a - R_b|_F = 2 sqrt(2) sin(angle / 2), which keeps its digits near zero where the
    arc cosine of the trace loses them.
    """
    chord = float(np.linalg.norm(R_a - R_b)) / (2 * math.sqrt(2))
    return math.degrees(2 * math.asin(min(1.0, chord)))


def normalized_error(estimate: Pose, truth: Pose, covariance_66: np.ndarray) -> float:
    """NEES: the squared error in units of its covariance, xi^T C^-1 xi with T_true = T_est exp(xi).

    Chi-square distributed with six degrees of freedom where the covariance is right: median 5.348.
    """
    xi_6 = log_se3(invert(estimate.T_wc) @ truth.T_wc)
    return float(xi_6 @ np.linalg.solve(covariance_66, xi_6))


def pose_error(estimate: Pose | None, truth: Pose) -> tuple[float, float]:
    """(degrees, metres) between two poses; infinite where there is no estimate."""
    if estimate is None:
        return math.inf, math.inf
    return rotation_error_deg(estimate.R_wc, truth.R_wc), float(np.linalg.norm(estimate.center - truth.center))


def quaternion_wxyz(R_33: np.ndarray) -> np.ndarray:
    """Unit quaternion (4,), w first and not negative, of a rotation."""
    from scipy.spatial.transform import Rotation

    q = Rotation.from_matrix(R_33).as_quat()[[3, 0, 1, 2]]
    return -q if q[0] < 0 else q


def rotation_from_quaternion(q_wxyz: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) of a quaternion (4,), w first, of any non-zero length."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_quat(np.asarray(q_wxyz, dtype=np.float64)[[1, 2, 3, 0]]).as_matrix()
