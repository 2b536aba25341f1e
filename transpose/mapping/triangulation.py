"""Multi-view triangulation of tracks, all at once: robust start, least squares, gates for angle and error.

A track is what descriptors say; some of its keypoints show something else. Each match of a track gives the point
midway between its two rays, and the one that most keypoints of the track agree with is the start (hypothesize and
verify, over matches in place of random draws). Of the tracks that share keypoints, the one with most support takes
them. Gauss-Newton steps on the reprojection errors follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.mapping.tracks import Stars, strongest_of
from transpose.mapping.views import Rays

_HYPOTHESES = 5  # of each star
_STARS_AT_ONCE = 20_000
_STEPS = 4
_SINGULAR = 1e-10  # smallest to largest eigenvalue, below which rays do not meet


@dataclass(frozen=True)
class TriangulationOptions:
    """When a map point is one.

    Attributes:
        max_error_px: of a keypoint that shows the point.
        min_angle_deg: the largest angle between two of its rays must reach.
        min_views: that show it.
        min_similarity: cosine of descriptors that are taken for the same.
    """

    max_error_px: float = 2.0
    min_angle_deg: float = 1.5
    min_views: int = 2
    min_similarity: float = 0.75


@dataclass(frozen=True, eq=False)
class MapPoints:
    """Triangulated points and the keypoints that show them.

    Attributes:
        points_p3: float64, relative to the rays' origin.
        keypoint_o: number of each keypoint that shows one, in `Rays`.
        point_o: which point it shows; sorted.
        start_p: which of the starts each point comes from.
    """

    points_p3: Tensor
    keypoint_o: Tensor
    point_o: Tensor
    start_p: Tensor

    def __len__(self) -> int:
        return len(self.points_p3)


def triangulate(rays: Rays, pairs_m2: Tensor, options: TriangulationOptions) -> MapPoints:
    """Map points from matches.

    Args:
        rays: keypoints of all views.
        pairs_m2: matches between them, each once.
        options: when a point is one.
    """
    stars = Stars.of(pairs_m2)
    points, keypoints, numbers, weights = [], [], [], []
    for part_k in torch.arange(len(stars)).split(_STARS_AT_ONCE):
        points_k3, keypoint_o, star_o, weight_k = _starts(rays, stars, part_k, 2 * options.max_error_px)
        points.append(points_k3)
        keypoints.append(keypoint_o)
        numbers.append(part_k[star_o])
        weights.append(weight_k)
    if not points:
        return MapPoints(torch.zeros(0, 3, dtype=torch.float64), *torch.zeros(3, 0, dtype=torch.int64))
    keypoint_o, star_o = torch.cat(keypoints), torch.cat(numbers)
    held_o = strongest_of(keypoint_o, star_o, torch.cat(weights), len(rays))
    kept_s, track_o = star_o[held_o].unique(return_inverse=True)
    return refined(rays, torch.cat(points)[kept_s], keypoint_o[held_o], track_o, options)


def refined(
    rays: Rays, points_t3: Tensor, keypoint_o: Tensor, track_o: Tensor, options: TriangulationOptions
) -> MapPoints:
    """Points moved to where their keypoints see them, without those that the gates refuse.

    Args:
        rays: keypoints of all views.
        points_t3: starts, relative to the rays' origin.
        keypoint_o: keypoints that may show them.
        track_o: which of the points each of these shows.
        options: the gates.
    """
    if len(keypoint_o) == 0:
        return MapPoints(points_t3[:0], *torch.zeros(3, 0, dtype=torch.int64))
    for max_error_px in (2 * options.max_error_px, options.max_error_px, options.max_error_px):
        kept_o = _one_a_view(rays, points_t3, keypoint_o, track_o, max_error_px)
        points_t3 = _least_squares(rays, points_t3, keypoint_o[kept_o], track_o[kept_o])
    kept_o = _one_a_view(rays, points_t3, keypoint_o, track_o, options.max_error_px)
    keypoint_o, track_o = keypoint_o[kept_o], track_o[kept_o]
    count_t = torch.bincount(track_o, minlength=len(points_t3))
    good_t = (count_t >= options.min_views) & points_t3.isfinite().all(1)
    good_t &= _largest_angle_deg(rays, points_t3, keypoint_o, track_o) >= options.min_angle_deg
    number_t = good_t.cumsum(0) - 1
    kept_o = good_t[track_o]
    return MapPoints(points_t3[good_t], keypoint_o[kept_o], number_t[track_o[kept_o]], good_t.nonzero()[:, 0])


def _starts(rays: Rays, stars: Stars, part_k: Tensor, max_error_px: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The point (k, 3) of some stars that most of their keypoints agree with.

    Returns:
        Points; the keypoints (o,) that agree, the centres among them; the star (o,), as a row of the points, that each
        belongs to; and how much (k,) they agree, 0 where there is no point.
    """
    center_k, count_k = stars.center_s[part_k], stars.count_s[part_k]
    member_e, which_e = stars.members(part_k)
    # Of many matches, some spread over all angles between the rays.
    angle_e = _angles(rays, center_k[which_e], member_e)
    order_e = angle_e.argsort(descending=True, stable=True)
    order_e = order_e[which_e[order_e].argsort(stable=True)]
    rank_e = torch.arange(len(which_e)) - (count_k.cumsum(0) - count_k)[which_e]
    step_e = (count_k[which_e].float() / _HYPOTHESES).clamp_min(1)
    chosen_h = order_e[(rank_e / step_e).floor() != ((rank_e - 1) / step_e).floor()]
    star_h = which_e[chosen_h]
    points_h3 = _midpoints(rays, center_k[star_h], member_e[chosen_h])
    # Each hypothesis against each member of its star, and against the centre.
    member_f, hypothesis_f = stars.members(part_k[star_h])
    gain_f = _gain(rays.errors_px(points_h3[hypothesis_f], member_f), max_error_px)
    center_gain_h = _gain(rays.errors_px(points_h3, center_k[star_h]), max_error_px)
    gain_h = torch.zeros(len(star_h), dtype=torch.float64).index_add_(0, hypothesis_f, gain_f)
    gain_h = torch.where(center_gain_h > 0, gain_h, 0)
    best_k = torch.zeros(len(part_k), dtype=torch.float64).scatter_reduce_(0, star_h, gain_h, "amax")
    points_k3 = torch.full((len(part_k), 3), torch.nan, dtype=torch.float64)
    winner = ((gain_h == best_k[star_h]) & (gain_h > 0)).nonzero()[:, 0].flip(0)
    points_k3[star_h[winner]] = points_h3[winner]
    agrees_e = rays.errors_px(points_k3[which_e], member_e) < max_error_px
    posed_k = (best_k > 0).nonzero()[:, 0]
    keypoint_o, star_o = torch.cat([center_k[posed_k], member_e[agrees_e]]), torch.cat([posed_k, which_e[agrees_e]])
    return points_k3, keypoint_o, star_o, best_k


def _gain(error_px: Tensor, max_error_px: float) -> Tensor:
    """What a keypoint adds to the support of a point: 1 where it is seen exactly there, 0 beyond the bound (MSAC)."""
    return (1 - (error_px / max_error_px).square()).clamp_min(0)


def _angles(rays: Rays, a_m: Tensor, b_m: Tensor) -> Tensor:
    """Between the rays of two keypoints each, radians."""
    a_m3, b_m3 = rays.directions(a_m), rays.directions(b_m)
    return torch.atan2(torch.linalg.cross(a_m3, b_m3).norm(dim=1), (a_m3 * b_m3).sum(1))


def _midpoints(rays: Rays, a_h: Tensor, b_h: Tensor) -> Tensor:
    """The point (h, 3) nearest to the rays of two keypoints each."""
    a_h3, b_h3 = rays.directions(a_h), rays.directions(b_h)
    from_h3, to_h3 = rays.center_v3[rays.view_n[a_h]], rays.center_v3[rays.view_n[b_h]]
    between_h3 = to_h3 - from_h3
    cosine_h = (a_h3 * b_h3).sum(1)
    sine2_h = torch.linalg.cross(a_h3, b_h3).square().sum(1).clamp_min(1e-12)
    along_a, along_b = (a_h3 * between_h3).sum(1), (b_h3 * between_h3).sum(1)
    s_h = (along_a - cosine_h * along_b) / sine2_h
    t_h = (cosine_h * along_a - along_b) / sine2_h
    return 0.5 * (from_h3 + s_h[:, None] * a_h3 + to_h3 + t_h[:, None] * b_h3)


def _one_a_view(rays: Rays, points_t3: Tensor, keypoint_o: Tensor, track_o: Tensor, max_error_px: float) -> Tensor:
    """Which keypoints are seen near enough to their point; of one view's, the nearest."""
    error_o = rays.errors_px(points_t3[track_o], keypoint_o)
    views = len(rays.first_v)
    place_o = track_o * views + rays.view_n[keypoint_o]
    _, place_o = place_o.unique(return_inverse=True)
    least = torch.full((int(place_o.max()) + 1,), torch.inf, dtype=torch.float64)
    least.scatter_reduce_(0, place_o, error_o, "amin")
    return (error_o == least[place_o]) & (error_o < max_error_px)


def _least_squares(rays: Rays, points_t3: Tensor, keypoint_o: Tensor, track_o: Tensor) -> Tensor:
    """Points (t, 3) after some Gauss-Newton steps on the squared reprojection errors."""
    tracks = len(points_t3)
    for _ in range(_STEPS):
        residual_o2, J_o23 = _reprojection(rays, points_t3[track_o], keypoint_o)
        H_t33 = torch.zeros(tracks, 3, 3, dtype=torch.float64).index_add_(0, track_o, J_o23.transpose(1, 2) @ J_o23)
        g_t3 = torch.zeros(tracks, 3, dtype=torch.float64)
        g_t3.index_add_(0, track_o, torch.einsum("oij,oi->oj", J_o23, residual_o2))
        scale_t = H_t33.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-30)
        damped_t33 = H_t33 + 1e-9 * scale_t[:, None, None] * torch.eye(3, dtype=torch.float64)
        step_t3, _ = torch.linalg.solve_ex(damped_t33, g_t3[..., None])
        points_t3 = points_t3 - torch.where(step_t3.isfinite(), step_t3, 0)[..., 0]
    return points_t3


def covariances(rays: Rays, points_p3: Tensor, keypoint_o: Tensor, point_o: Tensor) -> Tensor:
    """How uncertain points are in the world (p, 3, 3) if each keypoint is off by a pixel: (J^T J)^-1.

    NaN where the rays meet nowhere.

    Args:
        rays: keypoints of all views.
        points_p3: relative to the rays' origin.
        keypoint_o, point_o: a keypoint shows a point.
    """
    _, J_o23 = _reprojection(rays, points_p3[point_o], keypoint_o)
    H_p33 = torch.zeros(len(points_p3), 3, 3, dtype=torch.float64)
    H_p33.index_add_(0, point_o, J_o23.transpose(1, 2) @ J_o23)
    scale_p3 = torch.linalg.eigvalsh(H_p33)
    known_p = scale_p3[:, 0] > _SINGULAR * scale_p3[:, 2]
    found_p33, _ = torch.linalg.inv_ex(H_p33)
    return torch.where(known_p[:, None, None], found_p33, torch.nan)


def _reprojection(rays: Rays, points_o3: Tensor, keypoint_o: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals (o, 2) of points at keypoints, pixels, and their derivatives (o, 2, 3) by the points."""
    focal_o1 = rays.focal_n[keypoint_o, None]
    x, y, z = rays.in_camera(points_o3, keypoint_o).unbind(1)
    zero = torch.zeros_like(z)
    by_camera_o23 = torch.stack([torch.stack([1 / z, zero, -x / z**2], 1), torch.stack([zero, 1 / z, -y / z**2], 1)], 1)
    residual_o2 = focal_o1 * (torch.stack([x / z, y / z], 1) - rays.xy_n2[keypoint_o])
    return residual_o2, focal_o1[..., None] * by_camera_o23 @ rays.R_cw_v33[rays.view_n[keypoint_o]]


def _largest_angle_deg(rays: Rays, points_t3: Tensor, keypoint_o: Tensor, track_o: Tensor) -> Tensor:
    """The largest angle (t,) between a point's first ray and another; at least half of the largest between any two."""
    direction_o3 = rays.directions(keypoint_o)
    first_t3 = torch.zeros_like(points_t3)
    first_t3[track_o.flip(0)] = direction_o3.flip(0)
    cosine_o = (first_t3[track_o] * direction_o3).sum(1)
    sine_o = torch.linalg.cross(first_t3[track_o], direction_o3).norm(dim=1)
    angle_t = torch.zeros(len(points_t3), dtype=torch.float64)
    angle_t.scatter_reduce_(0, track_o, torch.atan2(sine_o, cosine_o), "amax")
    return torch.rad2deg(angle_t)
