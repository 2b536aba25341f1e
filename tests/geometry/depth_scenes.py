"""Small worlds seen by cameras, whose depth is known exactly: a room of boxes, cast ray by ray."""

from __future__ import annotations

import numpy as np

from transpose.geometry import Camera, Pose, cell_points
from transpose.geometry.depth_views import DepthView
from transpose.geometry.poses import compose, exp_so3
from transpose.randomness import stream

# Lowest and highest corner of each box; the first one is the room, seen from within.
BOXES = np.array([[[-3, -3, 0], [3, 3, 3]], [[-1.2, -0.3, 0], [-0.2, 0.6, 1.1]], [[0.8, 0.5, 0], [1.6, 1.9, 0.7]]])


def depth_of_boxes(camera: Camera, pose: Pose, stride: int = 8) -> np.ndarray:
    """Depth (rows, columns) at the cells of a camera in the room."""
    rays_hw3 = camera.unproject(cell_points(camera.width, camera.height, stride)) @ pose.R_wc.T
    with np.errstate(divide="ignore"):
        ends_hwkc3 = (BOXES - pose.center) / rays_hw3[:, :, None, None]
    enter_hwk, leave_hwk = ends_hwkc3.min(3).max(3), ends_hwkc3.max(3).min(3)
    hit_hwk = np.where((enter_hwk <= leave_hwk) & (enter_hwk > 0), enter_hwk, np.inf)
    hit_hwk[..., 0] = leave_hwk[..., 0]
    return hit_hwk.min(2).astype(np.float32)


def room_view(camera: Camera, pose: Pose, stride: int = 8) -> DepthView:
    return DepthView(camera, pose, depth_of_boxes(camera, pose, stride), stride)


def looking_along(x: float, y: float, z: float, yaw_deg: float, down_deg: float = 10.0) -> Pose:
    """A level camera: yaw 0 looks along +x, 90 along +y."""
    yaw, down = np.radians([yaw_deg, down_deg])
    ahead_3 = np.array([np.cos(yaw) * np.cos(down), np.sin(yaw) * np.cos(down), -np.sin(down)])
    right_3 = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    return Pose(compose(np.stack([right_3, np.cross(ahead_3, right_3), ahead_3], 1), np.array([x, y, z])))


def room_views(count: int, seed: int = 0, camera: Camera | None = None, stride: int = 8) -> list[DepthView]:
    """Views from random places in the room, above its boxes, in random directions."""
    rng = stream(seed, "room views")
    camera = camera or Camera.from_focal(90.0, 128, 96)
    views = []
    for _ in range(count):
        x, y = rng.uniform(-2.2, 2.2, 2)
        pose = looking_along(x, y, rng.uniform(1.3, 2.4), rng.uniform(0, 360), rng.uniform(-5, 35))
        tilted = compose(pose.R_wc @ exp_so3(rng.uniform(-0.2, 0.2, 3)), pose.center)
        views.append(room_view(camera, Pose(tilted), stride))
    return views
