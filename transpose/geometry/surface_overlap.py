"""Normalized surface overlap: how much of the surface of one view lies on the surface of another.

Rau et al., Predicting Visual Overlap of Images Through Interpretable Non-Metric Box Embeddings, ECCV 2020. Unlike the
overlap of frusta it does not ask whether a point is inside the other image, but whether the other image has a point
beside it, and weights it by how far both face the same way: NSO(X -> Y) = 1/|X| sum_i w_i over those points of X that
have their nearest one of Y, q, within a radius, with w_i = (1 + n_i . n_q) / 2. Of a query and an image of a database,
NSO(query -> image) is its enclosure, NSO(image -> query) its concentration. Normals are compared in the world's frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from transpose.geometry.cameras import cell_points
from transpose.geometry.depth_views import DepthView
from transpose.geometry.nearest_cells import NearestCells
from transpose.geometry.normals import normals_of_map
from transpose.geometry.overlap import Progress
from transpose.geometry.visible_points import PointsOfViews, compared
from transpose.parallel import in_order, worker_count


@dataclass(frozen=True)
class SurfaceOptions:
    """When points of two views are of one place.

    Attributes:
        cells: the radius, in distances between points of neighbouring cells of the coarser view, in the median.
        radius: a length instead, such as the published 0.1 m.
        least: smaller overlaps are left out.
    """

    cells: float = 3.0
    radius: float | None = None
    least: float = 0.0

    def __post_init__(self) -> None:
        if self.cells <= 0 or (self.radius is not None and self.radius <= 0):
            raise ValueError(f"a radius is positive, got {self}")
        if not 0 <= self.least <= 1:
            raise ValueError(f"an overlap lies in 0..1, got {self.least}")


@dataclass(frozen=True, eq=False)
class ViewSurface:
    """Points (n, 3) of a view that have a normal, and their normals, both in the world, float64.

    `cell_n` numbers their cells in the image.
    """

    points_n3: np.ndarray
    normals_n3: np.ndarray
    cell_n: np.ndarray

    @classmethod
    def of(cls, view: DepthView) -> ViewSurface:
        """Of a view's depth. Empty where none is known."""
        px_hw2 = cell_points(view.camera.width, view.camera.height, view.stride)
        points_hw3 = view.camera.unproject(px_hw2) * view.depth_hw[..., None]
        normals_hw3 = normals_of_map(points_hw3, np.zeros(3))
        good_hw = np.isfinite(normals_hw3).all(2)
        R_wc = view.pose.R_wc
        return cls(
            points_hw3[good_hw] @ R_wc.T + view.pose.center, normals_hw3[good_hw] @ R_wc.T, np.flatnonzero(good_hw)
        )


def sampling_distance(view: DepthView) -> float:
    """Between points of neighbouring cells, in the median, on a surface seen straight; 0 where no depth is known."""
    return float(np.nanmedian(view.depth_hw)) * view.stride / view.camera.fx if view.known else 0.0


def surface_overlap(
    sources: Sequence[DepthView],
    targets: Sequence[DepthView],
    options: SurfaceOptions | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = iter,
) -> sparse.csr_array:
    """NSO(source -> target), (sources, targets) float32 in 0..1: the enclosure of sources in targets.

    `surface_overlap(targets, sources).T` is their concentration. The radius of a pair is the larger one of its views,
    so that the sparser of both surfaces still has a point beside each of the other.

    Args:
        sources, targets: views of one world with complete depth; one without any overlaps nothing.
        options: the defaults without.
        device: where it is computed.
        progress: wraps the targets' numbers.
    """
    options = options or SurfaceOptions()
    pairs = _Pairs.of(sources, targets, options, torch.device(device))
    dilated = float(max(pairs.radius_v.max(initial=0.0), pairs.radius_t.max(initial=0.0)))
    return compared(pairs.points, targets, pairs.near, np.zeros(len(targets)), dilated, options.least, progress)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """What all pairs need: points of the sources with normals, and the radius that each view asks for."""

    points: PointsOfViews
    radius_v: np.ndarray
    targets: Sequence[DepthView]
    radius_t: np.ndarray

    @classmethod
    def of(
        cls, sources: Sequence[DepthView], targets: Sequence[DepthView], options: SurfaceOptions, device: torch.device
    ) -> _Pairs:
        origin_3 = np.mean([view.pose.center for view in [*sources, *targets]] or [np.zeros(3)], axis=0)

        def with_normals(source: int) -> np.ndarray:
            surface = ViewSurface.of(sources[source])
            return np.hstack([surface.points_n3 - origin_3, surface.normals_n3]).astype(np.float32)

        with ThreadPoolExecutor(worker_count()) as pool:
            points = PointsOfViews.of(in_order(pool, with_normals, range(len(sources))), origin_3, device)
        radius_v, radius_t = (
            np.array([options.radius or options.cells * sampling_distance(view) for view in views])
            for views in (sources, targets)
        )
        return cls(points, radius_v, targets, radius_t)

    def near(self, target: int, planes_64: np.ndarray, chunks: Iterable[Tensor]) -> np.ndarray:
        """NSO (sources,) in a target of the sources whose points are given; 0 of the others."""
        points, view, surface = self.points, self.targets[target], ViewSurface.of(self.targets[target])
        weight_v = np.zeros(len(points.count_v))
        if len(surface.points_n3) == 0:
            return weight_v
        device, radius_v = points.xyz_3n.device, np.maximum(self.radius_v, self.radius_t[target])
        own_n3, largest = (surface.points_n3 - view.pose.center) @ view.pose.R_wc, float(radius_v.max(initial=0.0))
        cells = NearestCells.of(view, own_n3, surface.cell_n, largest, device)
        normal_3c = torch.from_numpy(cells.image.padded(surface.normals_n3, surface.cell_n)).to(device)
        radius = torch.from_numpy(radius_v.astype(np.float32)).to(device)
        for chunk in chunks:
            number_m = points.inside(planes_64, chunk, largest)
            radius_m = radius.index_select(0, points.view_n.index_select(0, number_m))
            cell_m = cells.nearest(points.in_camera(view.pose.T_cw, number_m), radius_m)
            within_k = (cell_m >= 0).nonzero()[:, 0]
            number_k, cell_k = number_m.index_select(0, within_k), cell_m.index_select(0, within_k)
            cosine_k = (points.more_kn.index_select(1, number_k) * normal_3c.index_select(1, cell_k)).sum(0)
            weight_v += points.counted(number_k, 0.5 * (1 + cosine_k.double()))
        return weight_v / np.maximum(points.count_v, 1)
