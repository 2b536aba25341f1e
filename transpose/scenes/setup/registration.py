"""Moves a depth image from where it was taken to the colour image beside it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from transpose.geometry.cameras import pixel_centers
from transpose.geometry.poses import transform
from transpose.geometry.projection import Projection

_SAME_SURFACE = 0.03  # of the depth: noise of a sensor and steep surfaces, less than edges
_LEAST_WEIGHT = 1e-6  # a point on a pixel's centre alone reaches its neighbours


def register_depth(depth_hw: np.ndarray, taken_by: Projection, seen_by: Projection, T_cd: np.ndarray) -> np.ndarray:
    """Depth as the colour camera sees it.

    Args:
        depth_hw: metres along z of the depth sensor, NaN unknown, one value per pixel centre.
        taken_by, seen_by: the lenses of the depth sensor and of the colour camera; no panoramas, which have no z.
        T_cd: depth-sensor points to colour-camera points, (4, 4), metres.

    Returns:
        (height, width) of the colour image, float32 metres, NaN where no depth lands. Each depth reaches the four
        pixels around its point, so that the magnification between the cameras leaves no pin holes. Of those that reach
        a pixel the nearest surface wins; on it, inverse depths are averaged by their bilinear weights. (The nearest
        depth alone would be too near: by the slope of the surface, and by the noise of several.)
    """
    known = np.isfinite(depth_hw) & (depth_hw > 0)
    points_n3 = transform(T_cd, _rays(taken_by)[known] * depth_hw[known][:, None])
    base_n, z_n, corners = _reached(seen_by.px_of_directions(points_n3), points_n3[:, 2], seen_by)
    rows, columns = seen_by.height + 2, seen_by.width + 2
    nearest_p, weight_p, inverse_p = np.full(rows * columns, np.inf), np.zeros(rows * columns), np.zeros(rows * columns)
    for offset, _ in corners:
        np.minimum.at(nearest_p, base_n + offset, z_n)
    for offset, share_n in corners:
        pixel_n = base_n + offset
        of_it_n = z_n <= (1 + _SAME_SURFACE) * nearest_p[pixel_n]
        weight_n = np.where(of_it_n, np.maximum(share_n, _LEAST_WEIGHT), 0)
        weight_p += np.bincount(pixel_n, weight_n, rows * columns)
        inverse_p += np.bincount(pixel_n, weight_n / z_n, rows * columns)
    with np.errstate(invalid="ignore"):
        return (weight_p / inverse_p).reshape(rows, columns)[1:-1, 1:-1].astype(np.float32)


def _reached(
    px_n2: np.ndarray, z_n: np.ndarray, seen_by: Projection
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, np.ndarray]]]:
    """Of the points that reach a pixel: in an image with a border of a pixel, the number of the one above and left.

    Also their depths, and for each of the four pixels around how far its number is from the first, and the bilinear
    weights.
    """
    x_n, y_n = (px_n2 - 0.5).T
    seen_n = (x_n >= -1) & (x_n < seen_by.width) & (y_n >= -1) & (y_n < seen_by.height)  # not of NaN either
    x_n, y_n, z_n = x_n[seen_n], y_n[seen_n], z_n[seen_n]
    left_n, above_n = np.floor(x_n), np.floor(y_n)
    right_n, below_n = x_n - left_n, y_n - above_n
    columns = seen_by.width + 2
    base_n = ((above_n + 1) * columns + left_n + 1).astype(np.int64)
    corners = [
        (0, (1 - right_n) * (1 - below_n)),
        (1, right_n * (1 - below_n)),
        (columns, (1 - right_n) * below_n),
        (columns + 1, right_n * below_n),
    ]
    return base_n, z_n, corners


@lru_cache(maxsize=2)  # the images of a sensor follow each other
def _rays(lens: Projection) -> np.ndarray:
    """Rays (height, width, 3) with z = 1 of all pixel centres; NaN where the lens has none."""
    directions_hw3 = lens.directions_of_px(pixel_centers(lens.width, lens.height))
    return directions_hw3 / directions_hw3[..., 2:]
