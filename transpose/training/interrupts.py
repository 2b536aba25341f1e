"""Being told to stop: Ctrl-C, and the signal that schedulers and `torchrun` send."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from transpose.errors import Terminated

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """Whether someone asked to stop, and how; asked twice, it is not put off any longer."""

    def __init__(self) -> None:
        self._by: int | None = None

    def __call__(self, by: int, _: FrameType | None) -> None:
        """As a handler of signals."""
        if self._by is not None:
            raise KeyboardInterrupt
        self._by = by

    def check(self) -> None:
        """Raises what the signal stands for, if there was one.

        Raises:
            KeyboardInterrupt: or `Terminated`.
        """
        if self._by is not None:
            raise Terminated if self._by == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def put_off() -> Iterator[Asked]:
    """Inside, signals wait until `check` is called, so that no step is left half done.

    In a thread other than the main one, which receives no signals, nothing changes.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = [signal.signal(each, asked) for each in _SIGNALS]
    try:
        yield asked
    finally:
        for each, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(each, handler)
