"""Focal lengths that nobody knows: found with the pose, and how uncertain they are is stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from transpose.geometry import Camera, Pose, pose_error
from transpose.geometry.poses import exp_se3, normalized_error
from transpose.randomness import stream, torch_stream
from transpose.solvers import RansacOptions, solve_pnp, solve_pnp_batch
from transpose.solvers.lenses import Lenses
from transpose.solvers.robust.normal_equations import CAUCHY_SCALE, features, normal_equations
from transpose.solvers.robust.problem import FocalPrior, RefinementProblem, ray_weights
from transpose.solvers.robust.zooms import Zooms, rezoomed, unzoomed, zoomed_derivatives, zoomed_moved
from transpose.solvers.tangent import moved

CAMERA = Camera.from_focal(500.0, 640, 480)


def problem(
    seed: int, n: int = 300, wrong: float = 0.3, noise_px: float = 0.5, camera: Camera = CAMERA
) -> tuple[np.ndarray, np.ndarray, Pose]:
    rng = stream(seed, "focal problem")
    truth = Pose(exp_se3(np.concatenate([rng.uniform(-1, 1, 3), rng.uniform(-2, 2, 3)])))
    px_n2 = rng.uniform((0, 0), (640, 480), (n, 2))
    points_n3 = camera.unproject(px_n2) * rng.uniform(1, 4, (n, 1)) @ truth.R_wc.T + truth.center
    px_n2 = px_n2 + noise_px * rng.standard_normal((n, 2))
    bad_n = rng.random(n) < wrong
    px_n2[bad_n] = rng.uniform((0, 0), (640, 480), (int(bad_n.sum()), 2))
    return px_n2, points_n3, truth


def plane(seed: int, tilt_deg: float, noise_px: float = 1.0) -> tuple[np.ndarray, np.ndarray, Pose]:
    """A plane at 5 m, seen straight or tilted."""
    rng = stream(seed, "plane")
    px_n2, tilt = rng.uniform((0, 0), (640, 480), (200, 2)), np.deg2rad(tilt_deg)
    rays_n3 = CAMERA.unproject(px_n2)
    points_n3 = rays_n3 * (5 * np.cos(tilt) / (rays_n3 @ (np.sin(tilt), 0.0, np.cos(tilt))))[:, None]
    return px_n2 + noise_px * rng.standard_normal((200, 2)), points_n3, Pose(np.eye(4))


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.0, 1.4, 2.0])
def test_a_focal_length_guessed_wrong_by_up_to_a_factor_of_two_is_found(factor: float) -> None:
    off = []
    for seed in range(6):
        px_n2, points_n3, truth = problem(seed)
        found = solve_pnp(px_n2, points_n3, CAMERA.zoomed(factor), estimate_focal=True)
        assert pose_error(found.pose, truth)[1] < 0.02
        assert found.focal_px == pytest.approx(500.0, rel=0.01)
        assert found.camera is not None and found.camera.fx == pytest.approx(found.focal_px)
        off.append(np.log(found.focal_px / 500.0) / found.focal_sigma)
    assert 0.2 < np.sqrt(np.mean(np.square(off))) < 2.5


def test_pose_and_focal_length_are_within_their_covariance() -> None:
    nees, off = [], []
    for seed in range(40):
        px_n2, points_n3, truth = problem(seed, wrong=0.0)
        found = solve_pnp(px_n2, points_n3, CAMERA.zoomed(1.3), estimate_focal=True)
        assert found.pose is not None and found.focal_px and found.focal_sigma
        nees.append(normalized_error(found.pose, truth, found.covariance_66))
        off.append(np.log(found.focal_px / 500.0) / found.focal_sigma)
    assert 3.5 < np.median(nees) < 8.0  # chi-square of six: 5.3
    assert 0.7 < np.std(off) < 1.4


def test_points_with_covariances_are_fitted_by_their_distance_to_the_rays() -> None:
    off = []
    for seed in range(10):
        px_n2, points_n3, truth = problem(seed, noise_px=0.0)
        points_n3 = points_n3 + 0.02 * stream(seed, "noise").standard_normal(points_n3.shape)
        covariances_n33 = np.broadcast_to(0.02**2 * np.eye(3), (len(px_n2), 3, 3)).copy()
        if seed % 2:
            covariances_n33[:, 0, 0] *= 1.5  # no multiple of the identity: another path
        found = solve_pnp(px_n2, points_n3, CAMERA.zoomed(0.6), None, covariances_n33, estimate_focal=True)
        assert pose_error(found.pose, truth)[1] < 0.03
        off.append(np.log(found.focal_px / 500.0) / found.focal_sigma)
    assert 0.4 < np.std(off) < 2.0


def test_principal_point_ratio_and_distortion_are_taken_as_they_are() -> None:
    camera = Camera(640, 480, 500.0, 510.0, 330.0, 236.0, -0.1, 0.02)
    px_n2, points_n3, truth = problem(3, camera=camera)
    found = solve_pnp(px_n2, points_n3, camera.zoomed(1.5), estimate_focal=True)
    assert pose_error(found.pose, truth)[1] < 0.02
    assert found.camera is not None
    assert found.camera.fy / found.camera.fx == pytest.approx(510 / 500)
    assert (found.camera.cx, found.camera.cy) == (330.0, 236.0)
    assert found.camera.k1 == pytest.approx(-0.1, rel=0.03)


def test_a_zoomed_camera_bends_lines_in_the_same_pixels() -> None:
    camera = Camera(640, 480, 500.0, 510.0, 330.0, 236.0, -0.1, 0.02)
    points_n3 = stream(0, "points").uniform((-1, -1, 1), (1, 1, 3), (20, 3))
    longer = camera.zoomed(1.3)
    np.testing.assert_allclose(longer.project(points_n3 * (1, 1, 1.3)), camera.project(points_n3), rtol=1e-12)
    lenses = Lenses.of(camera, 1, torch.device("cpu")).zoomed(torch.tensor([1.3], dtype=torch.float64))
    px_1n2 = lenses.project(torch.from_numpy(points_n3.T)[None])
    np.testing.assert_allclose(px_1n2[0].numpy(), longer.project(points_n3), rtol=1e-9)


def test_a_batch_with_a_camera_each_is_its_images_alone() -> None:
    problems = [problem(seed) for seed in range(4)]
    cameras = [CAMERA.zoomed(factor) for factor in (0.6, 0.9, 1.2, 1.9)]
    together = solve_pnp(
        np.stack([p[0] for p in problems]), np.stack([p[1] for p in problems]), cameras, estimate_focal=True
    )
    for (px_n2, points_n3, _), camera, found in zip(problems, cameras, together, strict=True):
        alone = solve_pnp(px_n2, points_n3, camera, estimate_focal=True)
        assert found.focal_px == pytest.approx(alone.focal_px, rel=1e-4)
        assert pose_error(found.pose, alone.pose)[1] < 1e-3


def test_without_a_camera_the_focal_length_stands_alone() -> None:
    px_n2, points_n3, _ = problem(0)
    (found,) = solve_pnp_batch(px_n2[None], points_n3[None], CAMERA.zoomed(1.4).K_33, estimate_focal=True)
    assert found.camera is None and found.focal_px == pytest.approx(500.0, rel=0.01)
    known = solve_pnp(px_n2, points_n3, CAMERA)
    assert known.focal_px is None and known.focal_sigma is None and known.camera is None


@pytest.mark.parametrize("tilt_deg", [0.0, 1.0, 3.0])
def test_a_plane_seen_straight_leaves_the_focal_length_as_uncertain_as_it_was(tilt_deg: float) -> None:
    for seed in range(6):
        px_n2, points_n3, truth = plane(seed, tilt_deg)
        found = solve_pnp(px_n2, points_n3, CAMERA.zoomed(1.5), RansacOptions(6.0), estimate_focal=True)
        assert found.pose is not None and found.focal_px and found.focal_sigma
        assert found.focal_sigma > 0.1
        assert abs(np.log(found.focal_px / 500.0)) < 3 * found.focal_sigma
        assert normalized_error(found.pose, truth, found.covariance_66) < 30


def test_an_exact_plane_seen_straight_gives_no_confident_focal_length() -> None:
    px_n2, points_n3, _ = plane(0, 0.0, noise_px=0.0)
    found = solve_pnp(px_n2, points_n3, CAMERA.zoomed(1.5), estimate_focal=True)
    assert found.reason == "degenerate" or (found.focal_sigma or 0) > 0.3


@pytest.mark.parametrize("tilt_deg", [25.0, 45.0])
def test_a_tilted_plane_tells_the_focal_length(tilt_deg: float) -> None:
    for seed in range(4):
        px_n2, points_n3, _ = plane(seed, tilt_deg)
        found = solve_pnp(px_n2, points_n3, CAMERA.zoomed(0.6), estimate_focal=True)
        assert found.focal_px == pytest.approx(500.0, rel=0.06)


def test_few_correspondences_fix_it_or_are_refused() -> None:
    """Seven numbers need three and a half; what chance explains makes none."""
    for n in (1, 3, 4):
        px_n2, points_n3, _ = problem(1, n, 0.0)
        found = solve_pnp(px_n2, points_n3, CAMERA.zoomed(1.2), estimate_focal=True)
        assert found.pose is None and found.focal_px is None and found.camera is None
    right = 0
    for seed in range(10):
        px_n2, points_n3, _ = problem(seed, 10, 0.0, 0.1)
        found = solve_pnp(px_n2, points_n3, CAMERA.zoomed(1.2), RansacOptions(2.0), estimate_focal=True)
        if found.focal_px and found.focal_sigma:
            assert abs(np.log(found.focal_px / 500)) < 6 * found.focal_sigma
            right += 1
    assert right >= 8


def test_nonsense_is_refused() -> None:
    rng = stream(0, "nonsense")
    found = solve_pnp(rng.uniform(0, 480, (200, 2)), rng.uniform(-5, 5, (200, 3)), CAMERA, estimate_focal=True)
    assert (found.pose, found.reason) == (None, "no_consensus")
    with pytest.raises(ValueError, match="focal_log_sigma"):
        RansacOptions(focal_log_sigma=0.0)


def refinement(kind: str) -> tuple[RefinementProblem, Tensor]:
    """Fifteen points seen nearly right, with a prior of the focal length."""
    draw = torch_stream(5, "refinement")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    poses_134 = moved(torch.eye(3, 4, dtype=torch.float64)[None], 0.2 * normal(1, 6))
    points_13n = normal(1, 3, 15) + torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)[:, None]
    points_14n = torch.cat([points_13n, torch.ones_like(points_13n[:, :1])], 1)
    camera_13n = poses_134 @ points_14n
    rays_13n = camera_13n / camera_13n[:, 2:]
    rays_13n[:, :2] += 0.01 * normal(1, 2, 15)
    prior = FocalPrior(torch.tensor([0.1], dtype=torch.float64), 0.3)
    problem = RefinementProblem(rays_13n, points_14n, torch.ones(1, 15, dtype=torch.float64), focal=prior)
    if kind == "pixel":
        return RefinementProblem(
            rays_13n, points_14n, problem.weight_bn, torch.full((1, 2, 15), 120.0, dtype=torch.float64), focal=prior
        ), poses_134
    weights = ray_weights(rays_13n, torch.full((1, 15), 0.02**2, dtype=torch.float64))
    return RefinementProblem(rays_13n, points_14n, problem.weight_bn, across_b6n=weights, focal=prior), poses_134


@pytest.mark.parametrize("kind", ["pixel", "ray"])
def test_gradient_over_pose_and_focal_length_is_that_of_finite_differences(kind: str) -> None:
    given, poses_134 = refinement(kind)
    points_bn10 = features(given.homogeneous_b4n)

    def cost(step_7: Tensor) -> Tensor:
        at = given.zoomed(step_7[6:].exp())
        return normal_equations(at, points_bn10, moved(poses_134, step_7[None, :6])).cost_b[0]

    numeric = [(cost(e) - cost(-e)) / 2e-5 for e in 1e-5 * torch.eye(7, dtype=torch.float64)]
    gradient_7 = normal_equations(given, points_bn10, poses_134).gradient_bp[0]
    torch.testing.assert_close(gradient_7, torch.stack(numeric), rtol=2e-5, atol=1e-4)


def test_the_seventh_column_is_that_of_finite_differences() -> None:
    """J^T J from residuals differentiated point by point, with the robust weights held."""
    given, poses_134 = refinement("pixel")
    assert given.focal_b2n is not None

    def residuals(step_7: Tensor) -> Tensor:
        x, y, z = (moved(poses_134, step_7[None, :6]) @ given.homogeneous_b4n)[0]
        zoom = step_7[6].exp()
        assert given.focal_b2n is not None
        return (given.focal_b2n[0] * (zoom * torch.stack([x / z, y / z]) - given.rays_b3n[0, :2])).T

    zero_7 = torch.zeros(7, dtype=torch.float64)
    J_n27 = torch.stack([(residuals(e) - residuals(-e)) / 2e-6 for e in 1e-6 * torch.eye(7, dtype=torch.float64)], -1)
    e_n2 = residuals(zero_7)
    weight_n = 1 / (1 + e_n2.square().sum(1) / CAUCHY_SCALE**2)
    wanted_77 = torch.einsum("n,nij,nik->jk", weight_n, J_n27, J_n27)
    wanted_77[6, 6] += 0.3**-2
    gradient_n7 = weight_n[:, None] * torch.einsum("nij,ni->nj", J_n27, e_n2)
    state = normal_equations(given, features(given.homogeneous_b4n), poses_134)
    torch.testing.assert_close(state.straight_bpp[0], wanted_77, rtol=1e-6, atol=1e-3)
    torch.testing.assert_close(state.scatter_bpp[0], gradient_n7.T @ gradient_n7, rtol=1e-6, atol=1e-3)


def test_projections_hold_pose_and_zoom() -> None:
    draw = torch_stream(2, "projections")
    poses_k34 = moved(torch.eye(3, 4).repeat(5, 1, 1), torch.randn(5, 6, generator=draw)).double()
    zoom_k = torch.tensor([0.4, 0.8, 1.0, 1.7, 2.5], dtype=torch.float64)
    found_k34, found_k = unzoomed(rezoomed(poses_k34, zoom_k))
    torch.testing.assert_close(found_k34, poses_k34, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found_k, zoom_k, rtol=1e-5, atol=0)
    along_k_12_7 = zoomed_derivatives(rezoomed(poses_k34, zoom_k))
    for column, step_7 in enumerate(1e-6 * torch.eye(7, dtype=torch.float64)):
        ahead, behind = (zoomed_moved(rezoomed(poses_k34, zoom_k), s * step_7.expand(5, 7)) for s in (1, -1))
        numeric_k12 = ((ahead - behind) / 2e-6).flatten(1)
        torch.testing.assert_close(along_k_12_7[..., column], numeric_k12, rtol=1e-5, atol=1e-6)


def test_zooms_are_dense_and_within_reach() -> None:
    drawn_ch = Zooms(0.8).drawn(64, torch.Generator().manual_seed(0)).log()
    assert drawn_ch.shape == (16, 64)
    assert drawn_ch.abs().max() <= 0.8
    assert drawn_ch.flatten().sort().values.diff().max() < 0.02
    assert bool(((drawn_ch[1:] - drawn_ch[:-1] - 0.1).abs() < 1e-5).all())
