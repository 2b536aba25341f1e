"""Few correspondences, mostly wrong, on things that real places are made of: no answer but a pose or a refusal."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transpose.geometry import Camera
from transpose.randomness import stream
from transpose.solvers import PoseEstimate, RansacOptions, solve_pnp, solve_pnp_batch

CAMERA = Camera.from_focal(500, 640, 480)
# Standard deviations along the axes, metres.
SHAPES = {
    "pole": (0.05, 3.0, 0.05),
    "roof edge": (5.0, 0.1, 0.1),
    "facade": (8.0, 4.0, 0.05),
    "thin line": (1.0, 1e-3, 1e-3),
    "hair": (1.0, 1e-6, 1e-6),
    "box": (1.0, 1.0, 1.0),
}


def wrong_matches(shape: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a shape ten metres ahead, and pixels that have nothing to do with them."""
    rng = stream(seed, "wrong matches", shape, str(n))
    points_n3 = rng.standard_normal((n, 3)) * SHAPES[shape] + (0, 0, 10)
    return rng.uniform((0, 0), (640, 480), (n, 2)), points_n3


def assert_same(alone: PoseEstimate, together: PoseEstimate) -> None:
    assert alone.reason == together.reason
    assert np.array_equal(alone.inlier_mask_n, together.inlier_mask_n)
    assert (alone.pose is None) == (together.pose is None)
    if alone.pose is not None:
        assert np.allclose(alone.pose.T_wc, together.pose.T_wc, atol=1e-4)


@settings(max_examples=150)
@given(st.sampled_from(sorted(SHAPES)), st.integers(4, 8), st.integers(0, 10_000), st.booleans())
@example("pole", 5, 3, False)
@example("thin line", 4, 0, True)
def test_wrong_matches_are_refused_alone_as_in_a_batch(shape: str, n: int, seed: int, covariances: bool) -> None:
    both = [wrong_matches(shape, n, seed), wrong_matches("box", n, seed)]
    px_bn2, points_bn3 = (np.stack(each) for each in zip(*both, strict=True))
    options = RansacOptions(max_iterations=1024, seed=seed)
    covariances_bn33 = np.broadcast_to(1e-2 * np.eye(3), (2, n, 3, 3)) if covariances else None
    together = solve_pnp_batch(px_bn2, points_bn3, CAMERA, options, covariances_bn33)
    for i in range(2):
        alone = solve_pnp(
            px_bn2[i], points_bn3[i], CAMERA, options, None if covariances_bn33 is None else covariances_bn33[i]
        )
        assert_same(alone, together[i])
        assert alone.reason in ("ok", "no_consensus", "degenerate")


def test_a_search_in_which_no_sample_has_a_solution_refuses() -> None:
    """Five wrong matches along a roof's edge: not one of all triples has a real root."""
    points_n3 = np.array([[-5, 0, 10], [-2, 0.1, 10], [0, 0, 10.1], [2, -0.1, 10], [5, 0.05, 9.9]])
    px_n2 = np.array([[100, 100], [500, 80], [320, 400], [60, 430], [600, 300.0]])
    estimate = solve_pnp(px_n2, points_n3, CAMERA)
    assert estimate.pose is None
    assert estimate.reason == "no_consensus"
    assert_same(estimate, solve_pnp_batch(px_n2[None].repeat(2, 0), points_n3[None].repeat(2, 0), CAMERA)[1])


@pytest.mark.parametrize("shape", ["pole", "roof edge", "facade", "box"])
def test_right_matches_on_the_same_shapes_are_not_refused(shape: str) -> None:
    """Refusing everything would pass the tests above."""
    found = 0
    for seed in range(20):
        _, points_n3 = wrong_matches(shape, 30, seed)
        px_n2 = CAMERA.project(points_n3)
        ahead_n = np.isfinite(px_n2).all(1)
        estimate = solve_pnp(px_n2[ahead_n], points_n3[ahead_n], CAMERA, RansacOptions(max_error_px=4))
        found += estimate.pose is not None and np.linalg.norm(estimate.pose.center) < 0.05
    assert found >= 19
