"""Losses of poses that a network states outright: AtLoc's, on standardized positions and logarithms of quaternions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from transpose.geometry.poses import exp_so3, log_so3


def log_quaternions(R_n33: np.ndarray) -> np.ndarray:
    """acos(w) v / |v| (..., 3) of the unit quaternions (w, v), w >= 0, of rotations: half the rotation vector.

    Of q and -q, which are one rotation, it is the same; its length is at most a quarter of a turn.
    """
    return 0.5 * log_so3(R_n33)


def rotations_of(log_quaternion_n3: np.ndarray) -> np.ndarray:
    """The inverse of `log_quaternions`: (..., 3, 3) of any vectors (..., 3)."""
    return exp_so3(2 * np.asarray(log_quaternion_n3))


def weighted_l1(error_n6: Tensor, log_scale_2: Tensor) -> Tensor:
    """|dt|_1 e^-b + b + |dlog q|_1 e^-g + g, (n,): the weights of position and rotation are learned with the network.

    Kendall and Cipolla (CVPR 2017), as AtLoc (Wang et al., AAAI 2020) takes it. It is least where e^b and e^g are the
    mean errors.

    Args:
        error_n6: predicted less true position, standardized, and logarithm of the quaternion.
        log_scale_2: b and g.
    """
    length_n2 = error_n6.abs().unflatten(1, (2, 3)).sum(2)
    return (length_n2 * torch.exp(-log_scale_2) + log_scale_2).sum(1)


def steps_between(pose_n6: Tensor, frames: int) -> Tensor:
    """From each image of a group to the next, as AtLoc+ takes them: differences (groups * (frames - 1), 6).

    Args:
        pose_n6: of groups of images, one group after the other.
        frames: of a group.
    """
    grouped_gf6 = pose_n6.unflatten(0, (-1, frames))
    return (grouped_gf6[:, 1:] - grouped_gf6[:, :-1]).flatten(0, 1)
