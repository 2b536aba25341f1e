"""The top-level handler: routes a command line to its command and turns every failure into one line and an exit code.

Exit codes: 0 done, 1 failed with one line on stderr, 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Sequence

from transpose import __version__
from transpose.app.command_table import help_text, read
from transpose.app.console import say, set_up_logging, tell
from transpose.app.failures import message_of
from transpose.app.parent import follow_parent
from transpose.errors import Terminated
from transpose.parallel import wait_quietly


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    set_up_logging(debug)
    wait_quietly()  # PyTorch and NumPy, which the commands load, read it then
    try:
        if not words or words[0] in ("-h", "--help"):
            say(help_text())
            raise SystemExit(0)
        if words == ["--version"]:
            say(f"transpose {__version__}")
            raise SystemExit(0)
        command = read(words)
        with contextlib.suppress(ValueError):  # not the main thread: it receives no signals
            signal.signal(signal.SIGTERM, _terminated)
        follow_parent()
        command.run()
    except KeyboardInterrupt as stop:
        how = "terminated by a signal" if isinstance(stop, Terminated) else "interrupted"
        return _failed(
            f"{how}; nothing is half-written, and the same command goes on, or begins anew where nothing of it is kept "
            "(train: with --resume, without --overwrite)",
            debug,
        )
    except Exception as error:  # the top-level handler: a person gets a line, a developer the traceback
        return _failed(message_of(error), debug)
    return 0


def _terminated(_: int, __: object) -> None:
    raise Terminated


def _failed(message: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    tell(f"error: {' '.join(message.split())}")
    return 1
