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
    px_n2 = seen_by.px_of_directions(points_n3)
    seen_n = np.isfinite(px_n2).all(1)
    pixel_m, weight_m, z_m = _reached(px_n2[seen_n] - 0.5, points_n3[seen_n, 2], seen_by.width, seen_by.height)
    nearest_p = np.full(seen_by.height * seen_by.width, np.inf)
    np.minimum.at(nearest_p, pixel_m, z_m)
    of_it_m = z_m <= (1 + _SAME_SURFACE) * nearest_p[pixel_m]
    pixel_m, weight_m, z_m = pixel_m[of_it_m], weight_m[of_it_m], z_m[of_it_m]
    weight_p = np.bincount(pixel_m, weight_m, len(nearest_p))
    inverse_p = np.bincount(pixel_m, weight_m / z_m, len(nearest_p))
    with np.errstate(invalid="ignore"):
        return (weight_p / inverse_p).reshape(seen_by.height, seen_by.width).astype(np.float32)


def _reached(xy_n2: np.ndarray, z_n: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels around points: their numbers, bilinear weights and depths, each (m,); `xy_n2` counts pixel centres."""
    corner_n2 = np.floor(xy_n2).astype(np.int64)
    beside_n2 = xy_n2 - corner_n2
    pixels, weights, depths = [], [], []
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x_n, y_n = corner_n2[:, 0] + dx, corner_n2[:, 1] + dy
        inside_n = (x_n >= 0) & (x_n < width) & (y_n >= 0) & (y_n < height)
        share_n2 = np.abs(1 - np.array([dx, dy]) - beside_n2)
        pixels.append((y_n * width + x_n)[inside_n])
        weights.append(np.maximum(share_n2.prod(1), _LEAST_WEIGHT)[inside_n])
        depths.append(z_n[inside_n])
    return np.concatenate(pixels), np.concatenate(weights), np.concatenate(depths)


@lru_cache(maxsize=2)  # the images of a sensor follow each other
def _rays(lens: Projection) -> np.ndarray:
    """Rays (height, width, 3) with z = 1 of all pixel centres; NaN where the lens has none."""
    directions_hw3 = lens.directions_of_px(pixel_centers(lens.width, lens.height))
    return directions_hw3 / directions_hw3[..., 2:]
