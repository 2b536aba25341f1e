"""Rigid motion between camera points and world points (RGB-D): Kabsch in RANSAC, then robust weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from transpose.geometry.poses import Pose, compose
from transpose.solvers.inputs import Array, as_tensor, full_precision, in_kind_of, on_a_line, one_image
from transpose.solvers.lie import skew
from transpose.solvers.options import PoseEstimate, RigidOptions
from transpose.solvers.robust.samples import first_of_equals, number_of_triples, subset, triples
from transpose.solvers.robust.scoring import halvings, log10_chance, soft_inlier_fraction

_MIN_POINTS = 4
_ROUNDS = 128, 1024, 4096, 4096, 4096, 4096
_PREVIEWED, _SCORED = 64, 512
_KEPT = 8
_REFINEMENTS = 4
_NEAR = 2.0  # thresholds
_CAUCHY_SCALE = 2.385
_MEDIAN_OF_MAXWELL = 1.5382  # over its sigma
_SMALLEST_SIGMA = 1e-6  # of the threshold
_MAX_LOG10_CHANCE = -3.0


def solve_rigid(
    camera_points_n3: Array,
    points_n3: Array,
    options: RigidOptions | None = None,
    weights_n: Array | None = None,
) -> PoseEstimate:
    """The pose that carries camera points onto world points; or a list of the poses of a batch of images.

    Types do not see the shape of an array: for a batch `solve_rigid_batch` is the same with the type of a list.

    Args:
        camera_points_n3: in the camera's frame, metres, (n, 3) or (b, n, 3). Pairs that are not finite are left out.
        points_n3: the same points in the world, metres.
        options: of the search.
        weights_n: inverse variances up to a factor, (n,) or (b, n), not negative; the heavier are drawn more often.

    Returns:
        A `PoseEstimate`, or a list of them for a batch.

    Raises:
        ValueError: shapes do not fit, arrays hold no real numbers, or a weight is negative.
    """
    pair = one_image(as_tensor("camera points", camera_points_n3), as_tensor("points", points_n3))
    camera, world, weights = _checked(*pair, weights_n)
    if camera.ndim == 3:  # a list, which no type can tell from the shape of an array
        return solve_rigid_batch(camera_points_n3, points_n3, options, weights_n)  # type: ignore[return-value]
    with torch.inference_mode(), full_precision(camera.device):
        estimate = _solve(camera, world, weights, options or RigidOptions())
    return in_kind_of(camera_points_n3, estimate)


def solve_rigid_batch(
    camera_points_bn3: Array,
    points_bn3: Array,
    options: RigidOptions | None = None,
    weights_bn: Array | None = None,
) -> list[PoseEstimate]:
    """`solve_rigid` of a batch: camera points and points (b, n, 3), weights (b, n)."""
    camera, world, weights = _checked(camera_points_bn3, points_bn3, weights_bn)
    if camera.ndim != 3:
        raise ValueError(f"need points of a batch, (b, n, 3), got {tuple(camera.shape)}")
    with torch.inference_mode(), full_precision(camera.device):
        triples = zip(camera, world, weights, strict=True)
        estimates = [_solve(*each, options or RigidOptions()) for each in triples]
    return [in_kind_of(camera_points_bn3, each) for each in estimates]


def _checked(camera_points: Array, points: Array, weights: Array | None) -> tuple[Tensor, Tensor, Tensor]:
    """Both point sets and their weights in float64, on the camera points' device."""
    camera, world = as_tensor("camera points", camera_points), as_tensor("points", points)
    if camera.ndim not in (2, 3) or camera.shape[-1] != 3 or camera.shape != world.shape:
        raise ValueError(f"need two of (n, 3) or (b, n, 3), got {tuple(camera.shape)} and {tuple(world.shape)}")
    relative = torch.ones_like(camera[..., 0]) if weights is None else as_tensor("weights", weights)
    if relative.shape != camera.shape[:-1]:
        raise ValueError(f"need weights {tuple(camera.shape[:-1])}, got {tuple(relative.shape)}")
    if bool((relative < 0).any()):
        raise ValueError("weights must not be negative")
    return camera, world.to(camera.device), relative.to(camera.device)


def kabsch(camera_bn3: Tensor, points_bn3: Tensor, weights_bn: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Rotations (b, 3, 3) and translations (b, 3) that carry camera points onto world points, least squares.

    Kabsch 1976; the sign of the smallest singular vector as in Umeyama 1991, so that it is never a reflection.
    """
    if weights_bn is None:
        weights_bn = torch.ones_like(camera_bn3[..., 0])
    normalized_b1n = (weights_bn / weights_bn.sum(-1, keepdim=True).clamp_min(torch.finfo(weights_bn.dtype).tiny))[
        ..., None, :
    ]
    camera_b13, world_b13 = normalized_b1n @ camera_bn3, normalized_b1n @ points_bn3
    moment_b33 = ((points_bn3 - world_b13).mT * normalized_b1n) @ (camera_bn3 - camera_b13)
    U, _, Vt = torch.linalg.svd(moment_b33)
    sign_b = torch.linalg.det(U) * torch.linalg.det(Vt)
    U = torch.cat([U[..., :2], U[..., 2:] * sign_b[..., None, None]], -1)
    R_b33 = U @ Vt
    return R_b33, (world_b13 - camera_b13 @ R_b33.mT)[..., 0, :]


def triads(camera_333h: Tensor, points_333h: Tensor) -> Tensor:
    """Poses [R | t] (h, 12) that carry triangles (point, xyz, h) onto others, by aligning an orthonormal frame.

    Exact where the triangles are congruent, and several times cheaper than Kabsch. Degenerate ones give no rotation.
    """
    frames = [_frame(p) for p in (points_333h, camera_333h)]
    R_33h = (frames[0][:, None] * frames[1][None]).sum(2)
    t_3h = points_333h.mean(0) - (R_33h * camera_333h.mean(0)).sum(1)
    return torch.cat([R_33h, t_3h[:, None]], 1).flatten(0, 1).T.nan_to_num()


def _frame(points_33h: Tensor) -> Tensor:
    """Orthonormal axes as columns: (xyz, axis, h)."""
    x, side = points_33h[1] - points_33h[0], points_33h[2] - points_33h[0]
    x = x * x.square().sum(0).rsqrt()
    z = torch.stack([x[1] * side[2] - x[2] * side[1], x[2] * side[0] - x[0] * side[2], x[0] * side[1] - x[1] * side[0]])
    z = z * z.square().sum(0).rsqrt()
    y = torch.stack([z[1] * x[2] - z[2] * x[1], z[2] * x[0] - z[0] * x[2], z[0] * x[1] - z[1] * x[0]])
    return torch.stack([x, y, z], 1)


def _solve(camera_n3: Tensor, points_n3: Tensor, weights_n: Tensor, options: RigidOptions) -> PoseEstimate:
    usable_n = (camera_n3.sum(1) + points_n3.sum(1) + weights_n).isfinite() & (weights_n > 0)
    distinct_n = first_of_equals(torch.cat([camera_n3, points_n3], 1)[None], usable_n[None])[0]
    index_k = distinct_n.nonzero()[:, 0]
    no_inliers_n = torch.zeros_like(usable_n)
    if len(index_k) < _MIN_POINTS:
        return PoseEstimate(None, "too_few_points", no_inliers_n)
    camera_k3, world_k3, weights_k = camera_n3[index_k], points_n3[index_k], weights_n[index_k]
    step = max(1, len(index_k) // 512)
    centers = [p[::step].median(0).values for p in (camera_k3, world_k3)]
    camera_k3, world_k3 = camera_k3 - centers[0], world_k3 - centers[1]
    everyone = torch.ones(2, len(index_k), dtype=torch.bool, device=camera_k3.device)
    if bool(on_a_line(torch.stack([camera_k3.T, world_k3.T]), everyone).any()):
        return PoseEstimate(None, "degenerate", no_inliers_n)
    pose_34, tried = _search(camera_k3, world_k3, weights_k, options)
    R_33, t_3, sigma2_k = _refined(camera_k3, world_k3, weights_k, pose_34.double(), options.max_error_m)
    covariance_66 = _covariance(camera_k3 + centers[0], 1 / sigma2_k)
    error_k = _distances(camera_k3, world_k3, R_33, t_3)
    inlier_k = error_k < options.max_error_m
    extent_3 = (
        world_k3[::step].quantile(world_k3.new_tensor([0.05, 0.95]), 0).diff(dim=0).clamp_min(2 * options.max_error_m)
    )
    balls = [4 / 3 * math.pi * e**3 / float(extent_3.prod()) for e in halvings(options.max_error_m)]
    chances = [min(1.0, ball) for ball in balls]
    significance = log10_chance(error_k, len(error_k), options.max_error_m, chances, _MAX_LOG10_CHANCE)
    if int(inlier_k.sum()) < max(options.min_inliers, _MIN_POINTS) or significance > _MAX_LOG10_CHANCE:
        return PoseEstimate(None, "no_consensus", no_inliers_n, iterations=tried)
    if not bool(covariance_66.isfinite().all()):
        return PoseEstimate(None, "degenerate", no_inliers_n, iterations=tried)
    t_3 = t_3 + centers[1] - R_33 @ centers[0]
    error_n = torch.where(usable_n, _distances(camera_n3, points_n3, R_33, t_3), torch.inf)
    mask_n = error_n < options.max_error_m
    score = soft_inlier_fraction(error_n, options.max_error_m)
    pose = Pose(compose(R_33.cpu().numpy(), t_3.cpu().numpy()))
    return PoseEstimate(pose, "ok", mask_n, score, tried, covariance_66)  # type: ignore[arg-type]


def _distances(camera_k3: Tensor, world_k3: Tensor, R_33: Tensor, t_3: Tensor) -> Tensor:
    return (camera_k3 @ R_33.mT + t_3 - world_k3).square().sum(-1).sqrt()


def _search(camera_k3: Tensor, world_k3: Tensor, weights_k: Tensor, options: RigidOptions) -> tuple[Tensor, int]:
    """The best motion [R | t] of rounds of minimal samples, float32, and how many were tried."""
    generator = torch.Generator().manual_seed(options.seed)
    camera_3k, world_3k = (p.T.float().contiguous() for p in (camera_k3, world_k3))
    best_12, best_cost, tried = torch.eye(3, 4, dtype=torch.float32, device=camera_3k.device).flatten(), math.inf, 0
    most = min(options.max_iterations, number_of_triples(len(weights_k)))
    for size in _ROUNDS:
        drawn = triples(weights_k[None], tried, size, generator)[0]
        scored = subset(weights_k[None], _SCORED, generator)[0][0]
        poses_h12 = triads(camera_3k[:, drawn].transpose(0, 1), world_3k[:, drawn].transpose(0, 1))
        pair = camera_3k[:, scored], world_3k[:, scored]
        cost_h = _cost(poses_h12, pair[0][:, :_PREVIEWED], pair[1][:, :_PREVIEWED], options.max_error_m)
        poses_h12 = poses_h12[cost_h.topk(_KEPT, largest=False).indices]
        poses_h12 = torch.cat([_averaged(poses_h12, *pair, options.max_error_m), poses_h12, best_12[None]])
        cost_h = _cost(poses_h12, *pair, options.max_error_m)
        best_12, best_cost = poses_h12[cost_h.argmin()], float(cost_h.min())
        tried = int(min(tried + size, most))
        # The truncated cost underestimates the inliers, which only prolongs the search.
        all_inliers = min(max(1 - best_cost, 1e-3) ** 3, 1 - 1e-9)
        if tried >= min(math.log(1 - options.confidence) / math.log1p(-all_inliers), most):
            break
    return best_12.view(3, 4), tried


def _squared(poses_h12: Tensor, camera_3m: Tensor, world_3m: Tensor) -> Tensor:
    poses_h34 = poses_h12.view(-1, 3, 4)
    moved_h3m = (poses_h34[:, :, :3].flatten(0, 1) @ camera_3m).view(len(poses_h12), 3, -1) + poses_h34[:, :, 3:]
    return (moved_h3m - world_3m).square().sum(1)


def _cost(poses_h12: Tensor, camera_3m: Tensor, world_3m: Tensor, max_error_m: float) -> Tensor:
    return (_squared(poses_h12, camera_3m, world_3m) / max_error_m**2).clamp(max=1).mean(1)


def _averaged(poses_h12: Tensor, camera_3m: Tensor, world_3m: Tensor, max_error_m: float) -> Tensor:
    """Each motion fitted anew to its inliers (local optimization)."""
    weights_hm = (_squared(poses_h12, camera_3m, world_3m) < (1.5 * max_error_m) ** 2).float()
    h = len(poses_h12)
    R_h33, t_h3 = kabsch(camera_3m.T.expand(h, -1, -1), world_3m.T.expand(h, -1, -1), weights_hm)
    return torch.cat([R_h33, t_h3[:, :, None]], 2).flatten(1)


def _refined(
    camera_k3: Tensor, world_k3: Tensor, weights_k: Tensor, pose_34: Tensor, max_error_m: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Kabsch re-weighted by Cauchy's loss on the points near the search's motion, and each point's variance.

    It is infinite for points that took no part.
    """
    R_33, t_3 = pose_34[:, :3], pose_34[:, 3]
    near_m = (_distances(camera_k3, world_k3, R_33, t_3) < _NEAR * max_error_m).nonzero()[:, 0]
    camera_m3, world_m3, weights_m = camera_k3[near_m], world_k3[near_m], weights_k[near_m]
    sigma2_k = torch.full_like(weights_k, torch.inf)
    if len(near_m) < _MIN_POINTS:
        return R_33, t_3, sigma2_k
    relative_m = weights_m / weights_m.mean()
    for _ in range(_REFINEMENTS):
        squared_m = _distances(camera_m3, world_m3, R_33, t_3).square() * relative_m
        sigma = max(float(squared_m.median().sqrt()) / _MEDIAN_OF_MAXWELL, _SMALLEST_SIGMA * max_error_m)
        squared_m = squared_m / sigma**2
        robust_m = 1 / (1 + squared_m / _CAUCHY_SCALE**2)
        R_33, t_3 = (f[0] for f in kabsch(camera_m3[None], world_m3[None], (relative_m * robust_m)[None]))
    # The variance of an M-estimator relative to that of least squares, E psi^2 / (E psi')^2 (Huber 1964).
    influence2_m = robust_m.square() * squared_m
    slope = (robust_m - 2 / 3 * influence2_m / _CAUCHY_SCALE**2).mean()
    sigma2_k[near_m] = sigma**2 * influence2_m.mean() / 3 / slope.square() / relative_m
    return R_33, t_3, sigma2_k


def _covariance(camera_m3: Tensor, precision_m: Tensor) -> Tensor:
    """Of xi = (omega, t) in the camera frame, T_wc_true = T_wc exp(xi): the inverse of the normal equations.

    A camera point moves by omega x p + t; its residual has the variance 1 / precision along each axis.
    """
    total, moment_3 = precision_m.sum(), precision_m @ camera_m3
    square_33 = (camera_m3.T * precision_m) @ camera_m3
    eye_33 = torch.eye(3, dtype=camera_m3.dtype, device=camera_m3.device)
    skew_33 = skew(moment_3)
    rotation_33 = square_33.trace() * eye_33 - square_33
    normal_66 = torch.cat([torch.cat([rotation_33, skew_33], 1), torch.cat([-skew_33, total * eye_33], 1)])
    scale_6 = normal_66.diagonal().clamp_min(1e-300).rsqrt()
    factor_66, failed = torch.linalg.cholesky_ex(normal_66 * scale_6[:, None] * scale_6)
    if int(failed) or float(factor_66.diagonal().min()) < 1e-6:
        return torch.full_like(normal_66, torch.nan)
    return torch.cholesky_inverse(factor_66) * scale_6[:, None] * scale_6
