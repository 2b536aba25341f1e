"""What a benchmark consists of: methods that learn from training sets of scenes, by seeds, and where each row lies.

A row is one test: a method, what it learned from, a seed, on one section. Rows of one preset with and without
refinement are tests of the same run, so that a job is one training with its tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from transpose.errors import TransposeError, first_few
from transpose.localization.refine_world import shown_world
from transpose.training.presets import PRESETS

_REFINE = "+refine"
_KIND = TypeVar("_KIND", bound=Hashable)


@dataclass(frozen=True)
class Method:
    """A preset of `train`, tested as it answers or with each pose refined (`test --refine`)."""

    preset: str
    refined: bool = False

    @classmethod
    def named(cls, name: str) -> Method:
        """A method by its name, such as "fast" or "fast+refine".

        Raises:
            TransposeError: there is no such preset.
        """
        preset = name.removesuffix(_REFINE)
        if preset not in PRESETS:
            raise TransposeError(
                f"there is no method {name!r}; methods are {', '.join(PRESETS)}, and each of them with {_REFINE}"
            )
        return cls(preset, name.endswith(_REFINE))

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return self.preset + (_REFINE if self.refined else "")

    @property
    def has_steps(self) -> bool:
        """Whether a limit of time can make its training shorter; what is made at once takes as long as it takes."""
        return "minutes" in {each.name for each in fields(PRESETS[self.preset].config)}


@dataclass(frozen=True)
class RowKey:
    """What one row is about.

    Attributes:
        scene: the scene folder, as an absolute path.
        sections: that are learned from.
        method: that learns.
        seed: of the training.
    """

    scene: Path
    sections: tuple[str, ...]
    method: Method
    seed: int

    @property
    def training(self) -> str:
        """The name of what is learned from, such as "train_sim+train"."""
        return "+".join(self.sections)

    def __str__(self) -> str:
        return f"{self.scene.name}, {self.training}, {self.method.name}, seed {self.seed}"


@dataclass(frozen=True)
class Place:
    """Where a row lies: `OUT/rows/SCENE/TRAINING/METHOD/seed-N`.

    Attributes:
        folder: of the row.
        trained: the folder of the row whose run is tested; that of the same preset without refinement.
    """

    folder: Path
    trained: Path

    @classmethod
    def of(cls, key: RowKey, out: Path) -> Place:
        """The place of a row in the benchmark's folder."""
        beside = out / "rows" / key.scene.name / key.training
        seed = f"seed-{key.seed}"
        return cls(beside / key.method.name / seed, beside / key.method.preset / seed)

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.trained / "run"

    @property
    def results(self) -> Path:
        """What `transpose test` wrote, and the row's record; there as soon as the row is done, or has failed."""
        return self.folder / "results"


@dataclass(frozen=True)
class Job:
    """One training and the rows that are tests of it, all of one scene, training set, preset and seed."""

    rows: tuple[RowKey, ...]


@dataclass(frozen=True)
class BenchmarkPlan:
    """Everything that a benchmark compares.

    Attributes:
        scenes: scene folders, as absolute paths.
        methods: in the order of the table.
        trainings: sections that are learned from together.
        section: that is tested.
        seeds: of the trainings.
        minutes: that a training may take; None: each preset's own number of steps.
        worlds: of the scenes, for refinement and pictures; empty: not known.
    """

    scenes: tuple[Path, ...]
    methods: tuple[Method, ...]
    trainings: tuple[tuple[str, ...], ...]
    section: str
    seeds: tuple[int, ...]
    minutes: float | None = None
    worlds: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls,
        scenes: Sequence[Path],
        methods: Sequence[str],
        trainings: Sequence[str],
        section: str,
        seeds: Sequence[int],
        minutes: float | None = None,
        worlds: Sequence[Path] = (),
    ) -> BenchmarkPlan:
        """A plan from what a person names; no methods are all presets.

        Raises:
            TransposeError: something is missing, unknown, or named twice.
        """
        plan = cls(
            tuple(scene.resolve() for scene in scenes),
            tuple(Method.named(name) for name in methods or PRESETS),
            tuple(tuple(name.split("+")) for name in trainings),
            section,
            tuple(seeds),
            minutes,
            tuple(world.resolve() for world in worlds),
        )
        plan._check()
        return plan

    def jobs(self) -> list[Job]:
        """One training after the other, each with its tests; all methods of a seed before the next seed."""
        return [
            Job(tuple(RowKey(scene, sections, method, seed) for method in self.methods if method.preset == preset))
            for scene in self.scenes
            for sections in self.trainings
            for seed in self.seeds
            for preset in dict.fromkeys(method.preset for method in self.methods)
        ]

    def rows(self) -> list[RowKey]:
        """All rows in the order of the table."""
        return [
            RowKey(scene, sections, method, seed)
            for scene in self.scenes
            for sections in self.trainings
            for method in self.methods
            for seed in self.seeds
        ]

    def world_of(self, scene: Path) -> Path | None:
        """The world of a scene, where it was named."""
        return self.worlds[self.scenes.index(scene)] if self.worlds else None

    def _check(self) -> None:
        if not self.scenes or not self.trainings or not self.seeds:
            lacking = "a scene" if not self.scenes else "--train" if not self.trainings else "--seeds"
            raise TransposeError(f"there is nothing to compare without {lacking}; name at least one")
        _once(self.scenes, str, "the scene")
        _once([scene.name for scene in self.scenes], str, "a scene folder of the name")
        _once(self.methods, lambda method: method.name, "the method")
        _once([tuple(sorted(each)) for each in self.trainings], "+".join, "--train")
        _once(self.seeds, str, "the seed")
        if min(self.seeds) < 0:
            raise TransposeError(f"seeds are 0 or more, not {min(self.seeds)}")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise TransposeError(f"--minutes must be more than 0, not {self.minutes:g}")
        if self.worlds and len(self.worlds) != len(self.scenes):
            raise TransposeError(
                f"--worlds names {len(self.worlds)} worlds for {len(self.scenes)} scenes; name one for each, in their "
                "order"
            )
        for world in self.worlds:
            if not (world / "world.json").is_file():
                raise TransposeError(f"{world} is not a world (no world.json); name one that transpose build wrote")
        for scene in self.scenes:
            self._check_sections(scene)
        self._check_refined()

    def _check_refined(self) -> None:
        """That poses can be refined, before anything is trained for it."""
        refined = next((method for method in self.methods if method.refined), None)
        if refined is None or self.worlds:
            return
        for scene, sections in itertools.product(self.scenes, self.trainings):
            if shown_world([scene / name for name in sections]) is None:
                names = "+".join(sections)
                raise TransposeError(
                    f"{refined.name} refines poses by a world, and {scene} does not say of which {names} is: name one "
                    "with --worlds"
                )

    def _check_sections(self, scene: Path) -> None:
        if not scene.is_dir():
            raise TransposeError(f"{scene} is not a folder; name a scene folder (transpose setup, transpose render)")
        for sections in self.trainings:
            _once(sections, str, "in one --train the section")
            if self.section in sections:
                raise TransposeError(
                    f"{self.section} is learned from in --train {'+'.join(sections)}, so errors there would say "
                    "nothing about new images; test on another --section"
                )
        for name in dict.fromkeys((self.section, *(each for sections in self.trainings for each in sections))):
            if not name or not (scene / name / "rgb").is_dir():
                there = sorted(path.parent.name for path in scene.glob("[!.]*/rgb"))
                has = f"it has {first_few(there)}" if there else "it has none"
                raise TransposeError(f"{scene} has no section {name!r}; {has}")


def _once(items: Sequence[_KIND], told: Callable[[_KIND], str], what: str) -> None:
    """Refuses what is named twice: it would be one row, and a mean over it would count it twice."""
    seen: set[_KIND] = set()
    for item in items:
        if item in seen:
            raise TransposeError(f"{what} {told(item)} is named twice; name it once")
        seen.add(item)
