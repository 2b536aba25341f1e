"""All commands by name, in the groups and in the order in which `transpose --help` shows them."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import tyro

from transpose.app.commands.benchmark import Benchmark
from transpose.app.commands.build import Build
from transpose.app.commands.calibrate import Calibrate
from transpose.app.commands.convert import Convert
from transpose.app.commands.demo import Demo
from transpose.app.commands.doctor import Doctor
from transpose.app.commands.evaluate import Evaluate
from transpose.app.commands.evaluate_bpnp import EvaluateBpnp
from transpose.app.commands.export import Export
from transpose.app.commands.hloc import Hloc
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
from transpose.app.commands.serve import Serve
from transpose.app.commands.setup import Setup
from transpose.app.commands.similarity import Similarity
from transpose.app.commands.train import Train
from transpose.app.commands.train_e2e import TrainEndToEnd
from transpose.app.commands.train_init import TrainInit
from transpose.app.commands.translate import Translate
from transpose.app.commands.undistort import Undistort
from transpose.app.commands.up import Up
from transpose.app.commands.view import View
from transpose.app.commands.visualize import Visualize
from transpose.app.completion import completion_script
from transpose.app.console import say

DESCRIPTION = (
    "Turns a 3D model of a place into a camera localizer: renders labelled views of it, learns from them, and tells "
    "where a real photo was taken. Add --debug to any command for the full story of an error."
)


@dataclass(frozen=True)
class Completion:
    """Print a script that lets the shell complete commands, flags and paths: source <(transpose completion bash)."""

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]
    """The shell that reads it."""

    def run(self) -> None:
        """Prints the script."""
        say(completion_script(self.shell, COMMANDS, read))


GROUPS: dict[str, dict[str, Any]] = {
    "the way of the data": {
        "up": Up,
        "demo": Demo,
        "setup": Setup,
        "build": Build,
        "render": Render,
        "train": Train,
        "test": Evaluate,
        "localize": Localize,
        "serve": Serve,
        "report": Report,
        "visualize": Visualize,
        "view": View,
    },
    "beside it": {
        "benchmark": Benchmark,
        "calibrate": Calibrate,
        "translate": Translate,
        "info": Info,
        "similarity": Similarity,
        "undistort": Undistort,
        "convert": Convert,
        "export": Export,
        "hloc": Hloc,
        "doctor": Doctor,
        "completion": Completion,
    },
    "the original's commands, with its flags": {
        "setup-7scenes": Setup7scenes,
        "setup-12scenes": Setup12scenes,
        "setup-cambridge": SetupCambridge,
        "setup-epfl": SetupEpfl,
        "setup-comballaz": SetupComballaz,
        "train-init": TrainInit,
        "train-e2e": TrainEndToEnd,
        "test-bpnp": EvaluateBpnp,
    },
}
COMMANDS: dict[str, Any] = {name: command for group in GROUPS.values() for name, command in group.items()}
# One of the commands: what tyro reads a command line as.
Command: Any = reduce(or_, (Annotated[command, tyro.conf.subcommand(name)] for name, command in COMMANDS.items()))
_WIDEST = 100


def read(words: Sequence[str]) -> Any:
    """The command of a command line, with its flags set; nothing is run.

    Raises:
        SystemExit: help was asked for, or the line is wrong; what is to be said was printed.
    """
    return tyro.cli(
        Command,
        prog="transpose",
        description=DESCRIPTION,
        args=words,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def help_text() -> str:
    """What `transpose --help` says: each command in its first sentence, in groups, which tyro has not."""
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    column = max(map(len, COMMANDS)) + 4
    lines = ["usage: transpose COMMAND ...   (transpose COMMAND --help for its flags; --version)", ""]
    lines += textwrap.wrap(DESCRIPTION, width)
    for title, group in GROUPS.items():
        lines += ["", f"{title}:"]
        for name, command in group.items():
            told = " ".join((inspect.getdoc(command) or "").split("\n\n")[0].split())
            first = f"  {name}".ljust(column)
            lines += textwrap.wrap(told, width, initial_indent=first, subsequent_indent=" " * column)
    return "\n".join(lines)
