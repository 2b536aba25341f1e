"""Work spread over a ray cluster: this machine's cores by default, other machines' where one is joined.

Each worker keeps what `make` gave it (a renderer, a localizer) between its items. A worker that dies costs the item it
was at, which another one does again; every item's result comes exactly once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from transpose.errors import MissingPackageError, TransposeError

_STATE = TypeVar("_STATE")
_ITEM = TypeVar("_ITEM")
_RESULT = TypeVar("_RESULT")
_MOST_DEATHS = 3  # of workers at one item: then it is the item

log = logging.getLogger(__name__)


class Cluster(Generic[_STATE]):
    """Workers on a ray cluster; a context that ends them.

    Args:
        make: makes what each worker keeps; called once in each of them, so it and what it names must be picklable, and
            files that it reads must be there on every machine.
        address: of a cluster to join; None: as `RAY_ADDRESS` says, else one on this machine.
        workers: how many; None: as many as the cluster's cores suffice for.
        cores: that each of them takes.
    """

    def __init__(
        self, make: Callable[[], _STATE], address: str | None = None, workers: int | None = None, cores: int = 1
    ) -> None:
        self._ray = _import_ray()
        self._started = not self._ray.is_initialized()
        try:
            if self._started:
                self._ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise TransposeError(f"no ray cluster at {address} ({str(error).splitlines()[0]})") from None
        self._make = make
        self._remote = self._ray.remote(num_cpus=cores, max_restarts=0)(_Worker)
        count = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)) // cores)
        self._workers = [self._remote.remote(make) for _ in range(count)]
        self._idle = deque(self._workers)

    def __enter__(self) -> Cluster[_STATE]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:  # those too that are still at something
            self._ray.kill(worker)
        if self._started:
            self._ray.shutdown()

    def run(self, work: Callable[[_STATE, _ITEM], _RESULT], items: Iterable[_ITEM]) -> Iterator[_RESULT]:
        """`work(state, item)` of every item, in the order in which they are finished.

        Raises:
            TransposeError: several workers died at the same item, or `work` raised it.
        """
        todo = deque((item, 0) for item in items)
        running: dict[Any, tuple[Any, _ITEM, int]] = {}
        while todo or running:
            while todo and self._idle:
                item, deaths = todo.popleft()
                worker = self._idle.popleft()
                running[worker.call.remote(work, item)] = worker, item, deaths
            (done, *_), _ = self._ray.wait(list(running), num_returns=1)
            worker, item, deaths = running.pop(done)
            try:
                result = self._ray.get(done)
            except self._ray.exceptions.RayActorError:
                if deaths + 1 >= _MOST_DEATHS:
                    raise TransposeError(
                        f"{_MOST_DEATHS} workers died at the same item, perhaps for want of memory; start the command "
                        "again with fewer cores, it goes on where it was"
                    ) from None
                log.warning("a worker died; its item is done again")
                todo.appendleft((item, deaths + 1))
                self._workers.append(self._remote.remote(self._make))
                self._idle.append(self._workers[-1])
                continue
            except self._ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, Exception) else error) from None
            self._idle.append(worker)
            yield result


class _Worker:
    """What runs in a worker's process."""

    def __init__(self, make: Callable[[], Any]) -> None:
        import cv2
        import torch

        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        self._state = make()

    def call(self, work: Callable[[Any, Any], Any], item: Any) -> Any:
        """Does one item."""
        return work(self._state, item)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError(f"ray ({error})", "cluster", "to spread work over a cluster") from None
    return ray
