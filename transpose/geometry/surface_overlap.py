"""Normalized surface overlap: how much of the surface of one view lies on the surface of another.

Rau et al., Predicting Visual Overlap of Images Through Interpretable Non-Metric Box Embeddings, ECCV 2020. Unlike the
overlap of frusta it does not ask whether a point is inside the other image, but whether the other image has a point
beside it, and weights it by how far both face the same way: NSO(X -> Y) = 1/|X| sum_i w_i over those points of X that
have their nearest one of Y, q, within a radius, with w_i = (1 + n_i . n_q) / 2. Of a query and an image of a database,
NSO(query -> image) is its enclosure, NSO(image -> query) its concentration. Normals are compared in the world's frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

from transpose.geometry.cameras import cell_points
from transpose.geometry.depth_views import DepthView
from transpose.geometry.normals import normals_of_map
from transpose.geometry.overlap import Progress, cells_of
from transpose.geometry.visible_points import PointsOfViews, compared
from transpose.parallel import worker_count

_MOST_POOLED = 12  # cells, each way, of the neighbourhood whose depths are looked at first


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
    """Points (n, 3) of a view that have a normal, and their normals, both in the world, float64."""

    points_n3: np.ndarray
    normals_n3: np.ndarray

    @classmethod
    def of(cls, view: DepthView) -> ViewSurface:
        """Of a view's depth. Empty where none is known."""
        px_hw2 = cell_points(view.camera.width, view.camera.height, view.stride)
        points_hw3 = view.camera.unproject(px_hw2) * view.depth_hw[..., None]
        normals_hw3 = normals_of_map(points_hw3, np.zeros(3))
        good_hw = np.isfinite(normals_hw3).all(2)
        R_wc = view.pose.R_wc
        return cls(points_hw3[good_hw] @ R_wc.T + view.pose.center, normals_hw3[good_hw] @ R_wc.T)


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
        device: where points are projected; nearest ones are found on the CPU.
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
    normal_n3: np.ndarray
    radius_v: np.ndarray
    targets: Sequence[DepthView]
    radius_t: np.ndarray

    @classmethod
    def of(
        cls, sources: Sequence[DepthView], targets: Sequence[DepthView], options: SurfaceOptions, device: torch.device
    ) -> _Pairs:
        origin_3 = np.mean([view.pose.center for view in [*sources, *targets]] or [np.zeros(3)], axis=0)
        points, normals = [], [np.zeros((0, 3), np.float32)]
        for view in sources:
            surface = ViewSurface.of(view)
            points.append((surface.points_n3 - origin_3).astype(np.float32))
            normals.append(surface.normals_n3.astype(np.float32))
        radius_v, radius_t = (
            np.array([options.radius or options.cells * sampling_distance(view) for view in views])
            for views in (sources, targets)
        )
        stacked = PointsOfViews.of(points, origin_3, device)
        return cls(stacked, np.concatenate(normals), radius_v, targets, radius_t)

    def near(self, target: int, planes_64: np.ndarray, view_m: np.ndarray) -> np.ndarray:
        """NSO (sources,) of some sources in a target; 0 of the others."""
        points, T_cw, surface = self.points, self.targets[target].pose.T_cw, ViewSurface.of(self.targets[target])
        weight_v = np.zeros(points.views)
        if len(surface.points_n3) == 0 or len(view_m) == 0:
            return weight_v
        radius_v = np.maximum(self.radius_v, self.radius_t[target])
        around = _Around.of(self.targets[target], float(radius_v[view_m].max()), points.xyz_3n.device)
        tree, target_normal_n3 = cKDTree(surface.points_n3 - points.origin_3), surface.normals_n3.astype(np.float32)
        for chunk in points.chunks(view_m):
            number_m = points.inside(planes_64, chunk, around.radius)
            number_m = number_m[around.may_touch(points.in_camera(T_cw, number_m))]
            xyz_m3 = points.xyz_3n[:, number_m].T.cpu().numpy()
            distance_m, nearest_m = tree.query(xyz_m3, distance_upper_bound=around.radius, workers=worker_count())
            within_m = distance_m < radius_v[points.view_n[number_m].cpu().numpy()]
            within_k = number_m[torch.from_numpy(within_m).to(number_m.device)]
            cosine_k = (self.normal_n3[within_k.cpu().numpy()] * target_normal_n3[nearest_m[within_m]]).sum(1)
            weight_k = torch.from_numpy(0.5 * (1 + cosine_k.astype(np.float64))).to(number_m.device)
            weight_v += points.counted(within_k, weight_k)
        return weight_v / np.maximum(points.count_v, 1)


@dataclass(frozen=True, eq=False)
class _Around:
    """Depths about each cell of a target: a point that is far from all of them has no neighbour.

    Attributes:
        nearest_n, farthest_n: within `cells` of each cell, each way; infinite where none is known.
        enough_z: from that depth on, no point within the radius is seen farther away in the image than that.
    """

    view: DepthView
    radius: float
    nearest_n: Tensor
    farthest_n: Tensor
    enough_z: float

    @classmethod
    def of(cls, view: DepthView, radius: float, device: torch.device) -> _Around:
        """Of a target and the largest radius that is asked about."""
        from torch.nn.functional import max_pool2d

        camera = view.camera
        # A point and one within the radius differ in the image by f r / z times the length of the ray to either.
        half_2 = np.maximum([camera.cx, camera.cy], [camera.width - camera.cx, camera.height - camera.cy])
        reach = 1 + float((half_2 / (camera.fx, camera.fy)).max())
        spread_px = max(camera.fx, camera.fy) * radius * reach
        known_z = np.nanmin(view.depth_hw)
        cells = int(np.clip(np.ceil(spread_px / (max(known_z - radius, 1e-9) * view.stride)) + 1, 1, _MOST_POOLED))
        enough_z = spread_px / ((cells - 1) * view.stride) if cells > 1 else np.inf
        depth_1hw = torch.from_numpy(view.depth_hw).to(device)[None]
        low_1hw, high_1hw = (torch.where(depth_1hw.isnan(), -torch.inf, each) for each in (-depth_1hw, depth_1hw))
        nearest, farthest = (
            max_pool2d(each, 2 * cells + 1, stride=1, padding=cells).ravel() for each in (low_1hw, high_1hw)
        )
        return cls(view, radius, -nearest, farthest, enough_z)

    def may_touch(self, points_3m: Tensor) -> Tensor:
        """Which points (3, m) of the camera's frame may have one of the view within the radius."""
        z_m = points_3m[2]
        if self.view.camera.k1 or self.view.camera.k2:  # how far apart they are in the image depends on the lens
            return torch.ones_like(z_m, dtype=torch.bool)
        cell_m, _ = cells_of(self.view, points_3m)
        slack = self.radius * (1 + 1e-4)
        between_m = (z_m > self.nearest_n[cell_m] - slack) & (z_m < self.farthest_n[cell_m] + slack)
        return between_m | (z_m < self.enough_z)
