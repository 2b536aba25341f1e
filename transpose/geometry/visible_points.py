"""The points of many views side by side, and which of them may lie in another view: what measures of overlap share.

A view sees points of another where they are inside its frustum. A coarse grid of the world tells for whole views which
of them can have any there, so that most pairs of a large place are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from transpose.geometry.depth_views import DepthView, frustum_planes

_CHUNK = {"cpu": 131_072, "cuda": 8_388_608}  # points that are looked at at once
_GRID_CELLS = 16_384  # at most
_FINEST = 128  # cells along the longest side of the world
_DENSE = 0.5  # of a range of points: where fewer are asked for, they are gathered
_TARGETS = 64  # whose candidates are looked for at once


@dataclass(frozen=True, eq=False)
class PointsOfViews:
    """World points of some views, one view after the other.

    Attributes:
        xyz_3n: float32, relative to `origin_3`.
        view_n: the view of each.
        first_v: number of the first point of each view, and that of all points last.
        origin_3: float64.
    """

    xyz_3n: Tensor
    view_n: Tensor
    first_v: np.ndarray
    origin_3: np.ndarray

    @classmethod
    def of(cls, points: Iterable[np.ndarray], origin_3: np.ndarray, device: torch.device) -> PointsOfViews:
        """Of points (n, 3) of each view, float32 relative to the origin."""
        parts = list(points)
        count_v = np.array([len(each) for each in parts], np.int64)
        first_v = np.concatenate([[0], count_v.cumsum()])
        xyz_3n = np.empty((3, first_v[-1]), np.float32)
        for first, each in zip(first_v, parts, strict=False):
            xyz_3n[:, first : first + len(each)] = each.T
        view_n = torch.from_numpy(np.repeat(np.arange(len(parts), dtype=np.int32), count_v))
        return cls(torch.from_numpy(xyz_3n).to(device), view_n.to(device), first_v, origin_3)

    @property
    def views(self) -> int:
        return len(self.first_v) - 1

    @property
    def count_v(self) -> np.ndarray:
        """Points of each view."""
        return np.diff(self.first_v)

    def chunks(self, view_m: np.ndarray) -> Iterator[slice | Tensor]:
        """The points of some views (ascending), and perhaps others between them: ranges, or numbers of points."""
        if len(view_m) == 0:
            return
        most = _CHUNK.get(self.xyz_3n.device.type, _CHUNK["cpu"])
        count_m = self.count_v[view_m]
        first, last = int(self.first_v[view_m[0]]), int(self.first_v[view_m[-1] + 1])
        if count_m.sum() > _DENSE * (last - first):
            yield from (slice(start, min(last, start + most)) for start in range(first, last, most))
            return
        group_m = (count_m.cumsum() - 1) // most
        for group in np.unique(group_m):
            some_m = view_m[group_m == group]
            count_k, first_k = self.count_v[some_m], self.first_v[some_m]
            offset_k = first_k - (count_k.cumsum() - count_k)
            number_n = np.arange(count_k.sum()) + np.repeat(offset_k, count_k)
            yield torch.from_numpy(number_n).to(self.xyz_3n.device)

    def inside(self, planes_64: np.ndarray, which: slice | Tensor, slack: float = 0.0) -> Tensor:
        """Numbers of the points of a chunk that are inside planes of the world, or outside by some length at most."""
        planes_64 = relative_planes(planes_64, self.origin_3)
        normal_63, offset_61 = (self._tensor(each) for each in (planes_64[:, :3], planes_64[:, 3:] + slack))
        distance_6m = torch.addmm(offset_61, normal_63, self.xyz_3n[:, which])
        inside_k = (distance_6m.amin(0) >= 0).nonzero()[:, 0]
        return inside_k + which.start if isinstance(which, slice) else which[inside_k]

    def in_camera(self, T_cw: np.ndarray, number_m: Tensor) -> Tensor:
        """Some points (3, m) in the frame of a camera, whose `T_cw` is of the world."""
        T_cw = T_cw @ _moved(self.origin_3)
        R_33, t_31 = self._tensor(T_cw[:3, :3]), self._tensor(T_cw[:3, 3:])
        return torch.addmm(t_31, R_33, self.xyz_3n[:, number_m])

    def counted(self, number_m: Tensor, weight_m: Tensor | None = None) -> np.ndarray:
        """How many of some points, or how much weight of theirs, each view has (views,)."""
        return torch.bincount(self.view_n[number_m], weight_m, self.views).cpu().numpy()

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self.xyz_3n.device)


def relative_planes(planes_64: np.ndarray, origin_3: np.ndarray) -> np.ndarray:
    """Planes (..., 4) of the world, of points that are relative to an origin."""
    return planes_64 @ _moved(origin_3)


def _moved(origin_3: np.ndarray) -> np.ndarray:
    T_44 = np.eye(4)
    T_44[:3, 3] = origin_3
    return T_44


@dataclass(frozen=True, eq=False)
class CoarseGrid:
    """Which cells of the world views have points in.

    Attributes:
        center_c3: middle of each cell, relative to the points' origin.
        radius: from there to a corner.
        share: (views, cells), how much of a view's points lie in a cell.
    """

    center_c3: np.ndarray
    radius: float
    share: sparse.csr_array

    @classmethod
    def of(cls, points: PointsOfViews) -> CoarseGrid:
        """The finest that has not too many cells."""
        xyz_3n = points.xyz_3n.cpu().numpy()
        if xyz_3n.shape[1] == 0:
            return cls(np.zeros((0, 3)), 0.0, sparse.csr_array((points.views, 0), dtype=np.float32))
        low_3, high_3 = xyz_3n.min(1).astype(np.float64), xyz_3n.max(1).astype(np.float64)
        side = max(float((high_3 - low_3).max()), 1e-9) / _FINEST
        key_m, view_m, count_m = _occupied(points, xyz_3n, low_3, side)
        while len(np.unique(key_m)) > _GRID_CELLS:  # eight cells become one
            side *= 2
            x_m, y_m, z_m = (each // 2 for each in _split(key_m))
            key_m = _joined(x_m, y_m, z_m)
        cell_k, cell_m = np.unique(key_m, return_inverse=True)
        share_m = (count_m / points.count_v[view_m]).astype(np.float32)
        share = sparse.coo_array((share_m, (view_m, cell_m)), shape=(points.views, len(cell_k))).tocsr()
        center_c3 = low_3 + (np.stack(_split(cell_k), 1) + 0.5) * side
        return cls(center_c3, 0.5 * 3**0.5 * side * (1 + 1e-3), share)

    def most_inside(self, planes_b64: np.ndarray, slack: float) -> np.ndarray:
        """At most how much of each view's points (views, b) each of some frusta holds.

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
        return np.asarray(self.share @ inside_cb.astype(np.float32))


def _occupied(
    points: PointsOfViews, xyz_3n: np.ndarray, low_3: np.ndarray, side: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells that each view has points in, the view, and how many."""
    keys, views, counts = [], [], []
    for view in range(points.views):
        some_3m = xyz_3n[:, points.first_v[view] : points.first_v[view + 1]]
        x_m, y_m, z_m = ((some_3m - low_3[:, None]) / side).astype(np.int64)
        key_k, count_k = np.unique(_joined(x_m, y_m, z_m), return_counts=True)
        keys.append(key_k)
        views.append(np.full(len(key_k), view))
        counts.append(count_k)
    return np.concatenate(keys), np.concatenate(views), np.concatenate(counts)


def _joined(x_m: np.ndarray, y_m: np.ndarray, z_m: np.ndarray) -> np.ndarray:
    return (x_m << 40) | (y_m << 20) | z_m


def _split(key_m: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mask = (1 << 20) - 1
    return key_m >> 40, (key_m >> 20) & mask, key_m & mask


def compared(
    points: PointsOfViews,
    targets: Sequence[DepthView],
    compare: Callable[[int, np.ndarray, np.ndarray], np.ndarray],
    slack_t: np.ndarray,
    dilated: float,
    least: float,
    progress: Callable[[range], Iterator[int]] = iter,
) -> sparse.csr_array:
    """A measure (views, targets) of how much of the points of views is seen in targets.

    Args:
        points: of the views.
        targets: that see them.
        compare: for a target's number, its planes (6, 4) and the views that may have points there, the measure
            (views,) of all views; 0 of others.
        slack_t: length by which near and far planes of each target are moved outwards.
        dilated: length by which points may be outside the frustum.
        least: smaller values are left out, as are those of views that cannot reach it.
        progress: wraps the targets' numbers.
    """
    grid = CoarseGrid.of(points)
    columns, most_tv = [], np.zeros((0, 0))
    for target in progress(range(len(targets))):
        if target % _TARGETS == 0:
            some = slice(target, target + _TARGETS)
            planes_b64 = np.stack([frustum_planes(*each) for each in zip(targets[some], slack_t[some], strict=True)])
            most_tv = grid.most_inside(relative_planes(planes_b64, points.origin_3), dilated).T
        may_v = np.flatnonzero((most_tv[target % _TARGETS] >= least * (1 - 1e-4)) & (most_tv[target % _TARGETS] > 0))
        value_v = compare(target, planes_b64[target % _TARGETS], may_v)
        columns.append(sparse.coo_array(np.where(value_v >= least, value_v, 0)[:, None].astype(np.float32)).tocsc())
    if not columns:
        return sparse.csr_array((points.views, 0), dtype=np.float32)
    return sparse.csr_array(sparse.hstack(columns, format="csr"))
