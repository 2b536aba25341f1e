from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from tests.solvers.posed import posed
from transpose.geometry import poses
from transpose.solvers import dsac_loss, epro_pnp_loss, lie
from transpose.solvers.differentiable.implicit import ImplicitOptions, implicit_pnp
from transpose.solvers.differentiable.stationary import PoseProblem, _camera, _evaluate, _gradient, _moved
from transpose.solvers.moments import moments
from transpose.solvers.residuals import Kernel, PixelResiduals, PointResiduals


def central_differences(function, arguments: list[torch.Tensor], which: int, steps: float, entries: list[int]):
    slopes = []
    for i in entries:
        values = []
        for sign in (1, -1):
            moved = [a.detach().clone() for a in arguments]
            moved[which].view(-1)[i] += sign * steps
            values.append(float(function(*moved)))
        slopes.append((values[0] - values[1]) / (2 * steps))
    return torch.tensor(slopes, dtype=torch.float64)


@pytest.mark.parametrize("noise_px", [0.0, 5.0])
@pytest.mark.parametrize("outliers", [0.0, 0.3])
@pytest.mark.parametrize("scale_px", [10.0, math.inf])
def test_gradients_are_those_of_the_whole_map(noise_px: float, outliers: float, scale_px: float) -> None:
    if outliers and math.isinf(scale_px):
        pytest.skip("least squares on gross outliers has no minimum near the seed")
    p = posed(2, 30, noise_px=noise_px, outliers=outliers)
    weights_bn = 0.5 + torch.rand(2, 30, dtype=torch.float64)
    arguments = [p.px_bn2, p.points_bn3, p.K_b33, weights_bn]
    upstream = torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def function(*inputs: torch.Tensor) -> torch.Tensor:
        T_wc_b44, ok_b = implicit_pnp(*inputs, p.init_b44, ImplicitOptions(scale_px))
        assert ok_b.all()
        return (T_wc_b44 * upstream).sum()

    live = [a.clone().requires_grad_() for a in arguments]
    function(*live).backward()
    for which, step in enumerate((1e-3, 1e-6, 1e-3, 1e-4)):
        entries = [0, 1, 2, 4, 5, 9] if which == 2 else list(range(0, arguments[which].numel(), 11))
        expected = central_differences(function, arguments, which, step, entries)
        got = live[which].grad.view(-1)[entries]
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max() + 1e-8


def test_the_solution_is_that_of_scipy() -> None:
    p = posed(1, 60, noise_px=3.0, outliers=0.2)
    T_wc_b44, ok_b = implicit_pnp(p.px_bn2, p.points_bn3, p.K_b33, None, p.init_b44)
    start_44 = poses.invert(p.init_b44[0].numpy())
    points_n3, px_n2, K_33 = p.points_bn3[0].numpy(), p.px_bn2[0].numpy(), p.K_b33[0].numpy()
    front_n = (points_n3 @ start_44[2, :3] + start_44[2, 3]) > 0.02

    def residuals(xi_6: np.ndarray) -> np.ndarray:
        homogeneous_n3 = poses.transform(poses.exp_se3(xi_6) @ start_44, points_n3[front_n]) @ K_33.T
        error_n = np.linalg.norm(homogeneous_n3[:, :2] / homogeneous_n3[:, 2:] - px_n2[front_n], axis=1)
        return 10 * np.sqrt(np.log1p((error_n / 10) ** 2))

    found = least_squares(residuals, np.zeros(6), xtol=1e-15, ftol=1e-15, gtol=1e-15)
    expected_44 = poses.invert(poses.exp_se3(found.x) @ start_44)
    assert ok_b.all()
    assert np.abs(T_wc_b44[0].numpy() - expected_44).max() < 1e-6


@pytest.mark.parametrize("kind", ["cauchy", "tukey"])
@pytest.mark.parametrize("residuals", ["pixels", "points"])
def test_hessian_and_gradient_are_those_of_autograd(kind: str, residuals: str) -> None:
    p = posed(1, 12, noise_px=8.0, noise_m=0.02)
    K_b33 = p.K_b33.clone()
    K_b33[:, 0, 1] = 3.0
    targets = {"pixels": PixelResiduals(p.px_bn2.mT, K_b33), "points": PointResiduals(p.camera_bn3.mT + 0.02)}
    kernel = Kernel(kind, 30.0 if residuals == "pixels" else 0.2)
    center_b3 = p.points_bn3.mean(1)
    weights_bn = 0.5 + torch.rand(1, 12, dtype=torch.float64)
    points_b3n = (p.points_bn3 - center_b3[:, None]).mT
    problem = PoseProblem(points_b3n, weights_bn, targets[residuals], kernel)
    T_cw_b44 = lie.invert(p.T_wc_b44)
    R_b33, t_b3 = T_cw_b44[:, :3, :3], (T_cw_b44[:, :3, :3] @ center_b3[:, :, None]).squeeze(2) + T_cw_b44[:, :3, 3]
    kept_bn = torch.ones(1, 12, dtype=torch.bool)
    one_b = torch.ones(1, dtype=torch.float64)

    def cost(xi_6: torch.Tensor) -> torch.Tensor:
        q_bn, _ = problem.residuals.value_and_gradient(_camera(problem, *_moved(R_b33, t_b3, xi_6[None])))
        return 0.5 * (weights_bn * kernel.value(q_bn)).sum()

    zero_6 = torch.zeros(6, dtype=torch.float64)
    camera_b3n = _camera(problem, R_b33, t_b3)
    state = _evaluate(problem, moments(points_b3n), (R_b33, t_b3), camera_b3n, kept_bn, one_b)
    gradient_6 = torch.autograd.functional.jacobian(cost, zero_6)
    hessian_66 = torch.autograd.functional.hessian(cost, zero_6)
    assert torch.allclose(state.cost_bn.sum(), cost(zero_6))
    assert torch.allclose(state.gradient_b6[0], gradient_6, rtol=1e-9, atol=1e-9)
    assert torch.allclose(_gradient(problem, R_b33, t_b3, kept_bn)[0], gradient_6, rtol=1e-9, atol=1e-9)
    assert torch.allclose(state.hessian_b66[0], hessian_66, rtol=1e-8, atol=1e-8 * float(hessian_66.abs().max()))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 1e5]), st.floats(0, 0.3))
def test_clean_points_give_the_exact_pose_anywhere(seed: int, away: float, outliers: float) -> None:
    p = posed(2, 50, seed)
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = away
    weights_bn = (torch.rand(2, 50) >= outliers).double()
    T_wc_b44, ok_b = implicit_pnp(p.px_bn2, p.points_bn3 + away, p.K_b33, weights_bn, shift @ p.init_b44)
    assert ok_b.all()
    assert (T_wc_b44 - shift @ p.T_wc_b44).abs().max() < 1e-8 * max(1.0, away)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_a_sample_does_not_depend_on_its_neighbours(seed: int) -> None:
    p = posed(3, 20, seed, noise_px=1.0)
    together, _ = implicit_pnp(p.px_bn2, p.points_bn3, p.K_b33, None, p.init_b44)
    alone, _ = implicit_pnp(p.px_bn2[1:2], p.points_bn3[1:2], p.K_b33[1:2], None, p.init_b44[1:2])
    assert (together[1] - alone[0]).abs().max() < 1e-9


def test_seeds_are_found_where_none_are_given() -> None:
    p = posed(2, 200, noise_px=0.5, outliers=0.3)
    T_wc_b44, ok_b = implicit_pnp(p.px_bn2, p.points_bn3, p.K_b33)
    assert ok_b.all()
    assert (T_wc_b44 - p.T_wc_b44).abs().max() < 0.02


def test_seeds_are_found_for_a_camera_with_skew() -> None:
    p = posed(2, 200)
    K_b33, px_bn2 = p.K_b33.clone(), p.px_bn2.clone()
    K_b33[:, 0, 1] = 40.0
    px_bn2[..., 0] += 40.0 * (p.px_bn2[..., 1] - 240) / 520
    T_wc_b44, ok_b = implicit_pnp(px_bn2, p.points_bn3, K_b33)
    assert ok_b.all()
    assert (T_wc_b44 - p.T_wc_b44).abs().max() < 1e-8


HOPELESS = ["few", "equal", "line", "nan", "infinite", "huge", "weightless", "behind", "bad seed", "nan seed"]


@pytest.mark.parametrize("kind", HOPELESS)
def test_hopeless_samples_keep_their_seed_and_have_no_gradient(kind: str) -> None:
    p = posed(3, 5 if kind == "few" else 30)
    px, points, weights, init = p.px_bn2, p.points_bn3.clone(), torch.ones_like(p.px_bn2[..., 0]), p.init_b44.clone()
    if kind == "equal":
        points[1] = points[1, :1]
    elif kind == "line":
        points[1] = points[1, :1] + torch.linspace(0, 1, 30, dtype=torch.float64)[:, None]
    elif kind in ("nan", "infinite", "huge"):
        points[1] = {"nan": math.nan, "infinite": math.inf, "huge": 1e300}[kind]
    elif kind == "weightless":
        weights[1] = 0
    elif kind == "behind":
        init[1] = init[1] @ torch.diag(torch.tensor([-1.0, 1, -1, 1], dtype=torch.float64))
    elif kind == "bad seed":
        init[1, :3, 3] += 1e6
    elif kind == "nan seed":
        init[1] = math.nan
    live = [a.clone().requires_grad_() for a in (px, points, p.K_b33, weights)]
    T_wc_b44, ok_b = implicit_pnp(*live, init)
    T_wc_b44.square().sum().backward()
    if kind == "few":
        assert not ok_b.any()
    else:
        assert ok_b.tolist() == [True, False, True]
    seed_44 = torch.eye(4, dtype=torch.float64) if kind == "nan seed" else init[1]
    assert torch.allclose(T_wc_b44[1], seed_44, atol=1e-9)
    for a in live:
        assert torch.isfinite(a.grad).all()
        assert (a.grad[1] == 0).all()
        assert kind == "few" or (a.grad[0] != 0).any()


def test_points_that_are_not_finite_are_left_out() -> None:
    p = posed(1, 30, noise_px=1.0)
    points, px = p.points_bn3.clone(), p.px_bn2.clone()
    points[0, 3], px[0, 7] = math.nan, math.inf
    points.requires_grad_()
    T_wc_b44, ok_b = implicit_pnp(px, points, p.K_b33, None, p.init_b44)
    T_wc_b44.sum().backward()
    keep = [i for i in range(30) if i not in (3, 7)]
    expected, _ = implicit_pnp(p.px_bn2[:, keep], p.points_bn3[:, keep], p.K_b33, None, p.init_b44)
    assert ok_b.all()
    assert (T_wc_b44 - expected).abs().max() < 1e-9
    assert torch.isfinite(points.grad).all()
    assert (points.grad[0, [3, 7]] == 0).all()


def test_kinds_and_sizes_of_input() -> None:
    p = posed(2, 30)
    T_np, ok_np = implicit_pnp(p.px_bn2.numpy(), p.points_bn3.numpy(), p.K_b33[0].numpy(), None, p.init_b44.numpy())
    assert isinstance(T_np, np.ndarray)
    assert ok_np.dtype == bool
    T_float, ok_b = implicit_pnp(p.px_bn2.float(), p.points_bn3.float(), p.K_b33.float(), None, p.init_b44.float())
    assert ok_b.all()
    assert np.abs(T_float.numpy() - T_np).max() < 1e-4
    T_none, ok_none = implicit_pnp(p.px_bn2[:0], p.points_bn3[:0], p.K_b33[:0], None, p.init_b44[:0])
    assert T_none.shape == (0, 4, 4)
    assert ok_none.shape == (0,)
    T_empty, ok_empty = implicit_pnp(p.px_bn2[:, :0], p.points_bn3[:, :0], p.K_b33, None, p.init_b44)
    assert torch.allclose(T_empty, p.init_b44)
    assert not ok_empty.any()


def test_input_that_makes_no_sense_is_named() -> None:
    p = posed(2, 30)
    with pytest.raises(ValueError, match="points"):
        implicit_pnp(p.px_bn2, p.points_bn3[:, :5], p.K_b33)
    with pytest.raises(ValueError, match="K"):
        implicit_pnp(p.px_bn2, p.points_bn3, p.K_b33[:1].expand(3, 3, 3))
    with pytest.raises(ValueError, match="divide the matrix"):
        implicit_pnp(p.px_bn2, p.points_bn3, -p.K_b33)
    with pytest.raises(ValueError, match="negative"):
        implicit_pnp(p.px_bn2, p.points_bn3, p.K_b33, -torch.ones(2, 30))
    with pytest.raises(ValueError, match="rigid"):
        implicit_pnp(p.px_bn2, p.points_bn3, p.K_b33, None, 2 * p.init_b44)
    with pytest.raises(ValueError, match="scale_px"):
        ImplicitOptions(scale_px=0)


@given(st.lists(st.floats(-3.1, 3.1), min_size=6, max_size=6))
def test_lie_is_the_twin_of_geometry(values: list[float]) -> None:
    xi_6 = np.array(values)
    T_44 = lie.exp_se3(torch.from_numpy(xi_6))
    assert np.allclose(T_44.numpy(), poses.exp_se3(xi_6), atol=1e-12)
    assert np.allclose(lie.log_se3(T_44).numpy(), poses.log_se3(T_44.numpy()), atol=1e-6)
    assert np.allclose(lie.invert(T_44).numpy() @ T_44.numpy(), np.eye(4), atol=1e-12)


def test_lie_is_smooth_at_zero_and_right_at_pi() -> None:
    J = torch.autograd.functional.jacobian(lie.exp_so3, torch.zeros(3, dtype=torch.float64))
    assert torch.allclose(J[:, :, 2], lie.skew(torch.tensor([0.0, 0, 1], dtype=torch.float64)))
    turn_3 = torch.tensor([0.0, math.pi, 0], dtype=torch.float64)
    assert torch.allclose(lie.log_so3(lie.exp_so3(turn_3)).abs(), turn_3)
    assert (lie.log_so3(torch.eye(3, dtype=torch.float64)) == 0).all()


@pytest.mark.parametrize("offset", [(0.0, 0.0, 0.0), (0.0, 0.0, -2.6e6), (2.6e6, 1.2e6, 500.0)])
def test_pairs_that_are_not_finite_are_as_if_left_out_wherever_the_place_lies(offset: tuple[float, ...]) -> None:
    """Also of the other losses through a pose: what stands for such pairs must not lie at the world's zero."""
    p = posed(2, 60, noise_px=0.3)
    shift_3 = torch.tensor(offset, dtype=torch.float64)
    T_wc, init = p.T_wc_b44.clone(), p.init_b44.clone()
    T_wc[:, :3, 3] += shift_3
    init[:, :3, 3] += shift_3
    px, points = p.px_bn2, p.points_bn3 + shift_3
    broken = points.clone()
    broken[:, 20:] = math.nan
    few = px[:, :20], points[:, :20]
    solved, ok_b = implicit_pnp(px, broken, p.K_b33, init_b44=init)
    expected, _ = implicit_pnp(*few, p.K_b33, init_b44=init)
    assert bool(ok_b.all()) and float((solved - expected).abs().max()) < 1e-7
    likely, expected_b = (epro_pnp_loss(*each, p.K_b33, T_wc).loss_b for each in ((px, broken), few))
    assert float((likely - expected_b).abs().max()) < 1e-3
    assert float((dsac_loss(px, broken, p.K_b33, T_wc) - dsac_loss(*few, p.K_b33, T_wc)).abs().max()) < 1.0
    assert float(dsac_loss(px, broken, p.K_b33, T_wc).max()) < 2.0


def test_a_point_far_away_without_weight_hides_no_other() -> None:
    p = posed(1, 60, noise_px=0.3)
    points, weights = p.points_bn3.clone(), torch.ones(1, 60, dtype=torch.float64)
    points[:, 40:] = 1e5 * points[:, 40:]
    weights[:, 40:] = 0
    solved, ok_b = implicit_pnp(p.px_bn2, points, p.K_b33, weights, p.init_b44)
    expected, _ = implicit_pnp(p.px_bn2[:, :40], points[:, :40], p.K_b33, init_b44=p.init_b44)
    assert bool(ok_b.all()) and float((solved - expected).abs().max()) < 1e-8
