"""Depth between sparse points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.geometry.interpolation import InterpolatedDepth


def plane_depth(px_n2: np.ndarray, slope: tuple[float, float]) -> np.ndarray:
    """Of a plane seen by a pinhole: its inverse depth is linear in the image."""
    return 1 / (0.25 + px_n2 @ np.array(slope))


@given(st.floats(-2e-5, 2e-5), st.floats(-2e-5, 2e-5), st.integers(0, 100))
def test_on_a_plane_it_is_exact(a: float, b: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    px = rng.uniform(0, 640, (60, 2))
    asked = rng.uniform(200, 440, (20, 2))
    found = InterpolatedDepth(px, plane_depth(px, (a, b))).at(asked)
    known = np.isfinite(found)
    assert known.mean() > 0.8
    assert np.allclose(found[known], plane_depth(asked[known], (a, b)), rtol=1e-9)


def test_at_a_point_it_is_the_points_depth() -> None:
    rng = np.random.default_rng(0)
    px, depth = rng.uniform(0, 100, (50, 2)), rng.uniform(5.0, 5.5, 50)
    inside = (np.abs(px - 50) < 30).all(1)
    assert np.allclose(InterpolatedDepth(px, depth).at(px[inside]), depth[inside])


def test_nothing_is_made_up_between_surfaces_and_outside() -> None:
    px = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), -1).reshape(-1, 2)
    depth = np.where(px[:, 0] < 5, 2.0, 4.0)
    found = InterpolatedDepth(px, depth).at(np.array([[2.3, 2.1], [4.5, 4.2], [7.7, 3.3], [-1.0, 3.0], [np.nan, 1.0]]))
    assert found[0] == pytest.approx(2.0) and found[2] == pytest.approx(4.0)
    assert np.isnan(found[[1, 3, 4]]).all()


@pytest.mark.parametrize("px", [np.zeros((0, 2)), np.ones((2, 2)), np.arange(10.0)[:, None] * [1.0, 2.0]])
def test_too_few_points_or_points_on_a_line_say_nothing(px: np.ndarray) -> None:
    assert np.isnan(InterpolatedDepth(px, np.ones(len(px))).at(np.array([[1.0, 1.0]]))).all()
