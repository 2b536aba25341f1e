"""Absolute pose from pixels and world points: a robust search, then refinement on all points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.solvers.doors import Array, as_tensor, in_kind_of, on_a_line
from transpose.solvers.lenses import Lenses
from transpose.solvers.options import PoseEstimate, RansacOptions
from transpose.solvers.ransac import Correspondences, search
from transpose.solvers.refine import Refinement, Residuals, ray_weights, ray_weights_of_covariances, refine
from transpose.solvers.scoring import halvings, log10_chance, soft_inlier_share

_MIN_POINTS = 4
_MOST_CLUSTERS = 4096
# The refinement takes points within so many thresholds of the search's pose; or, where their covariances are known,
# within so many sigmas, but no farther than so many thresholds: a network that is not sure is often wrong.
_NEAR = 2.0
_NEAR_SIGMAS, _NEAR_AT_MOST = 4.0, 4.0
_MAX_LOG10_CHANCE = -3.0
_FARTHEST = 1e6  # scales of the points; also tangents of rays
_MEDIAN_OF_RAYLEIGH = 1.1774  # over its sigma
_SMALLEST_SIGMA = 1e-4  # of the threshold
_SYMMETRIC_ROW, _SYMMETRIC_COLUMN = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)


def solve_pnp(
    px_n2: Array,
    points_n3: Array,
    K_33: Array | Camera | Sequence[Camera],
    options: RansacOptions | None = None,
    covariances_n33: Array | None = None,
) -> Any:  # one estimate or a list of them: the arrays' shape tells which, and no type can
    """The pose that sees each world point at its pixel; or the poses of a batch of images.

    Args:
        px_n2: continuous pixels (first pixel centre at 0.5, 0.5), (n, 2) or (b, n, 2).
        points_n3: world points, metres, (n, 3) or (b, n, 3). Correspondences that are not finite are left out.
        K_33: intrinsics (3, 3) or a `Camera`; in a batch also (b, 3, 3), or one `Camera` an image.
        options: of the search.
        covariances_n33: of the points in world axes, metres squared, (n, 3, 3) or (b, n, 3, 3). The surest are drawn
            more often, and each point's distance to its ray is weighted by them. Without them all points count alike.

    Returns:
        A `PoseEstimate`, or a list of them for a batch. Masks refer to the rows given. The same arguments give the same
        estimate; an image gets the same alone and in any batch, up to rounding.

    Raises:
        ValueError: shapes do not fit, arrays hold no real numbers, or intrinsics are none.
    """
    options = options or RansacOptions()
    px, points = as_tensor("px", px_n2), as_tensor("points", points_n3)
    covariances = None if covariances_n33 is None else as_tensor("covariances", covariances_n33).to(px.device)
    _check_shapes(px, points, covariances)
    batched = px.ndim == 3
    if not batched:
        px, points, covariances = px[None], points[None], None if covariances is None else covariances[None]
    if len(px) == 0:
        return []
    lenses = Lenses.of(K_33, len(px), px.device)
    if px.shape[1] == 0:
        estimates = [PoseEstimate(None, "too_few_points", px.new_zeros(0, dtype=torch.bool)) for _ in px]
    else:
        with torch.inference_mode():
            estimates = _solve(_Images.of(px, points.to(px.device), covariances, lenses), options)
    estimates = [in_kind_of(px_n2, estimate) for estimate in estimates]
    return estimates if batched else estimates[0]


def _check_shapes(px: Tensor, points: Tensor, covariances: Tensor | None) -> None:
    if px.ndim not in (2, 3) or px.shape[-1] != 2 or points.shape != (*px.shape[:-1], 3):
        raise ValueError(
            "need px (n, 2) and points (n, 3), or (b, n, 2) and (b, n, 3), "
            f"got {tuple(px.shape)} and {tuple(points.shape)}"
        )
    if covariances is not None and covariances.shape != (*points.shape, 3):
        raise ValueError(f"need covariances {(*points.shape, 3)}, got {tuple(covariances.shape)}")


@dataclass(frozen=True)
class _Images:
    """A batch of correspondences, float64: pixels, rays, points about each image's centre, and who can be used."""

    px_bn2: Tensor
    rays_b3n: Tensor
    local_b4n: Tensor
    center_b3: Tensor
    usable_bn: Tensor
    covariances_b6n: Tensor | None
    lenses: Lenses

    @classmethod
    def of(cls, px_bn2: Tensor, points_bn3: Tensor, covariances_bn33: Tensor | None, lenses: Lenses) -> _Images:
        # A sum is finite where all its terms are.
        usable_bn = (px_bn2.sum(-1) + points_bn3.sum(-1)).isfinite()
        covariances_b6n = None
        if covariances_bn33 is not None:
            covariances_b6n = covariances_bn33[..., _SYMMETRIC_ROW, _SYMMETRIC_COLUMN].mT
            positive_bn = covariances_b6n[:, (0, 3, 5)].amin(1) > 0
            usable_bn = usable_bn & positive_bn & covariances_b6n.sum(1).isfinite()
            stand_in_61 = covariances_b6n.new_tensor([1, 0, 0, 1, 0, 1])[:, None]
            covariances_b6n = torch.where(usable_bn[:, None], covariances_b6n, stand_in_61)
        px_bn2 = torch.where(usable_bn[..., None], px_bn2, 0)
        points_bn3 = torch.where(usable_bn[..., None], points_bn3, torch.nan)
        center_b3 = _median(points_bn3.mT)  # large coordinates keep their digits
        local_b3n = (points_bn3 - center_b3[:, None]).mT.nan_to_num()
        local_b4n = torch.cat([local_b3n, torch.ones_like(local_b3n[:, :1])], 1)
        return cls(px_bn2, lenses.unproject(px_bn2), local_b4n, center_b3, usable_bn, covariances_b6n, lenses)

    def __getitem__(self, i: Tensor) -> _Images:
        covariances_b6n = None if self.covariances_b6n is None else self.covariances_b6n[i]
        px_bn2, rays_b3n, local_b4n = self.px_bn2[i], self.rays_b3n[i], self.local_b4n[i]
        return _Images(
            px_bn2, rays_b3n, local_b4n, self.center_b3[i], self.usable_bn[i], covariances_b6n, self.lenses[i]
        )

    def isotropic(self) -> bool:
        """Whether covariances are multiples of the identity."""
        if self.covariances_b6n is None:
            return True
        xx, xy, xz, yy, yz, zz = self.covariances_b6n.unbind(1)
        return bool(((xx == yy) & (xx == zz) & (xy == 0) & (xz == 0) & (yz == 0)).all())

    def variance_bn(self) -> Tensor | None:
        """Mean over the axes."""
        return None if self.covariances_b6n is None else self.covariances_b6n[:, (0, 3, 5)].mean(1)


def _solve(images: _Images, options: RansacOptions) -> list[PoseEstimate]:
    nobody_n = torch.zeros_like(images.usable_bn[0])
    few_b = images.usable_bn.sum(1) < _MIN_POINTS
    length_bn = images.local_b4n[:, :3].abs().amax(1)
    scale_b = _median(torch.where(images.usable_bn, length_bn, torch.nan)).clamp_min(1e-9)
    # Wild numbers would make a line of all others.
    tame_bn = images.usable_bn & (length_bn < _FARTHEST * scale_b[:, None])
    tame_bn &= images.rays_b3n[:, :2].abs().amax(1) < _FARTHEST
    both_2b3n = torch.cat([images.local_b4n[:, :3], images.rays_b3n])
    flat_b = (
        on_a_line(torch.where(tame_bn.repeat(2, 1)[:, None], both_2b3n, 0), tame_bn.repeat(2, 1)).view(2, -1).any(0)
    )
    reasons = ["too_few_points" if few else "degenerate" for few in few_b.tolist()]
    estimates = [PoseEstimate(None, reason, nobody_n) for reason in reasons]
    hopeful = (~(few_b | flat_b)).nonzero()[:, 0]
    if not len(hopeful):
        return estimates
    if len(hopeful) < len(few_b):
        images, scale_b = images[hopeful], scale_b[hopeful]
    found = search(_searched(images, scale_b, options), options)
    poses_b34 = found.poses_b34.double()
    poses_b34[..., 3] *= scale_b[:, None]
    refined = _refined(images, poses_b34, options)
    error_bn = images.lenses.errors_px(refined.poses_b34 @ images.local_b4n, images.px_bn2)
    error_bn = torch.where(images.usable_bn, error_bn, torch.inf)
    chances = _chances_of_inlier(images.px_bn2, images.usable_bn, options.max_error_px).tolist()
    for k, i in enumerate(hopeful.tolist()):
        estimates[i] = _judged(images, refined, error_bn[k], k, options, (int(found.hypotheses_b[k]), chances[k]))
    return estimates


def _searched(images: _Images, scale_b: Tensor, options: RansacOptions) -> Correspondences:
    weight_bn = images.usable_bn.double()
    variance_bn = images.variance_bn()
    if variance_bn is not None:
        weight_bn = weight_bn / variance_bn
    rank_bn = weight_bn.cumsum(1)
    # Wild numbers stay within float32, also when squared.
    points_b3n = (images.local_b4n[:, :3] / scale_b[:, None, None]).clamp(-_FARTHEST, _FARTHEST)
    rays_b3n = images.rays_b3n.clamp(-_FARTHEST, _FARTHEST)
    focal_b2 = images.lenses.focal_b2 / options.max_error_px
    return Correspondences(rays_b3n.float(), points_b3n.float(), focal_b2.float(), (rank_bn / rank_bn[:, -1:]).float())


def _refined(images: _Images, poses_b34: Tensor, options: RansacOptions) -> Refinement:
    camera_b3n = poses_b34 @ images.local_b4n
    off_b2n = (camera_b3n[:, :2] / camera_b3n[:, 2:] - images.rays_b3n[:, :2]) * images.lenses.focal_b2[..., None]
    squared_bn = off_b2n.square().sum(1)
    limit_bn: Tensor | float = (_NEAR * options.max_error_px) ** 2
    variance_bn = images.variance_bn()
    if options.refine != "pixel" and variance_bn is not None:
        # What is near in pixels leaves out the good among the close points, and biases the pose.
        focal2_b1 = images.lenses.focal_b2.prod(1, keepdim=True)
        limit_bn = _NEAR_SIGMAS**2 * focal2_b1 * variance_bn / camera_b3n[:, 2].square()
        limit_bn = limit_bn.clamp_max((_NEAR_AT_MOST * options.max_error_px) ** 2)
    near_bn = (squared_bn < limit_bn) & (camera_b3n[:, 2] > 0) & images.usable_bn
    # Only the near points are worth the rest of the work.
    index_bm, weight_bm = _compressed(near_bn)
    near = (_picked(images.rays_b3n, index_bm), _picked(images.local_b4n, index_bm), weight_bm)
    witnesses = _witnesses(_picked(images.px_bn2.mT, index_bm), options.correlation_px)
    error_bm = torch.where(weight_bm > 0, squared_bn.gather(1, index_bm).sqrt(), torch.nan)
    focal_b2 = images.lenses.focal_b2
    if options.refine == "pixel" or (options.refine == "auto" and images.covariances_b6n is None):
        sigma_b = _median(error_bm) / _MEDIAN_OF_RAYLEIGH
        sigma_b = sigma_b.clamp_min(_SMALLEST_SIGMA * options.max_error_px)
        return refine(Residuals(*near, focal_b2=focal_b2 / sigma_b[:, None], **witnesses), poses_b34)
    if images.covariances_b6n is None:
        off_bm = error_bm * camera_b3n[:, 2].gather(1, index_bm) / focal_b2.prod(1, keepdim=True).sqrt()
        sigma_b = (_median(off_bm) / _MEDIAN_OF_RAYLEIGH).clamp_min(1e-6)
        across_b6m = ray_weights(near[0], sigma_b.square()[:, None].expand_as(weight_bm))
    else:
        covariances_b6m = _picked(images.covariances_b6n, index_bm)
        if images.isotropic():
            across_b6m = ray_weights(near[0], covariances_b6m[:, 0])
        else:
            across_b6m = ray_weights_of_covariances(near[0], covariances_b6m, poses_b34[..., :3])
    return refine(Residuals(*near, across_b6n=across_b6m, **witnesses), poses_b34)


def _witnesses(px_b2m: Tensor, correlation_px: float) -> dict[str, Any]:
    """The fields of `Residuals` that say which points may err together: those in one square of the image."""
    if correlation_px == 0:
        return {}
    square_b2m = (px_b2m / correlation_px).floor().long()
    square_b2m -= square_b2m.amin(2, keepdim=True)
    columns, rows = (int(square_b2m[:, k].max()) + 1 for k in (0, 1))
    clusters = min(columns * rows, _MOST_CLUSTERS)
    return {"cluster_bn": (square_b2m[:, 1] * columns + square_b2m[:, 0]) % clusters, "clusters": clusters}


def _compressed(near_bn: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (b, m) of each image's marked columns, filled up to the most of any image, and their weight, 1 or 0."""
    count_b = near_bn.sum(1)
    place_bn = torch.where(near_bn, near_bn.cumsum(1) - 1, near_bn.shape[1])
    column_bn = torch.arange(near_bn.shape[1], device=near_bn.device).expand_as(near_bn)
    # Filled with one of the marked, whose values are tame.
    index_bn = near_bn.byte().argmax(1, keepdim=True).repeat(1, near_bn.shape[1] + 1)
    m = max(1, int(count_b.max()))
    index_bm = index_bn.scatter(1, place_bn, column_bn)[:, :m]
    return index_bm, (torch.arange(m, device=near_bn.device) < count_b[:, None]).double()


def _picked(values_bcn: Tensor, index_bm: Tensor) -> Tensor:
    return values_bcn.gather(2, index_bm[:, None].expand(-1, values_bcn.shape[1], -1))


def _median(values_n: Tensor) -> Tensor:
    """Over the last axis without NaN, of some five hundred values where there are many; zero where there is none."""
    some_n = values_n[..., :: max(1, values_n.shape[-1] // 512)]
    median = some_n.nanmedian(-1).values
    if bool(median.isnan().any()):
        median = values_n.nanmedian(-1).values
    return median.nan_to_num()


def _judged(
    images: _Images,
    refined: Refinement,
    error_n: Tensor,
    k: int,
    options: RansacOptions,
    tried: tuple[int, list[float]],
) -> PoseEstimate:
    """The estimate of image k, or why there is none; `tried`: hypotheses, and the chances of an inlier."""
    covariance_66, (iterations, chances) = refined.covariance_b66[k], tried
    inlier_n = error_n < options.max_error_px
    nothing = PoseEstimate(None, "no_consensus", torch.zeros_like(inlier_n), iterations=iterations)
    if int(inlier_n.sum()) < max(options.min_inliers, _MIN_POINTS):
        return nothing
    n = int(images.usable_bn[k].sum())
    if log10_chance(error_n, n, options.max_error_px, chances, _MAX_LOG10_CHANCE) > _MAX_LOG10_CHANCE:
        return nothing
    pose_34 = refined.poses_b34[k]
    R_33 = pose_34[:, :3]
    T_wc = compose(R_33.mT.cpu().numpy(), (images.center_b3[k] - R_33.mT @ pose_34[:, 3]).cpu().numpy())
    if not bool(covariance_66.isfinite().all()) or not math.isfinite(float(T_wc.sum())):
        return PoseEstimate(None, "degenerate", torch.zeros_like(inlier_n), iterations=iterations)
    score = soft_inlier_share(error_n, options.max_error_px)
    return PoseEstimate(Pose(T_wc), "ok", inlier_n, score, iterations, covariance_66)  # type: ignore[arg-type]


def _chances_of_inlier(px_bn2: Tensor, usable_bn: Tensor, max_error_px: float) -> Tensor:
    """Chances (b, k) of a random point to fall within each of `halvings(max_error_px)` of its pixel.

    It is a disk's share of the pixels' extent; or, where that is larger, twice the chance of two of the pixels to lie
    so close together: a pose far away sees all points at one place, where clustered pixels agree with it.
    """
    step = max(1, px_bn2.shape[1] // 64)
    some_bk2, usable_bk = px_bn2[:, ::step].float(), usable_bn[:, ::step]
    count_b = usable_bk.sum(1).clamp_min(1)
    mean_b12 = (some_bk2 * usable_bk[..., None]).sum(1, keepdim=True) / count_b[:, None, None]
    some_bk2 = torch.where(usable_bk[..., None], some_bk2, mean_b12)
    extent_b2 = (some_bk2.amax(1) - some_bk2.amin(1)).clamp_min(max_error_px)
    pairs_bkk = usable_bk[:, None] & usable_bk[..., None]
    distance_bp = torch.cdist(some_bk2, some_bk2).masked_fill(~pairs_bkk, torch.inf).flatten(1).sort(1).values
    limits_k = torch.tensor(halvings(max_error_px), device=px_bn2.device)
    closer_bk = torch.searchsorted(distance_bp, limits_k.expand(len(px_bn2), -1).contiguous())
    # A pixel is no pair with itself.
    close_bk = (closer_bk - count_b[:, None]) / count_b.square()[:, None]
    disk_bk = math.pi * limits_k.square() / extent_b2.prod(1, keepdim=True)
    return torch.maximum(disk_bk, 2 * close_bk).clamp_max(1)
