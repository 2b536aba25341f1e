"""Observations of one place against a slow search."""

import numpy as np
import pytest

from transpose.geometry import same_place as module
from transpose.geometry.same_place import same_place
from transpose.randomness import stream


def slow(points_n3: np.ndarray, view_n: np.ndarray, radius: float) -> list[set[int]]:
    """All of them, one pair after the other."""
    return [
        {
            j
            for j in range(len(points_n3))
            if view_n[i] != view_n[j] and np.linalg.norm(points_n3[i] - points_n3[j]) <= radius
        }
        for i in range(len(points_n3))
    ]


@pytest.mark.parametrize("block", [7, 1000])
def test_against_a_slow_search(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = stream(0, "places")
    points_n3, view_n = rng.uniform(0, 1, (150, 3)), rng.integers(4, size=150)
    found_nk = same_place(points_n3, view_n, 0.2, 150)
    assert [set(row[row >= 0]) for row in found_nk] == slow(points_n3, view_n, 0.2)
    for i, row in enumerate(found_nk):
        distances = np.linalg.norm(points_n3[row[row >= 0]] - points_n3[i], axis=1)
        assert (np.diff(distances) >= 0).all() and (np.diff((row < 0).astype(int)) >= 0).all()


def test_the_relation_is_mutual_where_all_are_kept() -> None:
    rng = stream(1, "places")
    points_n3, view_n = rng.uniform(0, 1, (100, 3)), rng.integers(3, size=100)
    found_nk = same_place(points_n3, view_n, 0.25, 100)
    pairs = {(i, j) for i, row in enumerate(found_nk) for j in row[row >= 0]}
    assert pairs and {(j, i) for i, j in pairs} == pairs


def test_few_are_kept_of_many() -> None:
    rng = stream(2, "places")
    points_n3, view_n = rng.uniform(0, 0.1, (60, 3)), np.arange(60)
    few_nk, all_nk = (same_place(points_n3, view_n, 1.0, most) for most in (5, 60))
    assert few_nk.shape == (60, 5) and (few_nk == all_nk[:, :5]).all()


def test_the_radius_itself_is_within() -> None:
    points_n3 = np.array([[0.0, 0, 0], [3.0, 4.0, 0]])
    assert same_place(points_n3, np.array([0, 1]), 5.0, 1).tolist() == [[1], [0]]
    assert same_place(points_n3, np.array([0, 1]), 4.999, 1).tolist() == [[-1], [-1]]


def test_nothing_is_seen_twice() -> None:
    points_n3 = stream(3, "places").uniform(0, 1, (20, 3))
    assert (same_place(points_n3, np.zeros(20), 2.0, 4) == -1).all()
    assert same_place(np.zeros((0, 3)), np.zeros(0), 1.0, 4).shape == (0, 4)
