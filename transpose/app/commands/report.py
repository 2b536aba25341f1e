"""`transpose report`."""

from __future__ import annotations

from collections.abc import Sequence
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

        page = write_page(
            self.run_folder, self.scene, self.sections, self.out, self.world, foreign=self.foreign, device=self.device
        )
        say(str(page))


def write_page(
    run: Path,
    scene: Path,
    sections: Sequence[str],
    out: Path,
    world: Path | None,
    *,
    results: Path | None = None,
    foreign: Sequence[Path] = (),
    notes: Sequence[str] = (),
    device: str = "cpu",
) -> Path:
    """Localizes the sections, writes the page and, where `results` is a folder, the files of `transpose test`."""
    from transpose.app.commands.test import summary_line
    from transpose.app.console import progress, say
    from transpose.evaluation.rejection import count_refused, foreign_images
    from transpose.evaluation.testing import localize_section, write_results
    from transpose.localization import load
    from transpose.pages.report import TestedSection, write_report
    from transpose.scenes.layout import open_section

    opened = [open_section(scene / name) for name in sections]
    images = {folder.resolve().name: foreign_images(folder) for folder in foreign}
    localizer = load(run, device)
    tests = []
    for section in opened:
        found = localize_section(localizer, section, lambda frames: progress(frames, "localizing"))
        tests.append(TestedSection(section, found, section.name))
        if results is not None:
            folder = results / section.name if len(opened) > 1 else results
            say(summary_line(write_results(found, section, run, folder)))
    refused = {name: count_refused(localizer, progress(paths, name)) for name, paths in images.items()}
    return write_report(run, tests, out, world=world, notes=notes, rejection=refused, localizer=localizer)
