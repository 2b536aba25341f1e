"""Commands of this program as others start them: in a process of its own each, and as a person types them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from transpose.app.parent import environment_of_child

_TO_SAVE_SECONDS = 60.0
# Where what a command says goes, as `subprocess` takes it; None: where this process's own goes.
Sink = IO[bytes] | int | None
STDERR = 2


def typed(words: Sequence[str], program: str = "transpose") -> str:
    """A command as a person types it."""
    return shlex.join([program, *words])


def program_here() -> str:
    """What starts this program in this shell: its name, or its path where its environment is not active."""
    beside = Path(sys.executable).with_name("transpose")
    return "transpose" if shutil.which("transpose") or not beside.exists() else str(beside)


def run_command(words: Sequence[str], out: Sink = None, err: Sink = None, limit_s: float | None = None) -> int:
    """Runs a command of this program, waits for it, and returns its exit code; negative: the signal that ended it.

    Args:
        words: behind `transpose`.
        out, err: where its results and its progress go.
        limit_s: seconds after which it is ended; None: never.

    Raises:
        subprocess.TimeoutExpired: it was ended since it took longer.
        KeyboardInterrupt: or whatever ends this process; the command was ended first, so that it could save its state.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "transpose", *words],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env=environment_of_child(),
    )
    try:
        return process.wait(limit_s)
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, which may take a while since it saves what it has, and makes it."""
    process.terminate()
    try:
        process.wait(_TO_SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
