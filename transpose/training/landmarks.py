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
    that a pixel covers there, `photo_n` whether a photo showed it, and not the model.
    """

    points_n3: Tensor
    descriptors_nc: Tensor
    footprint_n: Tensor
    photo_n: Tensor

    def __len__(self) -> int:
        return len(self.points_n3)

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """All parts as one; none: empty."""
        none_nc = torch.zeros(0, DESCRIPTOR_CHANNELS, dtype=torch.half)
        empty = cls(torch.zeros(0, 3), none_nc, torch.zeros(0), torch.zeros(0, dtype=torch.bool))
        parts = [empty, *parts]
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))

    def __getitem__(self, rows: Tensor) -> Observations:
        return Observations(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


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
        same, where_n = rest[like_n], place_n[like_n]
        mean_lc, count_l = _means(same.descriptors_nc.float(), where_n, places)
        kept_l = count_l >= _MIN_OBSERVATIONS
        points.append(_positions(same, where_n, places)[kept_l])
        descriptors.append(F.normalize(mean_lc[kept_l], dim=1))
        weights.append(count_l[kept_l] * mean_lc[kept_l].norm(dim=1))
        rest = rest[~like_n]
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


def _positions(observations: Observations, place_n: Tensor, places: int) -> Tensor:
    """Where the landmarks are (places, 3), from their own observations.

    The model says so, where it was rendered. A photo's own depth, of one noisy frame, counts where the model is silent;
    their viewing rays do not, along which a lens that is not quite the pinhole it is taken for adds its own
    error (measured on RedKitchen: triangulation from 77 photos makes held-out poses worse by a tenth).
    """
    rendered_n = ~observations.photo_n
    by_model_l3, rendered_l = _means(observations.points_n3[rendered_n], place_n[rendered_n], places)
    by_depth_l3, _ = _means(observations.points_n3, place_n, places)
    return torch.where(rendered_l[:, None] > 0, by_model_l3, by_depth_l3)


def _means(values_nc: Tensor, place_n: Tensor, places: int) -> tuple[Tensor, Tensor]:
    """Mean of the values at each place (places, c), and their counts (places,)."""
    count_l = torch.zeros(places).index_add_(0, place_n, torch.ones(len(place_n)))
    sum_lc = torch.zeros(places, values_nc.shape[1]).index_add_(0, place_n, values_nc)
    return sum_lc / count_l.clamp_min(1)[:, None], count_l
