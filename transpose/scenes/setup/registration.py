"""Moves a depth image from the sensor that took it to the colour camera beside it."""

from __future__ import annotations

import numpy as np

from transpose.geometry.cameras import Camera, pixel_centers
from transpose.geometry.poses import transform


def register_depth(depth_hw: np.ndarray, depth_camera: Camera, color_camera: Camera, T_cd: np.ndarray) -> np.ndarray:
    """Depth as the colour camera sees it.

    Args:
        depth_hw: metres along z of the depth sensor, NaN unknown, one value per pixel centre.
        depth_camera, color_camera: intrinsics of both.
        T_cd: depth-sensor points to colour-camera points, (4, 4), metres.

    Returns:
        (height, width) of the colour camera, float32 metres, NaN where no depth lands. Where several land on one pixel
        the nearest wins. Each depth is written to the four pixels around its point, so that the magnification between
        the cameras leaves no pin holes; the bilinear footprint is half a pixel wide at most.
    """
    known = np.isfinite(depth_hw) & (depth_hw > 0)
    rays_n3 = depth_camera.unproject(pixel_centers(depth_camera.width, depth_camera.height)[known])
    points_n3 = transform(T_cd, rays_n3 * depth_hw[known][:, None])
    px_n2 = color_camera.project(points_n3)
    seen_n = np.isfinite(px_n2).all(1)
    corner_n2 = np.floor(px_n2[seen_n] - 0.5).astype(np.int64)
    z_n = points_n3[seen_n, 2].astype(np.float32)
    exact_hw = np.full((color_camera.height, color_camera.width), np.inf, np.float32)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x_n, y_n = corner_n2[:, 0] + dx, corner_n2[:, 1] + dy
        inside = (x_n >= 0) & (x_n < color_camera.width) & (y_n >= 0) & (y_n < color_camera.height)
        np.minimum.at(exact_hw, (y_n[inside], x_n[inside]), z_n[inside])
    exact_hw[np.isinf(exact_hw)] = np.nan
    return exact_hw
