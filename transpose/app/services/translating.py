"""Translated sections, and what a person wants to know of a translation: does it look right, and did anything move?"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from transpose import runs
from transpose.app.console import progress, tell
from transpose.app.services.training import talks
from transpose.errors import TransposeError
from transpose.inspection.displacement import Displacement, displacement
from transpose.models.precision import checked_device, fast_dtype
from transpose.models.translation.generator import Generator
from transpose.scenes import files
from transpose.scenes.digest import section_digest
from transpose.scenes.layout import Frame, Section, open_section
from transpose.scenes.writer import SectionWriter, complete
from transpose.selection import evenly_chosen
from transpose.storage import write_json
from transpose.training.context import Callbacks
from transpose.training.translation.pairs import image_and_seen
from transpose.training.translation.stored import Way, generator_of, load_translation, translated

EXAMPLES_FILE, GEOMETRY_FILE = "examples.jpg", "geometry.json"
_MEASURED, _EXAMPLES, _EXAMPLE_WIDTH = 40, 6, 480
_JPEG_QUALITY = 95
_REWRITTEN = ("format", "plan", "frames", "rendered", "semantics", "depth", "metric", "licence")


@dataclass(frozen=True)
class Translator:
    """A run's generator of one way, on a device."""

    run: Path
    way: Way
    method: str
    learned_from: tuple[str, ...]
    generator: Generator
    dtype: torch.dtype

    @classmethod
    def of_run(cls, run: Path, way: Way = "to_b", device: str = "cpu", precision: str = "auto") -> Translator:
        """Of a run folder.

        Raises:
            TransposeError: it holds no translation, or not that way.
        """
        checkpoint, on = load_translation(run), checked_device(device)
        generator = generator_of(checkpoint, way).to(on)
        made = checkpoint.provenance
        return cls(run, way, made.preset, made.sections, generator, fast_dtype(on, precision))

    def image(self, frame: Frame, rendered: bool) -> np.ndarray:
        """A frame's image (h, w, 3) uint8 translated; holes of renders stay as they are."""
        image_hw3, seen_hw = image_and_seen(frame, rendered)
        return np.where(seen_hw[..., None], translated(self.generator, image_hw3, self.dtype), image_hw3)


def translation_callbacks() -> Callbacks:
    """Progress on stderr."""
    return Callbacks(report=lambda entry: tell(translation_line(entry))) if talks() else Callbacks()


def translation_line(entry: dict[str, float]) -> str:
    """One report of the training as a person reads it."""
    losses = ("adversarial", "nce", "nce_identity", "cycle", "identity", "made", "real")
    told = "  ".join(f"{name} {entry[name]:.2f}" for name in losses if name in entry)
    line = f"step {entry['step']:.0f}/{entry['steps']:.0f}  loss {entry['loss']:.2f}  {told}"
    return line + f"  {entry['seconds']:.0f} s, {entry['seconds_left']:.0f} s left"


def show_examples(run: Path, scene: Path, device: str = "cpu", precision: str = "auto") -> None:
    """Writes into the run some images beside their translations, and whether anything moved in them."""
    ways: dict[str, Any] = {}
    sheet = []
    checkpoint = load_translation(run)
    assert checkpoint.network is not None
    for way in checkpoint.network.config["ways"]:
        translator = Translator.of_run(run, way, device, precision)
        sections = [open_section(scene / name) for name in translator.learned_from]
        section, other = sections if way == "to_b" else sections[::-1]
        pairs = list(_translated_pairs(translator, section))
        told = displacement(pairs, checked_device(device))
        tell_displacement(f"{section.name} as {other.name}", told)
        ways[way] = dataclasses.asdict(told)
        shown = evenly_chosen(len(pairs), _EXAMPLES)
        seen = [other.frames[i].image() for i in evenly_chosen(len(other), len(shown))]
        sheet += [[*pairs[i], seen[place % len(seen)]] for place, i in enumerate(shown)]
    write_json(run / GEOMETRY_FILE, ways)
    write_sheet(run / EXAMPLES_FILE, sheet)
    tell(f"{run / EXAMPLES_FILE}: original, translation, and an image of the other section; look at it")


def _translated_pairs(translator: Translator, section: Section) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    chosen = [section.frames[i] for i in evenly_chosen(len(section), _MEASURED)]
    for frame in progress(chosen, "translating examples"):
        yield frame.image(), translator.image(frame, section.facts.rendered)


def tell_displacement(what: str, told: Displacement) -> None:
    """Says whether anything moved, and warns where it did."""
    if math.isnan(told.median_px):
        tell(f"warning: {what}: no keypoint is found again in {told.images} images; whether anything moved is unknown")
        return
    shift = f"{told.shift_px[0]:+.2f}, {told.shift_px[1]:+.2f}"
    line = (
        f"{what}: keypoints moved by {told.median_px:.2f} px in the median (all together by {shift}), "
        f"{told.within_1px:.0%} of {told.matches} matches in {told.images} images within 1 px"
    )
    warning = "; labels do not fit any more: learn from it with care, or train for longer or with another seed"
    tell(f"warning: {line}{warning}" if told.moved else line)


def write_sheet(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Writes rows of images (h, w, 3) as one JPEG, each image brought to one width; rows may differ in height."""
    strips = []
    for row in rows:
        height = round(_EXAMPLE_WIDTH * row[0].shape[0] / row[0].shape[1])
        each = [cv2.resize(image, (_EXAMPLE_WIDTH, height), interpolation=cv2.INTER_AREA) for image in row]
        strips.append(np.concatenate(each, axis=1))
    files.write_image(path, np.concatenate(strips), _JPEG_QUALITY)


def apply(translator: Translator, source: Path, name: str, overwrite: bool = False) -> Path:
    """Writes `SCENE/NAME`: the images of a section translated, with all of its labels as they are.

    Args:
        translator: of a run.
        source: `SCENE/SECTION`.
        name: of the new section, beside it.
        overwrite: replace one that exists.

    Returns:
        The new section. One that the same translation has made of the same section stays as it is.

    Raises:
        TransposeError: there is another section of this name.
    """
    section = open_section(source)
    target = section.scene / name
    plan = _plan(translator, section)
    if target.exists():
        there = open_section(target).facts
        if there.plan == plan:
            complete(target)
            tell(f"{target} is there already")
            return target
        if "translated" not in there.record:
            raise TransposeError(f"{target} exists and was not made by a translation; name another one with --into")
        if not overwrite or target.resolve() == source.resolve():
            raise TransposeError(f"{target} exists; name another section with --into, or replace it with --overwrite")
    writer = SectionWriter(section.scene, name, plan, depth_as_png=_depth_as_png(section))
    left = [frame for frame in section.frames if not writer.is_done(frame.stem)]
    for frame in progress(left, "translating", len(section), len(section) - len(left)):
        quality = None if frame.paths["rgb"].suffix.lower() == ".png" else _JPEG_QUALITY
        image_hw3 = translator.image(frame, section.facts.rendered)
        writer.link_labels(frame.stem, frame.paths, image_hw3, quality)
    told = displacement(_written_pairs(writer, section))
    tell_displacement(str(target), told)
    return _finish(writer, section, plan, translator, told)


def _plan(translator: Translator, section: Section) -> dict[str, Any]:
    """What determines the new section."""
    model = hashlib.sha256((translator.run / runs.MODEL_FILE).read_bytes()).hexdigest()
    return {"translated": section.name, "digest": section_digest(section), "model": model, "way": translator.way}


def _written_pairs(writer: SectionWriter, section: Section) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for i in evenly_chosen(len(section), _MEASURED):
        frame = section.frames[i]
        (path,) = (writer.folder / "rgb").glob(f"{frame.stem}.*")
        yield frame.image(), files.read_image(path)


def _depth_as_png(section: Section) -> bool:
    paths = [frame.paths["depth"] for frame in section.frames if frame.has("depth")]
    return not paths or paths[0].suffix.lower() == ".png"


def _finish(
    writer: SectionWriter, section: Section, plan: dict[str, Any], translator: Translator, told: Displacement
) -> Path:
    facts = section.facts
    made = {
        "of": section.name,
        "run": str(translator.run),
        "method": translator.method,
        "learned_from": list(translator.learned_from),
        "way": translator.way,
        "geometry": dataclasses.asdict(told),
    }
    kept = {key: value for key, value in facts.record.items() if key not in _REWRITTEN}
    return writer.finish(
        {**kept, "translated": made, "plan": plan},
        rendered=facts.rendered,
        semantics=facts.semantics,
        licence=facts.licence,
        metric=facts.metric,
    )
