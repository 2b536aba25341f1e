"""What a run folder says of its training, in words: what was learned from what, how long, and whether it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transpose import runs
from transpose.pages.wording import duration, file_size
from transpose.scenes.layout import Section, read_scene_facts


def describe_frames(section: Section) -> str:
    """The plural that names a section's frames: "rendered views", "photos", or "frames" where nothing is recorded."""
    return _kind(_section_facts(section.scene, section.name))


def _kind(facts: Mapping[str, Any]) -> str:
    if "rendered_from" in facts:
        return "rendered views"
    return "photos" if facts else "frames"


def _section_facts(scene: Path, name: str) -> Mapping[str, Any]:
    return read_scene_facts(scene).get("sections", {}).get(name, {})


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
        names = [str(name) for name in checkpoint.get("sections") or []]
        trained_on = Path(checkpoint["scene"]) if checkpoint.get("scene") else scene
        return cls(
            scene.name,
            _sentence(checkpoint, trained_on, names),
            _facts(checkpoint, trained_on, names, size, scene),
            _warnings(checkpoint, trained_on, names, sections),
            runs.read_log(folder),
            size,
        )


def _sentence(checkpoint: Mapping[str, Any], scene: Path, names: Sequence[str]) -> str:
    if "converted_from" in checkpoint and not names:
        name = Path(checkpoint["converted_from"]).name
        return f"The localizer was converted from a published checkpoint, {name}; what it learned from is not recorded."
    kinds = sorted({_kind(_section_facts(scene, name)) for name in names})
    kind = kinds[0] if len(kinds) == 1 else "frames"
    frames = f"{checkpoint['frames']} {kind}" if "frames" in checkpoint else kind
    of_sections = f" of {', '.join(names)}" if names else ""
    seconds = checkpoint.get("train_seconds")
    within = f" in {duration(seconds)}" if seconds else ""
    only = " No photo was used in training." if kinds == ["rendered views"] else ""
    return f"The localizer learned from {frames}{of_sections} ({scene.name}){within}.{only}"


def _steps(checkpoint: Mapping[str, Any]) -> tuple[Any, Any]:
    return checkpoint.get("steps_done"), checkpoint.get("config", {}).get("steps")


def _facts(
    checkpoint: Mapping[str, Any], scene: Path, names: Sequence[str], size: int, tested: Path
) -> list[tuple[str, str]]:
    done, planned = _steps(checkpoint)
    record = read_scene_facts(tested)
    facts = [("Trained on", f"{scene.name}: {', '.join(names)}" if names else scene.name)]
    if "converted_from" in checkpoint:
        facts = [*(facts if names else []), ("Converted from", str(checkpoint["converted_from"]))]
    if "frames" in checkpoint:
        facts.append(("Training frames", str(checkpoint["frames"])))
    if checkpoint.get("train_seconds"):
        facts.append(("Training time", duration(checkpoint["train_seconds"])))
    facts.append(("Preset", str(checkpoint.get("preset", "unknown"))))
    if done is not None:
        steps = f"{done} of {planned}" if planned is not None else str(done)
        facts.append(("Steps", steps if checkpoint.get("complete", True) else f"interrupted at step {steps}"))
    facts.append(("Model size", file_size(size)))
    facts.append(("TransPose", str(checkpoint.get("code_version", "unknown"))))
    if record.get("licence"):
        facts.append(("Licence of the data", str(record["licence"])))
    return facts


def _warnings(
    checkpoint: Mapping[str, Any], scene: Path, names: Sequence[str], sections: Sequence[Section]
) -> list[str]:
    warnings = []
    if not checkpoint.get("complete", True):
        done, planned = _steps(checkpoint)
        of_planned = f" of {planned}" if planned is not None else ""
        warnings.append(
            f"Training was interrupted at step {done}{of_planned}; the numbers are those of a part-trained model."
        )
    seen = [s.name for s in sections if s.name in names and s.scene.resolve() == scene.resolve()]
    if seen:
        warnings.append(f"The localizer was trained on {', '.join(seen)}: errors there say nothing about new images.")
    return warnings
