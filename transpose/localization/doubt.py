"""What a camera and a model that are not quite right do to a pose: errors that no number of points averages away."""

from __future__ import annotations

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose

# Where nobody calibrated this very camera, its focal length is known to some tenths of a per cent and its centre to a
# few pixels; a fused or modelled place is where it should be to some tenths of a per cent of the distance. With 0.003
# the stated errors are right on held-out photos of RedKitchen: median NEES 4.5 and 6.0 at its two ends (exact: 5.3).
_FOCAL_DOUBT = 0.003
_CENTER_DOUBT = 0.003  # of the focal length
_MODEL_DOUBT = 0.003  # of the distance


def systematic_covariance(points_n3: np.ndarray, camera: Camera, pose: Pose) -> np.ndarray:
    """Covariance (6, 6) over xi = (omega rad, t m), T_wc_true = T_wc exp(xi), of errors that all points share.

    To first order: the least-squares pose of these points moves by -(J^T J)^-1 J^T dr for a systematic change dr of all
    pixels, one for each of focal length, centre x and centre y. A shift of the model shifts the camera.

    Args:
        points_n3: world points that the pose rests on, metres; at least 3.
        camera: its intrinsics as they are believed.
        pose: of the camera.
    """
    camera_n3 = (points_n3 - pose.center) @ pose.R_wc
    camera_n3 = camera_n3[camera_n3[:, 2] > 0]
    x, y, z = camera_n3.T
    zero, u, v = np.zeros_like(z), x / z, y / z
    # d(u, v)/dX for the motion dX = X x omega - t of points in a camera that moves by xi.
    by_point_n23 = np.stack([np.stack([1 / z, zero, -u / z], 1), np.stack([zero, 1 / z, -v / z], 1)], 1)
    cross_n33 = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    J_n26 = np.concatenate([by_point_n23 @ cross_n33, -by_point_n23], 2)
    change_n23 = np.stack(
        [
            _FOCAL_DOUBT * np.stack([u, v], 1),
            _CENTER_DOUBT * np.stack([np.ones_like(u), zero], 1),
            _CENTER_DOUBT * np.stack([zero, np.ones_like(v)], 1),
        ],
        2,
    )
    J_m6, change_m3 = J_n26.reshape(-1, 6), change_n23.reshape(-1, 3)
    scale_6 = 1 / np.maximum(np.linalg.norm(J_m6, axis=0), 1e-12)
    shifts_63 = scale_6[:, None] * np.linalg.lstsq(J_m6 * scale_6, change_m3, rcond=None)[0]
    covariance_66 = shifts_63 @ shifts_63.T
    covariance_66[3:, 3:] += np.eye(3) * (_MODEL_DOUBT * np.median(z)) ** 2
    return covariance_66
