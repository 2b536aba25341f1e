"""Processes that each hold a renderer of one world.

Whoever starts them early has them load while it still decides what to render; this module itself loads nothing heavy.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from transpose.cluster import Cluster
from transpose.errors import TransposeError
from transpose.parallel import worker_count

if TYPE_CHECKING:
    from transpose.worlds.renderer import Renderer

_ITEM = TypeVar("_ITEM")
_RESULT = TypeVar("_RESULT")
# The first one sets how many threads what follows starts. "__main__" is not among them: wherever it stood in the list,
# it would be imported first, and NumPy with it.
_PRELOADED = ["transpose.worlds.single_blas_thread", "scipy.sparse", "transpose.worlds.render_section"]


class Workers:
    """As many processes as there are cores, or `processes`; a context that ends them.

    Not forked from this process, which may hold threads (PyTorch, OpenCV) that a fork would leave broken.
    """

    def __init__(self, world_folder: Path, processes: int | None = None) -> None:
        self.world_folder = world_folder
        count = processes or worker_count()
        preload()
        with _interrupts_withheld():
            self._pool = ProcessPoolExecutor(count, _context(), _start, (world_folder,))
            for _ in range(count):  # all of them start now, not one by one as work comes
                self._pool.submit(os.getpid)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, work: Callable[[Renderer, _ITEM], _RESULT], items: Iterable[_ITEM]) -> Iterator[_RESULT]:
        """`work(renderer, item)` of every item, in the order in which they are finished.

        Raises:
            TransposeError: a process ended of itself, mostly for want of memory.
        """
        futures = [self._pool.submit(_call, work, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise TransposeError(
                "a rendering process ended early, perhaps for want of memory: use fewer --processes, and the command "
                'goes on where it was (a script of your own that renders does so below `if __name__ == "__main__":`)'
            ) from None
        finally:
            for future in futures:
                future.cancel()


class ClusterWorkers:
    """The same on a ray cluster (extra `cluster`); the world's folder and the scene must be there on every machine.

    Args:
        world_folder: of the world.
        address: of the cluster; None: as `RAY_ADDRESS` says, else this machine.
        processes: how many; None: as many as it has cores.
    """

    def __init__(self, world_folder: Path, address: str | None = None, processes: int | None = None) -> None:
        self.world_folder = world_folder
        self._cluster: Cluster[Renderer] = Cluster(partial(_load_renderer, world_folder.resolve()), address, processes)

    def __enter__(self) -> ClusterWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.__exit__()

    def run(self, work: Callable[[Renderer, _ITEM], _RESULT], items: Iterable[_ITEM]) -> Iterator[_RESULT]:
        """See `Workers.run`; what a process was at that died is done again by another one."""
        return self._cluster.run(work, items)


def _load_renderer(world_folder: Path) -> Renderer:
    from transpose.worlds.renderer import Renderer
    from transpose.worlds.world import load_world

    return Renderer(load_world(world_folder))


def preload() -> None:
    """Begins to load what the processes will need, where the system can copy a loaded process; does not wait."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.set_forkserver_preload(_PRELOADED)
    resource_tracker.ensure_running()  # which lets interrupts through once it runs
    with _interrupts_withheld():
        forkserver.ensure_running()


@contextmanager
def _interrupts_withheld() -> Iterator[None]:
    """Processes that are started here never see a Ctrl-C, not even while they load: it is the parent's to answer."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _context() -> multiprocessing.context.BaseContext:
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")


class _Process:
    """What one process keeps between its items."""

    renderer: Renderer


def _start(world_folder: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()  # first, since what follows takes its time
    import transpose.worlds.single_blas_thread  # noqa: F401  # where processes are spawned, nothing was preloaded

    # isort: split
    import cv2
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be withheld
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    _Process.renderer = _load_renderer(world_folder)


def _end_with_parent() -> None:
    """Ends this process when the one that started it was killed, instead of waiting for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(work: Callable[[Renderer, _ITEM], _RESULT], item: _ITEM) -> _RESULT:
    return work(_Process.renderer, item)
