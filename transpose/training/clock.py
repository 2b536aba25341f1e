"""The time of a training: spent, left, and since something was saved."""

from __future__ import annotations

import time

_SAVE_SECONDS = 30.0


class Clock:
    """Seconds spent on a run, over all its sittings, and when to save again.

    Args:
        before: seconds spent in earlier sittings.
        step: where this sitting begins.
    """

    def __init__(self, before: float = 0.0, step: int = 0) -> None:
        self.before = before
        self._started = self._saved = time.monotonic()
        self._reported = step, self._started

    @property
    def seconds(self) -> float:
        """Spent, now."""
        return self.before + time.monotonic() - self._started

    def left(self, step: int, steps: int) -> float:
        """Seconds that the remaining steps will take at the pace since the last report, or since this sitting began."""
        (step_before, since), self._reported = self._reported, (step, time.monotonic())
        return (self._reported[1] - since) / max(1, step - step_before) * (steps - step)

    def is_time_to_save(self) -> bool:
        """Whether the last time was long ago; says so once."""
        if time.monotonic() - self._saved < _SAVE_SECONDS:
            return False
        self._saved = time.monotonic()
        return True
