from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.solvers.posed import K_33
from transpose.geometry import Camera, Pose
from transpose.geometry.cameras import cell_points
from transpose.geometry.poses import exp_se3, normalized_error
from transpose.randomness import stream, torch_stream
from transpose.solvers.differentiable.fields import CorrelatedField
from transpose.solvers.differentiable.posterior import PosteriorOptions, sample_posterior

PX_N2 = cell_points(320, 240, 16).reshape(-1, 2) * 2.0
LENGTH_PX = 60.0


def problem(seed: int, correlated: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, Pose]:
    """Noisy points, their covariances, and the true pose; noise by a Cholesky factor of the exact correlation."""
    rng = stream(seed, "posterior problem")
    truth = Pose(exp_se3(np.concatenate([rng.uniform(-1, 1, 3), rng.uniform(-2, 2, 3)])))
    camera = Camera.from_K(K_33.numpy(), 640, 480)
    n = len(PX_N2)
    # A smooth surface at 2 m and boxes on it.
    depth_n1 = 2 + 0.5 * np.sin(PX_N2[:, :1] / 90) + rng.uniform(-0.5, 0.5, (n, 1))
    points_n3 = camera.unproject(PX_N2) * depth_n1 @ truth.R_wc.T + truth.center
    A = rng.normal(0, 0.01, (n, 3, 3))
    covariances_n33 = A @ np.swapaxes(A, 1, 2) + 0.01**2 * np.eye(3)
    white_n3 = rng.standard_normal((n, 3))
    if correlated:
        white_n3 = FACTOR @ white_n3
    noise_n3 = (np.linalg.cholesky(covariances_n33) @ white_n3[..., None])[..., 0]
    return points_n3 + noise_n3, covariances_n33, depth_n1, truth


def correlation() -> np.ndarray:
    apart_nn = np.linalg.norm(PX_N2[:, None] - PX_N2[None], axis=2)
    return np.exp(-0.5 * (apart_nn / LENGTH_PX) ** 2)


FACTOR = np.linalg.cholesky(correlation() + 1e-9 * np.eye(len(PX_N2)))


def estimate(points_n3: np.ndarray, covariances_n33: np.ndarray, truth: Pose) -> Pose:
    """The pose that fits the noisy map: Gauss-Newton from the truth, as the posterior's own steps do it."""
    from transpose.solvers.differentiable import posterior as module

    starts, observed = module._checked(PX_N2, points_n3, covariances_n33, K_33, truth.T_wc, PosteriorOptions())
    for _ in range(4):
        starts = starts @ module.exp_se3(module._step(observed, starts, observed.points_n3[None]))
    return Pose(starts[0].numpy())


@pytest.mark.parametrize("correlated", [True, False])
def test_covariances_are_calibrated(correlated: bool) -> None:
    sampled, closed = [], []
    for seed in range(120):
        points_n3, covariances_n33, _, truth = problem(seed, correlated)
        pose = estimate(points_n3, covariances_n33, truth)
        options = PosteriorOptions(samples=16, correlation_px=LENGTH_PX if correlated else None, seed=seed)
        result = sample_posterior(PX_N2, points_n3, covariances_n33, K_33.numpy(), pose.T_wc, options)
        assert result is not None
        sampled.append(normalized_error(pose, truth, result.covariance_66))
        closed.append(normalized_error(pose, truth, result.closed_form_66))
    # The median of chi-square with six degrees of freedom is 5.35.
    assert 4.5 < np.median(sampled) < 6.5
    assert 4.5 < np.median(closed) < 6.5


def test_independent_noise_would_be_far_over_confident() -> None:
    points_n3, covariances_n33, _, truth = problem(0, True)
    alone = sample_posterior(
        PX_N2, points_n3, covariances_n33, K_33.numpy(), truth.T_wc, PosteriorOptions(correlation_px=None)
    )
    shared = sample_posterior(
        PX_N2, points_n3, covariances_n33, K_33.numpy(), truth.T_wc, PosteriorOptions(correlation_px=60)
    )
    assert np.trace(shared.closed_form_66[3:, 3:]) > 4 * np.trace(alone.closed_form_66[3:, 3:])


def test_many_samples_agree_with_the_closed_form() -> None:
    points_n3, covariances_n33, _, truth = problem(1, True)
    options = PosteriorOptions(samples=400, correlation_px=LENGTH_PX)
    result = sample_posterior(PX_N2, points_n3, covariances_n33, K_33.numpy(), truth.T_wc, options)
    ratio = np.linalg.eigvals(np.linalg.solve(result.closed_form_66, result.covariance_66)).real
    assert ratio.min() > 0.75
    assert ratio.max() < 1.3
    assert len(result.modes) == 1
    assert result.modes[0].fraction == 1.0


def test_several_starts_give_several_modes_only_where_they_fit() -> None:
    points_n3, covariances_n33, _, truth = problem(2, True)
    wrong_44 = truth.T_wc @ exp_se3(np.array([0.02, 0, 0, 0.03, 0, 0]))
    starts_244 = np.stack([truth.T_wc, wrong_44])
    result = sample_posterior(PX_N2, points_n3, covariances_n33, K_33.numpy(), starts_244, PosteriorOptions())
    assert len(result.modes) == 1
    assert result.T_wc_m44.shape == (16, 4, 4)


def test_modes_are_told_apart_and_sorted() -> None:
    from transpose.solvers.differentiable.posterior import _modes

    near_m44 = exp_se3(1e-3 * stream(0, "modes").standard_normal((10, 6)))
    far_m44 = near_m44[:4] @ exp_se3(np.array([0, 0, 0, 1.0, 0, 0]))
    poses = torch.from_numpy(np.concatenate([far_m44, near_m44]))
    mode_m = _modes(poses, 1e-6 * torch.eye(6, dtype=torch.float64), 12.0)
    assert mode_m.tolist() == [1] * 4 + [0] * 10


def test_the_field_has_the_correlation_it_promises() -> None:
    px_n2 = torch.from_numpy(PX_N2)
    field = CorrelatedField.at(px_n2, LENGTH_PX)
    fields_mn = field.sample(4000, torch_stream(0, "field"))
    measured_nn = fields_mn.mT @ fields_mn / 4000
    assert (measured_nn - torch.from_numpy(correlation())).abs().max() < 0.15
    ones = torch.from_numpy(stream(0, "vectors").standard_normal((len(PX_N2), 2)))
    expected = ones.mT @ torch.from_numpy(correlation()) @ ones
    assert torch.allclose(field.scatter(ones), expected, rtol=0.05, atol=0.05 * float(expected.diagonal().max()))


@pytest.mark.parametrize("kind", ["few", "nan", "equal", "line"])
def test_hopeless_maps_have_no_posterior(kind: str) -> None:
    points_n3, covariances_n33, _, truth = problem(3, False)
    px_n2 = PX_N2
    if kind == "few":
        px_n2, points_n3, covariances_n33 = px_n2[:5], points_n3[:5], covariances_n33[:5]
    elif kind == "nan":
        points_n3 = points_n3 * math.nan
    elif kind == "equal":
        px_n2, points_n3 = np.repeat(px_n2[:1], len(px_n2), 0), np.repeat(points_n3[:1], len(px_n2), 0)
    elif kind == "line":
        px_n2 = np.repeat(px_n2[:1], len(px_n2), 0) + np.linspace(0, 300, len(px_n2))[:, None] * [1.0, 0.0]
        rays_n3 = Camera.from_K(K_33.numpy(), 640, 480).unproject(px_n2)
        points_n3 = 2 * rays_n3 @ truth.R_wc.T + truth.center
    assert sample_posterior(px_n2, points_n3, covariances_n33, K_33.numpy(), truth.T_wc) is None


def test_kinds_of_arrays_and_input_that_makes_no_sense() -> None:
    points_n3, covariances_n33, _, truth = problem(4, False)
    as_torch = [torch.from_numpy(a) for a in (PX_N2, points_n3, covariances_n33, K_33.numpy(), truth.T_wc)]
    result = sample_posterior(*as_torch)
    again = sample_posterior(PX_N2, points_n3, covariances_n33, K_33.numpy(), truth.T_wc)
    assert isinstance(result.covariance_66, torch.Tensor)
    assert np.array_equal(result.covariance_66.numpy(), again.covariance_66)
    with pytest.raises(ValueError, match="points"):
        sample_posterior(PX_N2, points_n3[:5], covariances_n33, K_33.numpy(), truth.T_wc)
    with pytest.raises(ValueError, match="T_wc"):
        sample_posterior(PX_N2, points_n3, covariances_n33, K_33.numpy(), truth.T_wc[:3])
    with pytest.raises(ValueError, match="K must"):
        sample_posterior(PX_N2, points_n3, covariances_n33, np.zeros((3, 3)), truth.T_wc)
    with pytest.raises(ValueError, match="length"):
        sample_posterior(
            PX_N2, points_n3, covariances_n33, K_33.numpy(), truth.T_wc, PosteriorOptions(correlation_px=0)
        )


@pytest.mark.parametrize("unit", [1e-9, 1e5, 1e9])
def test_the_unit_of_length_does_not_matter(unit: float) -> None:
    points_n3, covariances_n33, _, truth = problem(5, True)
    scaled_44 = truth.T_wc.copy()
    scaled_44[:3, 3] *= unit
    K = K_33.numpy()
    one = sample_posterior(PX_N2, points_n3, covariances_n33, K, truth.T_wc)
    other = sample_posterior(PX_N2, unit * points_n3, unit**2 * covariances_n33, K, scaled_44)
    assert one is not None and other is not None
    by_6 = np.repeat([1.0, unit], 3)
    for name in ("covariance_66", "closed_form_66"):
        np.testing.assert_allclose(
            getattr(other, name) / np.outer(by_6, by_6), getattr(one, name), rtol=1e-4, atol=1e-9
        )
