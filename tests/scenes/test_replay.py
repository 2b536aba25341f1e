"""Prioritized replay: the tree against a slow twin, what is drawn how often, and that weights bend no mean."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.errors import TransposeError
from transpose.randomness import stream
from transpose.scenes import replay as replay_module
from transpose.scenes.replay import Replay, ReplayOptions, SumTree

TOPS = (0, 2, 10)
ERRORS_6 = np.array([0.0, 0.3, 1.0, 2.0, 7.0, 1e9])  # the first and the last lie beyond the bounds


def slow_find(share_n: np.ndarray, point: float) -> int:
    """The first item by whose end more than `point` of the shares has gone by."""
    gone = 0.0
    for item, share in enumerate(share_n):
        gone += share
        if point < gone:
            return item
    return int(np.flatnonzero(share_n)[-1])


def told(options: ReplayOptions | None = None) -> Replay:
    """Six items of which every error was seen."""
    replay = Replay(6, options or ReplayOptions())
    replay.renew(np.arange(6), ERRORS_6)
    return replay


def tree_of(share_n: np.ndarray, top: int) -> SumTree:
    """A tree of which so many levels are done at once, as if it were a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_module, "_TOP_LEVELS", top)
        return SumTree(share_n)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40).filter(any), st.integers(0, 1000), st.sampled_from(TOPS))
def test_a_point_of_the_total_finds_the_item_of_the_slow_twin(shares: list[int], seed: int, top: int) -> None:
    """Of whole numbers, whose sums are exact, so that points on the very border count as well."""
    share_n = np.array(shares, np.float64)
    tree, total = tree_of(share_n, top), sum(shares)
    assert tree.total == total
    point_b = np.concatenate([np.arange(total), total * np.random.default_rng(seed).random(20)])
    assert tree.find(point_b).tolist() == [slow_find(share_n, point) for point in point_b]


@given(st.integers(1, 70), st.integers(0, 1000), st.sampled_from(TOPS))
def test_changed_shares_leave_the_tree_that_is_built_of_them(items: int, seed: int, top: int) -> None:
    """To the last bit, whatever the order of changes; of an item that is named twice the last share holds."""
    rng = np.random.default_rng(seed)
    share_n = rng.random(items)
    tree = tree_of(share_n, top)
    for _ in range(5):
        index_b, share_b = rng.integers(items, size=7), rng.random(7)
        tree.change(index_b, share_b)
        for item, share in zip(index_b, share_b, strict=True):
            share_n[item] = share
    assert np.array_equal(tree.share_n, share_n)
    built = tree_of(share_n, top)
    assert tree.total == built.total
    point_b = tree.total * rng.random(50)
    assert np.array_equal(tree.find(point_b), built.find(point_b))


@pytest.mark.parametrize("top", TOPS)
def test_no_point_finds_an_item_without_a_share(top: int) -> None:
    tree = tree_of(np.array([0.0, 0.1, 0.2, 0.0, 0.3, 0.0]), top)
    assert tree.find(np.array([0.0, 0.1, np.nextafter(0.6, 0), 0.6, 0.7])).tolist() == [1, 2, 4, 4, 4]
    tree.change(np.array([], np.int64), np.array([]))
    assert tree.total == pytest.approx(0.6)


def test_items_are_drawn_in_proportion_to_a_power_of_their_errors() -> None:
    replay = told()
    count_n = np.bincount(np.concatenate([replay.draw(64, stream(1, str(i)), 0.0).index_b for i in range(500)]))
    priority_n = np.array([0.1, 0.3, 1.0, 2.0, 7.0, 8.0]) ** 0.6
    expected_n = 500 * 64 * priority_n / priority_n.sum()
    assert np.allclose(count_n, expected_n, atol=5 * np.sqrt(expected_n).max())


def test_strata_leave_little_to_luck() -> None:
    """An item with k equal parts of the total is drawn k times, but for the parts at its two borders."""
    replay = told()
    expected_n = 300 * replay.share_n / replay.share_n.sum()
    for i in range(20):
        count_n = np.bincount(replay.draw(300, stream(2, str(i)), 0.0).index_b, minlength=6)
        assert (np.abs(count_n - expected_n) < 2).all()


def test_parts_of_a_batch_are_no_strata() -> None:
    index_b = Replay(1000).draw(100, stream(0), 0.0).index_b
    assert abs(np.median(index_b[:50]) - np.median(index_b[50:])) < 250
    assert np.array_equal(np.sort(index_b) // 10, np.arange(100))  # while alike, one of each hundredth


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_the_weighted_mean_of_a_batch_is_unbiased_once_beta_is_1(batch: int) -> None:
    replay, loss_n = told(), np.array([3.0, -1.0, 4.0, 1.0, -5.0, 9.0])
    weighted, plain = [], []
    for i in range(40_000 // batch):
        draw = replay.draw(batch, stream(3, str(i)), 1.0)
        plain.append(loss_n[draw.index_b].mean())
        weighted.append((draw.weight_b * loss_n[draw.index_b]).mean())
    error = np.std(weighted) / np.sqrt(len(weighted))
    assert abs(np.mean(weighted) - loss_n.mean()) < 4 * error
    assert abs(np.mean(plain) - loss_n.mean()) > 6 * error


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_weights_are_bounded_and_on_average_not_above_1(progress: float) -> None:
    replay = told()
    share_n = replay.share_n / replay.share_n.sum()
    weight_n = np.zeros(6)
    for i in range(200):
        draw = replay.draw(32, stream(5, str(i)), progress)
        weight_n[draw.index_b] = draw.weight_b
    beta = 0.4 + 0.6 * progress
    assert np.allclose(weight_n, (6 * share_n) ** -beta, rtol=1e-6)
    assert share_n @ weight_n <= 1 + 1e-6
    assert weight_n.max() <= (8.0 / 0.1) ** (0.6 * beta)


def test_items_not_seen_yet_stand_at_the_top_and_are_renewed_on_visit() -> None:
    replay = Replay(100)
    replay.renew(np.arange(90), np.full(90, 0.5))
    index_b = replay.draw(300, stream(6), 0.0).index_b
    assert (np.bincount(index_b, minlength=100)[90:] >= 7).all()
    assert replay.share_n[95] == replay.share_n.max()
    replay.renew(np.arange(90, 100), np.full(10, 0.5))
    assert len(set(replay.share_n.tolist())) == 1


def test_what_is_no_number_changes_nothing() -> None:
    replay = told()
    before_n = replay.share_n
    replay.renew(np.arange(4), np.array([np.nan, np.inf, -np.inf, np.nan]))
    assert np.array_equal(replay.share_n, before_n)


def test_what_is_restored_draws_the_same() -> None:
    """Also after an unsteady way to where it was left."""
    replay, rng = Replay(1000), np.random.default_rng(0)
    for _ in range(30):
        replay.renew(rng.integers(1000, size=50), rng.exponential(size=50))
    restored = Replay(1000)
    restored.restore(replay.share_n)
    for i in range(10):
        ours, theirs = (each.draw(64, stream(7, str(i)), 0.3) for each in (replay, restored))
        assert np.array_equal(ours.index_b, theirs.index_b) and np.array_equal(ours.weight_b, theirs.weight_b)
        for each in (replay, restored):
            each.renew(ours.index_b, ours.weight_b)


def test_one_item_is_always_drawn() -> None:
    draw = Replay(1).draw(5, stream(0), 0.0)
    assert draw.index_b.tolist() == [0] * 5 and draw.weight_b.tolist() == [1.0] * 5


def test_alpha_0_draws_all_alike() -> None:
    replay = told(ReplayOptions(alpha=0.0))
    assert np.bincount(replay.draw(600, stream(0), 0.0).index_b).tolist() == [100] * 6


@pytest.mark.parametrize("shares", [np.ones(5, np.float32), np.array([1, np.nan, 1]), np.array([1, 0, 1.0])])
def test_shares_of_other_items_are_refused(shares: np.ndarray) -> None:
    with pytest.raises(TransposeError, match=r"do not fit the 3 items .*--overwrite"):
        Replay(3).restore(shares)


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(TransposeError, match="replay has nothing to draw from"):
        Replay(0)


@pytest.mark.parametrize(
    "wrong", [{"alpha": -1.0}, {"beta": 1.5}, {"least": 0.0}, {"least": 9.0}, {"most": np.inf}, {"alpha": np.nan}]
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        dataclasses.replace(ReplayOptions(), **wrong)
