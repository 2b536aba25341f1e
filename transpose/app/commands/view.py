"""`transpose view`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class View:
    """Show a world, scene, run or the results of a test in the browser: cameras, estimates with how sure they are, and
    photos beside renders."""

    folder: tyro.conf.Positional[Path]
    """A world, a scene, a section of one, a run, or what test wrote; what belongs to it is found where it is
    recorded."""
    world: Path | None = None
    """The world's folder, where it is not recorded or was moved."""
    scene: Path | None = None
    """The scene or SCENE/SECTION whose cameras are shown."""
    results: Path | None = None
    """What test wrote: estimates, their errors and how sure they are."""
    landmarks: bool = False
    """Show the run's landmarks (map points that it matches) from the start, by how often they were matched; with
    --picture and --html."""
    coverage: str | None = None
    """Show from how many directions this section saw each place from the start; with --picture and --html."""
    picture: Path | None = None
    """Write a picture (PNG) by our own renderer and end."""
    html: Path | None = None
    """Write one page that needs neither a server nor a network and end."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 lets other machines in, without a password."""
    port: int = 8080
    """Its port; the next free one where it is in use."""
    no_open: bool = False
    """Leave the browser closed."""
    device: str = "cpu"
    """cpu, cuda, ... (for --landmarks)"""

    def run(self) -> None:
        """Shows it until Ctrl-C."""
        from transpose.app.services.viewing import ViewRequest, view

        view(
            ViewRequest(
                self.folder,
                world=self.world,
                scene=self.scene,
                results=self.results,
                landmarks=self.landmarks,
                coverage=self.coverage,
                picture=self.picture,
                html=self.html,
                host=self.host,
                port=self.port,
                browser=not self.no_open,
                device=self.device,
            )
        )
