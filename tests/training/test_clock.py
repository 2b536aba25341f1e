"""The time that is left, by a clock that a test turns."""

from types import SimpleNamespace

import pytest

from transpose.training import clock
from transpose.training.clock import Clock


class Hand:
    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


def test_what_is_left_follows_the_pace_since_the_last_report(hand: Hand) -> None:
    timed = Clock()
    hand.now += 10
    assert timed.left(100, 1000) == pytest.approx(90)
    hand.now += 40
    assert timed.left(200, 1000) == pytest.approx(320)


def test_after_resuming_only_the_steps_of_this_sitting_count(hand: Hand) -> None:
    timed = Clock(before=5000.0, step=899_000)
    hand.now += 100
    assert timed.left(900_000, 1_000_000) == pytest.approx(10_000)
    assert timed.seconds == 5100


def test_time_to_save_comes_again_and_again(hand: Hand) -> None:
    timed = Clock()
    said = []
    for _ in range(8):
        hand.now += 10
        said.append(timed.is_time_to_save())
    assert said == [False, False, True, False, False, True, False, False]
