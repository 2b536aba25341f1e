"""`transpose completion`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tyro


@dataclass(frozen=True)
class Completion:
    """Print a script that lets the shell complete commands, flags and paths: source <(transpose completion bash)."""

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]
    """The shell that reads it."""

    def run(self) -> None:
        """Prints the script, which tyro makes of all commands: asked for it in a process of its own, since the table of
        commands stands above each of them."""
        import subprocess
        import sys

        words = [sys.executable, "-m", "transpose", "--tyro-print-completion", self.shell]
        subprocess.run(words, check=True)
