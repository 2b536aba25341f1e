import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transpose.geometry import Pose, pose_error
from transpose.geometry.poses import exp_se3, normalized_error
from transpose.randomness import stream
from transpose.solvers import RigidOptions, solve_rigid
from transpose.solvers.robust.rigid import kabsch


def problem(seed: int, n: int = 300, outliers: float = 0.4, noise_m: float = 0.0, at: float = 0.0):
    rng = stream(seed, "rigid problem")
    truth = Pose(exp_se3(np.concatenate([rng.uniform(-2, 2, 3), rng.uniform(-2, 2, 3) + at])))
    camera_n3 = rng.uniform((-1, -1, 1), (1, 1, 4), (n, 3))
    points_n3 = camera_n3 @ truth.R_wc.T + truth.center + noise_m * rng.standard_normal((n, 3))
    bad = rng.random(n) < outliers
    points_n3[bad] = truth.center + rng.uniform(-4, 4, (int(bad.sum()), 3))
    return camera_n3, points_n3, truth, bad


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(0, 0.7), st.sampled_from([0.0, 1e5]))
def test_exact_data_with_outliers_are_recovered(seed: int, outliers: float, at: float) -> None:
    camera_n3, points_n3, truth, bad = problem(seed, outliers=outliers, at=at)
    estimate = solve_rigid(camera_n3, points_n3)
    degrees, metres = pose_error(estimate.pose, truth)
    assert degrees < 1e-3
    assert metres < 1e-5
    assert estimate.inlier_mask_n[~bad].all()


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_moving_the_world_moves_the_pose(seed: int) -> None:
    camera_n3, points_n3, _, _ = problem(seed, noise_m=0.01)
    T = exp_se3(stream(seed, "move").normal(0, 1, 6))
    a = solve_rigid(camera_n3, points_n3)
    b = solve_rigid(camera_n3, points_n3 @ T[:3, :3].T + T[:3, 3])
    assert np.allclose(T @ a.pose.T_wc, b.pose.T_wc, atol=1e-3)


def test_covariance_is_calibrated() -> None:
    nees = []
    for seed in range(100):
        camera_n3, points_n3, truth, _ = problem(seed, noise_m=0.02, outliers=0.2)
        estimate = solve_rigid(camera_n3, points_n3)
        nees.append(normalized_error(estimate.pose, truth, estimate.covariance_66))
    assert 4.0 < np.median(nees) < 7.0


def test_weights_tell_the_good_points() -> None:
    errors = []
    for seed in range(10):
        camera_n3, points_n3, truth, _ = problem(seed, outliers=0)
        sigma_n = np.where(np.arange(300) % 2 == 0, 0.002, 0.04)
        points_n3 = points_n3 + sigma_n[:, None] * stream(seed, "noise").standard_normal((300, 3))
        pair = [solve_rigid(camera_n3, points_n3, weights_n=w) for w in (1 / sigma_n**2, None)]
        errors.append([pose_error(e.pose, truth)[1] for e in pair])
    with_, without = np.median(errors, axis=0)
    assert with_ < 0.85 * without


def test_batch_gives_what_single_images_give_and_keeps_the_kind() -> None:
    problems = [problem(seed, noise_m=0.01) for seed in range(3)]
    camera_b, points_b = (torch.from_numpy(np.stack([p[k] for p in problems])) for k in (0, 1))
    together = solve_rigid(camera_b, points_b)
    for i, estimate in enumerate(together):
        alone = solve_rigid(camera_b[i].numpy(), points_b[i].numpy())
        assert isinstance(estimate.inlier_mask_n, torch.Tensor)
        assert isinstance(alone.inlier_mask_n, np.ndarray)
        assert np.array_equal(alone.pose.T_wc, estimate.pose.T_wc)


@pytest.mark.parametrize("kind", ["few", "same", "line", "random", "nan", "empty"])
def test_hopeless_input_is_refused_with_a_reason(kind: str) -> None:
    camera_n3, points_n3, _, _ = problem(5, n=100, outliers=0)
    if kind == "few":
        camera_n3, points_n3 = camera_n3[:3], points_n3[:3]
    elif kind == "same":
        points_n3[:] = 1.0
    elif kind == "line":
        points_n3 = np.linspace(0, 1, 100)[:, None] * np.array([[1.0, 2.0, 3.0]])
    elif kind == "random":
        points_n3 = stream(0, "nonsense").uniform(-3, 3, (100, 3))
    elif kind == "nan":
        points_n3[:] = np.nan
    else:
        camera_n3, points_n3 = camera_n3[:0], points_n3[:0]
    estimate = solve_rigid(camera_n3, points_n3)
    assert estimate.pose is None
    assert estimate.reason in ("too_few_points", "degenerate", "no_consensus")
    assert estimate.inlier_mask_n.shape == (len(camera_n3),)


def test_callers_errors_are_told() -> None:
    with pytest.raises(ValueError, match="n, 3"):
        solve_rigid(np.zeros((5, 3)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="weights"):
        solve_rigid(np.zeros((5, 3)), np.zeros((5, 3)), weights_n=np.ones(4))
    with pytest.raises(ValueError, match="max_error_m"):
        RigidOptions(max_error_m=0)


def test_kabsch_never_reflects() -> None:
    rng = stream(1, "kabsch")
    camera, world = (torch.from_numpy(rng.normal(size=(50, 5, 3))) for _ in range(2))
    R, _ = kabsch(camera, world)
    assert torch.allclose(torch.linalg.det(R), torch.ones(50, dtype=R.dtype))
