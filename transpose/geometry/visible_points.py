"""The points of many views side by side, and which of them may lie in another view: what measures of overlap share.

A view sees points of another where they are inside its frustum. A coarse grid of the world tells which of them can be
there, so that most points, and most pairs of views of a large place, are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from transpose.geometry.coarse_grid import CoarseGrid
from transpose.geometry.depth_views import DepthView, frustum_planes
from transpose.parallel import in_order, one_thread_each, worker_count

_CHUNK = {"cpu": 65_536, "cuda": 8_388_608}  # points that are looked at at once
_TARGETS = 64  # whose candidates are looked for at once

# Of a target's number, its planes (6, 4) and numbers of points that may be there, a measure (views,) of all views.
Compare = Callable[[int, np.ndarray, Iterable[Tensor]], np.ndarray]


@dataclass(frozen=True, eq=False)
class PointsOfViews:
    """World points of some views, one view after the other, and those of a view by cells of a coarse grid.

    Attributes:
        xyz_3n: float32, relative to `origin_3`.
        more_kn: what else came with each point.
        view_n: the view of each.
        count_v: points of each view.
        origin_3: float64.
        grid: of the points.
    """

    xyz_3n: Tensor
    more_kn: Tensor
    view_n: Tensor
    count_v: np.ndarray
    origin_3: np.ndarray
    grid: CoarseGrid

    @classmethod
    def of(cls, points: Iterable[np.ndarray], origin_3: np.ndarray, device: torch.device) -> PointsOfViews:
        """Of points (n, 3 or more) of each view, float32: x, y, z relative to the origin, and what else to keep."""
        parts = list(points)
        count_v = np.array([len(each) for each in parts], np.int64)
        values_kn = np.empty((parts[0].shape[1] if parts else 3, count_v.sum()), np.float32)
        for end, each in zip(count_v.cumsum(), parts, strict=True):
            values_kn[:, end - len(each) : end] = each.T
        grid = CoarseGrid.sorting(values_kn, count_v)
        view_n = torch.from_numpy(np.repeat(np.arange(len(parts), dtype=np.int32), count_v)).to(device)
        values = torch.from_numpy(values_kn).to(device)
        return cls(values[:3], values[3:], view_n, count_v, origin_3, grid)

    def chunks(self, run_r: np.ndarray) -> Iterator[Tensor]:
        """Numbers of the points of some runs of the grid."""
        if len(run_r) == 0:
            return
        most = _CHUNK.get(self.xyz_3n.device.type, _CHUNK["cpu"])
        end_r = self.grid.count_r[run_r].cumsum()
        cuts = np.searchsorted(end_r, np.arange(most, end_r[-1], most), side="right")
        for some_r in np.split(run_r, np.unique(cuts)):
            count_k = self.grid.count_r[some_r]
            offset_k = self.grid.first_r[some_r] - (count_k.cumsum() - count_k)
            number_n = np.arange(count_k.sum()) + np.repeat(offset_k, count_k)
            yield torch.from_numpy(number_n).to(self.xyz_3n.device)

    def inside(self, planes_64: np.ndarray, number_m: Tensor, slack: float = 0.0) -> Tensor:
        """Those of some points that are inside planes of the world, or outside by some length at most."""
        planes_64 = relative_planes(planes_64, self.origin_3)
        normal_63, offset_61 = (self._tensor(each) for each in (planes_64[:, :3], planes_64[:, 3:] + slack))
        distance_6m = torch.addmm(offset_61, normal_63, self.xyz_3n.index_select(1, number_m))
        return number_m.index_select(0, (distance_6m.amin(0) >= 0).nonzero()[:, 0])

    def in_camera(self, T_cw: np.ndarray, number_m: Tensor) -> Tensor:
        """Some points (3, m) in the frame of a camera, whose `T_cw` is of the world."""
        T_cw = T_cw @ _moved(self.origin_3)
        R_33, t_31 = self._tensor(T_cw[:3, :3]), self._tensor(T_cw[:3, 3:])
        return torch.addmm(t_31, R_33, self.xyz_3n.index_select(1, number_m))

    def counted(self, number_m: Tensor, weight_m: Tensor | None = None) -> np.ndarray:
        """How many of some points, or how much weight of theirs, each view has (views,)."""
        return torch.bincount(self.view_n.index_select(0, number_m), weight_m, len(self.count_v)).cpu().numpy()

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
class _Candidates:
    """Which points may be in some targets.

    Attributes:
        planes_b64: of the targets, in the world.
        inside_cb: whether cells of the grid may have points there.
        view_vb: whether views may have enough of theirs there.
    """

    planes_b64: np.ndarray
    inside_cb: np.ndarray
    view_vb: np.ndarray

    @classmethod
    def of(cls, points: PointsOfViews, planes_b64: np.ndarray, dilated: float, least: float) -> _Candidates:
        inside_cb = points.grid.inside(relative_planes(planes_b64, points.origin_3), dilated)
        most_vb = np.asarray(points.grid.share @ inside_cb.astype(np.float32))
        return cls(planes_b64, inside_cb, (most_vb >= least * (1 - 1e-4)) & (most_vb > 0))

    def runs(self, grid: CoarseGrid, number: int) -> np.ndarray:
        """Of points that may be in one of the targets."""
        return np.flatnonzero(self.inside_cb[:, number][grid.cell_r] & self.view_vb[:, number][grid.view_r])


def compared(
    points: PointsOfViews,
    targets: Sequence[DepthView],
    compare: Compare,
    slack_t: np.ndarray,
    dilated: float,
    least: float,
    progress: Callable[[range], Iterator[int]] = iter,
) -> sparse.csr_array:
    """A measure (views, targets) of how much of the points of views is seen in targets.

    Args:
        points: of the views.
        targets: that see them.
        compare: the measure; called from several threads.
        slack_t: length by which near and far planes of each target are moved outwards.
        dilated: length by which points may be outside the frustum.
        least: smaller values are left out, as are those of views that cannot reach it.
        progress: wraps the targets' numbers.
    """
    columns = []
    found = _in_threads(points, targets, compare, slack_t, dilated, least)
    for _, value_v in zip(progress(range(len(targets))), found, strict=True):
        columns.append(sparse.coo_array(np.where(value_v >= least, value_v, 0)[:, None].astype(np.float32)).tocsc())
    if not columns:
        return sparse.csr_array((len(points.count_v), 0), dtype=np.float32)
    return sparse.csr_array(sparse.hstack(columns, format="csr"))


def _in_threads(
    points: PointsOfViews,
    targets: Sequence[DepthView],
    compare: Compare,
    slack_t: np.ndarray,
    dilated: float,
    least: float,
) -> Iterator[np.ndarray]:
    """The measure (views,) of all views for one target after the other."""
    threads = worker_count() if points.xyz_3n.device.type == "cpu" else 1
    with one_thread_each(), ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(targets), _TARGETS):
            some = slice(first, first + _TARGETS)
            planes_b64 = np.stack([frustum_planes(*each) for each in zip(targets[some], slack_t[some], strict=True)])
            candidates = _Candidates.of(points, planes_b64, dilated, least)

            def of_target(number: int, first: int = first, candidates: _Candidates = candidates) -> np.ndarray:
                chunks = points.chunks(candidates.runs(points.grid, number))
                return compare(first + number, candidates.planes_b64[number], chunks)

            yield from in_order(pool, of_target, range(len(planes_b64)))
