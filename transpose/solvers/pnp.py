"""Absolute pose from pixels and world points: a robust search, then refinement on the point-to-ray distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import poselib
import torch

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, invert, project_to_rotation, transform
from transpose.solvers.refine import refine_point_to_ray

_MIN_POINTS = 6
_MAX_SEARCHED = 1200  # the search is done on the surest, the refinement on all
_DEGENERATE = 1e-12


@dataclass(frozen=True)
class RansacOptions:
    """How the search for a pose is run."""

    max_error_px: float = 10.0
    max_iterations: int = 10_000
    confidence: float = 0.9999
    min_inliers: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_error_px <= 0 or self.max_iterations < 1 or not 0 < self.confidence < 1:
            raise ValueError(f"max_error_px, max_iterations and confidence must be positive, confidence < 1: {self}")


@dataclass(frozen=True)
class PoseEstimate:
    """What a solver found.

    Attributes:
        pose: None where there is none; then `reason` says why.
        reason: "ok", "too_few_points", "no_consensus", "degenerate", ... in words a program can compare.
        inlier_mask_n: which correspondences agree with the pose.
        score: share of the correspondences that agree, softly counted: each by 1 - sigmoid of its pixel error around
            the threshold (DSAC*).
        iterations: hypotheses tried.
        covariance_66: of xi = (omega rad, t m) in the camera frame, T_wc_true = T_wc exp(xi); None without a pose.
    """

    pose: Pose | None
    reason: str
    inlier_mask_n: np.ndarray
    score: float = 0.0
    iterations: int = 0
    covariance_66: np.ndarray | None = None

    @property
    def inliers(self) -> int:
        """How many correspondences agree with the pose."""
        return int(self.inlier_mask_n.sum())


def solve_pnp(
    px_n2: np.ndarray | torch.Tensor,
    points_n3: np.ndarray | torch.Tensor,
    K_33: np.ndarray | torch.Tensor | Camera,
    options: RansacOptions | None = None,
    covariances_n33: np.ndarray | torch.Tensor | None = None,
) -> PoseEstimate:
    """The pose that sees each world point at its pixel.

    Args:
        px_n2: continuous pixels (first pixel centre at 0.5, 0.5).
        points_n3: world points, metres. Correspondences that are not finite are left out.
        K_33: intrinsics or a `Camera`.
        options: of the search.
        covariances_n33: of the points, metres squared. The surest are drawn first, and the refinement weights each
            point by its mean variance over the axes. Without them all points count alike.

    Returns:
        The estimate, whose mask refers to the rows given. The same arguments give the same estimate.
    """
    options = options or RansacOptions()
    px_n2, points_n3 = _array(px_n2), _array(points_n3)
    if px_n2.ndim != 2 or px_n2.shape[1:] != (2,) or points_n3.shape != (len(px_n2), 3):
        raise ValueError(f"need px (n, 2) and points (n, 3), got {px_n2.shape} and {points_n3.shape}")
    camera = K_33 if isinstance(K_33, Camera) else _camera_of(_array(K_33))
    variance_n = None if covariances_n33 is None else np.trace(_array(covariances_n33), axis1=1, axis2=2) / 3
    usable_n = np.isfinite(px_n2).all(1) & np.isfinite(points_n3).all(1)
    if variance_n is not None:
        usable_n &= np.isfinite(variance_n) & (variance_n > 0)
    none_n = np.zeros(len(px_n2), bool)
    if usable_n.sum() < _MIN_POINTS:
        return PoseEstimate(None, "too_few_points", none_n)
    index_n = np.flatnonzero(usable_n)
    if variance_n is not None:
        index_n = index_n[np.argsort(variance_n[index_n], kind="stable")]
    center_3 = np.median(points_n3[index_n], axis=0)  # large coordinates keep their digits
    local_n3 = points_n3[index_n] - center_3
    if np.linalg.svd(local_n3 - local_n3.mean(0), compute_uv=False)[1] < _DEGENERATE:
        return PoseEstimate(None, "degenerate", none_n)
    searched_n = slice(_MAX_SEARCHED) if variance_n is not None else slice(None)
    T_cw, iterations = _search(
        px_n2[index_n][searched_n], local_n3[searched_n], camera, options, variance_n is not None
    )
    if T_cw is None:
        return PoseEstimate(None, "no_consensus", none_n, iterations=iterations)
    sigma_n = None if variance_n is None else np.sqrt(variance_n[index_n])
    T_cw, covariance_66 = _refine(px_n2[index_n], local_n3, sigma_n, camera, T_cw, options.max_error_px)
    T_cw = T_cw @ _translation(-center_3)
    error_n = np.full(len(px_n2), np.inf)
    error_n[usable_n] = reprojection_error(px_n2[usable_n], points_n3[usable_n], camera, T_cw)
    inlier_n = error_n < options.max_error_px
    if inlier_n.sum() < options.min_inliers or not np.isfinite(covariance_66).all():
        return PoseEstimate(None, "no_consensus", none_n, iterations=iterations)
    score = soft_inlier_share(error_n, options.max_error_px)
    return PoseEstimate(Pose(invert(T_cw)), "ok", inlier_n, score, iterations, covariance_66)


def reprojection_error(px_n2: np.ndarray, points_n3: np.ndarray, camera: Camera, T_cw: np.ndarray) -> np.ndarray:
    """Pixel errors (n,); infinite for points behind the camera."""
    error_n = np.linalg.norm(camera.project(transform(T_cw, points_n3)) - px_n2, axis=1)
    return np.where(np.isfinite(error_n), error_n, np.inf)


def soft_inlier_share(error_n: np.ndarray, max_error_px: float) -> float:
    """DSAC*'s soft inlier count divided by n: mean of 1 - sigmoid(5 / tau (error - tau))."""
    exponent_n = np.clip(5 / max_error_px * (error_n - max_error_px), -60, 60)
    return float((1 / (1 + np.exp(exponent_n))).mean())


def _search(
    px_n2: np.ndarray, points_n3: np.ndarray, camera: Camera, options: RansacOptions, sorted_by_trust: bool
) -> tuple[np.ndarray | None, int]:
    """LO-RANSAC of PoseLib on undistorted pixels: world to camera, or None."""
    rays_n3 = camera.unproject(px_n2)
    pinhole = {
        "model": "PINHOLE",
        "width": camera.width,
        "height": camera.height,
        "params": [camera.fx, camera.fy, camera.cx, camera.cy],
    }
    straight_n2 = rays_n3[:, :2] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    found, facts = poselib.estimate_absolute_pose(
        straight_n2,
        points_n3,
        pinhole,
        {
            "max_reproj_error": options.max_error_px,
            "max_iterations": options.max_iterations,
            "min_iterations": min(100, options.max_iterations),
            "success_prob": options.confidence,
            "seed": options.seed,
            "progressive_sampling": sorted_by_trust,
        },
        {},
    )
    T_cw = np.eye(4)
    T_cw[:3, :3], T_cw[:3, 3] = found.R, found.t
    if facts["num_inliers"] < options.min_inliers or not np.isfinite(T_cw).all():
        return None, int(facts["iterations"])
    return T_cw, int(facts["iterations"])


def _refine(
    px_n2: np.ndarray,
    points_n3: np.ndarray,
    sigma_n: np.ndarray | None,
    camera: Camera,
    T_cw: np.ndarray,
    max_error_px: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The pose refined on all points within twice the threshold of the search, and its covariance."""
    error_n = reprojection_error(px_n2, points_n3, camera, T_cw)
    near_n = error_n < 2 * max_error_px
    if sigma_n is None:
        # Without covariances: one sigma for all, the spread of the inliers' distances to their rays.
        depth_n = transform(T_cw, points_n3[near_n])[:, 2]
        sigma = float(np.median(error_n[near_n] * depth_n)) / math.sqrt(camera.fx * camera.fy) / 1.177
        sigma_n = np.full(len(points_n3), max(sigma, 1e-6))
    refined = refine_point_to_ray(
        torch.from_numpy(camera.unproject(px_n2[near_n])),
        torch.from_numpy(points_n3[near_n]),
        torch.from_numpy(sigma_n[near_n]),
        torch.from_numpy(T_cw),
    )
    T_cw = refined.T_cw.numpy()
    T_cw[:3, :3] = project_to_rotation(T_cw[:3, :3])
    return T_cw, refined.covariance_66.numpy()


def _translation(t_3: np.ndarray) -> np.ndarray:
    T_44 = np.eye(4)
    T_44[:3, 3] = t_3
    return T_44


def _array(values: np.ndarray | torch.Tensor) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _camera_of(K_33: np.ndarray) -> Camera:
    # Only the intrinsics matter here; the size is what the principal point suggests.
    return Camera.from_K(K_33, max(1, round(2 * K_33[0, 2])), max(1, round(2 * K_33[1, 2])))
