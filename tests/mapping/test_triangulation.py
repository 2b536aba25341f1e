"""Triangulation of tracks from posed views, against a made world and against a slow twin."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose, exp_so3, transform
from transpose.mapping.pairs import covisible_pairs, epipolar_errors_px, matched_pairs
from transpose.mapping.reconstruction import reconstruct
from transpose.mapping.tracks import Stars, strongest_of
from transpose.mapping.triangulation import TriangulationOptions, triangulate
from transpose.mapping.views import MappedView, Rays
from transpose.models.keypoints import Keypoints

CAMERA = Camera.from_focal(500.0, 640, 480)


def world(
    points: int, views: int, noise_px: float, seed: int, scale: float = 1.0
) -> tuple[list[MappedView], np.ndarray]:
    """Views on an arc around points, each with all points that it sees as keypoints, in an order of its own."""
    rng = np.random.default_rng(seed)
    points_p3 = rng.uniform(-1, 1, (points, 3)) * scale
    descriptors_pc = rng.normal(size=(points, 64))
    found = []
    for angle in np.linspace(-0.5, 0.5, views):
        R_wc = exp_so3(np.array([0.0, angle, 0.0]))
        pose = Pose(compose(R_wc, R_wc @ np.array([0.0, 0.0, -5.0 * scale])))
        px_p2 = CAMERA.project(transform(pose.T_cw, points_p3)) + rng.normal(0, noise_px, (points, 2))
        order = rng.permutation(points)
        look_pc = descriptors_pc[order] + 0.1 * rng.normal(size=(points, 64))
        keypoints = Keypoints(
            torch.from_numpy(px_p2[order]).float(),
            torch.nn.functional.normalize(torch.from_numpy(look_pc).float(), dim=1),
        )
        found.append(MappedView(keypoints, CAMERA, pose))
    return found, points_p3


def distance_to_nearest(found_p3: np.ndarray, true_p3: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found_p3[:, None] - true_p3, axis=2).min(1)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_without_noise_all_points_come_out_exactly(seed: int, views: int) -> None:
    made, points_p3 = world(80, views, 0.0, seed)
    found = reconstruct(made)
    assert len(found.points) >= 76
    assert distance_to_nearest(found.world_p3, points_p3).max() < 1e-4  # keypoints are float32


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_world_of_another_size_gives_the_same_points_in_that_size(scale: float) -> None:
    found, at_one = reconstruct(world(60, 4, 0.3, 1, scale)[0]), reconstruct(world(60, 4, 0.3, 1)[0])
    assert np.allclose(found.world_p3 / scale, at_one.world_p3, atol=1e-4)


def test_least_squares_are_those_of_a_slow_twin() -> None:
    made, _ = world(20, 5, 0.5, 2)
    found = reconstruct(made)
    for point in range(5):
        shown = found.points.keypoint_o[found.points.point_o == point]

        def residuals(x: np.ndarray, shown: torch.Tensor = shown) -> np.ndarray:
            out = []
            for keypoint in shown.tolist():
                view = int(found.rays.view_n[keypoint])
                px = made[view].keypoints.px_n2[keypoint - int(found.rays.first_v[view])].double().numpy()
                out.append(CAMERA.project(transform(made[view].pose.T_cw, x[None]))[0] - px)
            return np.concatenate(out)

        best = least_squares(residuals, found.world_p3[point] + 0.01, xtol=1e-14, ftol=1e-14, gtol=1e-14).x
        assert np.allclose(found.world_p3[point], best, atol=1e-6)


def test_wrong_matches_in_a_track_are_left_out() -> None:
    made, points_p3 = world(100, 5, 0.2, 3)
    rays = Rays.of(made)
    pairs = matched_pairs(made, rays, 1000, 0.75)
    rng = np.random.default_rng(0)
    wrong = torch.from_numpy(rng.integers(0, len(rays), (60, 2)))
    wrong = wrong[rays.view_n[wrong[:, 0]] != rays.view_n[wrong[:, 1]]]
    found = triangulate(rays, torch.cat([pairs, wrong]), TriangulationOptions(min_views=3))
    off = distance_to_nearest(found.points_p3.numpy() + rays.origin_3, points_p3)
    assert len(found) > 30 and np.quantile(off, 0.95) < 0.02


def test_one_view_shows_a_point_once() -> None:
    made, _ = world(50, 4, 0.3, 4)
    found = reconstruct(made)
    place = found.points.point_o * 4 + found.rays.view_n[found.points.keypoint_o]
    assert len(place.unique()) == len(place)


def test_points_without_parallax_are_none() -> None:
    made, _ = world(50, 2, 0.0, 5)
    same = [made[0], MappedView(made[1].keypoints, CAMERA, made[0].pose)]
    assert len(reconstruct(same).points) == 0
    assert len(reconstruct(made[:1]).points) == 0


def test_points_behind_a_camera_are_none() -> None:
    made, _ = world(50, 3, 0.0, 6)
    turned = [MappedView(v.keypoints, CAMERA, Pose(v.pose.T_wc @ np.diag([-1.0, 1, -1, 1]))) for v in made]
    assert len(reconstruct(turned).points) < 5


def test_points_without_a_view_are_those_of_the_others() -> None:
    made, _ = world(60, 4, 0.3, 7)
    found = reconstruct(made)
    without = found.without([1])
    assert without.shape == found.world_p3.shape
    known = np.isfinite(without).all(1)
    assert known.mean() > 0.9
    assert 0 < np.abs(without[known] - found.world_p3[known]).max() < 0.1
    assert np.isnan(found.without([0, 1, 2])).all()


def test_epipolar_error_is_the_distance_from_the_line() -> None:
    made, _ = world(30, 2, 0.0, 8)
    rays = Rays.of(made)
    pairs = matched_pairs(made, rays, 1000, 0.75)
    assert epipolar_errors_px(rays, pairs).max() < 1e-3
    # The cameras turn about y at one height: lines are near to horizontal, and a shift along y leaves them.
    shifted = Keypoints(made[1].keypoints.px_n2 + torch.tensor([0.0, 3.0]), made[1].keypoints.descriptors_nc)
    error = epipolar_errors_px(Rays.of([made[0], MappedView(shifted, CAMERA, made[1].pose)]), pairs)
    assert 1.8 < float(error.median()) < 2.3  # Sampson's distance is shared by both images


def test_a_star_is_a_keypoint_with_its_matches() -> None:
    stars = Stars.of(torch.tensor([[0, 5], [5, 9], [2, 7]]))
    found = {int(c): stars.members(torch.tensor([s]))[0].tolist() for s, c in enumerate(stars.center_s)}
    assert found == {0: [5], 2: [7], 5: [9, 0], 7: [2], 9: [5]}


def test_a_keypoint_goes_to_the_heaviest_star_that_claims_it() -> None:
    keypoint, star = torch.tensor([0, 1, 1, 2, 3]), torch.tensor([0, 0, 1, 1, 2])
    assert strongest_of(keypoint, star, torch.tensor([1.0, 3.0, 2.0]), 4).tolist() == [True, False, True, True, True]


def test_wrong_matches_between_all_tracks_do_not_join_them() -> None:
    """Connected components would be one."""
    made, points_p3 = world(150, 8, 0.2, 11)
    rays = Rays.of(made)
    pairs = matched_pairs(made, rays, 1000, 0.75)
    rng = np.random.default_rng(1)
    wrong = torch.from_numpy(rng.integers(0, len(rays), (len(pairs), 2)))
    wrong = wrong[rays.view_n[wrong[:, 0]] < rays.view_n[wrong[:, 1]]]
    found = triangulate(rays, torch.cat([pairs, wrong]).unique(dim=0), TriangulationOptions(min_views=3))
    off = distance_to_nearest(found.points_p3.numpy() + rays.origin_3, points_p3)
    assert len(found) > 140 and np.quantile(off, 0.9) < 0.02


def test_views_that_look_apart_are_no_pair() -> None:
    made, _ = world(30, 3, 0.0, 9)
    away = MappedView(made[0].keypoints, CAMERA, Pose(made[0].pose.T_wc @ np.diag([-1.0, 1, -1, 1])))
    assert all(3 not in pair for pair in covisible_pairs([*made, away], Rays.of([*made, away]), 0.75))
    assert covisible_pairs(made, Rays.of(made), 0.75) == [(0, 1), (0, 2), (1, 2)]


def test_of_many_views_each_has_partners_that_share_points() -> None:
    made, _ = world(40, 50, 0.2, 10)
    pairs = covisible_pairs(made, Rays.of(made), 0.75)
    degree = np.bincount(np.array(pairs).ravel(), minlength=50)
    assert degree.min() >= 16 and len(pairs) < 50 * 49 / 2


def test_covariances_are_those_of_points_found_from_noisy_keypoints() -> None:
    """Against the spread of points triangulated again and again: rays that meet at small angles tell less of depth."""
    errors, covariances_33 = [], []
    for seed in range(12):
        made, points_p3 = world(60, 3, 1.0, seed)
        found = reconstruct(made, TriangulationOptions(max_error_px=6.0))
        away_p = np.linalg.norm(found.world_p3[:, None] - points_p3, axis=2)
        error_p3 = found.world_p3 - points_p3[away_p.argmin(1)]
        good_p = away_p.min(1) < 0.15
        errors.append(error_p3[good_p])
        covariances_33.append(found.covariances()[good_p])
    error_n3, covariance_n33 = np.concatenate(errors), np.concatenate(covariances_33)
    squared_n = np.einsum("ni,nij,nj->n", error_n3, np.linalg.inv(covariance_n33), error_n3)
    assert len(squared_n) > 300 and 2.4 < squared_n.mean() < 3.6  # three degrees of freedom


def test_without_some_views_points_are_less_certain_and_with_one_not_known() -> None:
    found = reconstruct(world(40, 4, 0.3, 2)[0])
    trace_p, without_p = (np.trace(each, axis1=1, axis2=2) for each in (found.covariances(), found.covariances([0])))
    known_p = np.isfinite(without_p)
    assert known_p.mean() > 0.9 and (without_p[known_p] >= trace_p[known_p] * (1 - 1e-9)).all()
    assert np.isnan(found.covariances([0, 1, 2])).all()
