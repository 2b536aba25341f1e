from __future__ import annotations

import math

import pytest
import torch

from tests.solvers.posed import posed
from transpose.solvers.differentiable.epro import EproOptions, epro_pnp_loss, epro_pnp_samples
from transpose.solvers.differentiable.stationary import Limits, PoseProblem, descend, gauss_newton_hessian
from transpose.solvers.lie import exp_se3, invert, log_se3
from transpose.solvers.residuals import Kernel, scaled_pixels

MANY = EproOptions(samples=2000)


def test_the_normalizer_is_laplaces_where_the_pose_is_sharp() -> None:
    p = posed(3, 60, noise_px=1.0)
    samples = epro_pnp_loss(p.px_bn2, p.points_bn3, p.K_b33, p.T_wc_b44).samples
    ones_b2n = torch.ones_like(p.px_bn2).mT
    residuals = scaled_pixels(p.px_bn2.mT, p.K_b33, ones_b2n)
    problem = PoseProblem(p.points_bn3.mT, ones_b2n[:, 0], residuals, Kernel())
    mode = descend(problem, p.T_wc_b44, Limits())
    camera_b3n = (invert(mode.T_wc_b44)[:, :3, :3] @ p.points_bn3.mT) + invert(mode.T_wc_b44)[:, :3, 3:]
    cost_b = 0.5 * residuals.value_and_gradient(camera_b3n)[0].sum(1)
    laplace_b = -cost_b + 3 * math.log(2 * math.pi) - 0.5 * torch.logdet(gauss_newton_hessian(problem, mode))
    assert (samples.log_normalizer_b - laplace_b).abs().max() < 0.15
    assert (samples.effective_b > 100).all()
    assert torch.allclose(samples.weights_bs.sum(1), torch.ones(3, dtype=torch.float64))


def test_weak_evidence_is_integrated_alike_by_few_and_many_samples() -> None:
    p = posed(2, 12, noise_px=1.0)
    weights_bn = torch.full((2, 12), 0.03, dtype=torch.float64)
    few = epro_pnp_loss(p.px_bn2, p.points_bn3, p.K_b33, p.T_wc_b44, weights_bn).loss_b
    many = epro_pnp_loss(p.px_bn2, p.points_bn3, p.K_b33, p.T_wc_b44, weights_bn, EproOptions(4000)).loss_b
    assert (few - many).abs().max() < 0.3


def test_gradients_follow_the_loss() -> None:
    p = posed(1, 20, noise_px=2.0)
    weights_bn2 = torch.full((1, 20, 2), 0.5, dtype=torch.float64)
    inputs = [p.px_bn2, p.points_bn3, p.K_b33, weights_bn2]

    def loss(px, points, K, weights) -> torch.Tensor:
        return epro_pnp_loss(px, points, K, p.T_wc_b44, weights, MANY).loss_b.sum()

    live = [a.clone().requires_grad_() for a in inputs]
    loss(*live).backward()
    for which, step in ((0, 1e-2), (1, 1e-4), (3, 1e-3)):
        entries = list(range(0, inputs[which].numel(), 5))
        slopes = []
        for i in entries:
            values = []
            for sign in (1, -1):
                moved = [a.clone() for a in inputs]
                moved[which].view(-1)[i] += sign * step
                values.append(float(loss(*moved)))
            slopes.append((values[0] - values[1]) / (2 * step))
        got = live[which].grad.view(-1)[entries]
        assert torch.cosine_similarity(torch.tensor(slopes, dtype=torch.float64), got, dim=0) > 0.98
    assert torch.isfinite(live[2].grad).all()


def test_samples_cover_the_truth() -> None:
    p = posed(40, 30, noise_px=2.0)
    weights_bn = torch.full((40, 30), 0.5, dtype=torch.float64)
    samples = epro_pnp_samples(p.px_bn2, p.points_bn3, p.K_b33, p.init_b44, weights_bn)
    xi_bs6 = log_se3(invert(p.T_wc_b44)[:, None] @ samples.T_wc_bs44)
    mean_b6 = (samples.weights_bs[..., None] * xi_bs6).sum(1)
    around_bs6 = (xi_bs6 - mean_b6[:, None]) * samples.weights_bs[..., None].sqrt()
    nees_b = (mean_b6[:, None] @ torch.linalg.inv(around_bs6.mT @ around_bs6) @ mean_b6[..., None]).flatten()
    assert 3.5 < float(nees_b.median()) < 7.5


def test_learning_weights_finds_the_outliers() -> None:
    p = posed(1, 40, noise_px=1.0, outliers=0.3)
    logits = torch.zeros(1, 40, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for step in range(30):
        weights_bn = 0.5 * logits.sigmoid()
        loss = epro_pnp_loss(p.px_bn2, p.points_bn3, p.K_b33, p.T_wc_b44, weights_bn, EproOptions(64, seed=step))
        optimizer.zero_grad()
        loss.loss_b.sum().backward()
        optimizer.step()
    weights_bn = logits.detach().sigmoid()
    assert weights_bn[p.bad_bn].mean() < 0.5 * weights_bn[~p.bad_bn].mean()


@pytest.mark.parametrize("kind", ["nan", "equal", "weightless", "behind", "few"])
def test_hopeless_input_stays_finite(kind: str) -> None:
    p = posed(2, 2 if kind == "few" else 20)
    points, weights_bn, truth = p.points_bn3.clone(), torch.ones_like(p.px_bn2[..., 0]), p.T_wc_b44.clone()
    if kind == "nan":
        points[1] = math.nan
    elif kind == "equal":
        points[1] = points[1, :1]
    elif kind == "weightless":
        weights_bn[1] = 0
    elif kind == "behind":
        truth[1] = truth[1] @ exp_se3(torch.tensor([0, math.pi, 0, 0, 0, 0], dtype=torch.float64))
    live = [points.requires_grad_(), weights_bn.requires_grad_()]
    result = epro_pnp_loss(p.px_bn2, live[0], p.K_b33, truth, live[1])
    result.loss_b.sum().backward()
    assert torch.isfinite(result.loss_b).all()
    assert torch.isfinite(result.samples.T_wc_bs44).all()
    assert all(torch.isfinite(a.grad).all() for a in live)


def test_input_that_makes_no_sense_is_named() -> None:
    p = posed(2, 20)
    with pytest.raises(ValueError, match="weights"):
        epro_pnp_loss(p.px_bn2, p.points_bn3, p.K_b33, p.T_wc_b44, torch.ones(2, 3))
    with pytest.raises(ValueError, match="negative"):
        epro_pnp_loss(p.px_bn2, p.points_bn3, p.K_b33, p.T_wc_b44, -torch.ones(2, 20))
    with pytest.raises(ValueError, match="poses"):
        epro_pnp_loss(p.px_bn2, p.points_bn3, p.K_b33, p.T_wc_b44[:1])
    with pytest.raises(ValueError, match="samples"):
        EproOptions(samples=0)


@pytest.mark.parametrize("away", [1.0, 1e5])
def test_points_without_weight_are_as_if_left_out_wherever_they_are(away: float) -> None:
    p = posed(2, 80, noise_px=0.5)
    points, weights = p.points_bn3.clone(), torch.ones(2, 80, dtype=torch.float64)
    points[:, 40:] = p.T_wc_b44[:, None, :3, 3] + away * (points[:, 40:] - p.T_wc_b44[:, None, :3, 3])
    weights[:, 40:] = 0
    found = epro_pnp_loss(p.px_bn2, points, p.K_b33, p.T_wc_b44, weights)
    expected = epro_pnp_loss(p.px_bn2[:, :40], points[:, :40], p.K_b33, p.T_wc_b44)
    torch.testing.assert_close(found.loss_b, expected.loss_b, rtol=1e-4, atol=1e-4)
    assert (found.samples.effective_b > 100).all()
