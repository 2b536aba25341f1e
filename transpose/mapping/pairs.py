"""Which pairs of views are matched, and their matches: mutual nearest descriptors that agree with the known poses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transpose.mapping.views import MappedView, Rays
from transpose.models.matching import mutual_matches

_MAX_TURN_DEG = 75.0  # between optical axes; descriptors do not survive larger turns
_PARTNERS = 16  # views that each view is matched with; fewer where that makes more than `_MOST_PAIRS`
_FEWEST_PARTNERS = 4
_MOST_PAIRS = 8000
_CANDIDATES = 40
_VOTERS = 192  # keypoints of a view that vote on its partners
_MIN_VOTES = 4
_SURER = 0.28  # of the way to a similarity of 1, which votes must be
_MAX_EPIPOLAR_PX = 3.0
_PAIRS_AT_ONCE = 64  # whose matches meet the poses at once: one pair's are too few to be worth the calls


def matched_pairs(views: Sequence[MappedView], rays: Rays, most: int, min_similarity: float) -> Tensor:
    """Matches (m, 2) of all pairs of views that see the same, as numbers of keypoints in `rays`, each pair once.

    Args:
        views: at least one.
        rays: of these views.
        most: keypoints of each view that are matched, the strongest.
        min_similarity: cosine that a match must exceed.
    """
    matches_m2, _ = _matches(views, rays, covisible_pairs(views, rays, min_similarity), most, min_similarity)
    return matches_m2


def covisible_pairs(views: Sequence[MappedView], rays: Rays, min_similarity: float) -> list[tuple[int, int]]:
    """Pairs of views that look alike and in similar directions, each once; each view chooses some partners.

    Where there are more candidates than partners, a few of the strongest keypoints are matched first, and views with
    many matches that agree with the poses are taken.

    Args:
        views, rays: see `matched_pairs`.
        min_similarity: cosine that a match must exceed; those that vote are surer.
    """
    vote_similarity = min_similarity + _SURER * (1 - min_similarity)
    axes_v3 = rays.R_cw_v33[:, 2]
    facing_vv = axes_v3 @ axes_v3.T > torch.cos(torch.deg2rad(torch.tensor(_MAX_TURN_DEG)))
    facing_vv.fill_diagonal_(False)
    distance_vv = torch.cdist(rays.center_v3, rays.center_v3).masked_fill(~facing_vv, torch.inf)
    partners = min(_PARTNERS, max(_FEWEST_PARTNERS, 2 * _MOST_PAIRS // len(views)))
    nearest_vk = distance_vv.argsort(dim=1, stable=True)[:, :_CANDIDATES].tolist()
    near = [[_pair(view, other) for other in nearest_vk[view] if facing_vv[view, other]] for view in range(len(views))]
    candidates = sorted({pair for each in near if len(each) > partners for pair in each})
    _, count_p = _matches(views, rays, candidates, _VOTERS, vote_similarity)
    votes = dict(zip(candidates, count_p.tolist(), strict=True))
    pairs: set[tuple[int, int]] = set()
    for each in near:
        if len(each) > partners:
            by_votes = sorted(each, key=lambda pair: -votes[pair])
            pairs |= {pair for pair in by_votes[:partners] if votes[pair] >= _MIN_VOTES}
        else:
            pairs |= set(each)
    return sorted(pairs)


def _pair(view: int, other: int) -> tuple[int, int]:
    return min(view, other), max(view, other)


def _matches(
    views: Sequence[MappedView], rays: Rays, pairs: Sequence[tuple[int, int]], most: int, min_similarity: float
) -> tuple[Tensor, Tensor]:
    """Matches (m, 2) of the strongest keypoints of pairs of views, pair by pair, and how many (p,) each pair has."""
    found, of_pair = [torch.zeros(0, 2, dtype=torch.int64)], [torch.zeros(0, dtype=torch.int64)]
    for first in range(0, len(pairs), _PAIRS_AT_ONCE):
        block = pairs[first : first + _PAIRS_AT_ONCE]
        raw = [_by_descriptors(views, rays, pair, most, min_similarity) for pair in block]
        count_b = torch.tensor([len(each) for each in raw])
        matches_m2, pair_m = torch.cat(raw), torch.arange(first, first + len(block)).repeat_interleave(count_b)
        agree_m = epipolar_errors_px(rays, matches_m2) < _MAX_EPIPOLAR_PX
        found.append(matches_m2[agree_m])
        of_pair.append(pair_m[agree_m])
    return torch.cat(found), torch.bincount(torch.cat(of_pair), minlength=len(pairs))


def _by_descriptors(
    views: Sequence[MappedView], rays: Rays, pair: tuple[int, int], most: int, min_similarity: float
) -> Tensor:
    a_kc, b_kc = (views[each].keypoints.descriptors_nc[:most] for each in pair)
    a_m, b_m = mutual_matches(a_kc, b_kc, min_similarity)
    return torch.stack([rays.first_v[pair[0]] + a_m.cpu(), rays.first_v[pair[1]] + b_m.cpu()], 1)


def epipolar_errors_px(rays: Rays, pairs_m2: Tensor) -> Tensor:
    """Sampson's distance (m,) of pairs of keypoints from the epipolar geometry of their views' poses, pixels.

    Infinite for two views from one place: they say nothing about depth.
    """
    a_m, b_m = pairs_m2.unbind(1)
    view_a, view_b = rays.view_n[a_m], rays.view_n[b_m]
    R_m33 = rays.R_cw_v33[view_b] @ rays.R_cw_v33[view_a].transpose(1, 2)
    t_m3 = rays.t_cw_v3[view_b] - torch.einsum("mij,mj->mi", R_m33, rays.t_cw_v3[view_a])
    one_m1 = torch.ones(len(pairs_m2), 1, dtype=torch.float64)
    x_a, x_b = (torch.cat([rays.xy_n2[each], one_m1], 1) for each in (a_m, b_m))
    line_b = torch.linalg.cross(t_m3, torch.einsum("mij,mj->mi", R_m33, x_a))
    line_a = torch.einsum("mji,mj->mi", R_m33, torch.linalg.cross(x_b, t_m3))
    gradient_m = (line_b[:, :2].square().sum(1) / rays.focal_n[b_m].square()) + (
        line_a[:, :2].square().sum(1) / rays.focal_n[a_m].square()
    )
    error_m = (x_b * line_b).sum(1).abs() / gradient_m.sqrt()
    return torch.where(error_m.isfinite(), error_m, torch.inf)
