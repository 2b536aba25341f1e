"""Pure geometry: cameras and poses. No files, no networks.

Suffixes of array names give their shape: `b` batch, `n` points, `h`/`w` rows and columns, digits as they are, so
`points_n3` is (n, 3). `T_wc` maps camera points to the world; the camera looks along +z, x right, y down (OpenCV).
Pixels are continuous: the image spans [0, width] x [0, height] and the first pixel's centre is (0.5, 0.5).
"""

from transpose.geometry.cameras import Camera, cell_points, grid_shape
from transpose.geometry.poses import Pose, pose_error

__all__ = ["Camera", "Pose", "cell_points", "grid_shape", "pose_error"]
