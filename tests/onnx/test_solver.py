"""The NumPy solver, matcher and resizing: laws, and the PyTorch and OpenCV ways as their twins."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, exp_so3, invert, pose_error, transform
from transpose.localization.landmarks import LandmarkMap, match_near
from transpose.localization.landmarks import match_everywhere as match_everywhere_torch
from transpose.models.keypoints import Keypoints
from transpose.onnx import matching
from transpose.onnx.p3p import p3p
from transpose.onnx.seeing import resized
from transpose.onnx.similar import MostSimilar
from transpose.onnx.solver import _Errors, solve

CAMERA = Camera(640, 480, 520.0, 530.0, 315.0, 245.0, -0.1, 0.02)


def seen_points(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World to camera, world points and their exact pixels."""
    rng = np.random.default_rng(seed)
    px_n2 = rng.uniform((20, 20), (620, 460), (count, 2))
    camera_n3 = CAMERA.unproject(px_n2) * rng.uniform(2, 6, (count, 1))
    T_cw = compose(exp_so3(rng.normal(size=3)), rng.normal(size=3))
    return T_cw, transform(invert(T_cw), camera_n3), px_n2


def test_points_seen_from_behind_do_not_agree() -> None:
    T_cw, points_n3, px_n2 = seen_points(40)
    found, toward_n3 = solve(px_n2, points_n3, CAMERA, 2.0), invert(T_cw)[:3, 3] - points_n3
    assert found.agreeing_n.all() and found.not_from_behind(points_n3, 0 * toward_n3).agreeing_n.all()
    some = found.not_from_behind(points_n3, np.where(np.arange(40)[:, None] < 15, -1, 1) * toward_n3)
    assert some.T_cw is not None and np.array_equal(some.agreeing_n, np.arange(40) >= 15)
    assert found.not_from_behind(points_n3, -toward_n3).T_cw is None


def test_p3p_finds_the_true_pose_among_its_solutions() -> None:
    for seed in range(20):
        T_cw, points_n3, px_n2 = seen_points(3, seed)
        found_k44 = p3p(CAMERA.unproject(px_n2)[None], points_n3[None])
        assert np.abs(found_k44 - T_cw).max((1, 2)).min() < 1e-5
        assert np.allclose(found_k44[:, :3, :3] @ found_k44[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-9)


def test_p3p_of_degenerate_samples_is_finite_or_nothing() -> None:
    rays = np.zeros((2, 3, 3))
    rays[..., 2] = 1
    assert np.isfinite(p3p(rays, np.zeros((2, 3, 3)))).all()


@pytest.mark.parametrize("outliers", [0, 60])
def test_exact_points_give_the_exact_pose(outliers: int) -> None:
    T_cw, points_n3, px_n2 = seen_points(100)
    px_n2 = px_n2.copy()
    px_n2[:outliers] = np.random.default_rng(1).uniform((0, 0), (640, 480), (outliers, 2))
    found = solve(px_n2, points_n3, CAMERA, 3.0)
    assert found.T_cw is not None
    degrees, metres = pose_error(Pose(invert(found.T_cw)), Pose(invert(T_cw)))
    assert metres < 1e-4 and degrees < 1e-2
    assert found.agreeing_n[outliers:].all() and found.agreeing_n[:outliers].sum() < 5
    assert found.score == pytest.approx((100 - outliers) / 100, abs=0.06)


def test_nothing_and_noise_have_no_pose_of_many() -> None:
    assert solve(np.zeros((3, 2)), np.zeros((3, 3)), CAMERA, 3.0).T_cw is None
    assert solve(np.full((9, 2), np.nan), np.zeros((9, 3)), CAMERA, 3.0).T_cw is None
    rng = np.random.default_rng(0)
    noise = solve(rng.uniform(0, 480, (80, 2)), rng.normal(size=(80, 3)), CAMERA, 3.0)
    assert noise.agreeing_n.sum() < 15


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, 64)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_matches_are_those_of_pytorch() -> None:
    rng = np.random.default_rng(0)
    T_cw, points_n3, px_n2 = seen_points(300)
    landmarks_lc = unit(rng, 300)
    noisy = landmarks_lc + 0.05 * rng.normal(size=landmarks_lc.shape).astype(np.float32)
    descriptors_nc = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    px_n2 = (px_n2 + rng.normal(0, 2, px_n2.shape)).astype(np.float32)
    keypoints = Keypoints(torch.from_numpy(px_n2), torch.from_numpy(descriptors_nc))
    place = LandmarkMap(torch.from_numpy(points_n3.astype(np.float32)), torch.from_numpy(landmarks_lc))
    theirs = match_everywhere_torch(keypoints, place)
    ours = matching.match_everywhere(descriptors_nc, landmarks_lc, 0.7)
    assert set(zip(*ours, strict=True)) == set(zip(theirs.keypoint_m, theirs.landmark_m, strict=True)) and len(theirs)
    for radius in (3.0, 60.0):
        theirs = match_near(keypoints, place, Pose(invert(T_cw)), CAMERA, radius)
        px_l2 = CAMERA.project(transform(T_cw, points_n3.astype(np.float32).astype(np.float64)))
        ours = matching.match_near(px_n2.astype(np.float64), descriptors_nc, px_l2, landmarks_lc, radius, 0.7)
        assert set(zip(*ours, strict=True)) == set(zip(theirs.keypoint_m, theirs.landmark_m, strict=True)) and len(
            theirs
        )


def test_costs_of_many_poses_are_those_of_their_errors() -> None:
    true_44, points_n3, px_n2 = seen_points(200)
    errors = _Errors(CAMERA.unproject(px_n2), points_n3, CAMERA)
    shifts = [compose(exp_so3(np.full(3, 0.02 * k)), np.full(3, 0.01 * k)) for k in range(8)]
    T_cw_k44 = np.stack([*(shift @ true_44 for shift in shifts), *(seen_points(1, seed)[0] for seed in range(8))])
    slow_k = (np.minimum(errors.of(T_cw_k44) / 30, 1) ** 2).sum(1)
    assert np.allclose(errors.costs(T_cw_k44, 30), slow_k, rtol=1e-4, atol=1e-4)
    assert slow_k[0] < 1e-6 and 1 < slow_k[1] < 150 and slow_k.max() > 190
    points_n3[0] = transform(invert(true_44), np.zeros((1, 3)))[0]  # in the camera
    assert np.isfinite(errors.costs(T_cw_k44, 30)).all()


def test_derivatives_are_finite_differences() -> None:
    T_cw, points_n3, px_n2 = seen_points(5)
    errors = _Errors(CAMERA.unproject(px_n2), points_n3, CAMERA)
    xyz_m3 = transform(T_cw, points_n3) + 0.1
    off_m2, J_m26 = errors._linearized(xyz_m3, errors.rays_n3[:, :2])
    for axis in range(6):
        xi_6 = 1e-6 * np.eye(6)[axis]
        moved_m3 = transform(compose(exp_so3(xi_6[:3]), xi_6[3:]), xyz_m3)
        change_m2 = (errors._linearized(moved_m3, errors.rays_n3[:, :2])[0] - off_m2) / 1e-6
        assert np.allclose(change_m2, J_m26[:, :, axis], atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 31, 32, 2048, 4125])
def test_the_most_similar_by_onnxruntime_are_those_by_numpy(count: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra export")
    pytest.importorskip("onnx", reason="extra export")
    from transpose.exporting.similarity import similarity_graph

    graph = similarity_graph(18, 8).SerializeToString()
    similar = MostSimilar(onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]))
    rng = np.random.default_rng(0)
    query_nc, among_lc = unit(rng, 50), unit(rng, count)
    query_nc[0] = -among_lc[0]  # of one row, the most similar is unlike it
    (index_n, value_n), (wanted_n, least_n) = (
        similar(query_nc, among_lc),
        matching.most_similar_by_numpy(query_nc, among_lc),
    )
    assert np.array_equal(index_n, wanted_n) and np.allclose(value_n, least_n, atol=1e-6)


@pytest.mark.parametrize("radius", [0.5, 7.0, 300.0])
def test_pairs_within_a_radius_are_all_of_them(radius: float) -> None:
    rng = np.random.default_rng(0)
    a_n2, b_l2 = rng.uniform(-50, 120, (200, 2)), rng.uniform(-80, 150, (150, 2))
    b_l2[::7] = np.nan
    with np.errstate(invalid="ignore"):
        slow = np.argwhere(((a_n2[:, None] - b_l2) ** 2).sum(-1) <= radius**2)
    a_p, b_p = matching.pairs_within(a_n2, b_l2, radius)
    assert sorted(zip(a_p, b_p, strict=True)) == sorted(map(tuple, slow))
    assert len(matching.pairs_within(a_n2, np.full((4, 2), np.nan), radius)[0]) == 0


@pytest.mark.parametrize(("size", "how"), [((40, 30), cv2.INTER_AREA), ((150, 110), cv2.INTER_CUBIC)])
def test_resizing_is_opencv_s(size: tuple[int, int], how: int) -> None:
    image_hw3 = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    wanted = cv2.resize(image_hw3, size, interpolation=how).astype(int)
    assert np.abs(resized(image_hw3, *size).astype(int) - wanted).max() <= 2
