"""What `solve_pnp` promises whatever it is given: invariances, batches, kinds, refusals, errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.solvers.test_pnp import CAMERA, problem
from transpose.geometry import Camera, Pose, pose_error
from transpose.geometry.poses import exp_se3
from transpose.randomness import stream
from transpose.solvers import PoseEstimate, RansacOptions, dsac_loss, implicit_pnp, solve_pnp, solve_rigid

REASONS = ("too_few_points", "degenerate", "no_consensus")


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.floats(0.1, 100.0))
def test_moving_and_scaling_the_world_moves_and_scales_the_pose(seed: int, scale: float) -> None:
    px_n2, points_n3, _, _ = problem(seed, noise_m=0.01)
    T = exp_se3(stream(seed, "move").normal(0, 1, 6))
    a = solve_pnp(px_n2, points_n3, CAMERA)
    b = solve_pnp(px_n2, scale * (points_n3 @ T[:3, :3].T + T[:3, 3]), CAMERA)
    assert np.allclose(scale * (T @ a.pose.T_wc)[:3, 3], b.pose.center, atol=2e-3 * scale)
    assert np.allclose(T[:3, :3] @ a.pose.R_wc, b.pose.R_wc, atol=1e-3)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_order_of_points_does_not_matter(seed: int) -> None:
    px_n2, points_n3, _, _ = problem(seed, noise_m=0.01)
    order_n = stream(seed, "order").permutation(len(px_n2))
    a, b = solve_pnp(px_n2, points_n3, CAMERA), solve_pnp(px_n2[order_n], points_n3[order_n], CAMERA)
    assert np.allclose(a.pose.T_wc, b.pose.T_wc, atol=2e-3)
    assert (a.inlier_mask_n[order_n] != b.inlier_mask_n).mean() < 0.03


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(5, 12), st.booleans())
def test_few_exact_points_suffice(seed: int, n: int, distorted: bool) -> None:
    camera = replace(CAMERA, k1=-0.1, k2=0.02) if distorted else CAMERA
    px_n2, points_n3, truth, _ = problem(seed, n=n, outliers=0)
    px_n2 = camera.project((points_n3 - truth.center) @ truth.R_wc)
    estimate = solve_pnp(px_n2, points_n3, camera)
    if estimate.pose is None:  # a nearly flat or distant cluster may leave it open
        assert estimate.reason in REASONS
    else:
        assert (
            np.hypot(*(camera.project((points_n3 - estimate.pose.center) @ estimate.pose.R_wc) - px_n2).T).max() < 0.5
        )


def test_distortion_is_undone() -> None:
    camera = replace(CAMERA, k1=-0.2, k2=0.05)
    px_n2, points_n3, truth, bad_n = problem(0, outliers=0.3)
    px_n2 = np.where(bad_n[:, None], px_n2, camera.project((points_n3 - truth.center) @ truth.R_wc))
    keep_n = np.isfinite(px_n2).all(1)
    assert pose_error(solve_pnp(px_n2[keep_n], points_n3[keep_n], camera).pose, truth)[1] < 1e-4
    assert pose_error(solve_pnp(px_n2[keep_n], points_n3[keep_n], CAMERA).pose, truth)[1] > 1e-2


@pytest.mark.parametrize("ray", [False, True])
def test_an_image_gets_the_same_pose_alone_and_in_a_batch(ray: bool) -> None:
    """Also beside images that need more rounds, have unusable points, or are hopeless."""
    problems = [problem(seed, noise_m=0.01, outliers=o) for seed, o in enumerate((0.2, 0.85, 0.5, 0.3))]
    px_bn2, points_bn3 = (np.stack([p[k] for p in problems]) for k in (0, 1))
    points_bn3[2, ::3], points_bn3[3] = np.nan, 1.0
    covariances = np.broadcast_to(1e-4 * np.eye(3), (*points_bn3.shape, 3)) if ray else None
    together = solve_pnp(px_bn2, points_bn3, [CAMERA] * 4, None, covariances)
    assert together[3].reason == "degenerate"
    for i in range(3):
        alone = solve_pnp(px_bn2[i], points_bn3[i], CAMERA, None, None if covariances is None else covariances[i])
        assert alone.iterations == together[i].iterations
        assert np.allclose(alone.pose.T_wc, together[i].pose.T_wc, atol=1e-6)
        assert pose_error(alone.pose, problems[i][2])[1] < 0.03


def test_kinds_of_arrays_and_cameras() -> None:
    px_n2, points_n3, _, _ = problem(1, noise_m=0.01)
    px_b, points_b = (
        torch.from_numpy(px_n2)[None].expand(2, -1, -1),
        torch.from_numpy(points_n3)[None].expand(2, -1, -1),
    )
    for K in (torch.from_numpy(CAMERA.K_33), torch.from_numpy(CAMERA.K_33).expand(2, 3, 3), CAMERA, [CAMERA, CAMERA]):
        estimates = solve_pnp(px_b, points_b, K)
        assert isinstance(estimates, list)
        assert all(isinstance(e, PoseEstimate) and isinstance(e.inlier_mask_n, torch.Tensor) for e in estimates)
        assert isinstance(estimates[0].covariance_66, torch.Tensor)
    single = solve_pnp(px_n2.astype(np.float32), points_n3.astype(np.float32), CAMERA)
    assert isinstance(single.inlier_mask_n, np.ndarray)
    assert single.inlier_mask_n.dtype == bool
    assert isinstance(single.covariance_66, np.ndarray)
    assert solve_pnp(px_n2[:0][None][:0], points_n3[:0][None][:0], CAMERA) == []


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 6, 20, 300, 4800])
@pytest.mark.parametrize("seed", range(3))
def test_outliers_alone_make_no_pose(n: int, seed: int) -> None:
    rng = stream(seed, "outliers", str(n))
    px_n2, points_n3 = rng.uniform((0, 0), (640, 480), (n, 2)), rng.uniform(-3, 3, (n, 3))
    estimate = solve_pnp(px_n2, points_n3, CAMERA)
    assert estimate.pose is None
    assert estimate.reason in REASONS
    assert not estimate.inlier_mask_n.any()
    assert estimate.inlier_mask_n.shape == (n,)


@pytest.mark.parametrize(
    "kind", ["same", "line", "noisy line", "same pixels", "pixel line", "far apart", "clustered px"]
)
def test_what_fixes_no_pose_is_refused(kind: str) -> None:
    px_n2, points_n3, _, _ = problem(2, n=200, outliers=0)
    line_n3 = np.linspace(-1, 1, 200)[:, None] * np.array([1.0, 0.2, 0.1]) + (0, 0, 3)
    if kind == "same":
        points_n3[:] = (3e3, 1.0, 2.0)
    elif kind in ("line", "noisy line"):
        points_n3 = line_n3 + (1e-9 * stream(0, "line").normal(size=(200, 3)) if kind == "noisy line" else 0)
        px_n2 = CAMERA.project(line_n3)
    elif kind == "same pixels":
        px_n2[:] = 100.0
    elif kind == "pixel line":
        px_n2 = np.linspace((0, 0), (640, 480), 200)
        points_n3 = stream(0, "any").uniform(-3, 3, (200, 3))
    elif kind == "far apart":
        points_n3 = stream(0, "any").uniform(-3, 3, (200, 3)) * np.logspace(0, 300, 200)[:, None]
    else:
        px_n2 = stream(0, "px").normal((300, 200), 3, (200, 2))
        points_n3 = stream(0, "any").uniform(-3, 3, (200, 3))
    estimate = solve_pnp(px_n2, points_n3, CAMERA)
    assert estimate.pose is None
    assert estimate.reason in REASONS


def test_points_behind_the_camera_are_no_inliers() -> None:
    px_n2, points_n3, truth, _ = problem(3, outliers=0)
    half = np.arange(len(px_n2)) % 2 == 0
    points_n3[half] = 2 * truth.center - points_n3[half]
    estimate = solve_pnp(px_n2, points_n3, CAMERA)
    assert pose_error(estimate.pose, truth)[1] < 1e-4
    assert np.array_equal(estimate.inlier_mask_n, ~half)


def test_wild_numbers_among_good_ones_do_no_harm() -> None:
    px_n2, points_n3, truth, _ = problem(4, outliers=0)
    points_n3[0], points_n3[1], points_n3[2], px_n2[3], points_n3[4] = 1e30, -1e9, np.nan, 1e20, np.inf
    for covariances in (None, np.broadcast_to(1e-4 * np.eye(3), (len(px_n2), 3, 3)).copy()):
        if covariances is not None:
            covariances[5], covariances[6], covariances[7], covariances[8] = (
                np.nan,
                0,
                -1e-4 * np.eye(3),
                1e30 * np.eye(3),
            )
        estimate = solve_pnp(px_n2, points_n3, CAMERA, None, covariances)
        assert pose_error(estimate.pose, truth)[1] < 1e-4
        assert not estimate.inlier_mask_n[:5].any()
        assert estimate.score == pytest.approx(estimate.inlier_mask_n.mean(), abs=0.02)


def test_points_with_impossible_covariances_are_left_out() -> None:
    px_n2, points_n3, truth, _ = problem(4, outliers=0)
    covariances = np.broadcast_to(1e-4 * np.eye(3), (len(px_n2), 3, 3)).copy()
    covariances[0, 0, 1] = covariances[0, 1, 0] = 2e-4  # correlated by more than one
    estimate = solve_pnp(px_n2, points_n3, CAMERA, None, covariances)
    without = solve_pnp(px_n2[1:], points_n3[1:], CAMERA, None, covariances[1:])
    assert not estimate.inlier_mask_n[0] and estimate.inlier_mask_n[1:].all()
    assert pose_error(estimate.pose, truth)[1] < 1e-4
    np.testing.assert_allclose(estimate.covariance_66, without.covariance_66, rtol=1e-3)


def test_callers_errors_are_told() -> None:
    px, points = np.zeros((5, 2)), np.zeros((5, 3))
    for bad in ((px, points[:4]), (px[:, :1], points), (px, px), (px[None], points), (px[0], points[0])):
        with pytest.raises(ValueError, match="need px"):
            solve_pnp(*bad, CAMERA)
    with pytest.raises(ValueError, match="covariances"):
        solve_pnp(px, points, CAMERA, None, np.zeros((5, 3)))
    for K in (np.eye(4), np.zeros((3, 3)), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match=r"K must|focal"):
            solve_pnp(px, points, K)
    with pytest.raises(ValueError, match="cameras"):
        solve_pnp(px[None].repeat(3, 0), points[None].repeat(3, 0), [CAMERA] * 2)
    for wrong in (px.astype(str), px.astype(complex), px.astype(object), torch.zeros(5, 2, dtype=torch.bool)):
        with pytest.raises(ValueError, match="px must hold real numbers"):
            solve_pnp(wrong, points, CAMERA)
    for options in ({"max_error_px": 0.0}, {"max_error_px": float("nan")}, {"confidence": 1.0}, {"refine": "best"}):
        with pytest.raises(ValueError, match=r"positive|refine"):
            RansacOptions(**options)


@pytest.mark.parametrize(
    ("K", "remedy"),
    [
        (CAMERA.K_33.T, "pass K.T"),
        (np.add(CAMERA.K_33, [[0, 50, 0], [0, 0, 0], [0, 0, 0]]), "skew of 50 px"),
        (CAMERA.K_33 * [[1], [-1], [1]], "negative focal length"),
        (2 * CAMERA.K_33, "divide the matrix by it"),
        (np.add(CAMERA.K_33, [[0, 0, 0], [9, 0, 0], [0, 0, 0]]), "below its diagonal"),
        (np.c_[CAMERA.K_33, np.zeros(3)], r"K\[:, :3\]"),
        (np.eye(4), r"K\[:3, :3\]"),
        (CAMERA.K_33.ravel(), "3 rows of 3"),
        (CAMERA.K_33 * [[0], [0], [1]], "must be positive"),
    ],
)
def test_what_is_no_matrix_of_intrinsics_is_refused_with_the_remedy(K: np.ndarray, remedy: str) -> None:
    px_n2, points_n3, _, _ = problem(1)
    with pytest.raises(ValueError, match=remedy):
        solve_pnp(px_n2, points_n3, K)
    with pytest.raises(ValueError, match=remedy):
        solve_pnp(px_n2[None].repeat(2, 0), points_n3[None].repeat(2, 0), K if K.ndim == 1 else [K, K])
    if "skew" not in remedy:  # which these allow
        with pytest.raises(ValueError, match=remedy):
            implicit_pnp(px_n2[None], points_n3[None], K)
        with pytest.raises(ValueError, match=remedy):
            dsac_loss(px_n2[None], points_n3[None], K, np.eye(4)[None])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["columns", "lists", "float32", "read-only", "reversed", "big endian", "of tensors"])
def test_arrays_as_others_hold_them(kind: str) -> None:
    px_n2, points_n3, truth, _ = problem(1)
    K_33 = CAMERA.K_33
    if kind == "columns":  # OpenCV's
        px, points = px_n2[:, None], points_n3[:, None]
        assert solve_pnp(px, points_n3, K_33).inlier_mask_n.shape == (len(px_n2),)
    elif kind == "lists":
        px, points, K_33 = px_n2.tolist(), points_n3.tolist(), K_33.tolist()
    elif kind == "reversed":
        px, points = px_n2[::-1], points_n3[::-1]
    elif kind == "of tensors":
        px, points = list(torch.from_numpy(px_n2)), list(torch.from_numpy(points_n3))
    else:
        px, points = (a.astype({"float32": "f4", "big endian": ">f8"}.get(kind, "f8")) for a in (px_n2, points_n3))
    for array in (px, points, K_33):
        if kind == "read-only":
            array.flags.writeable = False
    assert pose_error(solve_pnp(px, points, K_33).pose, truth)[1] < 1e-3
    assert pose_error(solve_rigid(points, points).pose, Pose(np.eye(4)))[1] < 1e-6
    if kind not in ("columns", "of tensors"):
        batch = ([px], [points]) if kind == "lists" else (px[None], points[None])
        T_wc_b44, ok_b = implicit_pnp(*batch, K_33)
        assert ok_b.all()
        assert np.allclose(T_wc_b44[0], truth.T_wc, atol=1e-2)  # its outliers are weighted, not left out


def test_an_anisotropic_covariance_is_used_in_full() -> None:
    """Noise across one world axis only: weights that know it are better than those of its mean variance."""
    ratios = []
    for seed in range(12):
        px_n2, points_n3, truth, _ = problem(seed, outliers=0)
        rng = stream(seed, "directed noise")
        axis_n3 = rng.standard_normal((300, 3))
        axis_n3 /= np.linalg.norm(axis_n3, axis=1, keepdims=True)
        covariances = 0.05**2 * axis_n3[:, :, None] * axis_n3[:, None] + 1e-6 * np.eye(3)
        points_n3 = points_n3 + 0.05 * axis_n3 * rng.standard_normal((300, 1)) + 1e-3 * rng.standard_normal((300, 3))
        mean = np.trace(covariances, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
        options = RansacOptions(max_error_px=40)
        full, isotropic = (solve_pnp(px_n2, points_n3, CAMERA, options, c) for c in (covariances, mean))
        ratios.append(pose_error(full.pose, truth)[1] / pose_error(isotropic.pose, truth)[1])
    assert np.median(ratios) < 0.5


def test_agrees_with_poselib_on_clean_problems() -> None:
    poselib = pytest.importorskip("poselib")
    for seed in range(3):
        px_n2, points_n3, _, _ = problem(seed, noise_m=0.002)
        pinhole = {"model": "PINHOLE", "width": 640, "height": 480, "params": [500, 500, 320, 240]}
        peer, _ = poselib.estimate_absolute_pose(px_n2, points_n3, pinhole, {"max_reproj_error": 10.0}, {})
        pose = solve_pnp(px_n2, points_n3, Camera.from_focal(500, 640, 480)).pose
        assert np.allclose(pose.T_cw[:3], np.c_[peer.R, peer.t], atol=5e-3)


@pytest.mark.parametrize(
    ("px_shape", "points_shape", "remedy"),
    [((9, 3), (9, 2), "pixels come first"), ((9, 3), (9, 4), "divided by their last"), ((2, 9), (3, 9), "transposes")],
)
def test_other_shapes_are_refused_with_what_to_do(px_shape, points_shape, remedy):
    with pytest.raises(ValueError, match=remedy):
        solve_pnp(np.zeros(px_shape), np.zeros(points_shape), np.diag([500.0, 500.0, 1.0]))


@pytest.mark.parametrize("right", [True, False])
def test_few_points_that_are_said_to_be_exact_do_not_decide_alone(right: bool) -> None:
    px_n2, points_n3, truth, _ = problem(0, outliers=0, noise_m=0.02)
    sigma_n = np.full(len(px_n2), 0.02)
    sigma_n[:2] = 1e-6
    if not right:
        points_n3[:2] += 1.0
    for seed in range(3):
        estimate = solve_pnp(
            px_n2, points_n3, CAMERA, RansacOptions(30.0, seed=seed), sigma_n[:, None, None] ** 2 * np.eye(3)
        )
        assert estimate.pose is not None and pose_error(estimate.pose, truth)[1] < 0.05


def test_a_callers_precision_changes_nothing() -> None:
    px_n2, points_n3, _, _ = (torch.as_tensor(each) if isinstance(each, np.ndarray) else each for each in problem(0))
    expected = solve_pnp(px_n2, points_n3, CAMERA), solve_rigid(points_n3, points_n3 + 1)
    with torch.autocast("cpu", torch.bfloat16):
        cast = solve_pnp(px_n2, points_n3, CAMERA), solve_rigid(points_n3, points_n3 + 1)
    torch.set_default_dtype(torch.float64)
    try:
        double = solve_pnp(px_n2, points_n3, CAMERA), solve_rigid(points_n3, points_n3 + 1)
    finally:
        torch.set_default_dtype(torch.float32)
    for found, most in ((cast, 0.0), (double, 1e-5)):  # draws are of the default precision
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.pose.T_wc, other.pose.T_wc, rtol=0, atol=most)


def test_what_tensors_give_takes_part_in_later_gradients() -> None:
    px_n2, points_n3, _, _ = problem(0)
    points = torch.tensor(points_n3, requires_grad=True)
    for estimate in (solve_pnp(torch.tensor(px_n2), points, CAMERA), solve_rigid(points, points + 1)):
        points[estimate.inlier_mask_n].sum().backward()
        (torch.ones(6, dtype=torch.float64, requires_grad=True) @ estimate.covariance_66).sum().backward()
        estimate.inlier_mask_n.logical_not_()
