"""Being told to stop: Ctrl-C, and the signal that schedulers and `torchrun` send."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from transpose.errors import Terminated

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class DeferredSignals:
    """Whether someone asked to stop, and how; a second Ctrl-C is not deferred any longer.

    SIGTERM behind it is: Ctrl-C reaches a command and those that it started, and who started them ends them as well.
    """

    def __init__(self) -> None:
        self._by: int | None = None

    def __call__(self, by: int, _: FrameType | None) -> None:
        """As a handler of signals."""
        if self._by is None:
            self._by = by
        elif by == signal.SIGINT:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raises what the signal stands for, if there was one.

        Raises:
            KeyboardInterrupt: or `Terminated`.
        """
        if self._by is not None:
            raise Terminated if self._by == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def defer_signals() -> Iterator[DeferredSignals]:
    """Inside, signals wait until `check` is called, so that no step is left half done.

    In a thread other than the main one, which receives no signals, nothing changes.
    """
    signals = DeferredSignals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = [signal.signal(each, signals) for each in _SIGNALS]
    try:
        yield signals
    finally:
        for each, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(each, handler)
