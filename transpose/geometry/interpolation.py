"""Depth between sparse points of an image: inverse depth over a Delaunay triangulation, linear as on a plane."""

from __future__ import annotations

import numpy as np
from scipy.spatial import Delaunay, QhullError

_MAX_RATIO = 1.25  # of the depths of a triangle's corners; beyond, they are of two surfaces
_FEWEST = 3


class InterpolatedDepth:
    """Depth at any pixel of an image, from points that are seen in it.

    Args:
        px_k2: where they are seen, pixels.
        depth_k: along z, positive.
    """

    def __init__(self, px_k2: np.ndarray, depth_k: np.ndarray) -> None:
        self._inverse_k = 1 / np.asarray(depth_k, np.float64)
        self._triangles: Delaunay | None = None
        if len(px_k2) >= _FEWEST:
            try:
                self._triangles = Delaunay(px_k2)
            except QhullError:  # all on one line
                return
            corners_t3 = self._inverse_k[self._triangles.simplices]
            self._flat_t = corners_t3.max(1) < _MAX_RATIO * corners_t3.min(1)

    def at(self, px_n2: np.ndarray) -> np.ndarray:
        """Depth (n,) at pixels (n, 2); NaN outside the points' hull and between surfaces."""
        out_n = np.full(len(px_n2), np.nan)
        if self._triangles is None:
            return out_n
        asked = np.flatnonzero(np.isfinite(px_n2).all(1))
        triangle_m = self._triangles.find_simplex(px_n2[asked])
        inside_m = (triangle_m >= 0) & self._flat_t[triangle_m]
        asked, triangle_m = asked[inside_m], triangle_m[inside_m]
        affine_m32 = self._triangles.transform[triangle_m]
        weight_m2 = np.einsum("mij,mj->mi", affine_m32[:, :2], px_n2[asked] - affine_m32[:, 2])
        weight_m3 = np.concatenate([weight_m2, 1 - weight_m2.sum(1, keepdims=True)], 1)
        out_n[asked] = 1 / (weight_m3 * self._inverse_k[self._triangles.simplices[triangle_m]]).sum(1)
        return out_n
