"""From photos with known poses to a map of points: match, triangulate, and find each point again in further photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor

from transpose.mapping.pairs import matched_pairs
from transpose.mapping.triangulation import MapPoints, TriangulationOptions, covariances, refined, triangulate
from transpose.mapping.views import MappedView, Rays

_MATCHED_KEYPOINTS = 2000  # of a view with each other view, the strongest; the rest only find what these have mapped


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Map points of some views.

    Attributes:
        rays: of the views' keypoints.
        points: of them.
        options: by which they were accepted.
    """

    rays: Rays
    points: MapPoints
    options: TriangulationOptions

    @property
    def world_p3(self) -> np.ndarray:
        """The points (p, 3) in the world, float64."""
        world_p3: np.ndarray = self.points.points_p3.numpy() + self.rays.origin_3
        return world_p3

    def shown_in(self, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of a view's keypoints (k,) show map points, and which points (k,)."""
        seen_o = self.rays.view_n[self.points.keypoint_o] == view
        keypoint_k = self.points.keypoint_o[seen_o] - self.rays.first_v[view]
        return keypoint_k.numpy(), self.points.point_o[seen_o].numpy()

    def without(self, views: Sequence[int]) -> np.ndarray:
        """Where the points (p, 3) are in the world as other views alone see them; NaN where these do not suffice."""
        kept_o = ~torch.isin(self.rays.view_n[self.points.keypoint_o], torch.tensor(views))
        points = self.points
        again = refined(self.rays, points.points_p3, points.keypoint_o[kept_o], points.point_o[kept_o], self.options)
        world_p3 = np.full((len(points), 3), np.nan)
        world_p3[again.start_p.numpy()] = again.points_p3.numpy() + self.rays.origin_3
        return world_p3

    def covariances(self, without: Sequence[int] = ()) -> np.ndarray:
        """Of the points (p, 3, 3) if keypoints are off by a pixel, as all views but some tell; NaN: they do not."""
        points = self.points
        kept_o = ~torch.isin(self.rays.view_n[points.keypoint_o], torch.tensor(without, dtype=torch.int64))
        return covariances(self.rays, points.points_p3, points.keypoint_o[kept_o], points.point_o[kept_o]).numpy()

    def accepted_by(self, options: TriangulationOptions) -> Reconstruction:
        """The points that stricter options accept as well, found again without the keypoints that these refuse."""
        points = self.points
        again = refined(self.rays, points.points_p3, points.keypoint_o, points.point_o, options)
        return Reconstruction(self.rays, again, options)


def reconstruct(views: Sequence[MappedView], options: TriangulationOptions | None = None) -> Reconstruction:
    """The map points of photos with known poses.

    Args:
        views: at least one.
        options: of their acceptance.
    """
    options = options or TriangulationOptions()
    rays = Rays.of(views)
    points = triangulate(rays, matched_pairs(views, rays, _MATCHED_KEYPOINTS, options.min_similarity), options)
    return Reconstruction(rays, _found_again(views, rays, points, options), options)


def _found_again(
    views: Sequence[MappedView], rays: Rays, points: MapPoints, options: TriangulationOptions
) -> MapPoints:
    """The points with further keypoints that lie where a point is seen and look like it."""
    if len(points) == 0:
        return points
    descriptors_nc = torch.cat([view.keypoints.descriptors_nc.cpu() for view in views])
    mean_pc = torch.zeros(len(points), descriptors_nc.shape[1])
    mean_pc.index_add_(0, points.point_o, descriptors_nc[points.keypoint_o])
    mean_pc = F.normalize(mean_pc, dim=1)
    free_n = torch.ones(len(rays), dtype=torch.bool)
    free_n[points.keypoint_o] = False
    keypoints, numbers = [points.keypoint_o], [points.point_o]
    for view in range(len(views)):
        keypoint_k, point_k = _near_in_view(views[view], rays, view, points.points_p3, options.max_error_px)
        keypoint_k += rays.first_v[view]
        similar_k = torch.einsum("kc,kc->k", descriptors_nc[keypoint_k], mean_pc[point_k]) > options.min_similarity
        new_k = similar_k & free_n[keypoint_k]
        keypoints.append(keypoint_k[new_k])
        numbers.append(point_k[new_k])
    keypoint_o, point_o = torch.cat(keypoints), torch.cat(numbers)
    order_o = point_o.argsort(stable=True)
    return refined(rays, points.points_p3, keypoint_o[order_o], point_o[order_o], options)


def _near_in_view(
    view: MappedView, rays: Rays, number: int, points_p3: Tensor, max_error_px: float
) -> tuple[Tensor, Tensor]:
    """Keypoints (k,) of a view and the points (k,) that are seen nearest to them, within some pixels."""
    camera_p3 = points_p3 @ rays.R_cw_v33[number].T + rays.t_cw_v3[number]
    px_p2 = view.camera.project(camera_p3.numpy())
    inside = np.flatnonzero(
        (np.nan_to_num(px_p2, nan=-1.0) >= 0).all(1) & (px_p2 < (view.camera.width, view.camera.height)).all(1)
    )
    if len(inside) == 0 or len(view.keypoints) == 0:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    distance_n, nearest_n = cKDTree(px_p2[inside]).query(view.keypoints.px_n2.double().cpu().numpy())
    near = np.flatnonzero(distance_n < max_error_px)
    return torch.from_numpy(near), torch.from_numpy(inside[nearest_n[near]])
