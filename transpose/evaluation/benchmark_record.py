"""What is known of one row: what it was made of, how it ended, on which machine; one file beside its results.

The record is written last, in a folder that takes its name when it is whole, so that a row is there or it is not. It
notes what determined the row (digests of the sections, settings, version), so that a change of them is noticed and the
row run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import transpose
from transpose.errors import TransposeError
from transpose.evaluation.benchmark_plan import BenchmarkPlan, Place, RowKey
from transpose.evaluation.training_facts import section_kind
from transpose.scenes.digest import section_digest
from transpose.scenes.facts import read_scene_facts
from transpose.scenes.layout import Section, open_section
from transpose.storage import json_text, read_json, write_json
from transpose.untrusted.values import BAD_VALUES

RECORD_FILE, TRAINING_FILE = "row.json", "training.json"


@dataclass(frozen=True)
class Record:
    """How a row came about.

    Attributes:
        inputs: what determined it, see `Inputs.of_row`.
        failed: why there are no results, in one line; None: there are.
        learned: what was learned from, in words, such as "960 rendered views of train_sim".
        truth: what errors are measured against.
        machine: on which it ran (`evaluation.machine`).
        commands: that were run, as a person would type them.
    """

    inputs: Mapping[str, Any]
    failed: str | None
    learned: str
    truth: str
    machine: str
    commands: tuple[str, ...]

    def save(self, folder: Path) -> None:
        """Writes it into a folder of results."""
        write_json(folder / RECORD_FILE, {"format": 1, **asdict(self)})


def read_record(folder: Path) -> Record | None:
    """The record in a folder of results; None where there is none, or none that this version can read."""
    if not (folder / RECORD_FILE).is_file():
        return None
    try:
        content = read_json(folder / RECORD_FILE)
        known = {each.name: content[each.name] for each in fields(Record)}
        return Record(**{**known, "commands": tuple(known["commands"])})
    except (TransposeError, *BAD_VALUES):
        return None


class Inputs:
    """What determines rows. Each section is read once, whatever the number of its rows.

    Args:
        plan: of the benchmark.
        device: where trainings and tests run.
    """

    def __init__(self, plan: BenchmarkPlan, device: str) -> None:
        self._plan, self._device = plan, device
        self._opened: dict[Path, tuple[Section, str]] = {}

    def section(self, scene: Path, name: str) -> Section:
        """An open section of a scene."""
        return self._of(scene / name)[0]

    def of_training(self, key: RowKey) -> dict[str, Any]:
        """What determines a run: sections, preset, seed, limit of time, device, version."""
        return {
            "sections": {name: self._of(key.scene / name)[1] for name in key.sections},
            "preset": key.method.preset,
            "seed": key.seed,
            "minutes": self._plan.minutes,
            "device": self._device,
            "version": transpose.__version__,
        }

    def of_row(self, key: RowKey) -> dict[str, Any]:
        """What determines a row: its training, the section that is tested, and refinement with its world."""
        world = self._plan.world_of(key.scene) if key.method.refined else None
        return {
            "training": self.of_training(key),
            "section": {self._plan.section: self._of(key.scene / self._plan.section)[1]},
            "refined": key.method.refined,
            "world": None if world is None else _world_digest(world),
        }

    def learned(self, key: RowKey) -> str:
        """What a row learns from, in words."""
        sections = [self.section(key.scene, name) for name in key.sections]
        return " and ".join(f"{len(each)} {section_kind(each)} of {each.name}" for each in sections)

    def truth(self, scene: Path) -> str:
        """What errors on the tested section are measured against, as its maker recorded it."""
        section = self.section(scene, self._plan.section)
        for facts in (section.facts.record, read_scene_facts(scene)):
            if isinstance(poses := facts.get("poses"), str) and poses:
                return poses
        return "exact, of renders" if section.facts.rendered else f"poses of {section.name}"

    def _of(self, path: Path) -> tuple[Section, str]:
        if path not in self._opened:
            section = open_section(path)
            self._opened[path] = section, section_digest(section)
        return self._opened[path]


def _world_digest(world: Path) -> str:
    """Of what the world's own file says of it, which names what it was built from."""
    return hashlib.sha256((world / "world.json").read_bytes()).hexdigest()


def is_done(place: Place, inputs: Mapping[str, Any]) -> bool:
    """Whether a row has results that its inputs still determine. A failure is no result: it is tried again."""
    record = read_record(place.results)
    if record is None or record.failed is not None or not same(record.inputs, inputs):
        return False
    try:
        return isinstance(read_json(place.results / "results.json"), dict)
    except TransposeError:
        return False


def noted_training(place: Place) -> Mapping[str, Any] | None:
    """What determined the run that was begun at a place; None where none was, or where it failed."""
    path = place.trained / TRAINING_FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except TransposeError:
        return None
    return content if isinstance(content, dict) else None


def note_training(place: Place, inputs: Mapping[str, Any]) -> None:
    """Writes what determines a run, before it begins."""
    write_json(place.trained / TRAINING_FILE, dict(inputs))


def forget_training(place: Place) -> None:
    """So that a run that failed begins anew the next time."""
    (place.trained / TRAINING_FILE).unlink(missing_ok=True)


def same(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two notes of inputs say the same, as JSON does."""
    return json_text(before) == json_text(now)
