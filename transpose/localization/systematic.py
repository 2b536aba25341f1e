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
    With 0.003 the covariances are consistent on held-out photos of RedKitchen: median NEES 4.5 and 6.0 at its two ends
    (exact: 5.3).

    Attributes:
        focal: of the focal length of a calibrated camera.
        center: of its principal point, in focal lengths.
        map: of the map, in distances to the camera.
        uncalibrated_center: of a principal point that is taken to be in the image's middle.
    """

    focal: float = 0.003
    center: float = 0.003
    map: float = 0.003
    uncalibrated_center: float = 0.01

    def __post_init__(self) -> None:
        if min(self.focal, self.center, self.map, self.uncalibrated_center) < 0:
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
    camera_n3 = (points_n3 - pose.center) @ pose.R_wc
    camera_n3 = camera_n3[camera_n3[:, 2] > 0]
    x, y, z = camera_n3.T
    zero, u, v = np.zeros_like(z), x / z, y / z
    # d(u, v)/dX for the motion dX = X x omega - t of points in a camera that moves by xi.
    by_point_n23 = np.stack([np.stack([1 / z, zero, -u / z], 1), np.stack([zero, 1 / z, -v / z], 1)], 1)
    J_n26 = np.concatenate([by_point_n23 @ skew(camera_n3), -by_point_n23], 2)
    change_n23 = np.stack(
        [
            focal * np.stack([u, v], 1),
            center * np.stack([np.ones_like(u), zero], 1),
            center * np.stack([zero, np.ones_like(v)], 1),
        ],
        2,
    )
    J_m6, change_m3 = J_n26.reshape(-1, 6), change_n23.reshape(-1, 3)
    scale_6 = 1 / np.maximum(np.linalg.norm(J_m6, axis=0), 1e-12)
    shifts_63 = scale_6[:, None] * np.linalg.lstsq(J_m6 * scale_6, change_m3, rcond=None)[0]
    covariance_66 = shifts_63 @ shifts_63.T
    covariance_66[3:, 3:] += np.eye(3) * (map_ * np.median(z)) ** 2
    return covariance_66
