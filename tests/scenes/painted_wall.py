"""A wall with a painting that looks the same from everywhere, so that photos of it agree where their poses do."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from transpose.geometry.cameras import pixel_centers
from transpose.geometry.lens import Lens
from transpose.randomness import stream

_PX_PER_M, _SIDE_M = 40, 16


def depth_of_wall(T_wc: np.ndarray, lens: Lens, z_m: float) -> np.ndarray:
    """(height, width) metres along the camera's z at pixel centres: a wall across the world's z axis at `z_m`."""
    return (z_m - T_wc[2, 3]) / (_rays(lens) @ T_wc[:3, :3].T)[..., 2]


def photo_of_wall(T_wc: np.ndarray, lens: Lens, z_m: float) -> np.ndarray:
    """(height, width, 3) uint8: what the camera sees of it."""
    points_hw3 = _rays(lens) * depth_of_wall(T_wc, lens, z_m)[..., None] @ T_wc[:3, :3].T + T_wc[:3, 3]
    px_hw2 = ((points_hw3[..., :2] + _SIDE_M / 2) * _PX_PER_M).astype(np.float32)
    return np.asarray(cv2.remap(_painting(), px_hw2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def _rays(lens: Lens) -> np.ndarray:
    directions_hw3 = lens.directions_of_px(pixel_centers(lens.width, lens.height))
    return directions_hw3 / directions_hw3[..., 2:]


@lru_cache
def _painting() -> np.ndarray:
    side = _PX_PER_M * _SIDE_M
    coarse = stream(0, "painted wall").integers(0, 256, (side // 4, side // 4, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))
