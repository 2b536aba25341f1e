"""A phone before a wall, as several apps record it: the same true poses and depth, for files in their formats."""

from __future__ import annotations

import numpy as np

from tests.scenes.painted_wall import depth_of_wall, photo_of_wall
from transpose.geometry.lens import Lens
from transpose.geometry.poses import compose, exp_so3
from transpose.scenes.layout import Frame

LENS = Lens(128, 96, 110.0, 111.0, 65.0, 47.0)
DEPTH_SIZE = (32, 24)
WALL_M = 2.0
# ARKit's camera axes in OpenCV's.
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
# The phone is held upright and looks along -z of a world whose y is up; the wall stands across at z = -2.
_UPRIGHT = np.diag([1.0, -1.0, -1.0])


def true_pose(number: int) -> np.ndarray:
    """(4, 4) camera to world, OpenCV axes: in a world whose y is up, ahead is -z; each frame 3 cm and 3 degrees on."""
    turned = exp_so3(np.array([0.0, np.radians(3) * number, 0.0]))
    return compose(_UPRIGHT @ turned, np.array([0.03 * number, 1.5, 0.0]))


def true_depth(number: int, lens: Lens) -> np.ndarray:
    """(height, width) metres along z at pixel centres of a lens."""
    return depth_of_wall(true_pose(number), lens, -WALL_M)


def photo(number: int, lens: Lens = LENS) -> np.ndarray:
    """(height, width, 3) uint8."""
    return photo_of_wall(true_pose(number), lens, -WALL_M)


def check_frame(frame: Frame, number: int, lens: Lens = LENS) -> None:
    """The frame has the true pose and camera, and what its depth shows lies on the wall."""
    T_wc = true_pose(number)
    assert np.allclose(frame.pose.T_wc, T_wc, atol=1e-5)
    camera = frame.camera
    assert np.allclose([camera.fx, camera.fy, camera.cx, camera.cy], [lens.fx, lens.fy, lens.cx, lens.cy])
    assert (camera.width, camera.height) == (lens.width, lens.height)
    depth_hw = frame.depth()
    known_hw = np.isfinite(depth_hw)
    assert known_hw.mean() > 0.8
    error_n = np.abs(depth_hw - true_depth(number, lens))[known_hw]
    assert np.median(error_n) < 0.001 and error_n.max() < 0.05  # at the border, depth goes on as it is
