"""A pose at which a robust cost is truly stationary, and its derivative by everything that went into the cost.

The implicit function theorem needs the very function that was minimized: f = d cost / d pose is zero at the solution,
so d pose = -H^-1 df with H = d f / d pose, the exact Hessian, second derivatives and the kernel's bending included.
The solver and the derivative share one set of formulas here, and the world is centred on the points, which decouples
rotation and translation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transpose.solvers.differentiable.newton import saddle_free_step, unit_diagonal
from transpose.solvers.lie import compose, exp_so3
from transpose.solvers.moments import maps, moments
from transpose.solvers.residuals import Kernel, Residuals

_ACCEPTED = 10.0  # times the step at which the search ends
_NEAR = 0.05  # the exact Hessian takes over where a step promises less than this fraction of the cost
_MAX_CONDITION = 1e7  # of the Hessian with unit diagonal
_MAX_LOST = 0.1  # fraction of the weight that one step may put behind the camera
_FIRST_DAMPING, _LAST_DAMPING = 1e-4, 1e-10
_SYMMETRIC = [0, 1, 2, 1, 3, 4, 2, 4, 5]  # where the nine entries of a 3x3 lie among its six


@dataclass(frozen=True)
class PoseProblem:
    """cost(T) = 1/2 sum_i w_i rho(q_i(T_cw X_i)).

    Attributes:
        points_b3n: world points, metres, float64, finite.
        weights_bn: of the points, not negative; zero leaves a point out.
        residuals: how q comes from camera-frame points.
        kernel: rho.
    """

    points_b3n: Tensor
    weights_bn: Tensor
    residuals: Residuals
    kernel: Kernel


@dataclass(frozen=True)
class Limits:
    """When the search ends and a solution counts.

    Attributes:
        max_iterations: steps.
        min_points: so many points must bear weight.
        step_rms: converged where a step would move the residuals by less, in their unit; that step is still taken, and
            leaves an error of second order.
        near: the seed is close; the exact Hessian serves from the start.
    """

    max_iterations: int = 50
    min_points: int = 6
    step_rms: float = 1e-5
    near: bool = False


@dataclass(frozen=True)
class _State:
    """A pose (camera from centred world) with cost terms (b, n), gradient and Hessian over xi in the world frame.

    Where `exact_b` is 0 the Hessian is Gauss-Newton's with the kernel's weights: never indefinite, right far away.
    """

    R_b33: Tensor
    t_b3: Tensor
    cost_bn: Tensor
    gradient_b6: Tensor
    hessian_b66: Tensor
    exact_b: Tensor


def solve_stationary(problem: PoseProblem, T_wc_b44: Tensor, limits: Limits | None = None) -> tuple[Tensor, Tensor]:
    """The minimum next to a seed, differentiable by every tensor of the problem.

    Args:
        problem: its tensors may require gradients.
        T_wc_b44: seeds, finite.
        limits: of the search.

    Returns:
        T_wc_b44, camera to world, and ok_b. A sample is ok if the cost is stationary (see `Limits`; one more Newton
        step is taken from there), its Hessian positive definite and well-conditioned, and enough points bear weight
        in front of the camera. All others return their seed and have zero gradients.
    """
    limits = limits or Limits()
    with torch.no_grad():
        center_b3 = _center(problem)
        fixed = _centered(problem, center_b3, detach=True)
        seed = _entered(T_wc_b44, center_b3)
        state, kept_bn = _minimize(fixed, *seed, limits)
        ok_b, inverse_b66 = _accepted(state, fixed.weights_bn * kept_bn, limits)
        R_b33 = torch.where(ok_b[:, None, None], state.R_b33, seed[0])
        t_b3 = torch.where(ok_b[:, None], state.t_b3, seed[1])
    # One exact Newton step: nothing moves, since the gradient is zero, but its derivative is the implicit one.
    live = _centered(problem, center_b3, detach=False)
    kept_bn = kept_bn & ok_b[:, None]
    live = replace(live, weights_bn=torch.where(kept_bn, live.weights_bn, 0.0))
    step_b6 = -(inverse_b66 @ _gradient(live, R_b33, t_b3, kept_bn)[:, :, None]).squeeze(2)
    solved_b44 = _left(*_moved(R_b33, t_b3, step_b6), center_b3)
    return torch.where(ok_b[:, None, None], solved_b44, T_wc_b44.detach()), ok_b


@dataclass(frozen=True)
class Mode:
    """A local minimum: the camera from the world centred at `center_b3`.

    xi = (omega rad, tau m) moves the world: X_c = R (exp(omega) X + tau) + t, X counted from the centre.
    """

    center_b3: Tensor
    R_b33: Tensor
    t_b3: Tensor

    @property
    def T_wc_b44(self) -> Tensor:
        """The pose, camera to world."""
        return _left(self.R_b33, self.t_b3, self.center_b3)

    def moved(self, xi_bs6: Tensor) -> Tensor:
        """Poses T_wc (b, s, 4, 4) away from it."""
        R_bs33 = self.R_b33[:, None] @ exp_so3(xi_bs6[..., :3])
        t_bs3 = self.t_b3[:, None] + (self.R_b33[:, None] @ xi_bs6[..., 3:, None]).squeeze(3)
        center_bs3 = self.center_b3[:, None].expand_as(t_bs3)
        poses_k44 = _left(R_bs33.flatten(0, 1), t_bs3.flatten(0, 1), center_bs3.flatten(0, 1))
        return poses_k44.unflatten(0, xi_bs6.shape[:2])


@torch.no_grad()
def descend(problem: PoseProblem, T_wc_b44: Tensor, limits: Limits) -> Mode:
    """The search of `solve_stationary` alone: the minimum as well as it was reached, not differentiable."""
    center_b3 = _center(problem)
    fixed = _centered(problem, center_b3, detach=True)
    state, _ = _minimize(fixed, *_entered(T_wc_b44, center_b3), limits)
    return Mode(center_b3, state.R_b33, state.t_b3)


@torch.no_grad()
def gauss_newton_hessian(problem: PoseProblem, mode: Mode) -> Tensor:
    """Over xi at a mode, (b, 6, 6), positive semi-definite."""
    fixed = _centered(problem, mode.center_b3, detach=True)
    pose = (mode.R_b33, mode.t_b3)
    camera_b3n = _camera(fixed, *pose)
    zero_b = torch.zeros_like(mode.t_b3[:, 0])
    seen_bn = problem.residuals.visible(camera_b3n, problem.weights_bn)
    return _evaluate(fixed, moments(fixed.points_b3n), pose, camera_b3n, seen_bn, zero_b).hessian_b66


def _entered(T_wc_b44: Tensor, center_b3: Tensor) -> tuple[Tensor, Tensor]:
    """R and t of the camera from the centred world."""
    R_b33 = T_wc_b44.detach()[:, :3, :3].mT
    return R_b33, (R_b33 @ (center_b3 - T_wc_b44.detach()[:, :3, 3])[:, :, None]).squeeze(2)


def _left(R_b33: Tensor, t_b3: Tensor, center_b3: Tensor) -> Tensor:
    return compose(R_b33.mT, center_b3 - (R_b33.mT @ t_b3[:, :, None]).squeeze(2))


def _center(problem: PoseProblem) -> Tensor:
    weights_bn = problem.weights_bn.detach()
    total_b1 = weights_bn.sum(1, keepdim=True)
    return (problem.points_b3n.detach() @ weights_bn[:, :, None]).squeeze(2) / total_b1.clamp_min(1e-300)


def _centered(problem: PoseProblem, center_b3: Tensor, detach: bool) -> PoseProblem:
    points_b3n = problem.points_b3n - center_b3[:, :, None]
    if not detach:
        return replace(problem, points_b3n=points_b3n)
    return replace(problem, points_b3n=points_b3n.detach(), weights_bn=problem.weights_bn.detach())


def _minimize(problem: PoseProblem, R_b33: Tensor, t_b3: Tensor, limits: Limits) -> tuple[_State, Tensor]:
    """Damped Newton steps, and which points (b, n) stayed in front of the camera all the way."""
    moments_bn10 = moments(problem.points_b3n)
    pose = (R_b33, t_b3)
    camera_b3n = _camera(problem, *pose)
    kept_bn = problem.residuals.visible(camera_b3n, problem.weights_bn)
    floor_total_b = (problem.weights_bn * kept_bn).sum(1)
    exact_b = torch.full_like(t_b3[:, 0], float(limits.near))
    state = _evaluate(problem, moments_bn10, pose, camera_b3n, kept_bn, exact_b)
    damping_b = torch.full_like(exact_b, _LAST_DAMPING if limits.near else _FIRST_DAMPING)
    done_b = ~(floor_total_b > 0)
    for _ in range(limits.max_iterations):
        step_b6, decrement_b = saddle_free_step(state.hessian_b66, state.gradient_b6, damping_b)
        done_b = done_b | (decrement_b <= limits.step_rms * floor_total_b.sqrt())
        if bool(done_b.all()):
            break
        # Near the minimum the exact Hessian takes over: it converges quadratically whatever the residuals.
        near_b = limits.near | (decrement_b.square() < _NEAR * state.cost_bn.sum(1))
        pose = _moved(state.R_b33, state.t_b3, step_b6)
        camera_b3n = _camera(problem, *pose)
        still_bn = kept_bn & problem.residuals.visible(camera_b3n, problem.weights_bn)
        lost_b = (problem.weights_bn * (kept_bn & ~still_bn)).sum(1)
        candidate = _evaluate(problem, moments_bn10, pose, camera_b3n, still_bn, near_b.to(step_b6))
        before_b, after_b = (state.cost_bn * still_bn).sum(1), candidate.cost_bn.sum(1)
        # Rounding decides the last digits of a cost; a step that changes no more is welcome.
        better_b = (after_b <= before_b * (1 + 1e-12) + 1e-24) & (lost_b <= _MAX_LOST * floor_total_b) & ~done_b
        state = _chosen(better_b, candidate, state)
        kept_bn = torch.where(better_b[:, None], still_bn, kept_bn)
        damping_b = torch.where(
            better_b, (damping_b * 0.01).clamp_min(_LAST_DAMPING), (damping_b * 10).clamp(1e-4, 1e8)
        )
    if not bool(state.exact_b.all()):
        pose = (state.R_b33, state.t_b3)
        one_b = torch.ones_like(state.exact_b)
        state = _evaluate(problem, moments_bn10, pose, _camera(problem, *pose), kept_bn, one_b)
    return state, kept_bn


def _accepted(state: _State, weights_bn: Tensor, limits: Limits) -> tuple[Tensor, Tensor]:
    """Which samples (b,) may be differentiated, and their inverse Hessians (b, 6, 6), zero for the others."""
    scaled_b66, scale_b6 = unit_diagonal(state.hessian_b66)
    finite_b = torch.isfinite(scaled_b66).all(2).all(1) & torch.isfinite(state.gradient_b6).all(1)
    eye_66 = torch.eye(6, dtype=scaled_b66.dtype, device=scaled_b66.device)
    scaled_b66 = torch.where(finite_b[:, None, None], scaled_b66, eye_66)
    values_b6 = torch.linalg.eigvalsh(scaled_b66)
    ok_b = (
        finite_b & (values_b6[:, 0] * _MAX_CONDITION > values_b6[:, 5]) & ((weights_bn > 0).sum(1) >= limits.min_points)
    )
    factor_b66 = torch.linalg.cholesky_ex(torch.where(ok_b[:, None, None], scaled_b66, eye_66))[0]
    inverse_b66 = torch.cholesky_inverse(factor_b66) * scale_b6[:, :, None] * scale_b6[:, None]
    gradient_b6 = torch.where(ok_b[:, None], state.gradient_b6, 0.0)
    moved_b = (gradient_b6[:, None] @ inverse_b66 @ gradient_b6[:, :, None]).flatten().clamp_min(0).sqrt()
    ok_b = ok_b & (moved_b <= _ACCEPTED * limits.step_rms * weights_bn.sum(1).sqrt())
    return ok_b, torch.where(ok_b[:, None, None], inverse_b66, 0.0)


def _chosen(first_b: Tensor, first: _State, second: _State) -> _State:
    column, matrix = first_b[:, None], first_b[:, None, None]
    return _State(
        torch.where(matrix, first.R_b33, second.R_b33),
        torch.where(column, first.t_b3, second.t_b3),
        torch.where(column, first.cost_bn, second.cost_bn),
        torch.where(column, first.gradient_b6, second.gradient_b6),
        torch.where(matrix, first.hessian_b66, second.hessian_b66),
        torch.where(first_b, first.exact_b, second.exact_b),
    )


def _camera(problem: PoseProblem, R_b33: Tensor, t_b3: Tensor) -> Tensor:
    return torch.baddbmm(t_b3[:, :, None], R_b33, problem.points_b3n)


def _moved(R_b33: Tensor, t_b3: Tensor, xi_b6: Tensor) -> tuple[Tensor, Tensor]:
    """X_c = R (exp(omega) X + tau) + t: the step rotates about the points' centre."""
    return R_b33 @ exp_so3(xi_b6[:, :3]), t_b3 + (R_b33 @ xi_b6[:, 3:, None]).squeeze(2)


def _seen(camera_b3n: Tensor, kept_bn: Tensor) -> Tensor:
    """Camera-frame points (b, 3, n) of which those left out stand at (0, 0, 1), where nothing divides by zero."""
    ahead_3 = torch.tensor([0.0, 0.0, 1.0], dtype=camera_b3n.dtype, device=camera_b3n.device)
    return torch.where(kept_bn[:, None], camera_b3n, ahead_3[:, None])


def _gradient(problem: PoseProblem, R_b33: Tensor, t_b3: Tensor, kept_bn: Tensor) -> Tensor:
    """d cost / d xi (b, 6), differentiable by the problem's tensors; twin of what `_evaluate` sums by moments."""
    q_bn, p_b3n = problem.residuals.value_and_gradient(_seen(_camera(problem, R_b33, t_b3), kept_bn))
    gradient_b3n = R_b33.transpose(1, 2) @ (p_b3n * (problem.weights_bn * problem.kernel.slope(q_bn))[:, None])
    torque_b3 = torch.linalg.cross(problem.points_b3n, gradient_b3n, dim=1).sum(2)
    return torch.cat([torque_b3, gradient_b3n.sum(2)], 1)


def _evaluate(
    problem: PoseProblem,
    moments_bn10: Tensor,
    pose: tuple[Tensor, Tensor],
    camera_b3n: Tensor,
    kept_bn: Tensor,
    exact_b: Tensor,
) -> _State:
    """Cost, gradient and Hessian (see `_State`).

    Both are sums over points of a 3-vector or a 3x3 matrix times monomials of the point, so one matrix product per
    sample gathers them, and constant maps turn the sums into the six parameters.
    """
    R_b33, t_b3 = pose
    camera_b3n = _seen(camera_b3n, kept_bn)
    q_bn, p_b3n = problem.residuals.value_and_gradient(camera_b3n)
    weights_bn = problem.weights_bn * kept_bn
    slope_bn = weights_bn * problem.kernel.slope(q_bn)
    bend_bn = weights_bn * problem.kernel.bend(q_bn) * (2 * exact_b)[:, None]
    curvature_b6n = problem.residuals.curvature(camera_b3n, p_b3n * exact_b[:, None, None])
    x, y, z = p_b3n.unbind(1)
    outer_b6n = torch.stack([x * x, x * y, x * z, y * y, y * z, z * z], 1)
    curved_b6n = curvature_b6n * slope_bn[:, None] + outer_b6n * bend_bn[:, None]
    sums_b = torch.cat([curved_b6n, p_b3n * slope_bn[:, None]], 1) @ moments_bn10  # (b, 9, 10)
    R_t = R_b33.transpose(1, 2)
    curved_bk33 = R_t[:, None] @ sums_b[:, _SYMMETRIC].transpose(1, 2).unflatten(2, (3, 3)) @ R_b33[:, None]
    gradient_b12 = (R_t @ sums_b[:, 6:, :4]).flatten(1)
    to_hessian, to_gradient, to_torque = maps(R_b33.device)
    hessian_b36 = curved_bk33.flatten(1) @ to_hessian + (gradient_b12 * exact_b[:, None]) @ to_torque
    cost_bn = 0.5 * weights_bn * problem.kernel.value(q_bn)
    return _State(R_b33, t_b3, cost_bn, gradient_b12 @ to_gradient, hessian_b36.unflatten(1, (6, 6)), exact_b)
