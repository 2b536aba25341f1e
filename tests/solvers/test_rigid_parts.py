"""The parts of the rigid fit: what local optimization and weights do, and how large errors are taken to be."""

from __future__ import annotations

import pytest
import torch

from transpose.randomness import torch_stream
from transpose.solvers.lie import exp_se3
from transpose.solvers.robust.rigid import _averaged, _covariance, _refined, kabsch, triads

EYE_34 = torch.eye(3, 4, dtype=torch.float64)


def test_a_motion_is_fitted_anew_to_what_agrees_with_it() -> None:
    stream = torch_stream(0, "averaged")
    camera_3m = torch.randn(3, 200, generator=stream)
    world_3m = camera_3m + 0.01 * torch.randn(3, 200, generator=stream)
    world_3m[:, :60] += 3.0 + torch.randn(3, 60, generator=stream)
    nearly_h12 = exp_se3(0.02 * torch.randn(20, 6, generator=stream, dtype=torch.float64))[:, :3].flatten(1).float()
    fitted_h12 = _averaged(nearly_h12, camera_3m, world_3m, 0.1)
    off = [(poses - torch.eye(3, 4).flatten()).norm(dim=1) for poses in (nearly_h12, fitted_h12)]
    assert off[1].max() < 0.2 * off[0].median()


def test_errors_are_as_large_as_stated_with_and_without_weights() -> None:
    """The scatter of the fits themselves, of which Cauchy's loss costs a twentieth."""
    stream = torch_stream(1, "refined")
    n, times, sigma = 60, 400, 0.02
    weights_n = torch.linspace(0.2, 3.0, n, dtype=torch.float64)
    for weight_n in (torch.ones(n, dtype=torch.float64), weights_n):
        ratio = []
        for _ in range(times):
            camera = torch.randn(n, 3, generator=stream, dtype=torch.float64)
            noise = sigma * torch.randn(n, 3, generator=stream, dtype=torch.float64) / weight_n.sqrt()[:, None]
            R_33, t_3, sigma2_n = _refined(camera, camera + noise, weight_n, EYE_34, 0.5)
            middle_3 = (camera / sigma2_n[:, None]).sum(0) / (1 / sigma2_n).sum()
            ratio.append((R_33 @ middle_3 + t_3 - middle_3).square().sum() * (1 / sigma2_n).sum() / 3)
            assert torch.allclose(sigma2_n * weight_n, (sigma2_n * weight_n).mean())
        assert float(torch.stack(ratio).mean()) == pytest.approx(1, abs=0.12)
        assert float(sigma2_n[0] * weight_n[0]) == pytest.approx(sigma**2, rel=0.6)


def test_what_is_far_from_the_search_takes_no_part() -> None:
    stream = torch_stream(2, "near")
    camera = torch.randn(40, 3, generator=stream, dtype=torch.float64)
    world = camera + 0.01 * torch.randn(40, 3, generator=stream, dtype=torch.float64)
    world[0, 0] = camera[0, 0] + 0.21  # over two thresholds
    world[1, 0] = camera[1, 0] + 0.19
    R_33, t_3, sigma2_n = _refined(camera, world, torch.ones(40, dtype=torch.float64), EYE_34, 0.1)
    assert sigma2_n.isinf().tolist() == [True] + [False] * 39
    assert (R_33 - EYE_34[:, :3]).abs().max() < 0.02 and t_3.abs().max() < 0.02
    few = _refined(camera[:3], world[:3], torch.ones(3, dtype=torch.float64), EYE_34, 0.1)
    assert torch.equal(few[0], EYE_34[:, :3]) and not few[1].any() and few[2].isinf().all()


def test_the_covariance_is_the_inverse_of_the_normal_equations() -> None:
    stream = torch_stream(3, "covariance")
    camera, precision = torch.randn(30, 3, generator=stream, dtype=torch.float64) + 5, torch.rand(30, generator=stream)
    normal = torch.zeros(6, 6, dtype=torch.float64)
    for p, w in zip(camera, precision.double(), strict=True):
        J_36 = torch.zeros(3, 6, dtype=torch.float64)
        for k, axis in enumerate(torch.eye(3, dtype=torch.float64)):
            J_36[:, k], J_36[:, 3 + k] = torch.linalg.cross(axis, p), axis
        normal += w * J_36.T @ J_36
    torch.testing.assert_close(_covariance(camera, precision.double()), torch.linalg.inv(normal), rtol=1e-6, atol=1e-12)
    line = torch.arange(30.0, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2, 3], dtype=torch.float64)
    assert _covariance(line, precision.double()).isnan().all()


def test_triangles_are_aligned_as_by_a_decomposition() -> None:
    stream = torch_stream(4, "triads")
    camera = torch.randn(50, 3, 3, generator=stream, dtype=torch.float64)
    motion = exp_se3(torch.randn(50, 6, generator=stream, dtype=torch.float64))
    world = camera @ motion[:, :3, :3].mT + motion[:, None, :3, 3]
    found = triads(camera.permute(1, 2, 0), world.permute(1, 2, 0)).unflatten(1, (3, 4))
    torch.testing.assert_close(found, motion[:, :3], rtol=0, atol=1e-6)
    R, t = kabsch(camera, world)
    torch.testing.assert_close(torch.cat([R, t[..., None]], 2), motion[:, :3])


def test_heavier_points_count_for_more() -> None:
    """A point of weight three is three points."""
    stream = torch_stream(5, "kabsch")
    camera, world = (torch.randn(2, 9, 3, generator=stream, dtype=torch.float64) for _ in range(2))
    weights = torch.ones(2, 9, dtype=torch.float64)
    weights[:, 4], weights[:, 6] = 3.0, 0.0
    rows = torch.tensor([0, 1, 2, 3, 4, 4, 4, 5, 7, 8])
    for one, other in zip(kabsch(camera, world, weights), kabsch(camera[:, rows], world[:, rows]), strict=True):
        torch.testing.assert_close(one, other)
