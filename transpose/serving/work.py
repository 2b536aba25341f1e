"""One photo after another, by one thread: solvers and PyTorch use all cores for one, and memory stays that of one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def _never() -> None:
    await asyncio.Event().wait()


class TooManyWaitingError(Exception):
    """The queue is full; the client is to come again."""


class TooSlowError(Exception):
    """The answer took longer than the service allows."""


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


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

    async def do(self, job: Callable[[], T], gone: Callable[[], Awaitable[None]] = _never) -> T:
        """The result of a job.

        A job whose client has gone, or whose time is over, before its turn is not begun; one that is under way goes on
        to its end, and holds its place in the queue until then.

        Args:
            job: what is to be done.
            gone: returns when its client has gone.

        Raises:
            TooManyWaitingError: the queue is full.
            TooSlowError: its time is over.
            ClientGoneError: its client has gone.
        """
        with self._lock:
            if self._count >= self._most:
                raise TooManyWaitingError
            self._count += 1
        future = self._pool.submit(job)
        future.add_done_callback(self._one_less)
        answer, left = asyncio.wrap_future(future), asyncio.ensure_future(gone())
        try:
            await asyncio.wait((answer, left), timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if not left.done():
                raise TooSlowError
            left.result()
            raise ClientGoneError
        finally:
            left.cancel()
            answer.cancel()  # takes it out of the queue, where it still is there

    def close(self) -> None:
        """Lets the job under way end, and begins no other."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _one_less(self, _: object) -> None:
        with self._lock:
            self._count -= 1
