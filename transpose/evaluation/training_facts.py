"""What a run folder says of its training, in words: what was learned from what, how long, and whether it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transpose import runs
from transpose.evaluation.wording import duration, file_size
from transpose.runs import Checkpoint
from transpose.scenes.facts import SectionFacts, read_scene_facts, read_section_facts
from transpose.scenes.layout import Section


def describe_frames(section: Section) -> str:
    """The plural that names a section's frames: "rendered views", "photos", or "frames" where nothing is recorded."""
    return _kind(section.facts)


def _kind(facts: SectionFacts) -> str:
    if facts.rendered:
        return "rendered views"
    return "photos" if facts.recorded else "frames"


@dataclass(frozen=True)
class Training:
    """What the page says of the training.

    Attributes:
        scene_name: of the tested scene.
        sentence: what it learned from, in how long.
        facts: names and values for a list.
        warnings: what a reader must know before the numbers.
        log: of `runs.read_log`.
        model_bytes: size of the model's file.
    """

    scene_name: str
    sentence: str
    facts: list[tuple[str, str]]
    warnings: list[str]
    log: list[dict[str, Any]]
    model_bytes: int

    @classmethod
    def of(cls, run: Path, sections: Sequence[Section]) -> Training:
        """Reads a run folder; raises `TransposeError` where it holds no model."""
        checkpoint = runs.load_model(run)
        folder = run if run.is_dir() else run.parent
        size = (run / runs.MODEL_FILE if run.is_dir() else run).stat().st_size
        scene = sections[0].scene.resolve()
        names = checkpoint.provenance.sections
        trained_on = Path(checkpoint.provenance.scene) if checkpoint.provenance.scene else scene
        return cls(
            scene.name,
            _sentence(checkpoint, trained_on, names),
            _facts(checkpoint, trained_on, names, size, scene),
            _warnings(checkpoint, trained_on, names, sections),
            runs.read_log(folder),
            size,
        )


def _sentence(checkpoint: Checkpoint, scene: Path, names: Sequence[str]) -> str:
    provenance = checkpoint.provenance
    if provenance.converted_from and not names:
        name = Path(provenance.converted_from).name
        return f"The localizer was converted from a published checkpoint, {name}; what it learned from is not recorded."
    kinds = sorted({_kind(read_section_facts(scene / name)) for name in names})
    kind = kinds[0] if len(kinds) == 1 else "frames"
    frames = kind if provenance.frames is None else f"{provenance.frames} {kind}"
    of_sections = f" of {', '.join(names)}" if names else ""
    seconds = checkpoint.progress.train_seconds
    within = f" in {duration(seconds)}" if seconds else ""
    only = " No photo was used in training." if kinds == ["rendered views"] else ""
    return f"The localizer learned from {frames}{of_sections} ({scene.name}){within}.{only}"


def _steps(checkpoint: Checkpoint) -> str | None:
    done, planned = checkpoint.progress.steps_done, checkpoint.provenance.config.get("steps")
    if done is None:
        return None
    return f"{done} of {planned}" if planned is not None else str(done)


def _facts(checkpoint: Checkpoint, scene: Path, names: Sequence[str], size: int, tested: Path) -> list[tuple[str, str]]:
    provenance, progress = checkpoint.provenance, checkpoint.progress
    facts = [("Trained on", f"{scene.name}: {', '.join(names)}" if names else scene.name)]
    if provenance.converted_from:
        facts = [*(facts if names else []), ("Converted from", provenance.converted_from)]
    if provenance.frames is not None:
        facts.append(("Training frames", str(provenance.frames)))
    if progress.train_seconds:
        facts.append(("Training time", duration(progress.train_seconds)))
    facts.append(("Preset", provenance.preset))
    if (steps := _steps(checkpoint)) is not None:
        facts.append(("Steps", steps if progress.complete else f"interrupted at step {steps}"))
    facts.append(("Model size", file_size(size)))
    facts.append(("TransPose", provenance.code_version))
    if licence := provenance.licence or read_scene_facts(tested).get("licence"):
        facts.append(("Licence of the data", str(licence)))
    return facts


def _warnings(checkpoint: Checkpoint, scene: Path, names: Sequence[str], sections: Sequence[Section]) -> list[str]:
    warnings = []
    if not checkpoint.progress.complete:
        warnings.append(
            f"Training was interrupted at step {_steps(checkpoint)}; the numbers are those of a part-trained model."
        )
    seen = [s.name for s in sections if s.name in names and s.scene.resolve() == scene.resolve()]
    if seen:
        warnings.append(f"The localizer was trained on {', '.join(seen)}: errors there say nothing about new images.")
    return warnings
