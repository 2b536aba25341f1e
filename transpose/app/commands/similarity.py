"""`transpose similarity`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from transpose.app.services.comparing import ComparisonRequest, compare
from transpose.app.threads import Threads


@dataclass(frozen=True)
class Similarity(ComparisonRequest):
    """Tell how much the views of a section show of the same, by their poses and depth, and which overlap with nothing.

    Views without depth take it from those that have some; where there is none at all, their frusta alone are compared.
    """

    scene: tyro.conf.Positional[Path]
    """The scene folder."""
    threads: Threads = None

    def run(self) -> None:
        """Writes the matrices and the picture."""
        from transpose.parallel import use_threads

        use_threads(self.threads)
        compare(self)
