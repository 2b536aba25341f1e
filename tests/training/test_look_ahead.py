"""Items of later batches, made by threads."""

import threading
import time
from collections.abc import Sequence
from contextlib import closing

import pytest

from transpose.training.look_ahead import LookAhead


def places(index: int) -> Sequence[int]:
    return range(2 * index, 2 * index + 2)


def test_batches_come_in_any_order() -> None:
    with closing(LookAhead(lambda place: place * 10, threads=3)) as ahead:
        for index in (0, 1, 2, 9, 4, 5):
            assert ahead.take(index, places) == [20 * index, 20 * index + 10]


def test_enough_is_begun_to_feed_a_fast_network() -> None:
    begun: list[int] = []
    lock, wanted = threading.Lock(), threading.Semaphore(0)

    def make(place: int) -> int:
        with lock:
            begun.append(place)
        wanted.release()
        return place

    with closing(LookAhead(make, threads=4)) as ahead:
        ahead.take(10, lambda index: [index])
        for _ in range(9):
            assert wanted.acquire(timeout=60)
        assert sorted(begun) == list(range(10, 19))  # the one that is asked for, and two a thread
        ahead.take(11, lambda index: [index])
        assert wanted.acquire(timeout=60)
        assert sorted(begun) == list(range(10, 20))


def test_an_error_of_a_thread_is_told() -> None:
    with closing(LookAhead(lambda place: 1 // place, threads=1)) as ahead:
        with pytest.raises(ZeroDivisionError):
            ahead.take(0, lambda index: [index])


def test_what_nobody_waits_for_any_more_is_not_made() -> None:
    made: list[int] = []

    def make(place: int) -> int:
        time.sleep(0.02)
        made.append(place)
        return place

    ahead = LookAhead(make, threads=1)
    for _ in range(5):
        assert ahead.take(100, lambda index: [index]) == [100]
    ahead.close()
    assert len(made) <= 5 + 5  # each time at most the one that had been begun when it was dropped
