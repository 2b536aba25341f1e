"""What later batches hold, made by threads while a network learns from the present one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from transpose.parallel import worker_count

T = TypeVar("T")
_AHEAD = 2  # items a thread


class LookAhead(Generic[T]):
    """Items of batches in order, `_AHEAD` a thread being begun or waiting, so that even batches of one are fed.

    Args:
        make: the item of a place in an endless sequence; what it returns depends on the place alone.
        threads: as many as there are cores by default.
    """

    def __init__(self, make: Callable[[int], T], threads: int | None = None) -> None:
        self._make = make
        self._threads = threads or worker_count()
        self._pool = ThreadPoolExecutor(self._threads)
        self._begun: dict[int, list[Future[T]]] = {}

    def take(self, index: int, places_of: Callable[[int], Sequence[int]], most_ahead: float = math.inf) -> list[T]:
        """The items of a batch.

        Args:
            index: of the batch; the one after the last is there soonest.
            places_of: the places that a batch holds, equally many in each.
            most_ahead: batches after this one whose places are known already.
        """
        if index not in self._begun:  # of the first batch, or of another than was to follow
            for future in (each for futures in self._begun.values() for each in futures):
                future.cancel()  # else what nobody waits for any more would be made before what is asked for
            self._begun = {}
        ahead = min(math.ceil(_AHEAD * self._threads / max(1, len(places_of(index)))), most_ahead)
        for each in range(index, index + 1 + int(ahead)):
            if each not in self._begun:
                self._begun[each] = [self._pool.submit(self._make, place) for place in places_of(each)]
        return [future.result() for future in self._begun.pop(index)]

    def close(self) -> None:
        """Ends the threads; items that nobody waits for are dropped."""
        self._pool.shutdown(cancel_futures=True)
