"""Densities of errors: what they equal, that they are densities, and that frames turn with the camera."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from transpose.geometry.poses import exp_so3
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty, nll, ray_frames
from transpose.randomness import stream, torch_stream

KINDS = ("isotropic", "diagonal", "full")
TAILS = ("gaussian", "laplace", "student")
# log of the integral of exp(-cost) over space at unit scale, in closed form.
LOG_NORMALIZER = {
    "gaussian": 1.5 * math.log(2 * math.pi),
    "laplace": math.log(8 * math.pi),
    "student": 1.5 * math.log(5 * math.pi) + math.lgamma(2.5) - math.lgamma(4.0),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch_stream(seed, "uncertainty"), dtype=torch.float64)


def some_rays(n: int) -> Tensor:
    return torch.cat([normal(n, 2, seed=1), torch.ones(n, 1, dtype=torch.float64)], 1)


def some_rotations(n: int) -> Tensor:
    return torch.from_numpy(exp_so3(stream(0, "axes").standard_normal((n, 3))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", TAILS)
def test_it_is_minus_the_logarithm_of_the_density(kind: str, tail: str) -> None:
    """Cell by cell from the scale matrix, with an inverse and a determinant."""
    uncertainty = PredictedUncertainty(Uncertainty(kind, tail))  # type: ignore[arg-type]
    n = 7
    error, raw, rays, R = normal(n, 3), normal(n, uncertainty.of.channels, seed=5), some_rays(n), some_rotations(n)
    ours_n = nll(error, uncertainty.factor(raw, rays, R), uncertainty.of)
    covariance_n33 = uncertainty.covariance(raw, rays, R).numpy()
    for i in range(n):
        sigma_33 = covariance_n33[i] / uncertainty.of.variance_per_scale
        q = float(error[i].numpy() @ np.linalg.inv(sigma_33) @ error[i].numpy())
        cost = {"gaussian": q / 2, "laplace": math.sqrt(q), "student": 4 * math.log(1 + q / 5)}[tail]
        assert float(ours_n[i]) == pytest.approx(cost + 0.5 * math.log(np.linalg.det(sigma_33)), abs=1e-6)


@pytest.mark.parametrize("tail", TAILS)
def test_each_density_integrates_to_one_and_has_the_variance_it_claims(tail: str) -> None:
    of = Uncertainty("isotropic", tail)  # type: ignore[arg-type]
    r = torch.linspace(1e-4, 400, 2_000_001, dtype=torch.float64)
    error_n3 = torch.stack([r, torch.zeros_like(r), torch.zeros_like(r)], 1)
    W = torch.eye(3, dtype=torch.float64).expand(len(r), 3, 3)
    shell = 4 * math.pi * r.square() * torch.exp(-nll(error_n3, W, of))
    step = float(r[1] - r[0])
    total = float(shell.sum()) * step
    assert math.log(total) == pytest.approx(LOG_NORMALIZER[tail], abs=1e-4)
    assert float((shell * r.square()).sum()) * step / total / 3 == pytest.approx(of.variance_per_scale, rel=2e-2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("bounded", [False, True])
def test_gradients_match_finite_differences(kind: str, tail: str, bounded: bool) -> None:
    of = Uncertainty(kind, tail)  # type: ignore[arg-type]
    uncertainty = PredictedUncertainty(of, (-3.0, 3.0) if bounded else None)
    error, raw = normal(5, 3).requires_grad_(), normal(5, of.channels, seed=2).requires_grad_()
    rays, R = some_rays(5), some_rotations(5)
    assert torch.autograd.gradcheck(lambda e, x: nll(e, uncertainty.factor(x, rays, R), of), (error, raw))


def test_a_gaussian_sphere_is_kfnets_loss() -> None:
    """3 ln sigma + e^2 / (2 sigma^2)."""
    uncertainty = PredictedUncertainty(Uncertainty("isotropic", "gaussian"))
    error, log_sigma = normal(9, 3), normal(9, 1, seed=4)
    ours_n = nll(error, uncertainty.factor(log_sigma, some_rays(9), some_rotations(9)), uncertainty.of)
    sigma_n = log_sigma[:, 0].exp()
    assert torch.allclose(ours_n, 3 * log_sigma[:, 0] + error.square().sum(1) / (2 * sigma_n**2))


def test_a_diagonal_turns_with_the_camera_and_a_full_matrix_stays_in_the_world() -> None:
    rays, R, turn = some_rays(6), some_rotations(6), torch.from_numpy(exp_so3(np.array([0.4, -0.8, 1.2])))
    for kind in ("diagonal", "full"):
        uncertainty = PredictedUncertainty(Uncertainty(kind))  # type: ignore[arg-type]
        raw = normal(6, uncertainty.of.channels, seed=3)
        before, after = uncertainty.covariance(raw, rays, R), uncertainty.covariance(raw, rays, turn @ R)
        expected = turn @ before @ turn.T if kind == "diagonal" else before
        assert torch.allclose(after, expected)


def test_axes_along_rays_are_orthonormal_and_smooth() -> None:
    rays = some_rays(50)
    axes = ray_frames(rays)
    assert torch.allclose(axes.mT @ axes, torch.eye(3, dtype=torch.float64).expand(50, 3, 3), atol=1e-12)
    assert torch.allclose(axes[:, :, 2], rays / rays.norm(dim=1, keepdim=True))
    assert torch.allclose(torch.linalg.det(axes), torch.ones(50, dtype=torch.float64))
    moved = ray_frames(rays + 1e-6)
    assert (moved - axes).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_scales_stay_within_a_scenes_bounds_and_temperature_scales_covariances(kind: str) -> None:
    uncertainty = PredictedUncertainty.for_scene(Uncertainty(kind), 10.0)  # type: ignore[arg-type]
    wild = 1e4 * normal(20, uncertainty.of.channels)
    covariance = uncertainty.covariance(wild, some_rays(20), some_rotations(20))
    assert covariance.isfinite().all()
    if kind != "full":
        values = torch.linalg.eigvalsh(covariance)
        assert values.min().sqrt() > 0.009 and values.max().sqrt() < 101
    hot = PredictedUncertainty(uncertainty.of, uncertainty.log_bounds, temperature=4.0)
    assert torch.allclose(hot.covariance(wild, some_rays(20), some_rotations(20)), 4 * covariance)


def test_a_state_is_what_it_was_taken_of() -> None:
    uncertainty = PredictedUncertainty.for_scene(Uncertainty("diagonal", "student", 7.0), 3.0)
    assert PredictedUncertainty.from_state(uncertainty.state()) == uncertainty
    with pytest.raises(ValueError, match="more than 2 degrees"):
        Uncertainty("full", "student", 2.0)
    with pytest.raises(ValueError, match="uncertainty is one of"):
        Uncertainty("spherical")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_near_zero_are_logs_about_the_middle_of_the_bounds(kind: str) -> None:
    """Between the bounds, more is larger; in the middle, by as much as it is more."""
    uncertainty = PredictedUncertainty(Uncertainty(kind), (-4.0, 2.0))  # type: ignore[arg-type]
    raws = torch.linspace(-9, 9, 181, dtype=torch.float64)
    raw_nk = torch.zeros(181, uncertainty.of.channels, dtype=torch.float64)
    raw_nk[:, :3] = raws[:, None]
    factor_n33 = uncertainty.factor(raw_nk, some_rays(181), some_rotations(181))
    logs_n = -torch.linalg.det(factor_n33).abs().log() / 3
    assert (logs_n.diff() > 0).all() and logs_n[0] > -4 and logs_n[-1] < 2
    assert float(logs_n[90]) == pytest.approx(-1)
    assert float(logs_n[91] - logs_n[89]) == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_the_isotropic_covariance_has_the_mean_variance(kind: str) -> None:
    uncertainty = PredictedUncertainty(Uncertainty(kind, "student"), (-7.0, 2.0))
    width = {"isotropic": 1, "diagonal": 3, "full": 6}[kind]
    raw = 2 * torch.randn(20, width, generator=torch_stream(0, "raw"), dtype=torch.float64)
    rays = torch.tensor([[0.1, -0.2, 1.0]], dtype=torch.float64).expand(20, 3)
    R_wc = torch.from_numpy(exp_so3(np.array([[0.3, -0.2, 0.9]]))).expand(20, 3, 3)
    mean_n = uncertainty.covariance(raw, rays, R_wc).diagonal(dim1=1, dim2=2).mean(1)
    said_n33 = uncertainty.isotropic_covariance(raw)
    torch.testing.assert_close(said_n33, mean_n[:, None, None] * torch.eye(3, dtype=torch.float64))
