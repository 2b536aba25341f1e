"""Matches of a photo's keypoints with those of database images, and their merging into places of the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.localization.matching.database import Database
from transpose.models.keypoints import Keypoints

_MOST_PLACES = 3  # that a keypoint may be at; of more, the pose would come from what is alike everywhere


@dataclass(frozen=True, eq=False)
class ImageMatches:
    """Matches of several image pairs, indices (m,).

    Attributes:
        keypoint_m: of the photo.
        row_m: number of the keypoint in the database.
        similarity_m: of the two, the larger the surer.
    """

    keypoint_m: Tensor
    row_m: Tensor
    similarity_m: Tensor

    def __len__(self) -> int:
        return len(self.keypoint_m)


class Matcher(Protocol):
    """Matches a photo with images of the database."""

    def match(self, keypoints: Keypoints, camera: Camera, database: Database, images_v: Tensor) -> ImageMatches:
        """The matches of a photo's keypoints with those of some images, each pair of images for itself.

        Args:
            keypoints: of the photo.
            camera: of the photo, whose size matters.
            database: of the place.
            images_v: numbers of its images.
        """


@dataclass(frozen=True, eq=False)
class Places:
    """World points that keypoints of a photo are taken for.

    Attributes:
        keypoint_m: of the photo; up to `_MOST_PLACES` times the same.
        points_m3: relative to the database's origin, float32.
        row_m: number of the keypoint in the database that is surest to show the place.
    """

    keypoint_m: Tensor
    points_m3: Tensor
    row_m: Tensor


def merged(matches: ImageMatches, points_n3: Tensor, radius_n: Tensor) -> Places:
    """Matches of one keypoint with the same place of the world, seen in several images, as one.

    The surest match of a keypoint says where a place is; others of that keypoint within its radius are the same place,
    whose point is the mean of all: each image saw it with errors of its own. What is left makes further places.

    Args:
        matches: of one photo with several images.
        points_n3: what the database's keypoints show.
        radius_n: within which others show the same, for each.
    """
    order_m = matches.similarity_m.argsort(descending=True, stable=True)
    order_m = order_m[matches.keypoint_m[order_m].argsort(stable=True)]
    keypoint_m, row_m = matches.keypoint_m[order_m], matches.row_m[order_m]
    keypoints, points, leaders = [], [], []
    for _ in range(_MOST_PLACES):
        if len(row_m) == 0:
            break
        _, which_m, count_k = keypoint_m.unique_consecutive(return_inverse=True, return_counts=True)
        leader_k = row_m[count_k.cumsum(0) - count_k]
        distance_m = (points_n3[row_m] - points_n3[leader_k][which_m]).norm(dim=1)
        same_m = distance_m <= radius_n[leader_k][which_m]
        sum_k3 = torch.zeros(len(count_k), 3, device=row_m.device)
        sum_k3.index_add_(0, which_m[same_m], points_n3[row_m[same_m]])
        same_k = torch.zeros(len(count_k), device=row_m.device).index_add_(0, which_m, same_m.float())
        keypoints.append(keypoint_m[count_k.cumsum(0) - count_k])
        points.append(sum_k3 / same_k[:, None])
        leaders.append(leader_k)
        keypoint_m, row_m = keypoint_m[~same_m], row_m[~same_m]
    if not points:
        return Places(matches.keypoint_m[:0], points_n3[:0], matches.row_m[:0])
    return Places(torch.cat(keypoints), torch.cat(points), torch.cat(leaders))
