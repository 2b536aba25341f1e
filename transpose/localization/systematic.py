"""Systematic uncertainty of a pose: what errors of the camera's calibration and of the map do to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, skew


@dataclass(frozen=True)
class SystematicErrors:
    """Standard deviations, relative, of what is wrong with camera and map as a whole.

    A camera that somebody calibrated is known to some tenths of a per cent of its focal length and to a few pixels of
    its principal point; a fused or modelled place is where it should be to some tenths of a per cent of the distance.
    Where an error model (`error_model`) knows from the residuals how well camera and map fit, `modelled` is left.

    Attributes:
        focal: of the focal length of a calibrated camera.
        center: of its principal point, in focal lengths.
        map: of the map, in distances to the camera.
        modelled: of focal length and principal point of a calibrated camera, beside an error model.
        uncalibrated_center: of a principal point that is taken to be in the image's middle.
    """

    focal: float = 0.003
    center: float = 0.003
    map: float = 0.003
    modelled: float = 0.0005
    uncalibrated_center: float = 0.01

    def __post_init__(self) -> None:
        if min(self.focal, self.center, self.map, self.modelled, self.uncalibrated_center) < 0:
            raise ValueError(f"standard deviations cannot be negative, got {self}")


def systematic_covariance(
    points_n3: np.ndarray, camera: Camera, pose: Pose, *, focal: float, center: float, map_: float
) -> np.ndarray:
    """Covariance (6, 6) over xi = (omega rad, t m), T_wc_true = T_wc exp(xi), of errors common to all points.

    To first order: the least-squares pose of these points moves by -(J^T J)^-1 J^T dr for a systematic change dr of all
    pixels, one for each of focal length, centre x and centre y. A shift of the model shifts the camera.

    Args:
        points_n3: world points that the pose rests on, metres; at least 3.
        camera: its intrinsics as they are taken to be.
        pose: of the camera.
        focal: standard deviation of the focal length, relative.
        center: of the principal point, in focal lengths.
        map_: of the map, in distances to the camera.
    """
    J_n26, uv_n2, z_n = _linearized(points_n3, pose)
    right_n2, down_n2 = (np.broadcast_to(axis, uv_n2.shape) for axis in np.eye(2))
    change_n23 = np.stack([focal * uv_n2, center * right_n2, center * down_n2], 2)
    shifts_63 = _shifts(J_n26.reshape(-1, 6), change_n23.reshape(-1, 3))
    covariance_66 = shifts_63 @ shifts_63.T
    covariance_66[3:, 3:] += np.eye(3) * (map_ * np.median(z_n)) ** 2
    return covariance_66


def focal_shift_by_center(points_n3: np.ndarray, pose: Pose, center: float) -> float:
    """Standard deviation of log f, where it is estimated with the pose, that a wrong principal point gives it.

    Args:
        points_n3: world points that both rest on, metres; at least 4.
        pose: of the camera.
        center: standard deviation of the principal point, in focal lengths.
    """
    J_n26, uv_n2, _ = _linearized(points_n3, pose)
    J_n27 = np.concatenate([J_n26, uv_n2[..., None]], 2)
    change_n22 = np.broadcast_to(np.eye(2), (len(J_n27), 2, 2))
    return center * float(np.linalg.norm(_shifts(J_n27.reshape(-1, 7), change_n22.reshape(-1, 2))[6]))


def _linearized(points_n3: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives (n, 2, 6) over xi of points' places in the image at z = 1, these (n, 2), and depths (n)."""
    camera_n3 = (points_n3 - pose.center) @ pose.R_wc
    camera_n3 = camera_n3[camera_n3[:, 2] > 0]
    x, y, z = camera_n3.T
    zero, u, v = np.zeros_like(z), x / z, y / z
    # d(u, v)/dX for the motion dX = X x omega - t of points in a camera that moves by xi.
    by_point_n23 = np.stack([np.stack([1 / z, zero, -u / z], 1), np.stack([zero, 1 / z, -v / z], 1)], 1)
    return np.concatenate([by_point_n23 @ skew(camera_n3), -by_point_n23], 2), np.stack([u, v], 1), z


def _shifts(J_mp: np.ndarray, change_mk: np.ndarray) -> np.ndarray:
    """By how much k changes of all residuals move the least-squares parameters (p, k)."""
    scale_p = 1 / np.maximum(np.linalg.norm(J_mp, axis=0), 1e-12)
    return np.asarray(scale_p[:, None] * np.linalg.lstsq(J_mp * scale_p, change_mk, rcond=None)[0])
