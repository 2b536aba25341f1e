"""A cloud of points seen by cameras around it: keypoints with descriptors that say which point each shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, transform
from transpose.models.keypoints import Keypoints
from transpose.randomness import stream
from transpose.scenes.setup.unposed_photos import SharedCamera, UnposedPhoto

CAMERA = Camera.from_focal(700.0, 800, 600)
POINTS = 400


def cloud(seed: int = 0, shape: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> tuple[np.ndarray, torch.Tensor]:
    """Points (n, 3) about the origin and their descriptors (n, 64)."""
    rng = stream(seed, "cloud")
    points_n3 = rng.uniform(-1, 1, (POINTS, 3)) * shape
    return points_n3, F.normalize(torch.from_numpy(rng.normal(size=(POINTS, 64))).float(), dim=1)


def looking_at(center_3: np.ndarray, target_3: np.ndarray) -> Pose:
    z_3 = (target_3 - center_3) / np.linalg.norm(target_3 - center_3)
    x_3 = np.cross(z_3, [0.0, 0.0, 1.0]) if abs(z_3[2]) < 0.9 else np.cross([0.0, 1.0, 0.0], z_3)
    x_3 /= np.linalg.norm(x_3)
    return Pose(compose(np.stack([x_3, np.cross(z_3, x_3), z_3], 1), center_3))


def ring(count: int) -> list[Pose]:
    """Cameras on a third of a circle about the origin, at several heights."""
    angle_n = np.linspace(0, 2.1, count)
    centers = np.stack([4 * np.cos(angle_n), 4 * np.sin(angle_n), 0.8 * np.sin(3 * angle_n)], 1)
    return [looking_at(center, np.zeros(3)) for center in centers]


def seen(pose: Pose, points: tuple[np.ndarray, torch.Tensor], seed: int, noise_px: float = 0.3) -> Keypoints:
    """The keypoints of one camera, in an order of their own."""
    points_n3, descriptors_nc = points
    rng = stream(seed, "keypoints")
    px_n2 = CAMERA.project(transform(pose.T_cw, points_n3)) + rng.normal(scale=noise_px, size=(len(points_n3), 2))
    inside = rng.permutation(np.flatnonzero(((px_n2 > 0) & (px_n2 < (CAMERA.width, CAMERA.height))).all(1)))
    noisy_kc = descriptors_nc[inside] + 0.02 * torch.from_numpy(rng.normal(size=(len(inside), 64))).float()
    return Keypoints(torch.from_numpy(px_n2[inside]).float(), F.normalize(noisy_kc, dim=1))


def photos_of(count: int) -> list[UnposedPhoto]:
    return [UnposedPhoto(f"{number:02}.jpg", Path(f"{number:02}.jpg"), 0) for number in range(count)]


def shared_camera(focal_px: float | None = None, sure: bool = False) -> list[SharedCamera]:
    return [SharedCamera(CAMERA.width, CAMERA.height, focal_px, sure)]


def keypoints_of(poses: Sequence[Pose], points: tuple[np.ndarray, torch.Tensor]) -> list[Keypoints]:
    return [seen(pose, points, seed) for seed, pose in enumerate(poses)]
