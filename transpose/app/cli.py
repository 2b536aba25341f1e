"""The door: routes a command line to its command and turns every failure into one line and an exit code.

Exit codes: 0 done, 1 failed with one line on stderr, 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import tyro

from transpose.app.commands.build import Build
from transpose.app.commands.convert import Convert
from transpose.app.commands.demo import Demo
from transpose.app.commands.doctor import Doctor
from transpose.app.commands.evaluate import Evaluate
from transpose.app.commands.evaluate_bpnp import EvaluateBpnp
from transpose.app.commands.info import Info
from transpose.app.commands.localize import Localize
from transpose.app.commands.original import (
    Setup7scenes,
    Setup12scenes,
    SetupCambridge,
    SetupComballaz,
    SetupEpfl,
)
from transpose.app.commands.render import Render
from transpose.app.commands.report import Report
from transpose.app.commands.setup import Setup
from transpose.app.commands.train import Train
from transpose.app.commands.train_e2e import TrainEndToEnd
from transpose.app.commands.train_init import TrainInit
from transpose.app.commands.undistort import Undistort
from transpose.app.commands.visualize import Visualize
from transpose.app.console import set_up_logging, tell
from transpose.errors import Terminated, TransposeError

_subcommand = tyro.conf.subcommand

Command = (
    Annotated[Demo, _subcommand("demo")]
    | Annotated[Setup, _subcommand("setup")]
    | Annotated[Build, _subcommand("build")]
    | Annotated[Render, _subcommand("render")]
    | Annotated[Train, _subcommand("train")]
    | Annotated[TrainInit, _subcommand("train-init")]
    | Annotated[TrainEndToEnd, _subcommand("train-e2e")]
    | Annotated[Evaluate, _subcommand("test")]
    | Annotated[EvaluateBpnp, _subcommand("test-bpnp")]
    | Annotated[Localize, _subcommand("localize")]
    | Annotated[Visualize, _subcommand("visualize")]
    | Annotated[Info, _subcommand("info")]
    | Annotated[Undistort, _subcommand("undistort")]
    | Annotated[Convert, _subcommand("convert")]
    | Annotated[Report, _subcommand("report")]
    | Annotated[Setup7scenes, _subcommand("setup-7scenes")]
    | Annotated[Setup12scenes, _subcommand("setup-12scenes")]
    | Annotated[SetupCambridge, _subcommand("setup-cambridge")]
    | Annotated[SetupEpfl, _subcommand("setup-epfl")]
    | Annotated[SetupComballaz, _subcommand("setup-comballaz")]
    | Annotated[Doctor, _subcommand("doctor")]
)
_DESCRIPTION = (
    "Turns a 3D model of a place into a camera localizer: renders labelled views of it, learns from them, and tells "
    "where a real photo was taken. Add --debug to any command for the full story of an error."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    set_up_logging(debug)
    try:
        command = tyro.cli(
            Command,
            prog="transpose",
            description=_DESCRIPTION,
            args=words or ["--help"],
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
        )
        with contextlib.suppress(ValueError):  # not the main thread: it receives no signals
            signal.signal(signal.SIGTERM, _terminated)
        command.run()
    except KeyboardInterrupt as stop:
        how = "terminated by a signal" if isinstance(stop, Terminated) else "interrupted"
        return _failed(
            f"{how}; what was finished before is kept, and the same command goes on from there (train: with --resume)",
            debug,
        )
    except TransposeError as error:
        return _failed(str(error), debug)
    except OSError as error:
        return _failed(_of_the_system(error), debug)
    except MemoryError:
        return _failed("out of memory; use fewer or smaller views, or a smaller --buffer-megabytes", debug)
    except Exception as error:  # the last door: a person gets a line, a developer the traceback
        detail = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {detail[0] if detail else 'no message'}"
        return _failed(f"unexpected error ({reason}); run again with --debug and report what it prints", debug)
    return 0


def _terminated(_: int, __: object) -> None:
    raise Terminated


def _failed(message: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    tell(f"error: {' '.join(message.split())}")
    return 1


def _of_the_system(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}; make room and run the command again, it goes on where it can"
    return f"{error.strerror or error}{where}"
