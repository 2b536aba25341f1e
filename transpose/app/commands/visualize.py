"""`transpose visualize`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Visualize:
    """Draw coordinate, error and uncertainty maps and training curves, as PNG files and one page."""

    folder: tyro.conf.Positional[Path]
    """A run folder, or what test --save-map wrote; with --search_dir a folder above several of them."""
    search_dir: bool = False
    """Draw everything found below the folder."""
    keywords: tuple[str, ...] = ()
    """With --search_dir: only what has all of these in its path."""
    out: Path | None = None
    """Where pictures and index.html go; FOLDER/visualize by default."""

    def run(self) -> None:
        """Draws."""
        from transpose.app.console import progress, say
        from transpose.evaluation.visualize import draw, folders_to_draw, write_page

        found = folders_to_draw(self.folder, self.search_dir, self.keywords)
        out = self.out or self.folder / "visualize"
        drawn = []
        for each in progress(found, "drawing"):
            name = "_".join(each.relative_to(self.folder).parts)
            drawn.append(draw(each, out / name if name else out))
        say(str(write_page(drawn, out / "index.html")))
