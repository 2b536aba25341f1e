"""How well poses agree with correspondences, and how well they would by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.solvers.robust.images import spread_out

_TINY_DEPTH = 1e-6
# Errors computed at a time: on a processor what stays in its cache, elsewhere what memory surely has room for.
_CACHED, _AT_ONCE = 32_768, 2**25
_DOUBLINGS = 4  # of the threshold, in which the density of pixels is looked at
_HALVINGS = 13  # of the threshold; below the last one errors are rounding and prove nothing more


@dataclass(frozen=True)
class PoseScorer:
    """Truncated squared reprojection errors of many poses on some correspondences, by one matrix product.

    For a pose [R | t] the errors times depth, f (x - u z) and f (y - v z), and the depth z are linear in its twelve
    entries, so that all poses times all points cost one product and a few passes over its result.

    Attributes:
        linear_b3_12_m: coefficients of error x, error y and depth of the m points, focal lengths in thresholds.
        counted_bm: 1, or 0 for points that have no say; their coefficients are zero.
    """

    linear_b3_12_m: Tensor
    counted_bm: Tensor

    @classmethod
    def of(cls, rays_b3m: Tensor, points_b3m: Tensor, focal_b2: Tensor, counted_bm: Tensor) -> PoseScorer:
        """From rays with z = 1, points, and focal lengths divided by the threshold of an inlier."""
        b, _, m = points_b3m.shape
        homogeneous_b4m = torch.cat([points_b3m, torch.ones_like(points_b3m[:, :1])], 1) * counted_bm[:, None]
        linear_b3_34m = homogeneous_b4m.new_zeros(b, 3, 3, 4, m)
        linear_b3_34m[:, 0, 0] = homogeneous_b4m * focal_b2[:, :1, None]
        linear_b3_34m[:, 1, 1] = homogeneous_b4m * focal_b2[:, 1:, None]
        linear_b3_34m[:, 0, 2] = linear_b3_34m[:, 0, 0] * -rays_b3m[:, :1]
        linear_b3_34m[:, 1, 2] = linear_b3_34m[:, 1, 1] * -rays_b3m[:, 1:2]
        linear_b3_34m[:, 2, 2] = homogeneous_b4m
        return cls(linear_b3_34m.flatten(2, 3), counted_bm)

    def first(self, m: int) -> PoseScorer:
        """The scorer of the first m correspondences."""
        return PoseScorer(self.linear_b3_12_m[..., :m].contiguous(), self.counted_bm[:, :m].contiguous())

    def squared_errors(self, poses_bh12: Tensor) -> tuple[Tensor, Tensor]:
        """Squared errors (b, h, m) in thresholds, huge behind the camera; and squared depths (b, h, m)."""
        ex, ey, z = (poses_bh12[:, None] @ self.linear_b3_12_m).unbind(1)
        z2 = z.clamp_min_(_TINY_DEPTH).square_()
        return ex.square_().addcmul_(ey, ey).div_(z2), z2

    def cost(self, poses_bh12: Tensor) -> Tensor:
        """Sum of truncated squared errors (b, h) of each pose (MSAC, Torr and Zisserman 2000)."""
        b, _, _, m = self.linear_b3_12_m.shape
        # Pieces that stay in a processor's cache are several times faster than one large product; a GPU wants few.
        errors = _CACHED if poses_bh12.device.type == "cpu" else _AT_ONCE
        pieces = poses_bh12.split(max(1, errors // (b * m)), 1)
        return torch.cat([self.counted_sum(self.squared_errors(piece)[0].clamp_max_(1)) for piece in pieces], 1)

    def counted_sum(self, values_bhm: Tensor) -> Tensor:
        """Sum (b, h) over the points that count."""
        return (values_bhm @ self.counted_bm[..., None])[..., 0]

    def worst(self) -> Tensor:
        """The cost (b, 1) of a pose with which no point agrees."""
        return self.counted_bm.sum(1, keepdim=True)


def soft_inlier_fraction(error_n: Tensor, max_error: float) -> float:
    """DSAC*'s soft inlier count divided by n: mean of 1 - sigmoid(5 / tau (error - tau)).

    Infinite errors count as outliers.
    """
    return float(torch.sigmoid(5 / max_error * (max_error - error_n)).mean())


def halvings(max_error: float) -> list[float]:
    """The thresholds at which chance is evaluated: max_error, its half, its quarter, ..."""
    return [max_error / 2**k for k in range(_HALVINGS)]


def chances_of_inlier(px_bn2: Tensor, projected_bn2: Tensor, usable_bn: Tensor, max_error_px: float) -> Tensor:
    """Chances (b, k) of a random point to be seen within each of `halvings(max_error_px)` of its pixel by a pose.

    It is the fraction of the pixels' extent that a disk covers; or, where that is larger, how often the pose brings
    points so close to the pixels of others. A pose far away sees all points at one place, where clustered pixels agree
    with it.
    """
    column_bk, usable_bk = spread_out(usable_bn, 64)
    some_bk2, seen_bk2 = (a.gather(1, column_bk[..., None].expand(-1, -1, 2)).float() for a in (px_bn2, projected_bn2))
    count_b = usable_bk.sum(1).clamp_min(1)
    mean_b12 = (some_bk2 * usable_bk[..., None]).sum(1, keepdim=True) / count_b[:, None, None]
    extent_bk2 = torch.where(usable_bk[..., None], some_bk2, mean_b12)
    extent_b2 = (extent_bk2.amax(1) - extent_bk2.amin(1)).clamp_min(max_error_px)
    distance_bkk = torch.cdist(some_bk2, torch.where(seen_bk2.isfinite(), seen_bk2, torch.inf))
    others_bkk = usable_bk[:, None] & usable_bk[..., None]
    others_bkk.diagonal(dim1=1, dim2=2).fill_(False)
    distance_bp = torch.where(others_bkk, distance_bkk, torch.inf).nan_to_num(torch.inf, torch.inf).flatten(1)
    # Few pairs lie very close: how many lie within a larger circle says how dense they are there, and one pair, counted
    # from both sides, may lie close by chance.
    limits_k = torch.tensor([2.0**k * max_error_px for k in range(_DOUBLINGS, 0, -1)] + halvings(max_error_px))
    limits_k = limits_k.to(px_bn2.device)
    close_bk = torch.searchsorted(distance_bp.sort(1).values, limits_k.expand(len(px_bn2), -1).contiguous())
    rate_bk = (close_bk - 2).clamp_min(0) / (count_b * (count_b - 1)).clamp_min(1)[:, None]
    density_bk = (rate_bk / limits_k.square()).cummax(1).values.maximum(math.pi / extent_b2.prod(1, keepdim=True))
    return (density_bk * limits_k.square())[:, _DOUBLINGS:].clamp_max(1)


def log10_chance(
    error_n: Tensor, n: int, max_error: float, chances: Sequence[float], enough: float = -math.inf, sample: int = 3
) -> float:
    """How many models as good as this one random correspondences would be expected to offer, as log10.

    A contrario (Moisan and Stival, "A probabilistic criterion to detect rigid point matches", IJCV 2004): with a
    random point within an error e with probability p(e), k of n agree in log C(n, k) + log C(k, 3) + (k - 3) log p(e)
    models, each fixed by three of them; the best of a dozen e counts.

    Args:
        error_n: of the correspondences.
        n: how many they are; those beyond are not counted, and have infinite errors.
        max_error: of an inlier.
        chances: p(e) for each of `halvings(max_error)`.
        enough: no better value is looked for once it is below this one.
        sample: correspondences that fix a model: three a pose.
    """
    best = math.inf
    for threshold, chance in zip(halvings(max_error), chances, strict=True):
        k = int((error_n < threshold).sum())
        if k <= sample:
            break
        log_models = _log_binomial(n, k) + _log_binomial(k, sample) + (k - sample) * math.log(max(chance, 1e-300))
        best = min(best, (log_models + math.log(_HALVINGS)) / math.log(10))
        if best < enough:
            break
    return best


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
