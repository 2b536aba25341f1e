"""Landmarks from the keypoints of many views: what is detected repeatedly at one point of the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.localization.landmarks import LandmarkMap
from transpose.models.xfeat import DESCRIPTOR_CHANNELS

# Within so many pixels, seen from the usual distance, two observations may be of one corner. Keypoints are found to a
# pixel and depth is as good; corners further apart are two, however similar: joined within 5 pixels, held-out poses get
# worse by an eighth (RedKitchen), within 2 the map is larger and no better.
PLACE_PX = 3.0
# Descriptors at least so similar (cosine) are views of one thing from similar directions.
SIMILAR = 0.75
_MAX_MODES = 4  # a place is remembered by at most so many appearances: descriptors do not survive large turns
_MIN_OBSERVATIONS = 3
# More make poses no better where a view sees enough of them; a village of 300 x 300 m, flown over in any direction and
# 30 to 100 m high, of whose landmarks a view saw 167 among 20,000 and 298 among 54,000, placed 2 and 6 of 12 photos.
_USUAL, _ENOUGH_A_VIEW = 20_000, 350
_KEY_BITS = 21  # an axis
_HALF_NEIGHBOURS = ((0, 0), (0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True)
class Observations:
    """Keypoints with known world points, all on one device.

    `points_n3` float32 metres relative to the run's origin, `descriptors_nc` float16 unit vectors, `gsd_n` the ground
    sampling distance: metres that a pixel of the view covers there, `toward_n3` float16 unit vectors to the view's
    camera, `photo_n` whether a photo showed it, and not the model, `frame_n` which training frame it was, `number_n`
    the number of the map point in its map, -1 where the point is from depth; `features_nk` float16 what else the
    encoder says of them, the descriptors' features first, None where nobody asked.
    """

    points_n3: Tensor
    descriptors_nc: Tensor
    gsd_n: Tensor
    toward_n3: Tensor
    photo_n: Tensor
    frame_n: Tensor
    number_n: Tensor
    features_nk: Tensor | None = None

    def __len__(self) -> int:
        return len(self.points_n3)

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """All parts as one; none: empty."""
        if not parts:
            none_nc = torch.zeros(0, DESCRIPTOR_CHANNELS, dtype=torch.half)
            none_n, none_n3 = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3)
            return cls(none_n3, none_nc, none_n3[:, 0], none_n3.half(), none_n.bool(), none_n, none_n)
        columns = [[getattr(part, name) for part in parts] for name in cls.__dataclass_fields__]
        together: list[Any] = [None if column[0] is None else torch.cat(column) for column in columns]
        return cls(*together)

    def __getitem__(self, rows: Tensor) -> Observations:
        columns = [getattr(self, name) for name in self.__dataclass_fields__]
        picked: list[Any] = [None if column is None else column[rows] for column in columns]
        return Observations(*picked)


def landmarks_from(observations: Observations, most: int, similar: float = SIMILAR) -> LandmarkMap:
    """Clusters observations by position and descriptor; the largest and most consistent clusters become landmarks.

    No two landmarks are nearer to each other than `PLACE_PX` pixels and more similar than `similar`. There are 20,000
    at most, or as many more as let a view see 350 on average.

    Args:
        observations: of all views; the map is on their device.
        most: how many landmarks are kept at most, whatever a view sees.
        similar: cosine from which on descriptors are taken for views of one thing.
    """
    if len(observations) == 0:
        device = observations.points_n3.device
        none_n3 = torch.zeros(0, 3, device=device)
        return LandmarkMap(none_n3, torch.zeros(0, DESCRIPTOR_CHANNELS, device=device), none_n3)
    place_m = PLACE_PX * float(observations.gsd_n.median())
    groups = _grouped(observations, place_m, similar)
    # The grid's borders run through many a corner, whose halves are joined here; means move then, until none is near.
    while len(pairs_p2 := groups.twins(place_m, similar)):
        groups = groups.merged(_representatives(pairs_p2, groups.weight_g))
    kept = (groups.count_g >= _MIN_OBSERVATIONS).nonzero()[:, 0]
    best = kept[groups.weight_g[kept].argsort(descending=True, stable=True)]
    best = best[: min(most, _enough(groups.count_g[best], observations))]
    toward_g3 = groups.toward_sum_g3 / groups.count_g[:, None]
    return LandmarkMap(groups.points_g3[best], F.normalize(groups.descriptor_sum_gc[best], dim=1), toward_g3[best])


def _enough(count_g: Tensor, observations: Observations) -> int:
    """How many of the groups, best first, a place needs: see `landmarks_from`."""
    seen_a_view_g = count_g.cumsum(0) / len(observations.frame_n.unique())
    return max(_USUAL, int((seen_a_view_g < _ENOUGH_A_VIEW).sum()) + 1)


@dataclass(frozen=True)
class _Groups:
    """Groups of observations by their sums, so that joining two is adding them."""

    count_g: Tensor
    descriptor_sum_gc: Tensor
    point_sum_g3: Tensor
    model_count_g: Tensor
    model_point_sum_g3: Tensor
    mapped_count_g: Tensor
    mapped_point_sum_g3: Tensor
    toward_sum_g3: Tensor

    @classmethod
    def of(cls, observations: Observations, group_n: Tensor) -> _Groups:
        """Observation i belongs to group `group_n[i]`; numbers without gaps."""
        rendered_n = (~observations.photo_n).float()
        mapped_n = (observations.number_n >= 0).float()
        each = cls(
            torch.ones_like(rendered_n),
            observations.descriptors_nc.float(),
            observations.points_n3,
            rendered_n,
            observations.points_n3 * rendered_n[:, None],
            mapped_n,
            observations.points_n3 * mapped_n[:, None],
            observations.toward_n3.float(),
        )
        return each._summed(group_n)

    @property
    def weight_g(self) -> Tensor:
        """How many observations, less where their descriptors differ."""
        return self.descriptor_sum_gc.norm(dim=1)

    @property
    def points_g3(self) -> Tensor:
        """Where the groups' landmarks are.

        A point that several photos show is the surest. Else the model says so, where it was rendered; a photo's own
        depth, of one noisy frame, counts where both are silent.
        """
        by_all_g3 = self.point_sum_g3 / self.count_g[:, None]
        by_model_g3 = self.model_point_sum_g3 / self.model_count_g.clamp_min(1)[:, None]
        by_map_g3 = self.mapped_point_sum_g3 / self.mapped_count_g.clamp_min(1)[:, None]
        by_model_g3 = torch.where(self.model_count_g[:, None] > 0, by_model_g3, by_all_g3)
        return torch.where(self.mapped_count_g[:, None] > 0, by_map_g3, by_model_g3)

    def twins(self, radius_m: float, similar: float) -> Tensor:
        """Pairs (p, 2) of groups that are near each other and similar."""
        points_g3, descriptors_gc = self.points_g3, F.normalize(self.descriptor_sum_gc, dim=1)
        first_p, second_p = _near(points_g3, radius_m)
        similar_p = torch.einsum("pc,pc->p", descriptors_gc[first_p], descriptors_gc[second_p]) >= similar
        return torch.stack([first_p, second_p], 1)[similar_p]

    def merged(self, representative_g: Tensor) -> _Groups:
        """Each group as a part of its representative's."""
        _, group_g = representative_g.unique(return_inverse=True)
        return self._summed(group_g)

    def _summed(self, group_n: Tensor) -> _Groups:
        groups = int(group_n.max()) + 1
        parts = [getattr(self, name) for name in self.__dataclass_fields__]
        return _Groups(*(part.new_zeros(groups, *part.shape[1:]).index_add_(0, group_n, part) for part in parts))


def _grouped(observations: Observations, place_m: float, similar: float) -> _Groups:
    """Observations of one grid cell with similar descriptors, up to `_MAX_MODES` groups a cell; others are left out."""
    key_n = place_keys((observations.points_n3 / place_m).floor().long())
    rest = observations[key_n.argsort(stable=True)]
    place_n = key_n.sort(stable=True).values
    groups = []
    for _ in range(_MAX_MODES):
        _, place_n, count_l = place_n.unique_consecutive(return_inverse=True, return_counts=True)
        similar_n = _similar_to_typical(rest.descriptors_nc.float(), place_n, len(count_l), similar)
        groups.append(_Groups.of(rest[similar_n], place_n[similar_n]))
        rest, place_n = rest[~similar_n], place_n[~similar_n]
        if len(rest) == 0:
            break
    return _Groups(*(torch.cat([getattr(each, name) for each in groups]) for name in _Groups.__dataclass_fields__))


def _similar_to_typical(descriptors_nc: Tensor, place_n: Tensor, places: int, similar: float) -> Tensor:
    """Which observations (n,) are similar to the one of their cell whose descriptor is nearest to the cell's mean."""
    sum_lc = descriptors_nc.new_zeros(places, descriptors_nc.shape[1]).index_add_(0, place_n, descriptors_nc)
    central_n = torch.einsum("nc,nc->n", descriptors_nc, F.normalize(sum_lc, dim=1)[place_n])
    best_l = central_n.new_full((places,), -torch.inf).scatter_reduce_(0, place_n, central_n, "amax")
    best = (central_n == best_l[place_n]).nonzero()[:, 0]
    typical_l = place_n.new_zeros(places).scatter_reduce_(0, place_n[best], best, "amax")
    return torch.einsum("nc,nc->n", descriptors_nc, descriptors_nc[typical_l][place_n]) >= similar


def _near(points_g3: Tensor, radius_m: float) -> tuple[Tensor, Tensor]:
    """All pairs of points within the radius, each once: indices (p,) and (p,)."""
    cell_g3 = (points_g3 / radius_m).floor().long()
    key_g, order_g = place_keys(cell_g3).sort(stable=True)
    cell_g3, rows_g = cell_g3[order_g], torch.arange(len(order_g), device=order_g.device)
    first, second = [], []
    for x, y in _HALF_NEIGHBOURS:  # the other half finds the same pairs the other way round
        beside_g = place_keys(cell_g3 + cell_g3.new_tensor((x, y, 0)))
        # Cells above one another have consecutive keys.
        begin_g = rows_g + 1 if x == y == 0 else torch.searchsorted(key_g, beside_g - 1)
        count_g = torch.searchsorted(key_g, beside_g + 1, right=True) - begin_g
        row_p = rows_g.repeat_interleave(count_g)
        within_p = torch.arange(len(row_p), device=row_p.device) - (count_g.cumsum(0) - count_g)[row_p]
        a_p, b_p = order_g[row_p], order_g[begin_g[row_p] + within_p]
        near_p = (points_g3[a_p] - points_g3[b_p]).norm(dim=1) <= radius_m
        first.append(a_p[near_p])
        second.append(b_p[near_p])
    return torch.cat(first), torch.cat(second)


def place_keys(cell_n3: Tensor) -> Tensor:
    """A number for each cell of an endless grid; cells two million apart share one, which are not in one scene."""
    x_n, y_n, z_n = ((cell_n3 + 2 ** (_KEY_BITS - 1)) & (2**_KEY_BITS - 1)).unbind(1)
    return (x_n << 2 * _KEY_BITS) | (y_n << _KEY_BITS) | z_n


def _representatives(pairs_p2: Tensor, weight_g: Tensor) -> Tensor:
    """For each group (g,) the one it becomes a part of: the heaviest among its pairs, or itself.

    Greedy, as in non-maximum suppression: the heaviest of all its pairs is a representative. What is beside one joins
    it; the others go on without these.
    """
    groups = len(weight_g)
    by_rank_g = weight_g.argsort(stable=True)
    rank_g = torch.empty_like(by_rank_g)
    rank_g[by_rank_g] = torch.arange(groups, device=weight_g.device)
    representative_g = torch.arange(groups, device=weight_g.device)
    open_g = torch.ones(groups, dtype=torch.bool, device=weight_g.device)
    from_p, to_p = torch.cat([pairs_p2, pairs_p2.flip(1)]).unbind(1)
    while len(from_p):
        heaviest_g = rank_g.scatter_reduce(0, from_p, rank_g[to_p], "amax")
        chosen_g = open_g & (heaviest_g == rank_g)
        beside_p = chosen_g[to_p]
        joined_g = torch.full_like(rank_g, -1).scatter_reduce_(0, from_p[beside_p], rank_g[to_p[beside_p]], "amax")
        joins_g = joined_g >= 0
        representative_g[joins_g] = by_rank_g[joined_g[joins_g]]
        open_g &= ~chosen_g & ~joins_g
        open_p = open_g[from_p] & open_g[to_p]
        from_p, to_p = from_p[open_p], to_p[open_p]
    return representative_g
