"""`transpose demo`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transpose.app.services.building import VillageRequest, build_village_world
from transpose.app.services.commands import program_here, typed
from transpose.app.services.render_request import RenderRequest
from transpose.app.services.rendering import render
from transpose.app.services.reporting import ReportRequest, report

_NOTES = (
    "Everything here is simulated: the village is procedural, and its photos are renders of a later day with another "
    "sun, shadows, haze, lens and sensor, on which cars stand elsewhere and trees were cut and grown. No training "
    "image looks like a test image, but the shift between them is ours, not nature's.",
    "Real figures come from real photos: see the kitchen benchmark in benchmarks/.",
)
_FEWEST_VIEWS = 6  # of which one is kept out for validation


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
        from transpose.errors import TransposeError

        if self.views < _FEWEST_VIEWS or self.photos < 1 or self.steps < 1:
            raise TransposeError(f"the demo needs --views {_FEWEST_VIEWS}, --photos 1 and --steps 1 at the least")
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
            "focal": 525.0,
            "seed": self.seed,
        }

        def stage(number: int, what: str) -> None:
            tell(f"\n[{number}/6] {what}  ({time.monotonic() - started:.0f} s)")

        stage(1, "building the village as it was surveyed")
        _build(VillageRequest(world, self.seed))
        stage(2, f"rendering {self.views} training views with labels")
        _render(RenderRequest(world, scene / "train_sim", self.views, **ranges))
        stage(3, "a flight on a later day: other light, moved cars, cut trees")
        _build(VillageRequest(later, self.seed, moved=1))
        _render(RenderRequest(later, scene / "test_flight", self.photos, "flight", appearance="photo", **ranges))
        stage(4, "training on the renders alone")
        _train(scene, run, self.steps, self.seed)
        stage(5, "localizing the flight")
        page, results = self.out / "report.html", self.out / "results"
        report(ReportRequest(run, scene, ("test_flight",), page, world, results, notes=_NOTES))
        stage(6, "done")
        say(f"report: {(self.out / 'report.html').resolve()}")
        for what, words in next_commands(run, world):
            say(f"{what}: {typed(words, program_here())}")


def next_commands(run: Path, world: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Commands to try next, each with what it shows."""
    from transpose.app.services.going_up import serve_words
    from transpose.app.services.up_stages import Goal

    run, world = run.resolve(), world.resolve()
    return [
        ("a page that takes photos", serve_words(Goal(run, world))),
        ("the village and its cameras in 3D", ("view", str(run))),
        ("the same of a model of your own", ("up", "MODEL")),
    ]


def _build(request: VillageRequest) -> None:
    from transpose.app.console import tell
    from transpose.storage import read_json

    made = request.out / "world.json"
    if made.exists():
        facts = read_json(made).get("facts", {})
        if (facts.get("seed"), facts.get("season"), facts.get("moved")) == (
            request.seed,
            request.season,
            request.moved,
        ):
            tell(f"{request.out} is built already")
            return
    build_village_world(request)


def _render(request: RenderRequest) -> None:
    from transpose.app.console import say

    for folder in render(request):
        say(str(folder))


def _train(scene: Path, run: Path, steps: int, seed: int) -> None:
    from transpose.app.console import tell
    from transpose.app.services.training import callbacks, say_model
    from transpose.training.request import Request
    from transpose.training.start import train

    if _is_trained(scene, run, steps, seed):
        tell(f"{run} is trained already")
        return
    request = Request(scene, ("train_sim",), run, overwrite=True)
    say_model(train(request, "fast", {"steps": steps, "seed": seed}, callbacks()))


def _is_trained(scene: Path, run: Path, steps: int, seed: int) -> bool:
    """Whether the run is complete, of these steps and seed, and of the views that are there now."""
    from transpose import runs
    from transpose.scenes.digest import section_digest

    if not (run / runs.MODEL_FILE).exists():
        return False
    made = runs.load_model(run)
    origin = made.provenance
    done = origin.config.get("steps"), origin.config.get("seed"), origin.digests.get("train_sim")
    return made.progress.complete and done == (steps, seed, section_digest(scene / "train_sim"))
