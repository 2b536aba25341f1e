"""`transpose benchmark`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from transpose.app.threads import Threads


@dataclass(frozen=True)
class Benchmark:
    """Compare methods on the same photos, training data and machine, in one table; run again, do what is missing."""

    scenes: tyro.conf.Positional[tuple[Path, ...]]
    """The scene folders."""
    train: tuple[str, ...]
    """What is learned from: each value one training set, sections joined by + (train_sim train train_sim+train)."""
    section: str
    """The section that is tested, in each scene."""
    out: Path
    """Folder of the rows (rows/), the table (benchmark.md, .csv, .json) and the figures."""
    methods: tuple[str, ...] = ()
    """Presets of train, each also with +refine, such as fast fast+refine; all presets by default."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the trainings; the table has means over them."""
    minutes: float | None = None
    """Time limit of each training; without it each takes as many steps as its preset has."""
    worlds: tuple[Path, ...] = ()
    """The world of each scene, for +refine and for pictures of what wrong poses would show."""
    cluster: str | None = None
    """Spread the trainings over a ray cluster: its address, or local for this machine (extra cluster)."""
    device: str = "cpu"
    """cpu, cuda, ..."""
    threads: Threads = None

    def run(self) -> None:
        """Runs rows that are missing and prints the page."""
        from transpose.app.console import say
        from transpose.parallel import use_threads

        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.app.services.benchmarking import BenchmarkRequest, benchmark
        from transpose.evaluation.benchmark_plan import BenchmarkPlan

        plan = BenchmarkPlan.of(
            self.scenes, self.methods, self.train, self.section, self.seeds, self.minutes, self.worlds
        )
        say(benchmark(BenchmarkRequest(plan, self.out, self.device, self.threads, self.cluster)).rstrip())
