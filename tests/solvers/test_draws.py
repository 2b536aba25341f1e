"""Which minimal samples are drawn: the likelier correspondences more often, and no more than a pose needs."""

import numpy as np
import pytest

from transpose.geometry import Camera, Pose, pose_error
from transpose.geometry.poses import exp_se3, transform
from transpose.parallel import one_thread_each
from transpose.randomness import stream
from transpose.solvers import RansacOptions, draws_to_find, solve_pnp, solve_pnp_batch

CAMERA = Camera.from_focal(500.0, 640, 480)
POSE = Pose(exp_se3(np.array([0.1, -0.2, 0.3, 1.0, 2.0, 3.0])))


def matches(right: int, wrong: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and points, the first `right` of which belong together."""
    rng = stream(seed, "draws")
    px_n2 = rng.uniform((0, 0), (640, 480), (right + wrong, 2))
    points_n3 = transform(POSE.T_wc, CAMERA.unproject(px_n2) * rng.uniform(2, 6, right + wrong)[:, None])
    points_n3[right:] = rng.permutation(points_n3[right:])
    return px_n2 + rng.normal(0, 0.5, px_n2.shape), points_n3


def likely(right: int, wrong: int, times: float) -> np.ndarray:
    """Weights of right ones so many times those of wrong ones."""
    return np.r_[np.full(right, times), np.ones(wrong)]


def is_right(pose: Pose | None) -> bool:
    return pose is not None and pose_error(pose, POSE)[1] < 0.1


@pytest.mark.parametrize("share", [0.03, 0.07, 0.3, 0.9])
@pytest.mark.parametrize("missed", [0.01, 0.3])
def test_so_many_draws_find_a_triple_of_right_ones(share: float, missed: float) -> None:
    draws = draws_to_find(share, missed)
    assert (1 - share**3) ** draws <= missed < (1 - share**3) ** (draws - 1)


def test_all_right_needs_one_draw() -> None:
    assert draws_to_find(1.0) == 2 and draws_to_find(7.0) == 2


def test_likely_ones_are_found_with_few_draws() -> None:
    """35 right ones of 700 are found with 1300 draws only where it is known which are likely."""
    options = [RansacOptions(6.0, max_iterations=1300, seed=seed) for seed in range(8)]
    px_n2, points_n3 = matches(35, 665, 0)
    weights_n = likely(35, 665, 8.0)
    blind = [solve_pnp(px_n2, points_n3, CAMERA, each).pose for each in options]
    told = [solve_pnp(px_n2, points_n3, CAMERA, each, draw_weights_n=weights_n).pose for each in options]
    assert all(map(is_right, told)) and sum(map(is_right, blind)) < 5


def test_a_search_ends_when_the_likely_agree() -> None:
    """What is hardly ever drawn need not agree."""
    px_n2, points_n3 = matches(100, 900, 1)
    blind = solve_pnp(px_n2, points_n3, CAMERA, RansacOptions(6.0))
    told = solve_pnp(px_n2, points_n3, CAMERA, RansacOptions(6.0), draw_weights_n=likely(100, 900, 100.0))
    assert is_right(blind.pose) and is_right(told.pose)
    assert told.iterations == 128 < blind.iterations


def test_what_agrees_counts_alike() -> None:
    px_n2, points_n3 = matches(300, 100, 2)
    blind = solve_pnp(px_n2, points_n3, CAMERA, RansacOptions(6.0))
    told = solve_pnp(px_n2, points_n3, CAMERA, RansacOptions(6.0), draw_weights_n=likely(300, 100, 0.5))
    assert blind.pose is not None and told.pose is not None
    assert told.inliers == blind.inliers and told.score == pytest.approx(blind.score, abs=1e-3)
    np.testing.assert_allclose(told.pose.T_wc, blind.pose.T_wc, atol=1e-4)


def test_a_common_factor_changes_nothing() -> None:
    px_n2, points_n3 = matches(60, 400, 3)
    none = solve_pnp(px_n2, points_n3, CAMERA)
    alike = solve_pnp(px_n2, points_n3, CAMERA, draw_weights_n=np.full(460, 1.0))
    assert none.pose is not None and alike.pose is not None
    np.testing.assert_array_equal(none.pose.T_wc, alike.pose.T_wc)
    assert is_right(solve_pnp(px_n2, points_n3, CAMERA, draw_weights_n=np.full(460, 1e-9)).pose)


def test_weights_of_a_batch_are_each_images_own() -> None:
    one, two = matches(40, 360, 4), matches(40, 360, 5)
    weights_bn = np.stack([likely(40, 360, 9.0), np.ones(400)])
    px_bn2, points_bn3 = (np.stack(pair) for pair in zip(one, two, strict=True))
    with one_thread_each():  # several add in another order, which shows in the eighth digit
        together = solve_pnp_batch(px_bn2, points_bn3, CAMERA, draw_weights_bn=weights_bn)
        alone = [solve_pnp(*each, CAMERA, draw_weights_n=w) for each, w in zip((one, two), weights_bn, strict=True)]
    for each, other in zip(together, alone, strict=True):
        assert each.pose is not None and other.pose is not None and each.iterations == other.iterations
        np.testing.assert_allclose(each.pose.T_wc, other.pose.T_wc, atol=1e-9)


@pytest.mark.parametrize("weights_n", [np.zeros(50), np.full(50, np.nan), np.full(50, -1.0), np.ones(49)])
def test_weights_that_are_none_are_the_callers_error(weights_n: np.ndarray) -> None:
    with pytest.raises(ValueError, match="draw weights"):
        solve_pnp(*matches(40, 10, 6), CAMERA, draw_weights_n=weights_n)


@pytest.mark.parametrize("estimate_focal", [False, True])
def test_too_few_for_the_caller_are_no_consensus(estimate_focal: bool) -> None:
    """Whether so few that they are not even refined, or nearly enough."""
    px_n2, points_n3 = matches(80, 60, 7)
    for least, enough in ((60, True), (110, False), (400, False)):
        options = RansacOptions(6.0, min_inliers=least)
        found = solve_pnp(px_n2, points_n3, CAMERA, options, estimate_focal=estimate_focal)
        assert (found.pose is not None) == enough and found.reason == ("ok" if enough else "no_consensus")
        assert found.iterations > 0 and found.inliers == (found.inliers if enough else 0)


def test_those_of_a_batch_that_are_not_worth_refining_stay_as_they_are_alone() -> None:
    pairs = [matches(200, 50, 8), matches(40, 210, 9)]
    px_bn2, points_bn3 = (np.stack(pair) for pair in zip(*pairs, strict=True))
    options = RansacOptions(6.0, min_inliers=150)
    together = solve_pnp_batch(px_bn2, points_bn3, CAMERA, options)
    alone = [solve_pnp(*pair, CAMERA, options) for pair in pairs]
    assert [each.reason for each in together] == [each.reason for each in alone] == ["ok", "no_consensus"]
    assert [each.iterations for each in together] == [each.iterations for each in alone]
