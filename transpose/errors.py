"""The one exception that reaches a user as a single line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


class TransposeError(Exception):
    """Something outside the program is wrong: a file, a flag, a missing package.

    The message says which thing, what is wrong with it and what to do. The command line prints it on one line and
    exits with 1; library callers catch it like any other exception.
    """


class MissingPackageError(TransposeError):
    """An optional dependency is not installed.

    Args:
        package: what could not be imported.
        extra: the extra of this distribution that brings it.
        purpose: what it is needed for.
        remedy: what to do where that extra is there.
    """

    def __init__(self, package: str, extra: str, purpose: str, remedy: str | None = None) -> None:
        remedy = remedy or f"install it with: pip install 'transpose-loc[{extra}]'"
        super().__init__(f"{package} is needed {purpose}; {remedy}")


def quoted(path: Path | str) -> str:
    """A path as it is typed into a shell, within a command that a message suggests."""
    return shlex.quote(str(path))


def first_few(names: Sequence[str], most: int = 5) -> str:
    """Names for a message that must stay one line: `a, b, c, d, e and 12 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: the machine is wanted back, or another process of this training was lost."""
