"""`transpose report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Report:
    """Localize sections with a run and write one self-contained HTML page about it."""

    run_folder: tyro.conf.Positional[Path]
    """The run folder."""
    scene: Path
    """The scene folder."""
    sections: tuple[str, ...]
    """Sections to test on."""
    out: Path
    """The page, such as report.html."""
    world: Path | None = None
    """The world's folder, for renders beside the photos and the map's background."""
    foreign: tuple[Path, ...] = ()
    """Folders of images of other places; the page says how many of them were refused."""
    device: str = "cpu"
    """cpu, cuda, ..."""

    def run(self) -> None:
        """Writes the page."""
        from transpose.app.console import say
        from transpose.app.services.reporting import ReportRequest, report

        request = ReportRequest(
            self.run_folder,
            self.scene,
            self.sections,
            self.out,
            world=self.world,
            foreign=self.foreign,
            device=self.device,
        )
        say(str(report(request)))
