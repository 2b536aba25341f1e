"""The uncertainty of a pose: coordinate maps sampled with correlated noise, the poses they give, and a closed form.

A network's errors are correlated over neighbouring cells. Noise drawn for each cell alone averages away over
thousands of them and promises millimetres that are not there; noise with the errors' correlation length does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

import torch
from torch import Tensor

from transpose.randomness import torch_stream
from transpose.solvers.differentiable.fields import CorrelatedField
from transpose.solvers.inputs import LARGEST, Array, Kind, as_given, as_tensor, handed_back, in_float64, usable_poses
from transpose.solvers.intrinsics import check_intrinsics
from transpose.solvers.lie import exp_se3, exp_so3, invert, log_se3, skew

_PRIOR_SAMPLES = 24.0  # the closed form counts as many samples: a covariance from eight alone would be far off
_MEAN_ROUNDS = 5
_MIN_POINTS = 6
_MAX_CONDITION = 1e10


@dataclass(frozen=True)
class PosteriorOptions:
    """How poses are sampled.

    Attributes:
        samples: coordinate maps drawn.
        steps: Gauss-Newton steps on each, from the nearest start.
        correlation_px: length l of the errors' correlation exp(-d^2 / (2 l^2)), pixels, from validation: of the
            Gaussian of the same area (`losses.correlation`), not the distance at which the correlation has fallen to
            exp(-1/2), which is one cell where neighbours share half of their error. None for independent errors.
        mode_distance: poses farther apart than that many standard deviations of the closed form are different modes.
        seed: of the noise.
    """

    samples: int = 16
    steps: int = 2
    correlation_px: float | None = 40.0
    mode_distance: float = 12.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 2 or self.steps < 1 or not self.mode_distance > 0:
            raise ValueError(f"need at least two samples, one step and a positive mode_distance: {self}")


@dataclass(frozen=True)
class PosteriorMode(Generic[Kind]):
    """Poses that lie together: their mean `T_wc` (4, 4), and the fraction of all samples among them."""

    T_wc: Kind
    fraction: float


@dataclass(frozen=True)
class PosePosterior(Generic[Kind]):
    """What coordinate maps as uncertain as predicted say about the pose; arrays of the kind that came in.

    Attributes:
        T_wc_m44: the sampled poses, camera to world.
        mode_m: which mode each belongs to.
        modes: by falling fraction.
        T_wc: their mean.
        covariance_66: of xi = (omega rad, t m) in the camera frame, T_wc_true = T_wc exp(xi): the samples' scatter,
            steadied by the closed form, which counts as 24 samples.
        closed_form_66: the linear propagation of the same noise at the pose given.
    """

    T_wc_m44: Kind
    mode_m: Kind
    modes: tuple[PosteriorMode[Kind], ...]
    T_wc: Kind
    covariance_66: Kind
    closed_form_66: Kind


@dataclass(frozen=True)
class _Map:
    rays_n3: Tensor
    points_n3: Tensor
    factor_n33: Tensor
    variance_n: Tensor
    field: CorrelatedField | None


def sample_posterior(
    px_n2: Kind,
    points_n3: Array,
    covariances_n33: Array,
    K_33: Array,
    T_wc: Array,
    options: PosteriorOptions | None = None,
) -> PosePosterior[Kind] | None:
    """Poses of coordinate maps drawn around a predicted one.

    Args:
        px_n2: continuous pixels of the points to use (the inliers).
        points_n3: predicted world points, metres. Rows that are not finite are left out.
        covariances_n33: of the points, metres squared, world frame.
        K_33: pinhole intrinsics, pixels.
        T_wc: the pose, (4, 4); or several, (k, 4, 4), the best first: where different modes may lie. Every map keeps
            the pose that fits it best.
        options: of the sampling.

    Returns:
        The posterior, computed on the points' device; None where fewer than six points are left or they do not fix a
        pose.

    Raises:
        ValueError: shapes that do not fit, poses or intrinsics that are none.
    """
    options = options or PosteriorOptions()
    device = as_given("points", points_n3).device
    starts_k44, observed = _checked(px_n2, points_n3, covariances_n33, K_33, T_wc, options)
    if observed is None:
        return None
    closed_66 = _closed_form(observed, starts_k44[0])
    if closed_66 is None:
        return None
    poses_m44 = _sampled_poses(observed, starts_k44, options)
    mean_44 = _mean(poses_m44)
    xi_m6 = log_se3(invert(mean_44) @ poses_m44)
    scatter_66 = xi_m6.mT @ xi_m6
    covariance_66 = (scatter_66 + _PRIOR_SAMPLES * closed_66) / (len(poses_m44) - 1 + _PRIOR_SAMPLES)
    mode_m = _modes(poses_m44, closed_66, options.mode_distance)
    modes = [_mean(poses_m44[mode_m == i]) for i in range(int(mode_m.max()) + 1)]
    fractions = [float((mode_m == i).double().mean()) for i in range(len(modes))]

    def out(a: Tensor) -> Any:  # Kind: no type follows from `isinstance`
        return handed_back(a, device) if isinstance(px_n2, Tensor) else a.cpu().numpy()

    return PosePosterior(
        out(poses_m44),
        out(mode_m),
        tuple(PosteriorMode(out(T), fraction) for T, fraction in zip(modes, fractions, strict=True)),
        out(mean_44),
        out(covariance_66),
        out(closed_66),
    )


def _checked(
    px: Array, points: Array, covariances: Array, K: Array, T_wc: Array, options: PosteriorOptions
) -> tuple[Tensor, _Map | None]:
    device = as_given("points", points).device
    named = {"px": px, "points": points, "covariances": covariances, "K": K, "poses": T_wc}
    px_n2, points_n3, covariances_n33, K_33, T = (in_float64(as_tensor(*each), device) for each in named.items())
    n = len(px_n2)
    if px_n2.shape != (n, 2) or points_n3.shape != (n, 3) or covariances_n33.shape != (n, 3, 3):
        shapes = tuple(px_n2.shape), tuple(points_n3.shape), tuple(covariances_n33.shape)
        raise ValueError(f"need px (n, 2), points (n, 3) and covariances (n, 3, 3), got {shapes}")
    check_intrinsics(K_33, 1, skew=True)
    K_33 = K_33.reshape(3, 3)
    if T.shape[-2:] != (4, 4) or T.ndim not in (2, 3) or T.numel() == 0:
        raise ValueError(f"need T_wc (4, 4) or (k, 4, 4), got {tuple(T.shape)}")
    starts_k44, finite_k = usable_poses(T.reshape(-1, 4, 4))
    if not bool(finite_k.all()):
        raise ValueError("T_wc must be finite")
    factor_n33, failed_n = torch.linalg.cholesky_ex(torch.nan_to_num(covariances_n33))
    usable_n = (px_n2.abs() < LARGEST).all(1) & (points_n3.abs() < LARGEST).all(1) & (failed_n == 0)
    usable_n &= torch.isfinite(covariances_n33).all(2).all(1)
    if int(usable_n.sum()) < _MIN_POINTS:
        return starts_k44, None
    px_n2, points_n3, factor_n33 = px_n2[usable_n], points_n3[usable_n], factor_n33[usable_n]
    rays_n3 = torch.cat([px_n2, torch.ones_like(px_n2[:, :1])], 1) @ torch.linalg.inv(K_33).mT
    rays_n3 = torch.nn.functional.normalize(rays_n3, dim=1)
    variance_n = factor_n33.square().sum((1, 2)) / 3
    field = None if options.correlation_px is None else CorrelatedField.at(px_n2, options.correlation_px)
    return starts_k44, _Map(rays_n3, points_n3, factor_n33, variance_n, field)


def _jacobian(observed: _Map, T_wc_m44: Tensor, points_mn3: Tensor) -> tuple[Tensor, Tensor]:
    """Point-to-ray residuals (m, n, 3) in metres and their derivatives (m, n, 3, 6) over T_wc exp(xi).

    Camera points move by -omega x X_c - t; the part across the viewing ray counts.
    """
    T_cw_m44 = invert(T_wc_m44)
    camera_mn3 = points_mn3 @ T_cw_m44[:, :3, :3].mT + T_cw_m44[:, None, :3, 3]
    eye_33 = torch.eye(3, dtype=camera_mn3.dtype, device=camera_mn3.device)
    across_n33 = eye_33 - observed.rays_n3[:, :, None] * observed.rays_n3[:, None]
    residual_mn3 = (across_n33 @ camera_mn3[..., None]).squeeze(3)
    return residual_mn3, torch.cat([across_n33 @ skew(camera_mn3), -across_n33.expand(len(T_wc_m44), -1, -1, -1)], 3)


def _closed_form(observed: _Map, T_wc_44: Tensor) -> Tensor | None:
    """H^-1 B H^-1: the pose's first-order response to the points' noise, whose scatter B knows the correlation."""
    _, J_1n36 = _jacobian(observed, T_wc_44[None], observed.points_n3[None])
    weighted_n36 = J_1n36[0] / observed.variance_n[:, None, None]
    hessian_66 = torch.einsum("nia,nib->ab", weighted_n36, J_1n36[0])
    scale_6 = hessian_66.diagonal().clamp_min(1e-300).rsqrt()
    values_6 = torch.linalg.eigvalsh(hessian_66 * scale_6[:, None] * scale_6)
    if not float(values_6[0]) * _MAX_CONDITION > float(values_6[5]):
        return None
    # What a unit of noise on each point (three a point, by the covariance's factor) adds to the gradient over the pose.
    gradient_n63 = weighted_n36.mT @ T_wc_44[:3, :3].mT @ observed.factor_n33
    if observed.field is None:
        scatter_66 = torch.einsum("nak,nbk->ab", gradient_n63, gradient_n63)
    else:
        scatter_66 = torch.stack([observed.field.scatter(gradient_n6) for gradient_n6 in gradient_n63.unbind(2)]).sum(0)
    inverse_66 = torch.linalg.inv(hessian_66 * scale_6[:, None] * scale_6) * scale_6[:, None] * scale_6
    return inverse_66 @ scatter_66 @ inverse_66


def _sampled_poses(observed: _Map, starts_k44: Tensor, options: PosteriorOptions) -> Tensor:
    device = observed.points_n3.device
    stream = torch_stream(options.seed, "posterior")  # few numbers: the same on every device
    n, m, k = len(observed.points_n3), options.samples, len(starts_k44)
    if observed.field is None:
        shape = (m, n, 3)
        noise_mn3 = torch.randn(shape, generator=stream, dtype=torch.float64).to(device)
    else:
        noise_mn3 = observed.field.sample(3 * m, stream).unflatten(0, (m, 3)).mT
    maps_mn3 = observed.points_n3 + (observed.factor_n33 @ noise_mn3[..., None]).squeeze(3)
    points_rn3, poses_r44 = maps_mn3.repeat(k, 1, 1), starts_k44.repeat_interleave(m, 0)
    for _ in range(options.steps):
        poses_r44 = poses_r44 @ exp_se3(_step(observed, poses_r44, points_rn3))
    residual_rn3, _ = _jacobian(observed, poses_r44, points_rn3)
    cost_km = (residual_rn3.square().sum(2) / observed.variance_n).sum(1).unflatten(0, (k, m))
    return poses_r44.unflatten(0, (k, m))[cost_km.argmin(0), torch.arange(m, device=cost_km.device)]


def _step(observed: _Map, poses_r44: Tensor, points_rn3: Tensor) -> Tensor:
    residual_rn3, J_rn36 = _jacobian(observed, poses_r44, points_rn3)
    rows_ri6, values_ri1 = J_rn36.flatten(1, 2), residual_rn3.flatten(1)[..., None]
    weighted_ri6 = rows_ri6 / observed.variance_n.repeat_interleave(3)[:, None]
    hessian_r66, gradient_r61 = weighted_ri6.mT @ rows_ri6, weighted_ri6.mT @ values_ri1
    scale_r6 = hessian_r66.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt()
    scaled_r66 = hessian_r66 * scale_r6[:, :, None] * scale_r6[:, None]
    scaled_r66 = scaled_r66 + 1e-12 * torch.eye(6, dtype=scaled_r66.dtype, device=scaled_r66.device)
    step_r61 = torch.linalg.solve_ex(scaled_r66, gradient_r61 * scale_r6[..., None])[0]
    return -(step_r61 * scale_r6[..., None]).squeeze(2).nan_to_num(0.0, 0.0, 0.0)


def _mean(poses_m44: Tensor) -> Tensor:
    """The pose from which the others' tangent vectors sum to zero."""
    mean_44 = poses_m44[0]
    for _ in range(_MEAN_ROUNDS):
        xi_6 = log_se3(invert(mean_44) @ poses_m44).mean(0)
        mean_44 = mean_44.clone()
        mean_44[:3, 3] += mean_44[:3, :3] @ xi_6[3:]
        mean_44[:3, :3] = mean_44[:3, :3] @ exp_so3(xi_6[:3])
    return mean_44


def _modes(poses_m44: Tensor, covariance_66: Tensor, distance: float) -> Tensor:
    """A mode's number (m,) for each pose: poses linked by steps below the distance are one; 0 is the most frequent."""
    xi_mm6 = log_se3(invert(poses_m44)[:, None] @ poses_m44[None])
    scale_6 = covariance_66.diagonal().rsqrt()
    information_66 = torch.linalg.inv(covariance_66 * scale_6[:, None] * scale_6) * scale_6[:, None] * scale_6
    linked_mm = torch.einsum("ija,ab,ijb->ij", xi_mm6, information_66, xi_mm6) < distance**2
    linked_mm = (linked_mm | linked_mm.mT).double()
    for _ in range(len(poses_m44).bit_length()):  # doubling the length of the chains
        linked_mm = (linked_mm @ linked_mm > 0).double()
    representative_m = linked_mm.argmax(1)
    _, mode_m, count_i = representative_m.unique(return_inverse=True, return_counts=True)
    rank_i = torch.empty_like(count_i)
    rank_i[count_i.argsort(descending=True, stable=True)] = torch.arange(len(count_i), device=count_i.device)
    return rank_i[mode_m]
