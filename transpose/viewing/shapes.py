"""Cameras, ellipsoids and lines as arrays of points: all that is drawn beside the world itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose

PROBABILITY = 0.9
# Of the chi-square distribution with three degrees of freedom: x with P(chi2 < x) = 0.9.
CHI2_3_90 = 6.251388631170325
_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1), (5, 6), (6, 7))
_SMALLEST_SCALE = 1e-9


@dataclass(frozen=True)
class Ellipsoids:
    """Ellipsoids of a fixed probability around points.

    Attributes:
        centers_n3: world points relative to the scene's origin.
        R_n33: right-handed; the columns are the axes, in the world.
        radii_n3: half lengths of the axes, in the unit of the world.
    """

    centers_n3: np.ndarray
    R_n33: np.ndarray
    radii_n3: np.ndarray

    def __len__(self) -> int:
        return len(self.centers_n3)


def position_ellipsoids(poses: Sequence[Pose], covariances_n66: np.ndarray, origin_3: np.ndarray) -> Ellipsoids:
    """Where the camera centres of poses are with a probability of 90 %, if the covariances are right.

    With T_true = T_est exp(xi), xi = (omega, t), the true centre is c + R_wc t: the covariance of the centre is
    R_wc C_tt R_wc^T, C_tt the block of t, whatever the rotation. The ellipsoid of probability P has the half axes
    sqrt(q l), q the quantile of chi-square with three degrees of freedom, l an eigenvalue.

    Args:
        poses: of n cameras.
        covariances_n66: over xi in the camera frames, (n, 6, 6).
        origin_3: that positions are shown relative to.
    """
    centers_n3 = centers(poses, origin_3)
    if not len(poses):
        return Ellipsoids(centers_n3, np.zeros((0, 3, 3)), np.zeros((0, 3)))
    R_wc_n33 = np.array([pose.R_wc for pose in poses])
    C_n33 = R_wc_n33 @ covariances_n66[:, 3:, 3:] @ R_wc_n33.transpose(0, 2, 1)
    variance_n3, axes_n33 = np.linalg.eigh((C_n33 + C_n33.transpose(0, 2, 1)) / 2)
    axes_n33[:, :, 2] *= np.sign(np.linalg.det(axes_n33))[:, None]
    return Ellipsoids(centers_n3, axes_n33, np.sqrt(CHI2_3_90 * np.maximum(variance_n3, 0)))


def centers(poses: Sequence[Pose], origin_3: np.ndarray) -> np.ndarray:
    """Camera centres (n, 3) relative to an origin, subtracted in float64."""
    return np.array([pose.center - origin_3 for pose in poses], np.float64).reshape(-1, 3)


def pyramid_scales(cameras: Sequence[Camera], depth: float) -> np.ndarray:
    """What turns a pyramid with a base of 2 x 2 at a depth of 1 into that of each camera, (n, 3), `depth` deep."""
    return np.array([(depth * c.width / (2 * c.fx), depth * c.height / (2 * c.fy), depth) for c in cameras])


def frustum_lines(cameras: Sequence[Camera], poses: Sequence[Pose], origin_3: np.ndarray, depth: float) -> np.ndarray:
    """The edges of what cameras see up to a depth, and a mark at the image's upper edge: (n, 10, 2, 3).

    The image's corners are those of its pixels, by fx, fy, cx, cy; distortion is left out. Axes as OpenCV's: y is down.
    """
    if not len(poses):
        return np.zeros((0, len(_EDGES), 2, 3))
    corner_n83 = np.array([_corners(camera) for camera in cameras]) * depth
    T_n44 = np.array([pose.T_wc for pose in poses])
    world_n83 = corner_n83 @ T_n44[:, :3, :3].transpose(0, 2, 1) + centers(poses, origin_3)[:, None]
    return np.asarray(world_n83[:, np.array(_EDGES)])


def _corners(camera: Camera) -> np.ndarray:
    """Of the pyramid of depth 1, (8, 3): its tip, the image's corners from the upper left clockwise, and the mark."""
    left, right = -camera.cx / camera.fx, (camera.width - camera.cx) / camera.fx
    top, bottom = -camera.cy / camera.fy, (camera.height - camera.cy) / camera.fy
    middle, above = (left + right) / 2, top - 0.35 * (bottom - top)
    corners = [(0, 0, 0), (left, top, 1), (right, top, 1), (right, bottom, 1), (left, bottom, 1)]
    mark = [(0.7 * left + 0.3 * right, top, 1), (middle, above, 1), (0.3 * left + 0.7 * right, top, 1)]
    return np.array([*corners, *mark], np.float64)


def camera_depth(centers_n3: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None) -> float:
    """How deep frusta are drawn: so that neighbours can be told apart, and none is too small to be seen.

    Args:
        centers_n3: of all cameras.
        bounds: lowest and highest corner of the world; None: there is none.
    """
    reach = [float(np.linalg.norm(np.ptp(centers_n3, axis=0)))] if len(centers_n3) else []
    if bounds is not None:
        reach.append(float(np.linalg.norm(bounds[1] - bounds[0])) / 4)
    largest = max(reach, default=1.0)
    return 0.03 * largest if largest > _SMALLEST_SCALE else 0.1
