"""Simulated flights whose poses have errors of known covariance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.geometry.poses import Pose, compose, exp_se3, exp_so3, invert
from transpose.randomness import stream
from transpose.solvers import PoseEstimate

SIGMA_6 = np.array([0.003] * 3 + [0.1] * 3)  # rad, m


def straight(frames: int, angular_velocity_3: tuple[float, float, float] = (0.01, -0.03, 0.02)) -> list[Pose]:
    """A camera that keeps its velocity and turns about its own axes at a constant rate."""
    t_n1 = np.arange(frames)[:, None]
    R_n33 = exp_so3(np.array([2.8, 0.1, -0.3])) @ exp_so3(np.array(angular_velocity_3) * t_n1)
    return [Pose(T) for T in compose(R_n33, np.array([5.0, -3.0, 40.0]) + np.array([1.2, 0.4, -0.1]) * t_n1)]


def flown(seed: int, frames: int, acceleration: tuple[float, float] = (1e-4, 0.03)) -> list[Pose]:
    """A camera with random accelerations of these sigmas: (rad, m) a frame squared."""
    rng = stream(seed, "flown")
    rate_n3, velocity_n3 = (np.cumsum(sigma * rng.standard_normal((frames, 3)), 0) for sigma in acceleration)
    R_33, center_3, poses = exp_so3(np.array([2.8, 0.1, -0.3])), np.array([0.0, 0.0, 40.0]), []
    for rate_3, velocity_3 in zip(rate_n3, velocity_n3, strict=True):
        poses.append(Pose(compose(R_33, center_3)))
        R_33, center_3 = R_33 @ exp_so3(rate_3), center_3 + velocity_3 + (1.0, 0.0, 0.0)
    return poses


def measured(poses: list[Pose], seed: int | None = None, bias: float = 0.0) -> list[PoseEstimate]:
    """Estimates of single frames; without a seed, the truth. The fraction `bias` of the covariance is a common bias."""
    rng = stream(seed or 0, "seen")
    mixing_66 = np.eye(6) + 0.3 * rng.standard_normal((6, 6))
    L_66 = SIGMA_6[:, None] * mixing_66 / np.linalg.norm(mixing_66, axis=1, keepdims=True)
    bias_6, estimates = rng.standard_normal(6), []
    for pose in poses:
        L = L_66 * np.exp(0.3 * rng.standard_normal())
        xi_6 = L @ (np.sqrt(bias) * bias_6 + np.sqrt(1 - bias) * rng.standard_normal(6))
        T_wc = pose.T_wc if seed is None else pose.T_wc @ invert(exp_se3(xi_6))
        estimates.append(PoseEstimate(Pose(T_wc), "ok", np.ones(60, bool), 0.5, 64, L @ L.T))
    return estimates


def refused(estimate: PoseEstimate) -> PoseEstimate:
    return replace(estimate, pose=None, reason="low_score", covariance_66=None)


def wrong(estimate: PoseEstimate) -> PoseEstimate:
    """A pose that is elsewhere, with the covariance of a right one."""
    assert estimate.pose is not None
    return replace(estimate, pose=Pose(estimate.pose.T_wc @ exp_se3(np.array([0.5, -0.4, 0.9, 20.0, -30.0, 9.0]))))
