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
    """What to draw (coordinates, error, uncertainty, training; all by default), and words that its path holds."""
    section: str | None = None
    """Of a run without saved maps: localize this section first and save them, as test-bpnp --save_map does."""
    scene: Path | None = None
    """The scene of --section; by default the one that the run was trained on."""
    frames: int = 8
    """How many frames of each test, from the best to the worst."""
    out: Path | None = None
    """Where pictures and index.html go; FOLDER/visualize by default."""
    device: str = "cpu"
    """cpu, cuda, ... (for --section)"""

    def run(self) -> None:
        """Draws."""
        from transpose.app.console import progress, say
        from transpose.errors import TransposeError
        from transpose.pages.visualize import Wanted, draw, find_drawable
        from transpose.pages.visualize_page import write_page

        if self.frames < 1:
            raise TransposeError(f"--frames must be 1 or more, not {self.frames}")
        if self.section is not None:
            self._save_maps(self.section)
        elif self.scene is not None:
            raise TransposeError("--scene needs --section, the section whose maps are to be made")
        wanted = Wanted.by(self.keywords)
        found = find_drawable(self.folder, self.search_dir, wanted)
        out = self.out or self.folder / "visualize"
        drawn = [
            draw(each, wanted, self.frames, out / each.folder.relative_to(self.folder))
            for each in progress(found, "drawing")
        ]
        say(str(write_page(drawn, self.folder, out / "index.html")))

    def _save_maps(self, section: str) -> None:
        """Makes the maps of a run, unless they are there."""
        from transpose.app.console import tell
        from transpose.app.services.original_names import scene_folder
        from transpose.app.services.testing import EvaluationRequest, evaluate, results_folder
        from transpose.errors import TransposeError
        from transpose.evaluation.maps import map_files
        from transpose.evaluation.training_facts import training_facts

        if self.search_dir:
            raise TransposeError(
                "--section is for one run; for all below a folder: test-bpnp SCENE FOLDER --search_dir --save_map"
            )
        trained_on = training_facts(self.folder).scene
        if self.scene is None and trained_on is None:
            raise TransposeError(f"{self.folder} does not say which scene it is of; name it with --scene")
        scene = scene_folder(Path(str(self.scene or trained_on)))
        results = results_folder(self.folder, scene, section)
        if map_files(results):
            tell(f"{results} holds maps already; they are drawn as they are")
            return
        evaluate(EvaluationRequest(self.folder, scene, section, results, save_map=True, device=self.device))
