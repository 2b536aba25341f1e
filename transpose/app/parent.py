"""Commands that other commands start end with them, also where those are killed and can end nothing any more."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping

_PARENT = "TRANSPOSE_PARENT"
_SECONDS = 1.0


def environment_of_child() -> Mapping[str, str]:
    """The environment for a command of this program that is to end with this process."""
    return {**os.environ, _PARENT: str(os.getpid())}


def follow_parent() -> None:
    """Has this process told to end, as by SIGTERM, when the command that started it is gone; not on Windows.

    It then saves what it has, as it does whenever it is told.
    """
    parent = os.environ.pop(_PARENT, None)  # processes that this one starts have another
    if parent is not None and os.name == "posix":
        threading.Thread(target=_follow, args=(int(parent),), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
