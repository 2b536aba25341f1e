"""`transpose render`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from transpose.app.services.render_request import RenderRequest
from transpose.app.services.rendering import render
from transpose.app.threads import Threads


@dataclass(frozen=True)
class Render(RenderRequest):
    """Render labelled views of a world into a section."""

    world: tyro.conf.Positional[Path]
    """The world's folder."""
    threads: Threads = None

    def run(self) -> None:
        """Renders, going on where an equal command was cut off."""
        from transpose.app.console import say
        from transpose.parallel import use_threads

        use_threads(self.threads)
        for folder in render(self):
            say(str(folder))
