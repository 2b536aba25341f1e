"""Synthetic problems for pose solvers, as `solvers.py` and `focal.py` describe them, and poses as peers give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.geometry import Camera, Pose
from transpose.geometry.cameras import cell_points
from transpose.geometry.poses import exp_so3
from transpose.randomness import stream

THRESHOLD_PX = 10.0
KINDS = {
    **{f"indoor-{share}": ("indoor", share) for share in (0.05, 0.1, 0.2, 0.5, 0.8)},
    **{f"aerial-{share}": ("aerial", share) for share in (0.2, 0.5, 0.8)},
    **{f"clustered-{share}": ("clustered", share) for share in (0.2, 0.5, 0.8)},
    **{f"aerial-clustered-{share}": ("aerial-clustered", share) for share in (0.2, 0.5, 0.8)},
    **{f"planar-{share}": ("planar", share) for share in (0.2, 0.5, 0.8)},
}


@dataclass(frozen=True)
class Problem:
    """Correspondences with their truth; `bound_m` is what counts as a success."""

    px_n2: np.ndarray
    points_n3: np.ndarray
    camera: Camera
    truth: Pose
    good_n: np.ndarray
    sigma_m: float
    bound_m: float

    @property
    def covariances_n33(self) -> np.ndarray:
        return np.broadcast_to(self.sigma_m**2 * np.eye(3), (len(self.px_n2), 3, 3))


def make(kind: str, share: float, seed: int) -> Problem:
    """One problem with this fraction of inliers."""
    rng = stream(seed, "solver benchmark", kind, str(share))
    aerial = kind.startswith("aerial")
    camera = Camera.from_focal(480.0, 720, 480) if aerial else Camera.from_focal(525.0, 640, 480)
    near, far, sigma, spread = (150.0, 400.0, 1.5, 300.0) if aerial else (1.0, 4.0, 0.02, 3.0)
    cells_hw2 = cell_points(camera.width, camera.height)
    px_n2 = cells_hw2.reshape(-1, 2).astype(float)
    rays_n3 = camera.unproject(px_n2)
    depth_n = rng.uniform(near, far, len(px_n2))
    if kind == "planar":
        normal_3 = np.array([0.4, -0.5, 1.0])
        depth_n = 2.0 * normal_3[2] / (rays_n3 @ normal_3)
    T_wc = np.eye(4)
    T_wc[:3, :3], T_wc[:3, 3] = exp_so3(rng.normal(0, 1.5, 3)), rng.uniform(-spread, spread, 3)
    points_n3 = (rays_n3 * depth_n[:, None]) @ T_wc[:3, :3].T + T_wc[:3, 3]
    low_3, high_3 = points_n3.min(0), points_n3.max(0)
    points_n3 = points_n3 + sigma * rng.standard_normal(points_n3.shape)
    if kind.endswith("clustered"):
        rows, columns = (np.arange(s) // 6 for s in cells_hw2.shape[:2])
        block_n = (rows[:, None] * 100 + columns).reshape(-1)
        good_n = rng.random(block_n.max() + 1)[block_n] < share
        shift_k3 = rng.uniform(-0.4, 0.4, (block_n.max() + 1, 3)) * (high_3 - low_3)
        points_n3[~good_n] += shift_k3[block_n][~good_n]
    else:
        good_n = rng.random(len(px_n2)) < share
        points_n3[~good_n] = rng.uniform(low_3, high_3, (int((~good_n).sum()), 3))
    return Problem(px_n2, points_n3, camera, Pose(T_wc), good_n, sigma, 5.0 if aerial else 0.05)


def from_world(R_cw: np.ndarray, t_cw: np.ndarray) -> Pose:
    T_wc = np.eye(4)
    T_wc[:3, :3], T_wc[:3, 3] = R_cw.T, -R_cw.T @ np.ravel(t_cw)
    return Pose(T_wc)
