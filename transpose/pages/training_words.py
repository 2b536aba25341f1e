"""A page's words about a training: what was learned from what, how long, and what a reader must know before numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transpose.evaluation.training_facts import TrainingFacts, section_licence
from transpose.pages.wording import duration, file_size
from transpose.scenes.layout import Section


def training_sentence(training: TrainingFacts, tested: Path) -> str:
    """What the localizer learned from, in how long; `tested` is the scene folder to name where the run names none."""
    if training.converted_from is not None and not training.sections:
        name = Path(training.converted_from).name
        return f"The localizer was converted from a published checkpoint, {name}; what it learned from is not recorded."
    kinds = set(training.kinds)
    kind = training.kinds[0] if len(kinds) == 1 else "frames"
    frames = f"{training.frames} {kind}" if training.frames is not None else kind
    of_sections = f" of {', '.join(training.sections)}" if training.sections else ""
    within = f" in {duration(training.seconds)}" if training.seconds else ""
    only = " No photo was used in training." if kinds == {"rendered views"} else ""
    return f"The localizer learned from {frames}{of_sections} ({_scene_name(training, tested)}){within}.{only}"


def training_list(training: TrainingFacts, sections: Sequence[Section]) -> list[tuple[str, str]]:
    """Names and values for a list of facts; `sections` are those that were tested on."""
    name = _scene_name(training, sections[0].scene.resolve())
    facts = [("Trained on", f"{name}: {', '.join(training.sections)}" if training.sections else name)]
    if training.converted_from is not None:
        facts = [*(facts if training.sections else []), ("Converted from", training.converted_from)]
    if training.frames is not None:
        facts.append(("Training frames", str(training.frames)))
    if training.seconds:
        facts.append(("Training time", duration(training.seconds)))
    facts.append(("Preset", training.preset))
    if training.steps_done is not None:
        steps = _steps(training)
        facts.append(("Steps", steps if training.complete else f"interrupted at step {steps}"))
    facts.append(("Model size", file_size(training.model_bytes)))
    facts.append(("TransPose", training.code_version))
    return facts + _licences(training, sections)


def training_warnings(training: TrainingFacts, sections: Sequence[Section]) -> list[str]:
    """What a reader must know before the numbers of tests on these sections."""
    warnings = []
    if not training.complete:
        warnings.append(
            f"Training was interrupted at step {_steps(training)}; the numbers are those of a part-trained model."
        )
    scene = (training.scene or sections[0].scene).resolve()
    seen = [s.name for s in sections if s.name in training.sections and s.scene.resolve() == scene]
    if seen:
        warnings.append(f"The localizer was trained on {', '.join(seen)}: errors there say nothing about new images.")
    return warnings


def _scene_name(training: TrainingFacts, tested: Path) -> str:
    return (training.scene or tested).name


def _steps(training: TrainingFacts) -> str:
    done, planned = training.steps_done, training.steps_planned
    return f"{done} of {planned}" if planned is not None else str(done)


def _licences(training: TrainingFacts, sections: Sequence[Section]) -> list[tuple[str, str]]:
    """Of what was learned from, as the run stores it, and of what was tested on, where that is another."""
    learned = training.licence
    shown = dict.fromkeys(licence for section in sections if (licence := section_licence(section)))
    facts = [("Licence of the training data", learned)] if learned else []
    if others := [licence for licence in shown if licence != learned]:
        facts.append(("Licence of the test data", "; ".join(others)))
    return facts
