"""Normals of the surface that a map of depths shows."""

from __future__ import annotations

import numpy as np

_FEWEST = 4  # points of a neighbourhood, itself among them
_ONE_SURFACE = 0.15  # of the depth, by which a neighbour on the same surface may be nearer or farther
_FLAT = 1e-9  # second eigenvalue of a neighbourhood, of the first: points on one line have no normal


def normals_of_map(points_hw3: np.ndarray, center_3: np.ndarray) -> np.ndarray:
    """Unit normals (h, w, 3) of the points of a map, turned towards where it was seen from.

    Of the 3 x 3 points about each, those on the same surface; the direction in which they spread least (PCA). NaN where
    fewer than four are known, or all lie on one line.

    Args:
        points_hw3: in any frame, NaN where unknown.
        center_3: the camera's centre in that frame.
    """
    height, width = points_hw3.shape[:2]
    padded = np.pad(points_hw3 - center_3, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    near_khw3 = np.stack([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)])
    own_hw3 = near_khw3[4]
    distance_khw = np.linalg.norm(near_khw3, axis=3)
    with np.errstate(invalid="ignore"):
        one_khw = np.abs(distance_khw - distance_khw[4]) < _ONE_SURFACE * distance_khw[4]
    count_hw = one_khw.sum(0)
    known = count_hw >= _FEWEST
    weight_kn1 = one_khw[:, known][..., None].astype(np.float64)
    near_kn3 = np.where(weight_kn1 > 0, near_khw3[:, known], 0.0)
    off_kn3 = weight_kn1 * (near_kn3 - near_kn3.sum(0) / count_hw[known][:, None])
    value_n3, axis_n33 = np.linalg.eigh(np.einsum("kni,knj->nij", off_kn3, off_kn3))
    normal_n3 = axis_n33[..., 0]
    normal_n3 *= np.where((normal_n3 * own_hw3[known]).sum(1, keepdims=True) > 0, -1.0, 1.0)
    normal_n3[value_n3[:, 1] <= _FLAT * value_n3[:, 2]] = np.nan
    out_hw3 = np.full(points_hw3.shape, np.nan)
    out_hw3[known] = normal_n3
    return out_hw3
