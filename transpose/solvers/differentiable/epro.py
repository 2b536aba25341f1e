"""Pose as a distribution: a likelihood loss and weighted pose samples by adaptive importance sampling.

EPro-PnP (Chen et al., CVPR 2022) trains with the negative log-likelihood of the true pose under
p(y) ~ exp(-cost(y)). Its normalizer, an integral over poses, is estimated by adaptive multiple importance sampling.
Ours draws from multivariate t distributions over the tangent space at the solution, rotation and translation jointly:
their correlation is strong in PnP, and a proposal that knows it wastes fewer samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.randomness import torch_stream
from transpose.solvers.differentiable.stationary import Limits, Mode, PoseProblem, descend, gauss_newton_hessian
from transpose.solvers.inputs import Array, as_given, handed_back, in_float64, pixel_input, true_poses, usable_poses
from transpose.solvers.lie import invert
from transpose.solvers.residuals import NEAR, Kernel, scaled_pixels, usual_length

_FREEDOM = 3.0  # of the t distributions: heavy tails find what the Hessian does not see
_MAX_TURN = 0.7  # rad, standard deviation of a proposal; a rotation ends at pi
_MAX_SHIFT = 0.5  # fraction of the distance to the points
_HUBER = Kernel("huber", 1.0)


@dataclass(frozen=True)
class EproOptions:
    """How poses are sampled.

    Attributes:
        samples: per round.
        rounds: of adapting the proposal.
        relative_delta: Huber's threshold in units of mean weight times the spread of the pixels.
        max_iterations: of finding the mode.
        seed: of the samples. Training wants another one each step.
    """

    samples: int = 128
    rounds: int = 4
    relative_delta: float = 0.5
    max_iterations: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.samples, self.rounds, self.max_iterations) < 1 or not self.relative_delta > 0:
            raise ValueError(f"samples, rounds, max_iterations and relative_delta must be positive: {self}")


@dataclass(frozen=True)
class PoseSamples:
    """Poses and how much each counts.

    Attributes:
        T_wc_bs44: camera to world, detached.
        weights_bs: sum to one, detached.
        log_normalizer_b: log of the integral of exp(-cost) over poses (rotations by the Haar measure in rad^3,
            translations in m^3); differentiable by pixels, points, intrinsics and weights.
    """

    T_wc_bs44: Tensor
    weights_bs: Tensor
    log_normalizer_b: Tensor

    @property
    def effective_b(self) -> Tensor:
        """How many equally weighted samples they are worth, (b,)."""
        return 1 / self.weights_bs.square().sum(1)

    def on(self, device: torch.device) -> PoseSamples:
        """The same on the device that the input came from, in float32 where that has no float64."""
        parts = (self.T_wc_bs44, self.weights_bs, self.log_normalizer_b)
        return PoseSamples(*(handed_back(part, device) for part in parts))


@dataclass(frozen=True)
class EproLoss:
    """`loss_b`: the negative log-likelihood of the true poses; and the poses sampled on the way."""

    loss_b: Tensor
    samples: PoseSamples


@dataclass(frozen=True)
class _Likelihood:
    """exp(-cost) of poses: 1/2 delta^2 sum_i huber(|scaled pixel error / delta|^2)."""

    px_b2n: Tensor
    points_b3n: Tensor
    K_b33: Tensor
    scale_b2n: Tensor  # weights over delta
    delta_b: Tensor
    counted_bn: Tensor

    def cost(self, T_wc_bs44: Tensor) -> Tensor:
        """(b, s). A point near or behind the camera is seen as from a hundredth of the points' usual depth."""
        b, s = T_wc_bs44.shape[:2]
        T_cw_bs44 = invert(T_wc_bs44)
        camera_bs3n = T_cw_bs44[..., :3, :3] @ self.points_b3n[:, None] + T_cw_bs44[..., :3, 3:]
        depth_bs1n = camera_bs3n[:, :, 2:]
        counted_depth_bsn = depth_bs1n.abs().squeeze(2) * self.counted_bn[:, None]
        least_b = NEAR * usual_length(counted_depth_bsn.flatten(1)).clamp_min(1e-9)
        camera_bs3n = torch.cat([camera_bs3n[:, :, :2], depth_bs1n.clamp_min(least_b[:, None, None, None])], 2)
        projected_bs3n = self.K_b33[:, None] @ (camera_bs3n / camera_bs3n[:, :, 2:])
        error_bs2n = (projected_bs3n[:, :, :2] - self.px_b2n[:, None]) * self.scale_b2n[:, None]
        robust_bsn = _HUBER.value(error_bs2n.square().sum(2)) * self.counted_bn[:, None]
        return 0.5 * self.delta_b[:, None].square() * robust_bsn.sum(2).reshape(b, s)


def epro_pnp_loss(
    px_bn2: Array,
    points_bn3: Array,
    K_b33: Array,
    T_wc_b44: Array,
    weights_bn2: Array | None = None,
    options: EproOptions | None = None,
) -> EproLoss:
    """How unlikely the true poses are under the distribution that the correspondences imply.

    Args:
        px_bn2: continuous pixels.
        points_bn3: world points, metres. A pair that is not finite is left out.
        K_b33: pinhole intrinsics, pixels; (3, 3) serves all.
        T_wc_b44: the true poses; the search for the mode starts there.
        weights_bn2: of the pixel errors in 1/px, such as one over sigma, (b, n, 2) or (b, n); 1 without it.
        options: of the sampling.

    Returns:
        The loss in nats, differentiable by pixels, points, intrinsics and weights, and the sampled poses.

    Raises:
        ValueError: shapes that do not fit, negative weights, intrinsics or poses that are none.
    """
    options = options or EproOptions()
    points = as_given("points", points_bn3)
    likelihood = _likelihood(px_bn2, points, K_b33, weights_bn2, options)
    truth_b44 = true_poses(T_wc_b44, len(px_bn2), likelihood.points_b3n.device)
    samples = _sampled(likelihood, truth_b44, options)
    loss_b = likelihood.cost(truth_b44[:, None])[:, 0] + samples.log_normalizer_b
    return EproLoss(handed_back(loss_b, points.device), samples.on(points.device))


def epro_pnp_samples(
    px_bn2: Array,
    points_bn3: Array,
    K_b33: Array,
    init_b44: Array,
    weights_bn2: Array | None = None,
    options: EproOptions | None = None,
) -> PoseSamples:
    """Weighted poses from the distribution that the correspondences imply; arguments as in `epro_pnp_loss`.

    `init_b44` are poses T_wc near which the mode is searched.
    """
    options = options or EproOptions()
    points = as_given("points", points_bn3)
    likelihood = _likelihood(px_bn2, points, K_b33, weights_bn2, options)
    init_b44 = as_given("poses", init_b44)
    if init_b44.shape != (len(px_bn2), 4, 4):
        raise ValueError(f"need poses ({len(px_bn2)}, 4, 4), got {tuple(init_b44.shape)}")
    init_b44, _ = usable_poses(init_b44, likelihood.points_b3n.device)
    return _sampled(likelihood, init_b44, options).on(points.device)


def _likelihood(
    px_bn2: Array, points_bn3: Array, K_b33: Array, weights_bn2: Array | None, options: EproOptions
) -> _Likelihood:
    px_bn2 = as_given("px", px_bn2)
    weights_bn2 = torch.ones_like(px_bn2) if weights_bn2 is None else as_given("weights", weights_bn2)
    if weights_bn2.ndim == 2:
        weights_bn2 = weights_bn2[..., None].expand(*weights_bn2.shape, 2)
    if weights_bn2.shape != px_bn2.shape:
        raise ValueError(f"need weights {tuple(px_bn2.shape)} or one a point, got {tuple(weights_bn2.shape)}")
    if bool((weights_bn2.detach() < 0).any()):
        raise ValueError(f"weights must not be negative, got {float(weights_bn2.detach().min())}")
    finite_bn = torch.isfinite(weights_bn2.detach()).all(2)
    px, points, K, counted_bn = pixel_input(px_bn2, points_bn3, K_b33, finite_bn.float())
    weights = torch.where((counted_bn > 0)[..., None], in_float64(weights_bn2, points.device), 0.0)
    counted_bn = counted_bn * (weights.detach() > 0).any(2)
    with torch.no_grad():
        number_b1 = counted_bn.sum(1, keepdim=True).clamp_min(1)
        mean_b12 = (px * counted_bn[..., None]).sum(1, keepdim=True) / number_b1[..., None]
        spread_b = (((px - mean_b12).square().sum(2) * counted_bn).sum(1) / (2 * number_b1[:, 0])).sqrt()
        delta_b = options.relative_delta * weights.sum((1, 2)) / (2 * number_b1[:, 0]) * spread_b
        delta_b = delta_b.clamp_min(1e-9)
    scale_b2n = (weights / delta_b[:, None, None]).mT
    return _Likelihood(px.mT, points.mT, K, scale_b2n, delta_b, counted_bn)


def _sampled(likelihood: _Likelihood, init_b44: Tensor, options: EproOptions) -> PoseSamples:
    with torch.no_grad():
        residuals = scaled_pixels(likelihood.px_b2n, likelihood.K_b33, likelihood.scale_b2n)
        problem = PoseProblem(likelihood.points_b3n, likelihood.counted_bn, residuals, _HUBER)
        mode = descend(problem, init_b44, Limits(options.max_iterations, step_rms=1e-4))
        first_b66 = _first_factor(gauss_newton_hessian(problem, mode), mode.t_b3, likelihood.delta_b)
        xi_bs6, log_proposal_bs = _drawn(likelihood, mode, first_b66, options)
        T_wc_bs44 = mode.moved(xi_bs6)
        log_offset_bs = _log_measure(xi_bs6) - log_proposal_bs
    log_weight_bs = log_offset_bs - likelihood.cost(T_wc_bs44)
    log_normalizer_b = log_weight_bs.logsumexp(1) - math.log(xi_bs6.shape[1])
    return PoseSamples(T_wc_bs44, log_weight_bs.detach().softmax(1), log_normalizer_b)


def _drawn(likelihood: _Likelihood, mode: Mode, factor_b66: Tensor, options: EproOptions) -> tuple[Tensor, Tensor]:
    """Tangent vectors (b, s, 6) of all rounds and the log density (b, s) of the mixture they come from.

    The first round's proposal sits at the mode, its covariance given by a Cholesky factor.
    """
    stream = torch_stream(options.seed, "epro samples")  # few numbers: the same on every device
    shape = (options.samples, 6)
    mean_b6 = torch.zeros_like(factor_b66[:, 0])
    first_b66 = factor_b66 @ factor_b66.mT
    xi_bs6, proposals = mean_b6[:, None, :].expand(-1, 0, -1), []
    while True:
        # The same numbers for every image: its samples do not depend on its neighbours.
        normal_s6 = torch.randn(*shape, generator=stream, dtype=torch.float64).to(mean_b6.device)
        chi2_s1 = torch.randn(shape[0], 3, generator=stream, dtype=torch.float64).to(mean_b6.device)
        t_s6 = normal_s6 * (_FREEDOM / chi2_s1.square().sum(1, keepdim=True)).sqrt()
        xi_bs6 = torch.cat([xi_bs6, mean_b6[:, None] + t_s6 @ factor_b66.mT], 1)
        proposals.append((mean_b6, factor_b66))
        log_densities = torch.stack([_log_t(xi_bs6, *proposal) for proposal in proposals])
        log_proposal_bs = log_densities.logsumexp(0) - math.log(len(proposals))
        if len(proposals) == options.rounds:
            return xi_bs6, log_proposal_bs
        log_weight_bs = _log_measure(xi_bs6) - log_proposal_bs - likelihood.cost(mode.moved(xi_bs6))
        weights_bs1 = log_weight_bs.softmax(1)[..., None]
        mean_b6 = (weights_bs1 * xi_bs6).sum(1)
        around_bs6 = (xi_bs6 - mean_b6[:, None]) * weights_bs1.sqrt()
        # A fraction of the first guess keeps a collapsed set of weights from collapsing the proposal.
        factor_b66 = torch.linalg.cholesky_ex(0.95 * around_bs6.mT @ around_bs6 + 0.05 * first_b66)[0]


def _first_factor(hessian_b66: Tensor, t_b3: Tensor, delta_b: Tensor) -> Tensor:
    """Cholesky factor of the covariance at the mode, directions that are not fixed cut to a sensible width."""
    hessian_b66 = hessian_b66 * delta_b[:, None, None].square()
    reach_b1 = t_b3.norm(dim=1, keepdim=True).clamp_min(1e-9)
    width_b6 = torch.cat([torch.full_like(t_b3, _MAX_TURN), _MAX_SHIFT * reach_b1.expand(-1, 3)], 1)
    # In units of the width, adding one to the information bounds every standard deviation by it.
    scaled_b66 = hessian_b66 * width_b6[:, :, None] * width_b6[:, None]
    eye_66 = torch.eye(6, dtype=scaled_b66.dtype, device=scaled_b66.device)
    scaled_b66 = torch.where(torch.isfinite(scaled_b66), scaled_b66, 0.0) + eye_66
    covariance_b66 = torch.cholesky_inverse(torch.linalg.cholesky_ex(scaled_b66)[0])
    return torch.linalg.cholesky_ex(covariance_b66)[0] * width_b6[:, :, None]


def _log_t(xi_bs6: Tensor, mean_b6: Tensor, factor_b66: Tensor) -> Tensor:
    """Log density (b, s) of the multivariate t distribution."""
    white_b6s = torch.linalg.solve_triangular(factor_b66, (xi_bs6 - mean_b6[:, None]).mT, upper=False)
    log_determinant_b1 = factor_b66.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True)
    half = (_FREEDOM + 6) / 2
    constant = math.lgamma(half) - math.lgamma(_FREEDOM / 2) - 3 * math.log(_FREEDOM * math.pi)
    return constant - log_determinant_b1 - half * torch.log1p(white_b6s.square().sum(1) / _FREEDOM)


def _log_measure(xi_bs6: Tensor) -> Tensor:
    """Log of the Haar density of exp(omega) over omega, 2 (1 - cos) / angle^2; nothing beyond half a turn."""
    angle_bs = xi_bs6[..., :3].norm(dim=-1)
    density_bs = torch.sinc(angle_bs / (2 * math.pi)).square()
    return torch.where(angle_bs < math.pi, density_bs.clamp_min(1e-300).log(), -torch.inf)
