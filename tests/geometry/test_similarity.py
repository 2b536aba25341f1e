"""Similarities: exact on exact points, deaf to wrong ones, and refused where nothing fixes them."""

import numpy as np
import pytest

from transpose.geometry.poses import Pose, compose, exp_so3, transform
from transpose.geometry.similarity import Similarity, robust_similarity, similarity_between
from transpose.randomness import stream

TRUE = Similarity(2.5, exp_so3(np.array([0.3, -1.2, 0.7])), np.array([400_000.0, -3.0, 20.0]))


def points(count: int, thickness: float = 1.0) -> np.ndarray:
    return stream(0, "points").normal(size=(count, 3)) * (5, 2, thickness)


@pytest.mark.parametrize("thickness", [1.0, 0.0])  # cameras of a flight stand in a plane
def test_exact_points_give_it_exactly(thickness: float) -> None:
    some_n3 = points(12, thickness)
    found = similarity_between(some_n3, TRUE.points(some_n3))
    assert found.scale == pytest.approx(TRUE.scale)
    np.testing.assert_allclose(found.R_33, TRUE.R_33, atol=1e-9)
    np.testing.assert_allclose(found.t_3, TRUE.t_3, atol=1e-8)


def test_a_reflection_is_never_found() -> None:
    some_n3 = points(12)
    assert np.linalg.det(similarity_between(some_n3, some_n3 * (1, 1, -1)).R_33) == pytest.approx(1)


def test_it_is_the_least_squares_solution() -> None:
    some_n3 = points(10)
    noisy_n3 = TRUE.points(some_n3) + stream(0, "noise").normal(size=(10, 3))
    found = similarity_between(some_n3, noisy_n3)

    def cost(scale: float, omega_3: np.ndarray, shift_3: np.ndarray) -> float:
        other = Similarity(found.scale + scale, exp_so3(omega_3) @ found.R_33, found.t_3 + shift_3)
        return float(((other.points(some_n3) - noisy_n3) ** 2).sum())

    least = cost(0, np.zeros(3), np.zeros(3))
    rng = stream(0, "directions")
    for _ in range(50):
        assert cost(1e-3 * rng.normal(), 1e-3 * rng.normal(size=3), 1e-3 * rng.normal(size=3)) >= least


@pytest.mark.parametrize("wrong", [0, 4, 8])
def test_wrong_points_do_not_count(wrong: int) -> None:
    some_n3, rng = points(20), stream(1, "errors")
    to_n3 = TRUE.points(some_n3) + 0.05 * rng.normal(size=(20, 3))
    to_n3[:wrong] += rng.normal(size=(wrong, 3)) * 100
    found, agree_n, sigma = robust_similarity(some_n3, to_n3)
    assert not agree_n[:wrong].any()
    assert agree_n.sum() >= 0.8 * (20 - wrong)
    assert found.scale == pytest.approx(TRUE.scale, rel=0.02)
    assert 0.02 < sigma < 0.1


@pytest.mark.parametrize("some_n3", [points(2), np.outer(np.arange(6.0), [1, 2, 3]), np.ones((5, 3))])
def test_what_is_not_fixed_is_refused(some_n3: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not on one line"):
        similarity_between(some_n3, some_n3)
    with pytest.raises(ValueError, match="not on one line"):
        robust_similarity(some_n3, some_n3)


def test_poses_move_with_what_they_see() -> None:
    pose = Pose(compose(exp_so3(np.array([1.0, 0.2, -0.4])), np.array([1.0, 2.0, 3.0])))
    seen_n3 = points(5)
    before_n3, after_n3 = transform(pose.T_cw, seen_n3), transform(TRUE.pose(pose).T_cw, TRUE.points(seen_n3))
    np.testing.assert_allclose(after_n3, TRUE.scale * before_n3, atol=1e-6)
