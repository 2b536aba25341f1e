"""What a person sees while a command works: progress and log on stderr, results on stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_QUIET_INTERVAL_SECONDS = 15.0


def set_up_logging(debug: bool) -> None:
    """Plain lines on stderr."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("transpose").setLevel(logging.DEBUG if debug else logging.INFO)


def progress(items: Iterable[T], what: str, total: int | None = None, done: int = 0) -> Iterator[T]:
    """A bar with the time left; a line every quarter of a minute where stderr is no terminal."""
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else _QUIET_INTERVAL_SECONDS
    yield from tqdm(
        items,
        desc=what,
        total=total if total is not None else len(items) if hasattr(items, "__len__") else None,  # type: ignore[arg-type]
        initial=done,
        file=sys.stderr,
        mininterval=interval,
        dynamic_ncols=True,
        smoothing=0.05,
    )


def say(text: str) -> None:
    """A result, on stdout."""
    print(text, flush=True)


def tell(text: str) -> None:
    """What is going on, on stderr."""
    print(text, file=sys.stderr, flush=True)


def say_json(data: Any) -> None:
    """A result as one line of JSON, on stdout."""
    say(json.dumps(data))
