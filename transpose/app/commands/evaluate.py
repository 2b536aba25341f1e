"""`transpose test`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from transpose.app.threads import Threads


@dataclass(frozen=True)
class Evaluate:
    """Localize every frame of a section and measure the errors."""

    run_folder: tyro.conf.Positional[Path]
    """The run folder."""
    scene: tyro.conf.Positional[Path]
    """The scene folder."""
    section: str
    """The section to localize."""
    out: Path
    """Where results.json, poses_*.txt, test_*.txt, plots and frames_*.jsonl (a line a frame, as it comes) go."""
    use: Literal["auto", "landmarks", "coordinates", "cells"] = "auto"
    """auto: landmarks (map points whose descriptors are matched) where enough are, else coordinates, which are what the
    network says: map points that it recognizes, else the coordinates of cells; or one of them alone."""
    mode: Literal[1, 2] = 1
    """1: from the image alone. 2: with the section's depth, by predicted coordinates."""
    refine: bool = False
    """Render the world at each pose, match photo and render, and solve again (docs/refining.md)."""
    world: Path | None = None
    """The world for --refine; else the one that the run was trained with."""
    risk: float | None = None
    """A pose is given where it is wrong with no higher probability, of runs that say how sure they are; 0.05
    without."""
    samples: int = 0
    """Write so many poses of each frame, drawn as its coordinates are uncertain, and their modes, to samples.json."""
    save_map: bool = False
    """Write coordinates, uncertainty and truth of every frame to maps/ (see transpose visualize)."""
    sparse: bool = False
    """Coordinates are held against the sparse labels of init/, also where there is depth."""
    cluster: str | None = None
    """Spread the frames over a ray cluster: its address, or local for this machine (extra cluster)."""
    device: str = "cpu"
    """cpu, cuda, ..."""
    threads: Threads = None

    def run(self) -> None:
        """Tests."""
        from transpose.app.console import say
        from transpose.parallel import use_threads

        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.app.services.testing import EvaluationRequest, evaluate
        from transpose.pages.wording import summary_line, task_lines

        request = EvaluationRequest(
            self.run_folder,
            self.scene,
            self.section,
            self.out,
            use=self.use,
            rgbd=self.mode == 2,
            samples=self.samples,
            save_map=self.save_map,
            sparse=self.sparse,
            cluster=self.cluster,
            device=self.device,
            refine=self.refine,
            world=self.world,
            risk=self.risk,
        )
        table = evaluate(request)
        for line in (summary_line(table), *task_lines(table)):
            say(line)
