"""Robust refinement of camera poses, and of focal lengths nobody knows, on all points.

Iteratively re-weighted Levenberg-Marquardt with Cauchy's loss on what `problem` says, by the sums of
`normal_equations`; and the covariance of what came out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transpose.solvers.lie import orthonormalized
from transpose.solvers.robust.normal_equations import NormalEquations, features, normal_equations, scatter
from transpose.solvers.robust.problem import RefinementProblem
from transpose.solvers.tangent import damped_step, moved

_FIRST_DAMPING = 1e-6
_LAST_DEVIATIONS = 0.5
_SMALLEST_PIVOT = 1e-6
_FEW = 30  # points below which their scatter says less than their predicted covariances
_LONGEST_ZOOM = 0.2  # of log f in a step: far from the minimum the parabola says little


@dataclass(frozen=True)
class Refinement:
    """Refined poses.

    Attributes:
        poses_b34: [R_cw | t_cw], world to camera.
        covariance_b66: of xi = (omega rad, t m) in the camera frame, T_wc_true = T_wc exp(xi), rotation first; NaN
            where the points do not fix the pose. Where the focal length was estimated, whatever it is (the marginal).
        converged_b: whether the last step was negligible.
        zoom_b: focal length over that of the problem; None where it was given.
        focal_sigma_b: standard deviation of its logarithm; None as well.
        overdispersion_b: how many times its variance is that which the curvature of the cost says, such as for errors
            that are correlated; None as well.
    """

    poses_b34: Tensor
    covariance_b66: Tensor
    converged_b: Tensor
    zoom_b: Tensor | None = None
    focal_sigma_b: Tensor | None = None
    overdispersion_b: Tensor | None = None


def refine(problem: RefinementProblem, poses_b34: Tensor, iterations: int = 20, tolerance: float = 3e-4) -> Refinement:
    """Newton's method on Cauchy's loss, damped where it would rise, all images at once.

    Args:
        problem: what is minimized; with `focal`, over the focal lengths too.
        poses_b34: where to start, world to camera.
        iterations: at most so many.
        tolerance: of a step's rotation (rad), its translation relative to the points' extent, and its log f. A last
            step must also be within half a standard deviation of the pose: what is left after it is its square, or a
            few per cent of it where residuals are large, and thus nothing beside the pose's uncertainty.
    """
    features_bn10 = features(problem.homogeneous_b4n)
    extent_b = problem.homogeneous_b4n[:, :3].abs().mean((1, 2)).clamp_min(1e-9)
    one_b = torch.ones_like(extent_b)
    unit_bp = torch.stack([one_b] * 3 + [extent_b] * 3 + [one_b] * (problem.focal is not None), 1)
    damping_b, zoom_b = torch.full_like(extent_b, _FIRST_DAMPING), one_b
    at, state = problem, normal_equations(problem, features_bn10, poses_b34)
    converged_b = torch.zeros_like(extent_b, dtype=torch.bool)
    for _ in range(iterations):
        step_bp, before_bp = _step(state, damping_b), state.gradient_bp
        tried_b34, tried_zoom_b = moved(poses_b34, step_bp[:, :6]), zoom_b
        if problem.focal is not None:
            tried_zoom_b = zoom_b * step_bp[:, 6].exp()
            at = problem.zoomed(tried_zoom_b)
        tried = normal_equations(at, features_bn10, tried_b34)
        # Steps that differ by rounding are taken: they are the last ones.
        better_b = (tried.cost_b <= state.cost_b * (1 + 1e-12)) & ~converged_b
        if bool(better_b.all()):
            poses_b34, zoom_b, state, damping_b = tried_b34, tried_zoom_b, tried, damping_b * 0.1
        else:
            poses_b34 = torch.where(better_b[:, None, None], tried_b34, poses_b34)
            zoom_b, state = torch.where(better_b, tried_zoom_b, zoom_b), state.replaced(tried, better_b)
            damping_b = torch.where(better_b, damping_b * 0.1, damping_b * 10 + 1e-4)
        deviations2_b = -(before_bp * step_bp).sum(1)  # Newton's decrement: the step in standard deviations, squared
        small_b = ((step_bp.abs() / unit_bp).amax(1) < tolerance) & (deviations2_b < _LAST_DEVIATIONS**2)
        converged_b = converged_b | small_b
        if bool(converged_b.all()):
            break
    at = problem if problem.focal is None else problem.zoomed(zoom_b)
    covariance_bpp, inverse_bpp = _covariance(state, scatter(at, state, poses_b34))
    R_b33, t_b31 = poses_b34.split((3, 1), -1)
    found = torch.cat([orthonormalized(R_b33), t_b31], -1), covariance_bpp[:, :6, :6], converged_b
    if problem.focal is None:
        return Refinement(*found)
    variance_b = covariance_bpp[:, 6, 6]
    return Refinement(*found, zoom_b, variance_b.sqrt(), variance_b / inverse_bpp[:, 6, 6])


def _step(state: NormalEquations, damping_b: Tensor) -> Tensor:
    """Newton's step where the Hessian is definite, else that of iterative re-weighting."""
    step_bp, definite_b = damped_step(state.hessian_bpp, state.gradient_bp, damping_b[:, None])
    if not bool(definite_b.all()):
        safe_bp, _ = damped_step(state.straight_bpp, state.gradient_bp, damping_b[:, None])
        step_bp = torch.where(definite_b[:, None], step_bp, safe_bp)
    if step_bp.shape[1] == 7:
        step_bp = step_bp * (_LONGEST_ZOOM / step_bp[:, 6:].abs().clamp_min(_LONGEST_ZOOM))
    return step_bp


def _covariance(state: NormalEquations, scatter_bpp: Tensor) -> tuple[Tensor, Tensor]:
    """The sandwich covariance of an M-estimator, H^-1 B H^-1 (Huber 1967), which needs no Gaussian errors.

    H is the Hessian of the robust cost; B the scatter of its gradient. With few points, H^-1 of the weighted squares:
    the given sigmas are taken as they are. Also H^-1, which is the covariance of errors that are as assumed.
    """
    few_b11 = (state.used_b < _FEW)[:, None, None]
    hessian_bpp = torch.where(few_b11, state.straight_bpp, state.hessian_bpp)
    scale_bp = hessian_bpp.diagonal(dim1=1, dim2=2).clamp_min(1e-30).rsqrt()
    outer_bpp = scale_bp[:, :, None] * scale_bp[:, None]
    factor_bpp, failed_b = torch.linalg.cholesky_ex(hessian_bpp * outer_bpp)
    sound_b11 = ((failed_b == 0) & (factor_bpp.diagonal(dim1=1, dim2=2).amin(1) > _SMALLEST_PIVOT))[:, None, None]
    identity_pp = torch.eye(outer_bpp.shape[-1], dtype=outer_bpp.dtype, device=outer_bpp.device)
    inverse_bpp = torch.cholesky_inverse(torch.where(sound_b11, factor_bpp, identity_pp)) * outer_bpp
    # The scatter is itself estimated from so many points: without the factor a normalized squared error, which is then
    # Hotelling's T^2 with their number of degrees of freedom, would have a mean that is larger than its dimension.
    used_b = state.used_b.clamp_min(_FEW)
    few_points_b = used_b / (used_b - len(identity_pp) - 2)
    sandwich_bpp = few_points_b[:, None, None] * (inverse_bpp @ scatter_bpp @ inverse_bpp)
    return torch.where(sound_b11, torch.where(few_b11, inverse_bpp, sandwich_bpp), torch.nan), inverse_bpp
