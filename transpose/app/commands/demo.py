"""`transpose demo`."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transpose.app.commands.build import BuildVillage
from transpose.app.commands.render import Render
from transpose.app.commands.report import write_page
from transpose.app.commands.train import Train

_NOTES = (
    "Everything here is simulated: the village is procedural, and its photos are renders of a later day with another "
    "sun, shadows, haze, lens and sensor, on which cars stand elsewhere and trees were cut and grown. No training "
    "image looks like a test image, but the shift between them is ours, not nature's.",
    "Real figures come from real photos: see the kitchen benchmark in benchmarks/.",
)


@dataclass(frozen=True)
class Demo:
    """The whole way on a built-in village: build, render, train, test on photos of a later day, report."""

    out: Path = Path("demo")
    """Folder for everything that comes out."""
    views: int = 480
    """Training views to render."""
    photos: int = 60
    """Photos of the test flight."""
    steps: int = 2400
    """Training steps."""
    seed: int = 0
    """Another seed, another village."""

    def run(self) -> None:
        """Runs the stages; those that an earlier run finished are skipped."""
        from transpose.app.console import say, tell

        started = time.monotonic()
        world, later = self.out / "worlds" / "village", self.out / "worlds" / "village_later"
        scene, run = self.out / "datasets" / "village", self.out / "runs" / "village"
        # What five minutes can teach the coordinates' head: the middle of the village, from a drone that keeps its
        # heading. The landmarks alone would do for all of it and any heading, to some decimetres.
        ranges: dict[str, Any] = {
            "above": (30.0, 45.0),
            "yaw": (-15.0, 15.0),
            "pitch": (-90.0, -65.0),
            "margin": 0.3,
            "seed": self.seed,
        }

        def stage(number: int, what: str) -> None:
            tell(f"\n[{number}/6] {what}  ({time.monotonic() - started:.0f} s)")

        stage(1, "building the village as it was surveyed")
        self._build(BuildVillage(world, self.seed))
        stage(2, f"rendering {self.views} training views with labels")
        Render(world, scene / "train_sim", self.views, **ranges).run()
        stage(3, "a flight on a later day: other light, moved cars, cut trees")
        self._build(BuildVillage(later, self.seed, moved=1))
        Render(
            later,
            scene / "test_flight",
            self.photos,
            "flight",
            appearance="photo",
            **ranges,
        ).run()
        stage(4, "training on the renders alone")
        self._train(Train(scene, ("train_sim",), run, steps=self.steps, seed=self.seed))
        stage(5, "localizing the flight")
        write_page(
            run, scene, ("test_flight",), self.out / "report.html", world, results=self.out / "results", notes=_NOTES
        )
        stage(6, "done")
        say(f"report: {(self.out / 'report.html').resolve()}")

    @staticmethod
    def _build(build: BuildVillage) -> None:
        from transpose.app.console import tell
        from transpose.storage import read_json

        made = build.out / "world.json"
        if made.exists():
            facts = read_json(made).get("facts", {})
            if (facts.get("seed"), facts.get("season"), facts.get("moved")) == (build.seed, build.season, build.moved):
                tell(f"{build.out} is built already")
                return
        build.run()

    @staticmethod
    def _train(train: Train) -> None:
        from transpose import runs
        from transpose.app.console import tell

        if (train.out / runs.MODEL_FILE).exists():
            done = runs.load_model(train.out)
            config = done.provenance.config
            if done.progress.complete and (config["steps"], config["seed"]) == (train.steps, train.seed):
                tell(f"{train.out} is trained already")
                return
        dataclasses.replace(train, overwrite=True).run()
