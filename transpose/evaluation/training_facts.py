"""What a run folder records of its training: the one place where evaluation and pages read a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transpose import runs
from transpose.scenes.layout import Section, read_scene_facts

FrameKind = Literal["rendered views", "photos", "frames"]


@dataclass(frozen=True)
class TrainingFacts:
    """A run's training. None and empty: not known, or it does not apply.

    Attributes:
        scene: the scene folder that was learned from.
        sections: of it.
        kinds: what their frames are, one for each section.
        frames: how many were learned from.
        seconds: that it took.
        preset: that was trained, or whose checkpoint was converted.
        seed: of the training.
        steps_done, steps_planned: of the training.
        complete: whether it ended; else it was cut off and may be resumed.
        converted_from: another program's checkpoint.
        licence: of the data that was learned from.
        code_version: of TransPose.
        model_bytes: size of the model's file.
        log: of `runs.read_log`.
    """

    scene: Path | None
    sections: tuple[str, ...]
    kinds: tuple[FrameKind, ...]
    frames: int | None
    seconds: float | None
    preset: str | None
    seed: int | None
    steps_done: int | None
    steps_planned: int | None
    complete: bool
    converted_from: str | None
    licence: str | None
    code_version: str | None
    model_bytes: int
    log: list[dict[str, Any]]


def training_facts(run: Path) -> TrainingFacts:
    """Reads a run folder, or a model's file by itself.

    Raises:
        TransposeError: it holds no model, or a broken one.
    """
    checkpoint = runs.load_model(run)
    scene = Path(checkpoint["scene"]) if checkpoint.get("scene") else None
    sections = tuple(str(name) for name in checkpoint.get("sections") or ())
    return TrainingFacts(
        scene=scene,
        sections=sections,
        kinds=tuple(frame_kind(scene, name) if scene else "frames" for name in sections),
        frames=checkpoint.get("frames"),
        seconds=checkpoint.get("train_seconds"),
        preset=checkpoint.get("preset"),
        seed=checkpoint.get("config", {}).get("seed"),
        steps_done=checkpoint.get("steps_done"),
        steps_planned=checkpoint.get("config", {}).get("steps"),
        complete=checkpoint.get("complete", True),
        converted_from=checkpoint.get("converted_from"),
        licence=checkpoint.get("licence") or checkpoint.get("world"),  # the latter in runs of the first version
        code_version=checkpoint.get("code_version"),
        model_bytes=model_file(run).stat().st_size,
        log=runs.read_log(run if run.is_dir() else run.parent),
    )


def model_file(run: Path) -> Path:
    """The file of a run's model; `run` may be that file itself."""
    return run / runs.MODEL_FILE if run.is_dir() else run


def scene_licence(scene: Path) -> str | None:
    """The licence that a scene folder records of its data."""
    licence = read_scene_facts(scene).get("licence")
    return str(licence) if licence else None


def section_kind(section: Section) -> FrameKind:
    """What a section's frames are; "frames" where nothing is recorded."""
    return frame_kind(section.scene, section.name)


def frame_kind(scene: Path, section: str) -> FrameKind:
    """As `section_kind`, of a section that need not be there any more."""
    facts: Mapping[str, Any] = read_scene_facts(scene).get("sections", {}).get(section, {})
    if "rendered_from" in facts:
        return "rendered views"
    return "photos" if facts else "frames"
