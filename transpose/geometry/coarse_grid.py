"""A coarse grid of the world, by which most points of many views need not be looked at for one frustum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_CELLS = 16_384  # at most, about
_FINEST = 128  # cells along the longest side of the world
_SAMPLED = 8  # every so many points tell how many cells there are


@dataclass(frozen=True, eq=False)
class CoarseGrid:
    """Which cells of the world views have points in; those of one view in one cell are a run.

    Attributes:
        center_c3: middle of each cell, relative to the points' origin.
        radius: from there to a corner.
        view_r, cell_r: the view and the cell of each run, ascending.
        first_r, count_r: number of its first point, and how many they are.
        share: (views, cells), how much of a view's points lie in a cell.
    """

    center_c3: np.ndarray
    radius: float
    view_r: np.ndarray
    cell_r: np.ndarray
    first_r: np.ndarray
    count_r: np.ndarray
    share: sparse.csr_array

    @classmethod
    def sorting(cls, values_kn: np.ndarray, count_v: np.ndarray) -> CoarseGrid:
        """The finest that has not too many cells. Sorts the points of each view in place, so that runs are together.

        Args:
            values_kn: x, y, z and more of all points (n,), one view after the other.
            count_v: points of each view.
        """
        low_3, side = _finest(values_kn[:3])
        runs_r4, first = [np.zeros((0, 4), np.int64)], 0
        for view, count in enumerate(count_v):
            of_view_km = values_kn[:, first : first + count]
            key_m = _joined(((of_view_km[:3] - low_3[:, None]) / side).astype(np.int64))
            order_m = np.argsort(key_m, kind="stable")
            of_view_km[:] = of_view_km[:, order_m]
            key_r, first_r, count_r = np.unique(key_m[order_m], return_index=True, return_counts=True)
            runs_r4.append(np.stack([np.full_like(key_r, view), key_r, first + first_r, count_r], 1))
            first += count
        view_r, key_r, first_r, count_r = np.concatenate(runs_r4).T
        key_c, cell_r = np.unique(key_r, return_inverse=True)
        share_r = (count_r / count_v[view_r]).astype(np.float32)
        share = sparse.coo_array((share_r, (view_r, cell_r)), shape=(len(count_v), len(key_c))).tocsr()
        center_c3 = low_3 + (_split(key_c).T + 0.5) * side
        return cls(center_c3, 0.5 * 3**0.5 * side * (1 + 1e-3), view_r, cell_r, first_r, count_r, share)

    def inside(self, planes_b64: np.ndarray, slack: float) -> np.ndarray:
        """Which cells (cells, b) may have points inside each of some frusta.

        Args:
            planes_b64: relative to the points' origin.
            slack: length by which points may be outside.
        """
        normal_b63, offset_b6 = planes_b64[..., :3].astype(np.float32), planes_b64[..., 3]
        inside_cb = np.ones((len(self.center_c3), len(planes_b64)), bool)
        for side in range(planes_b64.shape[1]):
            distance_cb = self.center_c3.astype(np.float32) @ normal_b63[:, side].T
            # A plane that holds nowhere has no normal.
            inside_cb &= distance_cb >= -(self.radius + slack + offset_b6[:, side]).astype(np.float32)
        return inside_cb


def _finest(xyz_3n: np.ndarray) -> tuple[np.ndarray, float]:
    """Lowest corner and side of cells, by a sample of the points."""
    if xyz_3n.shape[1] == 0:
        return np.zeros(3), 1.0
    low_3, high_3 = xyz_3n.min(1).astype(np.float64), xyz_3n.max(1).astype(np.float64)
    side = max(float((high_3 - low_3).max()), 1e-9) / _FINEST
    key_m = np.unique(_joined(((xyz_3n[:, ::_SAMPLED] - low_3[:, None]) / side).astype(np.int64)))
    while len(key_m) > _CELLS:  # eight cells become one
        side *= 2
        key_m = np.unique(_joined(_split(key_m) // 2))
    return low_3, side


def _joined(cell_3m: np.ndarray) -> np.ndarray:
    return (cell_3m[0] << 40) | (cell_3m[1] << 20) | cell_3m[2]


def _split(key_m: np.ndarray) -> np.ndarray:
    mask = (1 << 20) - 1
    return np.stack([key_m >> 40, (key_m >> 20) & mask, key_m & mask])
