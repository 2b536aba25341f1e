"""Each solver gives on every device what it gives on the CPU, on the device of its input, wherever K and poses are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.solvers.posed import Posed, posed
from transpose.solvers import (
    DsacOptions,
    EproOptions,
    PosteriorOptions,
    dsac_loss,
    dsac_loss_rgbd,
    epro_pnp_loss,
    epro_pnp_samples,
    implicit_pnp,
    inputs,
    sample_posterior,
    solve_pnp,
    solve_pnp_batch,
    solve_rigid,
    solve_rigid_batch,
)
from transpose.solvers.robust.scoring import PoseScorer

FEW = DsacOptions(hypotheses=16)


def noisy() -> Posed:
    return posed(2, 300, seed=1, noise_px=1.0, outliers=0.3, noise_m=0.01)


def covariances(p: Posed) -> Tensor:
    return 1e-4 * torch.eye(3, dtype=torch.float64).expand(*p.points_bn3.shape, 3)


def poses_of(estimates) -> np.ndarray:
    assert all(estimate.reason == "ok" for estimate in estimates)
    return np.stack([estimate.pose.T_wc for estimate in estimates])


@pytest.mark.parametrize("ray", [False, True])
def test_absolute_poses(device: torch.device, ray: bool) -> None:
    p = noisy()
    S = covariances(p) if ray else None
    expected = solve_pnp_batch(p.px_bn2, p.points_bn3, p.K_b33, None, S)
    px, points = p.px_bn2.to(device), p.points_bn3.to(device)
    there = None if S is None else S.to(device)
    found = solve_pnp_batch(px, points, p.K_b33, None, there)
    alone = solve_pnp(px[0], points[0], p.K_b33[0].to(device), None, None if there is None else there[0])
    assert np.allclose(poses_of(found), poses_of(expected), atol=1e-5)
    assert np.allclose(alone.pose.T_wc, found[0].pose.T_wc, atol=1e-5)
    for a, b in zip(found, expected, strict=True):
        assert a.inlier_mask_n.device.type == a.covariance_66.device.type == device.type
        assert torch.equal(a.inlier_mask_n.cpu(), b.inlier_mask_n)
        assert torch.allclose(a.covariance_66.cpu(), b.covariance_66, rtol=1e-3)


def test_rigid_motions(device: torch.device) -> None:
    p = noisy()
    expected = solve_rigid_batch(p.camera_bn3, p.points_bn3)
    found = solve_rigid_batch(p.camera_bn3.to(device), p.points_bn3.to(device))
    alone = solve_rigid(p.camera_bn3[0].to(device), p.points_bn3[0])
    assert np.allclose(poses_of(found), poses_of(expected), atol=1e-5)
    assert np.allclose(alone.pose.T_wc, found[0].pose.T_wc, atol=1e-5)
    assert found[0].inlier_mask_n.device.type == device.type


def losses(p: Posed, points: Tensor) -> dict[str, Tensor]:
    """Sums of everything that can be differentiated; K, pixels and true poses stay on the CPU."""
    pose_b44, ok_b = implicit_pnp(p.px_bn2, points, p.K_b33)
    assert ok_b.all()
    assert pose_b44.device == ok_b.device == points.device
    epro = epro_pnp_loss(p.px_bn2, points, p.K_b33, p.T_wc_b44, None, EproOptions(samples=64))
    assert epro.samples.T_wc_bs44.device == epro.samples.weights_bs.device == points.device
    return {
        "implicit": pose_b44,
        "dsac": dsac_loss(p.px_bn2, points, p.K_b33, p.T_wc_b44, FEW),
        "rgbd": dsac_loss_rgbd(p.camera_bn3, points, p.T_wc_b44, FEW),
        "epro": epro.loss_b,
    }


def test_losses_and_their_gradients(device: torch.device) -> None:
    p = noisy()
    here, there = (p.points_bn3.to(d, copy=True).requires_grad_() for d in ("cpu", device))
    for name, expected in losses(p, here).items():
        found = losses(p, there)[name]
        assert found.device.type == device.type
        assert torch.allclose(found.cpu(), expected, rtol=1e-4, atol=1e-4), name
        wanted, got = (torch.autograd.grad(v.sum(), x)[0].cpu() for v, x in ((expected, here), (found, there)))
        assert torch.cosine_similarity(wanted.flatten(), got.flatten(), dim=0) > 0.999, name


def test_sampled_poses(device: torch.device) -> None:
    p = noisy()
    keep_n = ~p.bad_bn[0]
    rows = (p.px_bn2[0, keep_n], p.points_bn3[0, keep_n], covariances(p)[0, keep_n])
    for correlation_px in (None, 40.0):
        options = PosteriorOptions(correlation_px=correlation_px)
        expected = sample_posterior(*rows, p.K_b33[0], p.T_wc_b44[0], options)
        found = sample_posterior(*(a.to(device) for a in rows), p.K_b33[0], p.T_wc_b44[0], options)
        assert found.covariance_66.device.type == found.modes[0].T_wc.device.type == device.type
        assert torch.allclose(found.covariance_66.cpu(), expected.covariance_66, rtol=1e-6)
    samples = epro_pnp_samples(p.px_bn2, p.points_bn3.to(device), p.K_b33, p.init_b44)
    expected = epro_pnp_samples(p.px_bn2, p.points_bn3, p.K_b33, p.init_b44)
    assert torch.allclose(samples.T_wc_bs44.cpu(), expected.T_wc_bs44, atol=1e-6)


def test_costs_are_the_same_in_one_piece_and_in_many(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    from transpose.solvers.robust import scoring

    generator = torch.Generator().manual_seed(0)
    rays_b3m, points_b3m = (torch.randn(2, 3, 40, generator=generator).to(device) for _ in range(2))
    scorer = PoseScorer.of(
        rays_b3m, points_b3m, torch.full((2, 2), 50.0, device=device), torch.ones(2, 40, device=device)
    )
    poses_bh12 = torch.randn(2, 30, 12, generator=generator).to(device)
    whole = scorer.cost(poses_bh12)
    monkeypatch.setattr(scoring, "_CACHED", 3 * 2 * 40)
    monkeypatch.setattr(scoring, "_AT_ONCE", 3 * 2 * 40)
    assert torch.allclose(scorer.cost(poses_bh12), whole, atol=1e-6)


def test_where_a_device_has_no_float64_results_are_float32_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's `mps`, with the CPU in its part: solvers compute in float64 on the CPU and hand back float32."""
    p = noisy()
    expected = losses(p, p.points_bn3)
    monkeypatch.setattr(inputs, "lacks_float64", lambda device: True)
    points = p.points_bn3.float().requires_grad_()
    for name, value in losses(p, points).items():
        assert value.dtype == torch.float32
        assert torch.allclose(value.double(), expected[name], rtol=1e-2, atol=1e-2), name
        (gradient,) = torch.autograd.grad(value.sum(), points)
        assert gradient.dtype == torch.float32
        assert torch.isfinite(gradient).all()
    estimate = solve_pnp(p.px_bn2[0].float(), p.points_bn3[0].float(), p.K_b33[0].float())
    assert estimate.covariance_66.dtype == torch.float32
    assert estimate.pose.T_wc.dtype == np.float64
