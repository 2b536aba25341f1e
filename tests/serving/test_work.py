"""The queue before the one thread that localizes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from transpose.serving.work import ClientGoneError, TooManyWaitingError, TooSlowError, Work


def test_more_than_may_wait_are_sent_away_and_the_others_answered() -> None:
    gate, work = threading.Event(), Work(waiting=3, seconds=20)

    async def clients() -> list[object]:
        asked = [asyncio.create_task(work.do(lambda i=i: gate.wait(10) and i)) for i in range(8)]  # type: ignore[misc]
        await asyncio.sleep(0.05)
        assert work.waiting == 3
        gate.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    said = asyncio.run(clients())
    assert said[:3] == [0, 1, 2] and all(isinstance(each, TooManyWaitingError) for each in said[3:])
    assert work.waiting == 0
    work.close()


def test_what_waits_too_long_is_not_begun() -> None:
    gate, begun = threading.Event(), []
    work = Work(waiting=3, seconds=0.1)

    async def clients() -> list[object]:
        first = asyncio.create_task(work.do(lambda: gate.wait(10)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(work.do(lambda: begun.append(2)))
        said = await asyncio.gather(first, second, return_exceptions=True)
        assert work.waiting == 1  # the first is still under way
        gate.set()
        return said

    assert all(isinstance(each, TooSlowError) for each in asyncio.run(clients()))
    work.close()
    assert begun == [] and work.waiting == 0


def test_what_nobody_waits_for_is_not_begun_and_what_is_under_way_goes_on() -> None:
    gate, begun = threading.Event(), []
    work = Work(waiting=3, seconds=20)

    async def clients() -> list[object]:
        left = asyncio.Event()

        async def gone() -> None:
            await left.wait()

        jobs = [lambda i=i: (begun.append(i), gate.wait(10), begun.append(-i)) for i in (1, 2)]  # type: ignore[misc]
        asked = [asyncio.create_task(work.do(job, gone)) for job in jobs]
        await asyncio.sleep(0.05)
        left.set()
        said = await asyncio.gather(*asked, return_exceptions=True)
        assert work.waiting == 1  # the first is under way
        gate.set()
        return said

    assert all(isinstance(each, ClientGoneError) for each in asyncio.run(clients()))
    work.close()
    assert begun == [1, -1] and work.waiting == 0


def test_an_error_of_a_job_is_its_client_s() -> None:
    work = Work(waiting=1, seconds=5)

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(work.do(fail))
    assert asyncio.run(work.do(lambda: 7)) == 7
    work.close()
