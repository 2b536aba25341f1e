"""Moves a depth image from where it was taken to the colour image beside it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from transpose.geometry.cameras import pixel_centers
from transpose.geometry.poses import transform
from transpose.geometry.projection import Projection


def register_depth(depth_hw: np.ndarray, taken_by: Projection, seen_by: Projection, T_cd: np.ndarray) -> np.ndarray:
    """Depth as the colour camera sees it.

    Args:
        depth_hw: metres along z of the depth sensor, NaN unknown, one value per pixel centre.
        taken_by, seen_by: the lenses of the depth sensor and of the colour camera; no panoramas, which have no z.
        T_cd: depth-sensor points to colour-camera points, (4, 4), metres.

    Returns:
        (height, width) of the colour image, float32 metres, NaN where no depth lands. Where several land on one pixel
        the nearest wins. Each depth is written to the four pixels around its point, so that the magnification between
        the cameras leaves no pin holes; the bilinear footprint is half a pixel wide at most.
    """
    known = np.isfinite(depth_hw) & (depth_hw > 0)
    points_n3 = transform(T_cd, _rays(taken_by)[known] * depth_hw[known][:, None])
    px_n2 = seen_by.px_of_directions(points_n3)
    seen_n = np.isfinite(px_n2).all(1)
    corner_n2 = np.floor(px_n2[seen_n] - 0.5).astype(np.int64)
    z_n = points_n3[seen_n, 2].astype(np.float32)
    exact_hw = np.full((seen_by.height, seen_by.width), np.inf, np.float32)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x_n, y_n = corner_n2[:, 0] + dx, corner_n2[:, 1] + dy
        inside = (x_n >= 0) & (x_n < seen_by.width) & (y_n >= 0) & (y_n < seen_by.height)
        np.minimum.at(exact_hw, (y_n[inside], x_n[inside]), z_n[inside])
    exact_hw[np.isinf(exact_hw)] = np.nan
    return exact_hw


@lru_cache(maxsize=2)  # the images of a sensor follow each other
def _rays(lens: Projection) -> np.ndarray:
    """Rays (height, width, 3) with z = 1 of all pixel centres; NaN where the lens has none."""
    directions_hw3 = lens.directions_of_px(pixel_centers(lens.width, lens.height))
    return directions_hw3 / directions_hw3[..., 2:]
