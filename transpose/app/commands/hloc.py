"""`transpose hloc`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from transpose.app.threads import Threads


@dataclass(frozen=True)
class Hloc:
    """Localize a section by matching, with any of hloc's files in place of our own steps, and write all as hloc does.

    The run is one of the preset matching. Needs the extra sfm.
    """

    run_folder: tyro.conf.Positional[Path]
    """The run folder."""
    scene: tyro.conf.Positional[Path]
    """The scene folder; names in hloc's files are SECTION/rgb/FILE in it, or end so."""
    section: str
    """The section to localize."""
    out: Path
    """Where features.h5, global.h5, pairs.txt, matches.h5, results.txt and database.txt go."""
    features: Path | None = None
    """Local features of the section's photos; wanted where the run was trained with --hloc-features."""
    vectors: Path | None = None
    """Global descriptors of the section's photos; wanted where the run was trained with --hloc-global."""
    pairs: Path | None = None
    """Which images of the database each photo is matched with."""
    matches: Path | None = None
    """Matches of these pairs."""
    device: str = "cpu"
    """cpu, cuda, ..."""
    threads: Threads = None

    def run(self) -> None:
        """Localizes and writes."""
        from transpose.app.console import say
        from transpose.parallel import use_threads

        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.app.outputs import check_folder
        from transpose.app.services.exchanging import exchange
        from transpose.localization.matching.exchange import GivenFiles

        check_folder(self.out)
        given = GivenFiles(self.features, self.vectors, self.pairs, self.matches)
        placed, photos = exchange(self.run_folder, self.scene / self.section, self.out, given, self.device)
        say(f"{self.out}: {placed} of {photos} photos localized, {photos - placed} refused")
