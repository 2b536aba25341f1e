"""What a run folder records of its training: the one place where evaluation and pages read a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transpose import runs
from transpose.scenes.facts import SectionFacts, read_scene_facts, read_section_facts
from transpose.scenes.layout import Section

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
    preset: str
    seed: int | None
    steps_done: int | None
    steps_planned: int | None
    complete: bool
    converted_from: str | None
    licence: str | None
    code_version: str
    model_bytes: int
    log: list[dict[str, Any]]


def training_facts(run: Path) -> TrainingFacts:
    """Reads a run folder, or a model's file by itself.

    Raises:
        TransposeError: it holds no model, or a broken one.
    """
    checkpoint = runs.load_model(run)
    origin, progress = checkpoint.provenance, checkpoint.progress
    scene = Path(origin.scene) if origin.scene else None
    return TrainingFacts(
        scene=scene,
        sections=origin.sections,
        kinds=tuple(_kind(read_section_facts(scene / name)) if scene else "frames" for name in origin.sections),
        frames=origin.frames,
        seconds=progress.train_seconds,
        preset=origin.preset,
        seed=origin.config.get("seed"),
        steps_done=progress.steps_done,
        steps_planned=origin.config.get("steps"),
        complete=progress.complete,
        converted_from=origin.converted_from,
        licence=origin.licence,
        code_version=origin.code_version,
        model_bytes=model_file(run).stat().st_size,
        log=runs.read_log(run if run.is_dir() else run.parent),
    )


def model_file(run: Path) -> Path:
    """The file of a run's model; `run` may be that file itself."""
    return run / runs.MODEL_FILE if run.is_dir() else run


def section_licence(section: Section) -> str | None:
    """The licence under which a section's frames were published; its scene's, where it records none of its own."""
    licence = section.facts.licence or read_scene_facts(section.scene).get("licence")
    return str(licence) if licence else None


def section_kind(section: Section) -> FrameKind:
    """What a section's frames are; "frames" where nothing is recorded."""
    return _kind(section.facts)


def _kind(facts: SectionFacts) -> FrameKind:
    if facts.rendered:
        return "rendered views"
    return "photos" if facts.recorded else "frames"
