"""Which observations are of one place: points near each other that different views have seen."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

_BLOCK = 65_536


def same_place(points_n3: np.ndarray, view_n: np.ndarray, radius: float, most: int) -> np.ndarray:
    """For each observation those of other views within a radius: rows (n, most) of indices, the nearest first, then -1.

    Of a point that more than `most` observations surround, its own view's among them, the farther are left out, so that
    memory stays bounded.

    Args:
        points_n3: where each observation is, finite.
        view_n: which view it is of.
        radius: in the unit of the points, positive.
        most: that are kept of each.
    """
    out_nk = np.full((len(points_n3), most), -1, np.int64)
    if len(points_n3) == 0:
        return out_nk
    tree, nearest = cKDTree(points_n3), np.arange(1, most + 2)  # itself is one of them
    below = np.nextafter(radius, np.inf)
    for first in range(0, len(points_n3), _BLOCK):
        here = slice(first, first + _BLOCK)
        _, near_mk = tree.query(points_n3[here], k=nearest, distance_upper_bound=below)
        known_mk = near_mk < len(points_n3)
        known_mk &= view_n[np.minimum(near_mk, len(points_n3) - 1)] != view_n[here, None]
        order_mk = np.argsort(~known_mk, axis=1, kind="stable")[:, :most]
        near_mk = np.where(known_mk, near_mk, -1)
        out_nk[here] = np.take_along_axis(near_mk, order_mk, axis=1)
    return out_nk
