"""The report page of a run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from transpose.app.console import progress, say, tell
from transpose.app.outputs import check_file
from transpose.app.services.testing import localize_and_write, localize_frames


@dataclass(frozen=True)
class ReportRequest:
    """What a report is about.

    Attributes:
        run: the run folder.
        scene: the scene folder.
        sections: of it, to test on.
        out: the page.
        world: the world's folder, for renders beside the photos and the map's background.
        results: folder for the files of `transpose test`; None: they are not written.
        foreign: folders of images of other places, which should be refused.
        notes: remarks, one a line.
        device: as PyTorch names it.
    """

    run: Path
    scene: Path
    sections: tuple[str, ...]
    out: Path
    world: Path | None = None
    results: Path | None = None
    foreign: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    device: str = "cpu"

    @property
    def command(self) -> str:
        """That makes the page again; `notes` and `results` are the demo's alone."""
        words = ["transpose", "report", self.run, "--scene", self.scene, "--sections", *self.sections]
        words += ["--out", self.out]
        words += ["--world", self.world] if self.world is not None else []
        words += ["--foreign", *self.foreign] if self.foreign else []
        words += ["--device", self.device] if self.device != "cpu" else []
        return shlex.join(map(str, words))


def report(request: ReportRequest) -> Path:
    """Localizes the sections and writes the page; returns its path."""
    from transpose.evaluation.machine import machine_name
    from transpose.evaluation.rejection import count_refused, foreign_images
    from transpose.localization import load
    from transpose.pages.report import Origin, SectionResults, write_report
    from transpose.pages.wording import errors_sentence, summary_line
    from transpose.scenes.layout import open_section
    from transpose.serving.places import names_of
    from transpose.worlds.world import read_metadata

    check_file(request.out)
    if request.world is not None:
        read_metadata(request.world)
    opened = [open_section(request.scene / name) for name in request.sections]
    images = dict(zip(names_of(request.foreign), map(foreign_images, request.foreign), strict=True))
    localizer = load(request.run, request.device)
    tests = []
    for section in opened:
        if request.results is None:
            found = localize_frames(localizer, section)
            if sentence := errors_sentence(found, section.name):
                tell(sentence)
        else:
            folder = request.results / section.name if len(opened) > 1 else request.results
            found, table = localize_and_write(localizer, section, request.run, folder)
            say(summary_line(table))
        tests.append(SectionResults(section, found, section.name))
    refused = {name: count_refused(localizer, progress(paths, name)) for name, paths in images.items()}
    return write_report(
        request.run,
        tests,
        request.out,
        world=request.world,
        notes=request.notes,
        rejection=refused,
        localizer=localizer,
        origin=Origin(machine_name(request.device), request.command),
    )
