"""Images turned about their viewing axis by quarters, as `numpy.rot90` turns them, with cameras and poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.geometry.cameras import Camera


def turned_camera(camera: Camera, quarters: int) -> Camera:
    """The camera of an image after `numpy.rot90`: by each quarter pixel (x, y) becomes (y, width - x)."""
    for _ in range(quarters % 4):
        cx, cy = camera.cy, camera.width - camera.cx
        camera = replace(camera, width=camera.height, height=camera.width, fx=camera.fy, fy=camera.fx, cx=cx, cy=cy)
    return camera


def turn(quarters: int) -> np.ndarray:
    """The axes (4, 4) of the turned camera in those of the camera: T_wc of the turned one is T_wc times this."""
    c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters % 4]
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
