"""How long a training will take: measured, and said before it begins."""

import logging
from types import SimpleNamespace

import pytest

from transpose.training import forecast
from transpose.training.forecast import Steps, in_words, pace, tell_steps, tell_views


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test turns."""
    now = [0.0]
    monkeypatch.setattr(forecast, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.mark.parametrize("warming_up, step, expected", [(0.5, 0.05, 0.05), (20.0, 20.0, 20.0), (0.001, 0.001, 0.001)])
def test_a_pace_is_that_of_steps_after_the_first(
    now: list[float], warming_up: float, step: float, expected: float
) -> None:
    taken = iter([warming_up])

    def one() -> None:
        now[0] += next(taken, step)

    assert pace(one) == pytest.approx(expected)
    assert now[0] < 21  # a slow one is tried once


def test_views_and_steps_are_foretold(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    def views() -> object:
        for index in range(960):
            now[0] += 0.05
            yield index

    with caplog.at_level(logging.INFO, "transpose"):
        items = tell_views(views(), 960, Steps(3500, 0.011), "fewer --passes")  # type: ignore[arg-type]
        assert "about 86 s: 960 views at 50 ms, then 3500 steps at 11 ms; shorter with" in caplog.text
        assert list(items) == list(range(960))
        tell_steps(Steps(3000, 0.02, 5.0))
    assert "3000 steps at 20 ms: about 65 s; shorter with fewer --steps" in caplog.text
    assert "--resume" in caplog.text


@pytest.mark.parametrize(
    "seconds, words",
    [(0.0042, "4.2 ms"), (0.026, "26 ms"), (3.14, "3.1 s"), (42.0, "42 s"), (130, "2 min"), (12000, "3 h 20 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
    assert in_words(1e6) == "12 days"
