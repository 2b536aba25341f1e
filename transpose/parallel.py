"""How many cores this process may use, and how its pools of threads wait for each other.

PyTorch's OpenMP threads spin while they wait, by default for milliseconds: on a machine that is busy with something
else they burn the very core that the thread they wait for needs. NumPy's (OpenBLAS) do the same with `sched_yield`.
Both read their settings when they are loaded, so `wait_quietly` comes before the first `import torch` or
`import numpy`. This module itself imports neither.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from transpose.errors import TransposeError

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Result = TypeVar("Result")

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
# benchmarks/loaded.py measures them: GNU's OpenMP spins about 20 us, which bridges the gap between two operations of a
# step, and then sleeps; LLVM's and Intel's (macOS, Windows) count in milliseconds.
_QUIET = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
_limit: int | None = None


def wait_quietly(environment: MutableMapping[str, str] | None = None) -> None:
    """Has threads of PyTorch and NumPy sleep, rather than spin, while they wait; for a program's first lines.

    What is set already, by the user or the system, stays as it is. Where a container's quota gives less than the cores
    that OpenMP sees, it starts as many threads as the quota feeds.

    Args:
        environment: where to set it, by default this process's, which its children inherit.
    """
    environment = os.environ if environment is None else environment
    if not any(name in environment for name in _WAITING):
        environment.update(_QUIET)
    if not any(name in environment for name in _BLAS):
        # Our matrices are small: two spinning threads take longer for them than one, on a busy machine ten times.
        environment["OPENBLAS_NUM_THREADS"] = "1"
    if "OMP_NUM_THREADS" not in environment and available_cores() < _visible_cores():
        environment["OMP_NUM_THREADS"] = str(available_cores())


def use_threads(count: int | None) -> None:
    """Limits this process to so many threads at work, and to so many worker processes; None: no limit of its own.

    Raises:
        TransposeError: not positive.
    """
    global _limit
    if count is not None and count < 1:
        raise TransposeError(f"--threads must be 1 or more, not {count}")
    _limit = count
    if count is None:
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENCV_FOR_THREADS_NUM"] = str(count)  # for what is yet to be loaded
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(count)


def worker_count() -> int:
    """How many threads or processes this process should start: its limit, else its fraction of the available cores.

    Processes that `torchrun` started on one machine share its cores.
    """
    if _limit is not None:
        return _limit
    return max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use at once: what affinity and a container's quota leave of the machine's.

    Args:
        root: of the file system in which Linux shows its control groups.
    """
    quota = _quota(root)
    cores = _visible_cores()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _visible_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _quota(root: Path) -> float | None:
    """Cores' worth of time that the control groups of this process may take, by the tightest of them; None: any."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if not controllers:  # version 2: one tree for all
            quotas += [_quota_v2(folder) for folder in _upwards(root / "sys/fs/cgroup", group)]
        elif "cpu" in controllers.split(","):
            for tree in {"cpu", controllers}:
                quotas += [_quota_v1(folder) for folder in _upwards(root / "sys/fs/cgroup" / tree, group)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _upwards(tree: Path, group: str) -> Iterator[Path]:
    """The folder of a group and of all that hold it. In a container the tree may begin at the group itself."""
    folder = tree / group.strip("/")
    yield from (each for each in (folder, *folder.parents) if each.is_relative_to(tree))


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota, period = (
            int((folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8")) for name in ("quota", "period")
        )
        return None if quota < 0 else quota / period
    except (OSError, ValueError, ZeroDivisionError):
        return None


class _ThreadCounts:
    """How many threads PyTorch and OpenCV had before someone set them to one; both counts belong to the process."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, (1, 1)

    def enter(self) -> None:
        """The first who enters sets them."""
        with self._lock:
            if self._inside == 0:
                import cv2
                import torch

                self._before = torch.get_num_threads(), cv2.getNumThreads()
                torch.set_num_threads(1)
                cv2.setNumThreads(1)
            self._inside += 1

    def leave(self) -> None:
        """The last who leaves sets them back."""
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                import cv2
                import torch

                torch.set_num_threads(self._before[0])
                cv2.setNumThreads(self._before[1])


_counts = _ThreadCounts()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Items in parallel keep cores busier than threads within an item; the thread counts come back afterwards.

    Several may be inside at once, from several threads, and leave in any order.
    """
    _counts.enter()
    try:
        yield
    finally:
        _counts.leave()


def in_order(pool: ThreadPoolExecutor, work: Callable[[int], Result], items: Sequence[int]) -> Iterator[Result]:
    """Results in order, with an interrupt or an error cancelling what has not begun."""
    futures = [pool.submit(work, item) for item in items]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
