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


def matched_pairs(views: Sequence[MappedView], rays: Rays, most: int, min_similarity: float) -> Tensor:
    """Matches (m, 2) of all pairs of views that see the same, as numbers of keypoints in `rays`, each pair once.

    Args:
        views: at least one.
        rays: of these views.
        most: keypoints of each view that are matched, the strongest.
        min_similarity: cosine that a match must exceed.
    """
    found = [torch.zeros(0, 2, dtype=torch.int64)]
    for first, second in covisible_pairs(views, rays, min_similarity):
        found.append(_matches(views, rays, first, second, most, min_similarity))
    return torch.cat(found)


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
    pairs: set[tuple[int, int]] = set()
    votes: dict[tuple[int, int], int] = {}
    for view in range(len(views)):
        near = [int(other) for other in distance_vv[view].argsort(stable=True)[:_CANDIDATES] if facing_vv[view, other]]
        if len(near) > partners:
            for other in near:
                pair = min(view, other), max(view, other)
                if pair not in votes:
                    votes[pair] = len(_matches(views, rays, *pair, _VOTERS, vote_similarity))
            by_votes = sorted(near, key=lambda other: -votes[min(view, other), max(view, other)])
            near = [o for o in by_votes[:partners] if votes[min(view, o), max(view, o)] >= _MIN_VOTES]
        pairs |= {(min(view, other), max(view, other)) for other in near}
    return sorted(pairs)


def _matches(
    views: Sequence[MappedView], rays: Rays, first: int, second: int, most: int, min_similarity: float
) -> Tensor:
    """Matches (m, 2) of the strongest keypoints of two views."""
    a_kc, b_kc = (views[each].keypoints.descriptors_nc[:most] for each in (first, second))
    a_m, b_m = mutual_matches(a_kc, b_kc, min_similarity)
    pairs_m2 = torch.stack([rays.first_v[first] + a_m.cpu(), rays.first_v[second] + b_m.cpu()], 1)
    return pairs_m2[epipolar_errors_px(rays, pairs_m2) < _MAX_EPIPOLAR_PX]


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
