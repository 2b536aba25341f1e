"""`transpose serve`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from transpose.app.threads import Threads


@dataclass(frozen=True)
class Serve:
    """Answer photos over HTTP, with a page for people: where each was taken, drawn over the model (docs/serve.md)."""

    run_folders: tyro.conf.Positional[tuple[Path, ...]]
    """The run folders; of several, the one that is surest of a photo answers."""
    world: tuple[Path, ...] = ()
    """The worlds to draw over photos, one a run; else those that the runs were trained with, where they are there."""
    host: str = "127.0.0.1"
    """The address to listen on. 0.0.0.0 lets other machines in: set TRANSPOSE_API_KEY then."""
    port: int = 8000
    """Its port."""
    open: bool = False
    """Open the page in a browser."""
    risk: float | None = None
    """A pose is given where it is wrong with no higher probability; 0.05 without."""
    megabytes: float = 30.0
    """The largest request."""
    megapixels: float = 60.0
    """The largest photo."""
    seconds: float = 60.0
    """The longest that a client waits."""
    waiting: int = 32
    """Requests that may wait; more are told to come again (429)."""
    device: str = "cpu"
    """cpu, cuda, ..."""
    threads: Threads = None

    def run(self) -> None:
        """Serves until Ctrl-C or SIGTERM; a photo that is worked on is answered first."""
        from transpose.parallel import use_threads

        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.app.services.serving import ServeRequest, serve

        serve(
            ServeRequest(
                self.run_folders,
                worlds=self.world,
                host=self.host,
                port=self.port,
                browser=self.open,
                risk=self.risk,
                megabytes=self.megabytes,
                megapixels=self.megapixels,
                seconds=self.seconds,
                waiting=self.waiting,
                device=self.device,
            )
        )
