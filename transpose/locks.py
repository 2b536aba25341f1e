"""Keeping two processes apart: those that take turns, and those of which the second is told that it has to wait.

A lock is a hidden file. The system releases it when its process ends, however that comes; the file may stay behind
then, and keeps nobody out.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from transpose.errors import TransposeError

# What file systems without locks answer; there, as everywhere before, two writers at once are the user's to avoid.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_claims: dict[Path, IO[bytes]] = {}  # of this process


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keeps other threads and processes out of a block that is for the same path, until it ends or they die.

    It waits for its turn; within a block, another one for the same path never begins. The lock is a hidden file beside
    the path. Where the file system has no locks it does nothing.

    Args:
        path: whose folder is made if need be.
        waiting: is called where it has to wait.
    """
    at = path.with_name(f".{path.name}.lock")
    file = _lock(at, wait=False)
    if file is None:
        waiting()
        file = _lock(at, wait=True)
    assert file is not None
    try:
        yield
    finally:
        _release(file)


def claim(path: Path, what: Path) -> bool:
    """Keeps all other processes from claiming a path, until this one calls `give_up` or ends.

    What this process has claimed already it may claim again.

    Args:
        path: of nothing in particular; the lock is a hidden file beside it, whose folder has to be there.
        what: is written, for the error.

    Returns:
        Whether it was not this process's before, so that who claimed it first gives it up.

    Raises:
        TransposeError: another process has claimed it.
    """
    path = path.resolve()
    if path in _claims:
        return False
    at = path.with_name(f".{path.name}.lock")
    file = _lock(at, wait=False)
    if file is None:
        raise TransposeError(
            f"another process{_who(at)} is writing {what}; wait until it has ended, or write somewhere else"
        )
    with suppress(OSError):  # for people alone, and a full disk is told of by what is really to be written
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}".encode())
        file.flush()
    _claims[path] = file
    return True


def give_up(path: Path) -> None:
    """Lets others claim a path that this process has claimed."""
    if (file := _claims.pop(path.resolve(), None)) is not None:
        _release(file)


def _who(lock: Path) -> str:
    """The number and the machine of the process that holds a lock, in words; empty where it does not say."""
    with suppress(OSError):
        if said := lock.read_text(encoding="utf-8", errors="replace").strip():
            return f" ({said})"
    return ""


def _lock(path: Path, wait: bool) -> IO[bytes] | None:
    """The lock, or None where it is not waited for and another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("ab")
        try:
            _wait_for(file) if wait else _take(file)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return file
            file.close()
            if not wait and error.errno in _TAKEN:
                return None
            raise
        with suppress(FileNotFoundError):
            # One that its owner removed while this process waited for it keeps nobody out.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


if sys.platform == "win32":
    import msvcrt

    _TAKEN = (errno.EACCES, errno.EDEADLOCK)

    def _wait_for(file: IO[bytes]) -> None:
        while True:
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                return
            except OSError as error:  # after ten seconds
                if error.errno != errno.EDEADLOCK:
                    raise

    def _take(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _release(file: IO[bytes]) -> None:
        file.close()  # the file stays: one that is open cannot be removed

else:
    import fcntl

    _TAKEN = (errno.EACCES, errno.EAGAIN)

    def _wait_for(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(file: IO[bytes]) -> None:
        with suppress(OSError):  # where the folder became read-only meanwhile
            Path(file.name).unlink()
        with suppress(OSError):  # said, because a child process may have the file open too
            fcntl.flock(file, fcntl.LOCK_UN)
        file.close()
