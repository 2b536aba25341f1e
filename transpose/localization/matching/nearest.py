"""Nearest neighbours: keypoints of two images that are each other's most similar, of many images at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.localization.matching.database import Database
from transpose.localization.matching.matches import ImageMatches
from transpose.models.keypoints import Keypoints
from transpose.models.local_features import FeatureKind

_AT_ONCE = 2**23  # similarities that exist at once


@dataclass(frozen=True)
class NearestNeighbours:
    """Mutual nearest neighbours of the descriptors, with the bounds of their kind."""

    kind: FeatureKind

    def match(self, keypoints: Keypoints, camera: Camera, database: Database, images_v: Tensor) -> ImageMatches:
        """See `Matcher`."""
        rows_vk = database.rows(images_v)
        at_once = max(1, _AT_ONCE // max(1, len(keypoints) * rows_vk.shape[1]))
        parts = [self._matched(keypoints.descriptors_nc, database, part_vk) for part_vk in rows_vk.split(at_once)]
        keypoint_m, row_m, similarity_m = (torch.cat(each) for each in zip(*parts, strict=True))
        return ImageMatches(keypoint_m, row_m, similarity_m)

    def _matched(self, query_nc: Tensor, database: Database, rows_vk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if len(query_nc) == 0 or rows_vk.shape[1] == 0:
            none = torch.zeros(0, dtype=torch.int64, device=rows_vk.device)
            return none, none, none.float()
        view_m, keypoint_m, within_m, similarity_m = mutual_in_views(
            query_nc, database.descriptors(rows_vk), self.kind.min_similarity, self.kind.max_ratio
        )
        return keypoint_m, rows_vk[view_m, within_m], similarity_m


def mutual_in_views(
    query_nc: Tensor, views_vkc: Tensor, min_similarity: float, max_ratio: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pairs of a query's and a view's descriptors that are each other's most similar, for all views in one product.

    Args:
        query_nc: unit vectors.
        views_vkc: unit vectors, zero where a view has fewer than others.
        min_similarity: cosine that a pair must exceed; positive.
        max_ratio: see `FeatureKind`.

    Returns:
        View, row of the query, row within the view, and cosine, (m,) each, view by view.
    """
    similarity_vnk = query_nc @ views_vkc.transpose(1, 2)
    best_vn, which_vn = similarity_vnk.max(2)
    mutual_vn = best_vn == similarity_vnk.amax(1).gather(1, which_vn)
    good_vn = mutual_vn & (best_vn > min_similarity)
    if max_ratio is not None:
        second_vn = similarity_vnk.scatter(2, which_vn[..., None], -1.0).amax(2)
        good_vn &= (1 - best_vn).clamp_min(0) <= max_ratio**2 * (1 - second_vn)  # |a - b|^2 = 2 - 2 cosine
    view_m, keypoint_m = good_vn.nonzero(as_tuple=True)
    return view_m, keypoint_m, which_vn[view_m, keypoint_m], best_vn[view_m, keypoint_m]
