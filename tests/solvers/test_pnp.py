import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transpose.geometry import Camera, Pose, pose_error
from transpose.geometry.poses import exp_se3, invert, log_se3
from transpose.randomness import stream
from transpose.solvers import RansacOptions, solve_pnp
from transpose.solvers.robust.problem import RefinementProblem, ray_weights, ray_weights_of_covariances
from transpose.solvers.robust.refine import refine

CAMERA = Camera.from_focal(500, 640, 480)


def problem(seed: int, n: int = 300, outliers: float = 0.3, noise_m: float = 0.0, at: float = 0.0):
    rng = stream(seed, "pnp problem")
    truth = Pose(exp_se3(np.concatenate([rng.uniform(-1, 1, 3), rng.uniform(-2, 2, 3) + at])))
    px_n2 = rng.uniform((0, 0), (640, 480), (n, 2))
    points_n3 = CAMERA.unproject(px_n2) * rng.uniform(1, 4, (n, 1)) @ truth.R_wc.T + truth.center
    points_n3 += noise_m * rng.standard_normal((n, 3))
    bad = rng.random(n) < outliers
    points_n3[bad] = truth.center + rng.uniform(-4, 4, (int(bad.sum()), 3))
    return px_n2, points_n3, truth, bad


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.6), st.sampled_from([0.0, 1e4]))
@example(842, 0.34375, 0.0)  # an outlier lies within the threshold by chance: it may not end the refinement early
def test_clean_problems_with_outliers_are_solved_exactly(seed: int, outliers: float, at: float) -> None:
    px_n2, points_n3, truth, bad = problem(seed, outliers=outliers, at=at)
    estimate = solve_pnp(px_n2, points_n3, CAMERA)
    degrees, metres = pose_error(estimate.pose, truth)
    assert degrees < 1e-3
    assert metres < 1e-4
    assert estimate.inlier_mask_n[~bad].all()
    assert estimate.reason == "ok"


def test_same_arguments_same_answer_whatever_the_kind_of_array() -> None:
    px_n2, points_n3, _, _ = problem(3, noise_m=0.02)
    a = solve_pnp(px_n2, points_n3, CAMERA)
    b = solve_pnp(torch.from_numpy(px_n2), torch.from_numpy(points_n3), CAMERA.K_33)
    assert a.pose is not None
    assert b.pose is not None
    assert np.array_equal(a.pose.T_wc, b.pose.T_wc)


def test_bad_correspondences_are_left_out() -> None:
    px_n2, points_n3, truth, _ = problem(4, outliers=0)
    points_n3[5], px_n2[7], points_n3[9] = np.nan, np.inf, np.nan
    estimate = solve_pnp(px_n2, points_n3, CAMERA)
    assert pose_error(estimate.pose, truth)[1] < 1e-4
    assert not estimate.inlier_mask_n[[5, 7, 9]].any()


@pytest.mark.parametrize("kind", ["few", "same", "line", "random", "nan"])
def test_hopeless_input_is_refused_with_a_reason(kind: str) -> None:
    px_n2, points_n3, _, _ = problem(5, n=100)
    if kind == "few":
        px_n2, points_n3 = px_n2[:3], points_n3[:3]
    elif kind == "same":
        points_n3[:] = 1.0
    elif kind == "line":
        points_n3 = np.linspace(0, 1, 100)[:, None] * np.array([[1.0, 2.0, 3.0]])
    elif kind == "random":
        points_n3 = stream(0, "nonsense").uniform(-5, 5, (100, 3))
    else:
        points_n3[:] = np.nan
    estimate = solve_pnp(px_n2, points_n3, CAMERA)
    assert estimate.pose is None
    assert estimate.reason in ("too_few_points", "degenerate", "no_consensus")
    assert estimate.inlier_mask_n.shape == (len(px_n2),)


def test_wrong_shapes_are_the_callers_error() -> None:
    with pytest.raises(ValueError, match="points"):
        solve_pnp(np.zeros((5, 2)), np.zeros((4, 3)), CAMERA)


def test_covariances_weight_the_points() -> None:
    """Half the points are ten times as noisy; knowing which ones must pay, though robust weights guess some of it."""
    ratio = []
    for seed in range(12):
        px_n2, points_n3, truth, _ = problem(seed, outliers=0)
        sigma_n = np.where(np.arange(300) % 2 == 0, 0.005, 0.05)
        points_n3 = points_n3 + sigma_n[:, None] * stream(seed, "noise").standard_normal((300, 3))
        covariances = sigma_n[:, None, None] ** 2 * np.eye(3)
        options = RansacOptions(max_error_px=30)
        with_, without = (solve_pnp(px_n2, points_n3, CAMERA, options, c) for c in (covariances, None))
        ratio.append(pose_error(with_.pose, truth)[1] / pose_error(without.pose, truth)[1])
    assert np.median(ratio) < 0.75


@pytest.mark.parametrize("sigma_m", [1e-3, 1e-6, 1e-15])
def test_points_surveyed_better_than_they_are_seen_count_alike(sigma_m: float) -> None:
    """Their error is that of the pixel, which covariances of points do not hold."""
    off = []
    for seed in range(8):
        px_n2, points_n3, truth, _ = problem(seed, outliers=0)
        px_n2 = px_n2 + 0.5 * stream(seed, "pixels").standard_normal(px_n2.shape)
        covariances = np.tile(sigma_m**2 * np.eye(3), (300, 1, 1))
        with_, without = (solve_pnp(px_n2, points_n3, CAMERA, covariances_n33=each) for each in (covariances, None))
        assert with_.reason == "ok"
        off.append([pose_error(each.pose, truth)[1] for each in (with_, without)])
    surveyed, alike = np.median(off, axis=0)
    assert surveyed < 2 * alike


def test_covariance_is_calibrated_on_its_own_noise() -> None:
    """Median NEES of independent noise of known sigma lies near the 5.35 of a chi-square with six degrees."""
    nees = []
    for seed in range(60):
        px_n2, points_n3, truth, _ = problem(seed, n=200, outliers=0, noise_m=0.02)
        covariances = np.tile(4e-4 * np.eye(3), (200, 1, 1))
        estimate = solve_pnp(px_n2, points_n3, CAMERA, RansacOptions(max_error_px=60), covariances)
        assert estimate.pose is not None
        xi_6 = log_se3(invert(estimate.pose.T_wc) @ truth.T_wc)
        nees.append(xi_6 @ np.linalg.solve(estimate.covariance_66, xi_6))
    assert 4.0 < np.median(nees) < 7.0


@pytest.mark.parametrize("kind", ["ray", "pixel"])
def test_refinement_matches_a_general_minimizer(kind: str) -> None:
    """The slow twin: scipy on the same cost with numerical derivatives."""
    from scipy.optimize import least_squares

    px_n2, points_n3, truth, _ = problem(8, n=60, outliers=0, noise_m=0.03)
    rays_n3 = CAMERA.unproject(px_n2)
    unit_n3 = rays_n3 / np.linalg.norm(rays_n3, axis=1, keepdims=True)
    start = truth.T_cw @ exp_se3(np.full(6, 0.01))
    rays, homogeneous = torch.from_numpy(rays_n3.T)[None], torch.from_numpy(np.c_[points_n3, np.ones(60)].T)[None]
    weight = torch.ones(1, 60, dtype=torch.float64)
    if kind == "ray":
        fitted = RefinementProblem(rays, homogeneous, weight, across_b6n=ray_weights(rays, 9e-4 * weight))
    else:
        fitted = RefinementProblem(
            rays, homogeneous, weight, focal_b2n=torch.full((1, 2, 60), 500 / 6.0, dtype=torch.float64)
        )
    refined = refine(fitted, torch.from_numpy(start[None, :3]))

    def distances(xi_6: np.ndarray) -> np.ndarray:
        T_cw = exp_se3(xi_6) @ start
        camera_n3 = points_n3 @ T_cw[:3, :3].T + T_cw[:3, 3]
        if kind == "pixel":
            return np.linalg.norm(CAMERA.project(camera_n3) - px_n2, axis=1) / 6.0
        across = camera_n3 - unit_n3 * (camera_n3 * unit_n3).sum(1, keepdims=True)
        # least_squares' loss works on scalars; the distance to the ray is one a point.
        return np.linalg.norm(across, axis=1) / 0.03

    slow = least_squares(distances, np.zeros(6), loss="cauchy", f_scale=2.385, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert refined.converged_b.all()
    assert np.allclose((exp_se3(slow.x) @ start)[:3], refined.poses_b34[0].numpy(), atol=2e-5)


def test_weights_of_full_covariances_invert_their_shadow_across_the_ray() -> None:
    rng = stream(0, "covariances")
    factor = rng.standard_normal((20, 3, 3))
    S = factor @ factor.transpose(0, 2, 1) + 0.1 * np.eye(3)
    rays = np.concatenate([rng.uniform(-0.5, 0.5, (20, 2)), np.ones((20, 1))], 1)
    R = exp_se3(rng.normal(size=6))[:3, :3]
    entries = torch.from_numpy(S[:, (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)].T)[None]
    weights = ray_weights_of_covariances(torch.from_numpy(rays.T)[None], entries, torch.from_numpy(R)[None])[0].numpy()
    for i in range(20):
        across = np.linalg.svd(rays[i : i + 1])[2][1:].T
        expected = across @ np.linalg.inv(across.T @ R @ S[i] @ R.T @ across) @ across.T
        assert np.allclose(expected[(0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)], weights[:, i])
    isotropic = torch.tensor([4.0, 0, 0, 4.0, 0, 4.0])[None, :, None].expand(1, 6, 20).double()
    same = ray_weights_of_covariances(torch.from_numpy(rays.T)[None], isotropic, torch.from_numpy(R)[None])
    assert torch.allclose(same, ray_weights(torch.from_numpy(rays.T)[None], isotropic[:, 0]))
