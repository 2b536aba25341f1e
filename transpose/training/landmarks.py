"""Landmarks from the key-points of many views: what was met again and again at one place is worth remembering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.localization.landmarks import LandmarkMap
from transpose.models.xfeat import DESCRIPTOR_CHANNELS

_CELL_PX = 5.0  # observations within so many pixels of each other, seen from the usual distance, may be one landmark
_SAME = 0.75  # descriptors at least so similar (cosine) are views of one thing from similar directions
_LOOKS = 4  # a place is remembered by at most so many looks, since descriptors do not survive large turns
_MIN_OBSERVATIONS = 3


@dataclass(frozen=True)
class Observations:
    """Key-points with known world points.

    `points_n3` float32 metres relative to the run's origin, `descriptors_nc` float16 unit vectors, `footprint_n` metres
    that a pixel covers there.
    """

    points_n3: Tensor
    descriptors_nc: Tensor
    footprint_n: Tensor

    def __len__(self) -> int:
        return len(self.points_n3)

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """All parts as one; none: empty."""
        empty = cls(torch.zeros(0, 3), torch.zeros(0, DESCRIPTOR_CHANNELS, dtype=torch.half), torch.zeros(0))
        parts = [empty, *parts]
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))


def landmarks_from(observations: Observations, most: int) -> LandmarkMap:
    """Groups observations by place and look; those met most often, and most alike, become landmarks.

    Args:
        observations: of all views.
        most: how many landmarks are kept at most.
    """
    points, descriptors, weights = [], [], []
    rest = observations
    for _ in range(_LOOKS if len(observations) else 0):
        place_n, places = _places(rest)
        look_lc, _ = _means(rest.descriptors_nc.float(), place_n, places)
        # The observation nearest to a place's mean leads; those like it join, the others make the next look.
        alike_n = (rest.descriptors_nc.float() * F.normalize(look_lc, dim=1)[place_n]).sum(1)
        best_l = torch.full((places,), -1.0).scatter_reduce_(0, place_n, alike_n, "amax")
        leaders_n = (alike_n == best_l[place_n]).nonzero()[:, 0]
        leader_l = torch.zeros(places, dtype=torch.long).scatter_(0, place_n[leaders_n], leaders_n)
        like_n = (rest.descriptors_nc * rest.descriptors_nc[leader_l[place_n]]).float().sum(1) >= _SAME
        # What is like its leader is one landmark.
        mean_l3, count_l = _means(rest.points_n3[like_n], place_n[like_n], places)
        mean_lc, _ = _means(rest.descriptors_nc[like_n].float(), place_n[like_n], places)
        kept_l = count_l >= _MIN_OBSERVATIONS
        points.append(mean_l3[kept_l])
        descriptors.append(F.normalize(mean_lc[kept_l], dim=1))
        weights.append(count_l[kept_l] * mean_lc[kept_l].norm(dim=1))
        rest = Observations(rest.points_n3[~like_n], rest.descriptors_nc[~like_n], rest.footprint_n[~like_n])
        if len(rest) == 0:
            break
    if not points:
        return LandmarkMap(torch.zeros(0, 3), torch.zeros(0, DESCRIPTOR_CHANNELS))
    best_l = torch.cat(weights).argsort(descending=True, stable=True)[:most]
    return LandmarkMap(torch.cat(points)[best_l], torch.cat(descriptors)[best_l])


def _places(observations: Observations) -> tuple[Tensor, int]:
    """Which cell of a grid over the scene each observation lies in (n,), and how many cells there are."""
    cell_m = _CELL_PX * observations.footprint_n.median()
    key_n3 = (observations.points_n3 / cell_m).floor().long()
    _, place_n = key_n3.unique(dim=0, return_inverse=True)
    return place_n, int(place_n.max()) + 1


def _means(values_nc: Tensor, place_n: Tensor, places: int) -> tuple[Tensor, Tensor]:
    """Mean of the values at each place (places, c), and their counts (places,)."""
    count_l = torch.zeros(places).index_add_(0, place_n, torch.ones(len(place_n)))
    sum_lc = torch.zeros(places, values_nc.shape[1]).index_add_(0, place_n, values_nc)
    return sum_lc / count_l.clamp_min(1)[:, None], count_l
