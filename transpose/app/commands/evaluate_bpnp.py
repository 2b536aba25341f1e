"""`transpose test-bpnp`, the original's test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro


@dataclass(frozen=True)
class EvaluateBpnp:
    """The original's test: localize a section with one run, or with every run below a folder (alias of test)."""

    scene: tyro.conf.Positional[Path]
    """The scene folder, or its name in datasets/."""
    weights: tyro.conf.Positional[Path]
    """The run folder; X.net and X.pth name the folder X. With --search_dir: a folder, or weights in it."""
    mode: Literal[0, 1, 2] = 1
    """0 and 1: from the image alone; 2: with measured depth."""
    sparse: bool = False
    """Errors of coordinates are measured against the sparse labels of init/, also where there is depth."""
    section: str = "test"
    """The section to localize."""
    search_dir: bool = False
    """Test every run found, and write one table with the best."""
    save_map: bool = False
    """Write coordinates, uncertainty and truth of every frame (see visualize)."""
    out: Path | None = None
    """Where results go; test_SCENE_SECTION in each run folder by default."""
    device: str = "cpu"
    """cpu, cuda, ..."""

    def run(self) -> None:
        """Tests."""
        from transpose.app.console import say
        from transpose.app.services.original_names import scene_folder, searched_folder, trained_run
        from transpose.app.services.testing import results_folder
        from transpose.pages.wording import summary_line
        from transpose.scenes.layout import open_section

        scene = scene_folder(self.scene)
        open_section(scene / self.section)  # before every run fails on it
        if self.search_dir:
            self._search(scene, searched_folder(self.weights))
        else:
            run = trained_run(self.weights)
            say(summary_line(self._tested(scene, run, self.out or results_folder(run, scene, self.section))))

    def _search(self, scene: Path, folder: Path) -> None:
        from transpose.app.console import say, tell
        from transpose.app.services.testing import results_folder
        from transpose.errors import TransposeError
        from transpose.evaluation.search import best_of, evaluate_below, write_table
        from transpose.pages.search_table import table_text

        def one(run: Path) -> dict[str, Any]:
            tell(f"testing {run}")
            into = run if self.out is None else self.out / run.relative_to(folder)
            return self._tested(scene, run, results_folder(into, scene, self.section))

        candidates = evaluate_below(folder, one)
        path = (self.out or folder) / f"test_{scene.resolve().name}_{self.section}.tsv"
        write_table(candidates, folder, path)
        if all(each.table is None for each in candidates):
            first = candidates[0]
            raise TransposeError(f"none of {len(candidates)} could be tested ({path}); {first.run}: {first.problem}")
        say(table_text(candidates, folder))
        best = best_of(candidates)
        say(f"best: {best.run}" if best is not None else "best: none, every run refused half of the frames or more")
        tell(str(path))

    def _tested(self, scene: Path, run: Path, out: Path) -> dict[str, Any]:
        from transpose.app.services.testing import EvaluationRequest, evaluate

        more: dict[str, Any] = {"save_map": self.save_map, "sparse": self.sparse, "device": self.device}
        return evaluate(EvaluationRequest(run, scene, self.section, out, rgbd=self.mode == 2, **more))
