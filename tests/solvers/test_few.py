"""Few correspondences, as markers, clicked control points and key-points give them, some of them wrong or repeated."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transpose.geometry import Camera, Pose, pose_error
from transpose.geometry.poses import exp_se3, normalized_error
from transpose.randomness import stream
from transpose.solvers import RansacOptions, RigidOptions, draws_to_find, solve_pnp, solve_pnp_batch, solve_rigid
from transpose.solvers.robust.samples import first_of_equals, number_of_triples, subset, triples

CAMERA = Camera.from_focal(800, 1280, 720)
THRESHOLD_PX = 3.0


@dataclass(frozen=True)
class Few:
    """Points of a box or a plane about five metres ahead, the first `right` of them seen where they are."""

    px_n2: np.ndarray
    points_n3: np.ndarray
    truth: Pose
    right: int

    def is_right(self, pose: Pose | None) -> bool:
        """Whether a pose sees all the right points within the threshold of where they would be without noise."""
        if pose is None:
            return False
        seen = [CAMERA.project((self.points_n3[: self.right] - T.center) @ T.R_wc) for T in (pose, self.truth)]
        return bool(np.nan_to_num(np.linalg.norm(seen[0] - seen[1], axis=1), nan=np.inf).max() < THRESHOLD_PX)


def few(n: int, right: int, noise_px: float, seed: int, flat: bool = False) -> Few:
    rng = stream(seed, "few correspondences", str(n), str(right), str(flat))
    points_n3 = rng.uniform(-1, 1, (n, 3)) * ((1, 1, 0) if flat else (1, 1, 1))
    turn = exp_se3(np.r_[rng.normal(0, 0.3, 3), 0, 0, 0])
    truth = Pose(turn @ exp_se3(np.array([0, 0, 0, 0, 0, -5.0])))
    px_n2 = CAMERA.project((points_n3 - truth.center) @ truth.R_wc) + noise_px * rng.standard_normal((n, 2))
    px_n2[right:] = rng.uniform((0, 0), (1280, 720), (n - right, 2))
    return Few(px_n2, points_n3, truth, right)


def solved(p: Few, seed: int = 0) -> Pose | None:
    return solve_pnp(p.px_n2, p.points_n3, CAMERA, RansacOptions(THRESHOLD_PX, seed=seed)).pose


@pytest.mark.parametrize(("n", "right"), [(8, 6), (12, 6), (20, 8), (30, 8), (10, 7), (40, 12)])
def test_wrong_ones_among_few_do_not_hide_the_pose(n: int, right: int) -> None:
    """For every seed of the search: what a pose is scored on leaves out none of a few."""
    problems = [few(n, right, 0.5, seed) for seed in range(6)]
    assert all(p.is_right(solved(p, seed)) for p in problems for seed in range(4))


@settings(max_examples=150)
@given(st.integers(4, 60), st.floats(0.3, 1), st.sampled_from([0.0, 0.3, 0.7]), st.booleans(), st.integers(0, 9999))
def test_what_poselib_solves_is_solved(n: int, share: float, noise_px: float, flat: bool, seed: int) -> None:
    """Of noisy points, four or five that agree prove no pose among random ones; of exact ones four do."""
    poselib = pytest.importorskip("poselib")
    right = int(np.ceil(share * n))
    if right < (4 if noise_px == 0 else 6):
        return
    p = few(n, right, noise_px, seed, flat)
    pinhole = {"model": "PINHOLE", "width": 1280, "height": 720, "params": [800, 800, 640, 360]}
    peer, _ = poselib.estimate_absolute_pose(p.px_n2, p.points_n3, pinhole, {"max_reproj_error": THRESHOLD_PX}, {})
    T_wc = np.eye(4)
    T_wc[:3, :3], T_wc[:3, 3] = peer.R.T, -peer.R.T @ peer.t
    if p.is_right(Pose(T_wc)):
        assert p.is_right(solved(p))


@pytest.mark.parametrize("kind", ["uniform", "clustered", "plane"])
def test_random_correspondences_make_no_pose(kind: str) -> None:
    """At most one in a hundred, also where half of the pixels lie in one small place that a far pose would see."""
    for n in (4, 5, 6, 8, 12, 20, 30):
        rng = stream(n, "random correspondences", kind)
        px_bn2, points_bn3 = rng.uniform((0, 0), (1280, 720), (100, n, 2)), rng.uniform(-1, 1, (100, n, 3))
        if kind == "clustered":
            px_bn2 = np.where(rng.random((100, n, 1)) < 0.5, px_bn2, rng.normal((600, 300), 15, (100, n, 2)))
        elif kind == "plane":
            points_bn3[..., 2] = 0
        estimates = solve_pnp_batch(px_bn2, points_bn3, CAMERA, RansacOptions(THRESHOLD_PX))
        assert sum(e.pose is not None for e in estimates) <= 1


def marker(turn_3: tuple[float, float, float], depth_m: float, raised_m: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a marker 10 cm wide, perhaps bent, and where they are seen; the camera is the world."""
    corners_43 = 0.05 * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]])
    corners_43[2, 2] = raised_m
    T = exp_se3(np.r_[turn_3, 0, 0, 0])
    return CAMERA.project(corners_43 @ T[:3, :3].T + (0.1, -0.05, depth_m)), corners_43


@pytest.mark.parametrize("threshold_px", [10.0, 3.0])
@pytest.mark.parametrize("turn_3", [(0, 0, 0), (0.4, 0.2, 0.1), (0, 0, 3.0)])
@pytest.mark.parametrize("raised_m", [0.0, 0.03])
def test_the_four_corners_of_a_marker_suffice(threshold_px: float, turn_3: tuple, raised_m: float) -> None:
    px_42, corners_43 = marker(turn_3, 1.0, raised_m)
    estimate = solve_pnp(px_42, corners_43, CAMERA, RansacOptions(threshold_px))
    truth = exp_se3(np.r_[turn_3, 0, 0, 0])
    assert np.allclose(estimate.pose.T_cw[:3, :3], truth[:3, :3], atol=1e-4)
    assert np.allclose(estimate.pose.T_cw[:3, 3], (0.1, -0.05, 1.0), atol=1e-4)
    assert estimate.inliers == 4


def test_too_few_to_prove_a_pose_are_said_to_be_too_few() -> None:
    px_42, corners_43 = marker((0.4, 0.2, 0.1), 1.0)
    assert solve_pnp(px_42[:3], corners_43[:3], CAMERA).reason == "too_few_points"
    vague_42 = np.add(px_42, [[3, -2], [-2, 3], [2, 2], [-3, -3]])
    assert solve_pnp(vague_42, corners_43, CAMERA).reason == "too_few_points"
    assert solve_pnp(px_42[[0, 1, 2, 0]], corners_43[[0, 1, 2, 0]], CAMERA).reason == "too_few_points"


@pytest.mark.parametrize("times", [1, 20, 4000])
def test_repetitions_and_padding_say_nothing(times: int) -> None:
    p = few(12, 9, 0.5, 3)
    alone = solve_pnp(p.px_n2, p.points_n3, CAMERA, RansacOptions(THRESHOLD_PX))
    padded = np.r_[p.px_n2, np.zeros((times, 2))], np.r_[p.points_n3, np.zeros((times, 3))]
    repeated = np.repeat(p.px_n2, times, 0), np.repeat(p.points_n3, times, 0)
    for px, points in (padded, repeated):
        estimate = solve_pnp(px, points, CAMERA, RansacOptions(THRESHOLD_PX))
        assert np.allclose(estimate.pose.T_wc, alone.pose.T_wc, atol=1e-3)
    assert np.array_equal(estimate.inlier_mask_n, np.repeat(alone.inlier_mask_n, times))
    assert np.allclose(estimate.covariance_66, alone.covariance_66, rtol=0.05)


def test_four_in_a_hundred_of_some_hundreds_are_found() -> None:
    assert all(p.is_right(solved(p)) for p in (few(500, 20, 0.5, seed) for seed in range(3)))


def test_repetitions_make_no_pose() -> None:
    """Three correspondences, each many times: a pose fits them always."""
    px_n2, points_n3 = (np.repeat(a[:3], 50, 0) for a in marker((0.1, 0.2, 0.3), 1.0))
    assert solve_pnp(px_n2, points_n3, CAMERA).reason == "too_few_points"
    assert solve_rigid(points_n3 + np.array([0, 0, 1]), points_n3).reason == "too_few_points"


@pytest.mark.parametrize(("n", "right"), [(6, 5), (8, 6), (12, 6), (30, 8)])
def test_few_points_of_a_depth_camera(n: int, right: int) -> None:
    for seed in range(10):
        rng = stream(seed, "few of a depth camera", str(n))
        truth = Pose(exp_se3(rng.normal(0, 1, 6)))
        camera_n3 = rng.uniform((-1, -1, 1), (1, 1, 4), (n, 3))
        points_n3 = camera_n3 @ truth.R_wc.T + truth.center + 0.005 * rng.standard_normal((n, 3))
        points_n3[right:] = truth.center + rng.uniform(-4, 4, (n - right, 3))
        estimate = solve_rigid(camera_n3, points_n3, RigidOptions(max_error_m=0.05, seed=seed))
        assert pose_error(estimate.pose, truth)[1] < 0.05


@given(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=3, max_size=60), st.integers(0, 99))
def test_samples_are_of_different_usable_points(weights: list[float], seed: int) -> None:
    weight_bn = torch.tensor([weights, [1.0] * len(weights)])
    generator = torch.Generator().manual_seed(seed)
    index_bm, share_bm = subset(weight_bn, 20, generator)
    usable = int((weight_bn[0] > 0).sum())
    assert all(len(set(row)) == len(row) == min(20, len(weights)) for row in index_bm.tolist())
    assert (weight_bn[0, index_bm[0, : min(usable, 20)]] > 0).all()
    if usable:
        torch.testing.assert_close(share_bm.sum(1), torch.ones(2))
    if len(weights) <= 20:
        torch.testing.assert_close(share_bm[1], torch.full((len(weights),), 1 / len(weights)))
    if 3 <= usable <= 30:
        total = int(number_of_triples(usable))
        index_3s = triples(weight_bn, 0, total + 5, generator)[0]
        assert len({frozenset(sample) for sample in index_3s[:, :total].T.tolist()}) == total
        assert (weight_bn[0, index_3s[:, :total]] > 0).all()
        assert (index_3s[:, total:] == index_3s[0, total:]).all()


@pytest.mark.parametrize("heavy", [1.0, 5.0, 100.0])
def test_a_subset_tells_the_share_of_all_weight(heavy: float) -> None:
    """On average over many subsets; of those alike in a single one."""
    right_n = torch.arange(400) < 60
    weight_bn = torch.where(right_n, heavy, 1.0)[None]
    told = []
    for seed in range(200):
        index_bm, share_bm = subset(weight_bn, 100, torch.Generator().manual_seed(seed))
        told.append(float((share_bm * right_n[index_bm]).sum()))
    assert np.mean(told) == pytest.approx(60 * heavy / (60 * heavy + 340), abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=40))
def test_first_of_equals_is_a_slow_search(rows: list[tuple[int, int, bool]]) -> None:
    seen, expected = set(), []
    for a, b, usable in rows:
        expected.append(usable and (a, b) not in seen)
        seen |= {(a, b)} if usable else set()
    values = torch.tensor([[row[:2] for row in rows]], dtype=torch.float64)
    usable_bn = torch.tensor([[row[2] for row in rows]])
    assert first_of_equals(values, usable_bn)[0].tolist() == expected
    rising = torch.cartesian_prod(torch.arange(4.0), torch.arange(5.0)).flip(1)[None]
    assert first_of_equals(rising, torch.ones(1, 20, dtype=torch.bool)).all()


@pytest.mark.parametrize("n", [30, 60])
def test_the_scatter_of_few_points_is_not_taken_for_certain(n: int) -> None:
    """With 30 points the plain sandwich has a mean NEES of 8.7 and holds 72 % in its 90 % ellipsoid."""
    errors = []
    for seed in range(150):
        rng = stream(seed, "scatter of few", str(n))
        px_n2 = rng.uniform((0, 0), (1280, 720), (n, 2))
        points_n3 = CAMERA.unproject(px_n2) * rng.uniform(2, 8, (n, 1))
        found = solve_pnp(px_n2 + rng.normal(size=(n, 2)), points_n3, CAMERA)
        assert found.pose is not None and found.covariance_66 is not None
        errors.append(normalized_error(found.pose, Pose(np.eye(4)), found.covariance_66))
    assert 5.0 < np.mean(errors) < 7.5
    assert np.mean(np.array(errors) < 10.64) > 0.8


def test_weights_and_shares_that_make_no_sense_are_refused() -> None:
    points_n3 = stream(0, "weights").normal(size=(5, 3))
    with pytest.raises(ValueError, match="weights must not be negative"):
        solve_rigid(points_n3, points_n3, weights_n=np.array([1.0, -1.0, 1.0, 1.0, 1.0]))
    for share in (0.0, -0.5, float("nan")):
        with pytest.raises(ValueError, match="share must be positive"):
            draws_to_find(share)
    assert draws_to_find(1.0) >= 1
    for options in (RansacOptions, RigidOptions):
        with pytest.raises(ValueError, match="seed has 64 bits"):
            options(seed=2**63)
