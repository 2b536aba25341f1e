"""One photo after another, by one thread: solvers and PyTorch use all cores for one, and memory stays that of one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class TooManyWaitingError(Exception):
    """The queue is full; the client is to come again."""


class TooSlowError(Exception):
    """The answer took longer than the service allows."""


class Work:
    """A bounded queue before one thread.

    Args:
        waiting: jobs that may be queued or under way at once.
        seconds: after which a client is told that it took too long.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        self._most, self._seconds = waiting, seconds
        self._lock = threading.Lock()
        self._count = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="localizing")

    @property
    def waiting(self) -> int:
        """Jobs that are queued or under way."""
        return self._count

    async def do(self, job: Callable[[], T]) -> T:
        """The result of a job.

        A job whose client has gone, or whose time is over, before its turn is not begun; one that is under way goes on
        to its end, and holds its place in the queue until then.

        Raises:
            TooManyWaitingError: the queue is full.
            TooSlowError: its time is over.
        """
        with self._lock:
            if self._count >= self._most:
                raise TooManyWaitingError
            self._count += 1
        future = self._pool.submit(job)
        future.add_done_callback(self._one_less)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._seconds)
        except TimeoutError:
            raise TooSlowError from None

    def close(self) -> None:
        """Lets the job under way end, and begins no other."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _one_less(self, _: object) -> None:
        with self._lock:
            self._count -= 1
