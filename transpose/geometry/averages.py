"""Averages of poses, with weights, and of poses some of which do not belong to the others."""

from __future__ import annotations

import numpy as np

from transpose.geometry.poses import Pose, compose, project_to_rotation

_ROUNDS = 10
# Quantile of the distances between poses: that of poses that belong together, if half of them do. A distance that is
# there, none between two: of three poses, one of which is far off, it is that of the other two.
_NEIGHBOURS = 0.25
_LEAST_ANGLE, _LEAST_LENGTH = 1e-9, 1e-12


def mean_pose(T_n44: np.ndarray, weight_n: np.ndarray) -> Pose:
    """The weighted mean of the centres, with the chordal mean of the rotations (Hartley et al., IJCV 2013).

    The latter is the rotation of the least weighted sum of squared Frobenius distances.

    Args:
        T_n44: camera-to-world.
        weight_n: not negative, with a positive sum.
    """
    share_n = weight_n / weight_n.sum()
    center_3 = share_n @ T_n44[:, :3, 3]
    return Pose(compose(project_to_rotation(np.einsum("n,nij->ij", share_n, T_n44[:, :3, :3])), center_3))


def robust_mean_pose(T_n44: np.ndarray, weight_n: np.ndarray) -> tuple[Pose, np.ndarray]:
    """The mean of the poses that most of the weight agrees on, and the weights (n,) that they have in it, with sum 1.

    From the pose nearest to all others, weights fall with the squared distance from the mean (Geman and McClure), in
    units of how far poses that belong together are apart; turns and lengths count alike.

    Args:
        T_n44: camera-to-world.
        weight_n: not negative, with a positive sum.
    """
    length_nn, angle_nn = _distances(T_n44[:, None], T_n44)
    pairs = np.triu_indices(len(T_n44), 1)
    length, angle = (
        max(float(np.quantile(each_nn[pairs], _NEIGHBOURS, method="lower")) if len(T_n44) > 1 else 0.0, least)
        for each_nn, least in ((length_nn, _LEAST_LENGTH), (angle_nn, _LEAST_ANGLE))
    )
    apart_nn = np.sqrt((length_nn / length) ** 2 + (angle_nn / angle) ** 2)
    # A bounded distance, so that what lies far off does not draw the start its way.
    mean = Pose(T_n44[((apart_nn / (1 + apart_nn)) @ weight_n).argmin()])
    share_n = weight_n / weight_n.sum()
    for _ in range(_ROUNDS):
        length_n, angle_n = _distances(T_n44, mean.T_wc)
        robust_n = weight_n / (1 + (length_n / length) ** 2 + (angle_n / angle) ** 2) ** 2
        share_n = robust_n / robust_n.sum()
        mean = mean_pose(T_n44, share_n)
    return mean, share_n


def _distances(T_n44: np.ndarray, of_44: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances between centres, and angles in radians between rotations, broadcast; see `rotation_error_deg`."""
    length_n = np.linalg.norm(T_n44[..., :3, 3] - of_44[..., :3, 3], axis=-1)
    chord_n = np.linalg.norm(T_n44[..., :3, :3] - of_44[..., :3, :3], axis=(-2, -1)) / (2 * np.sqrt(2))
    return length_n, 2 * np.arcsin(np.minimum(1.0, chord_n))
