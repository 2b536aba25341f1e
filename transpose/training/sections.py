"""Which frames are learned from and which are kept out for validation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError, quoted
from transpose.scenes.facts import read_section_facts
from transpose.scenes.layout import Frame, Section, open_section, with_sparse_labels
from transpose.scenes.resizing import fitted_height, size_at_height
from transpose.scenes.unit import SceneUnit, is_metric
from transpose.training.config import Needs
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)
_VALIDATION_FRACTION = 0.1
_BLOCKS = 4
_FEWEST_KEPT_OUT = 8
_MOST_PIXELS = 1_000_000


def gather_frames(
    scene: Path,
    sections: Sequence[str],
    validation: str | None,
    needs: Needs = "points",
    sparse: bool = False,
    leave_out: bool = False,
) -> tuple[list[TrainingFrame], list[TrainingFrame]]:
    """Training and validation frames of a scene.

    Without a validation section a tenth of the last section is kept out, in blocks of neighbouring frames: frames next
    to a training frame would make the figure too good.

    Args:
        scene: the scene folder.
        sections: to learn from.
        validation: section to validate on.
        needs: what the loss asks of a frame: its pose alone, world points, or measured depth. Frames without are left
            out.
        sparse: labels are those of `init`, also where there is depth.
        leave_out: photos can be left out in turn afterwards (`left_out_in_turn`), so that none is kept out where a
            tenth would be too few to tell anything.

    Raises:
        TransposeError: a section is missing, given twice, has no labels, or is of another unit than the others.
    """
    if not sections:
        raise TransposeError("name at least one section to train on: --sections train_sim")
    if len(set(sections)) < len(sections) or validation in sections:
        raise TransposeError(
            f"a section stands twice in: {', '.join([*sections, *([validation] if validation else [])])}"
        )
    opened = [open_section(scene / name) for name in sections]
    validated = open_section(scene / validation) if validation else None
    is_metric(opened if validated is None else [*opened, validated])
    opened = [_labelled(with_sparse_labels(each) if sparse else each, needs) for each in opened]
    training = [frame for section in opened for frame in _training_frames(section, needs)]
    if validated is not None:
        return training, _training_frames(validated, "poses")
    last = _training_frames(opened[-1], needs)
    if leave_out and not opened[-1].facts.rendered and len(last) * _VALIDATION_FRACTION < _FEWEST_KEPT_OUT:
        return training, []
    kept_out = _whole_photos(opened[-1], last, _blocks(len(last)))
    if len(kept_out) == 0 or len(kept_out) == len(training):
        raise TransposeError(
            f"{opened[-1].path} has {len(last)} frames, too few to keep some out; name a --val section"
        )
    first_of_last = len(training) - len(last)
    out = {first_of_last + int(i) for i in kept_out}
    return [f for i, f in enumerate(training) if i not in out], [training[i] for i in sorted(out)]


def _whole_photos(section: Section, frames: Sequence[TrainingFrame], chosen: np.ndarray) -> np.ndarray:
    """The chosen frames (indices), with the other views that were cut of their photos."""
    photos = [section.photo_of(each.frame) for each in frames]
    of_chosen = {photos[i] for i in chosen}
    return np.array([i for i, photo in enumerate(photos) if photo in of_chosen], np.int64)


def left_out_in_turn(training: Sequence[TrainingFrame]) -> list[list[int]]:
    """The photos of the last section, which are left out in turn where none was kept out, each as its frames' numbers.

    A photo is one frame, or the views that were cut of it.
    """
    last = training[-1].frame.paths["rgb"].parent
    cut_of = read_section_facts(last.parent).record.get("cut_of", {})
    photos: dict[str, list[int]] = {}
    for i, each in enumerate(training):
        if each.frame.paths["rgb"].parent == last:
            photos.setdefault(cut_of.get(each.frame.stem, each.frame.stem), []).append(i)
    return list(photos.values())


def sized(frames: Sequence[TrainingFrame], height: int | None) -> list[TrainingFrame]:
    """Frames with the height to which each image is resized: as asked, or so that it has no more than a megapixel.

    More pixels take longer and hold little more that a network or a landmark could use.
    """
    return [
        replace(each, height=fitted_height(each.frame.camera, _MOST_PIXELS) if height is None else height)
        for each in frames
    ]


def check_one_size(frames: Sequence[TrainingFrame]) -> None:
    """Refuses images that cannot be stacked.

    Raises:
        TransposeError: images, at the height to which they are resized, are of different sizes.
    """
    named = {size_at_height(each.frame.camera, each.height): each.frame.paths["rgb"] for each in reversed(frames)}
    if len(named) > 1:
        sizes = "; ".join(f"{width} x {height} ({path})" for (width, height), path in sorted(named.items())[:3])
        raise TransposeError(f"images of one batch must have one size, not {sizes}: train with --batch 1")


def scene_unit(scene: Path, sections: Sequence[str], frames: Sequence[TrainingFrame]) -> SceneUnit:
    """The unit of sections that are learned from, and the extent of their cameras.

    Args:
        scene, sections: as of `gather_frames`, which refuses sections that do not go together.
        frames: of them.

    Raises:
        TransposeError: see `SceneUnit.of_cameras`.
    """
    metric = all(read_section_facts(scene / name).metric for name in sections)
    unit = SceneUnit.of_cameras(metric, np.array([each.frame.pose.center for each in frames]))
    if not metric:
        log.info("%s is not in metres: lengths are per cent of its cameras' extent, %.4g units", scene, unit.extent)
    return unit


def in_learned_lengths(frames: Sequence[TrainingFrame], unit: SceneUnit) -> list[TrainingFrame]:
    """Frames whose poses and labels are in the lengths that are learned; see `scenes.unit`."""
    if unit.learned == 1:
        return list(frames)
    return [replace(each, frame=replace(each.frame, unit=unit.learned)) for each in frames]


def _blocks(frames: int) -> np.ndarray:
    """Indices of a tenth of the frames in a few blocks spread over the section."""
    count = round(frames * _VALIDATION_FRACTION)
    blocks = min(_BLOCKS, count)
    if blocks == 0:
        return np.zeros(0, np.int64)
    sizes = np.diff(np.linspace(0, count, blocks + 1).round().astype(int))
    ends = np.linspace(frames / blocks, frames, blocks).round().astype(int)
    return np.concatenate([np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)])


def _labelled(section: Section, needs: Needs) -> Section:
    if any(_serves(frame, needs) for frame in section.frames):
        return section
    raise TransposeError(
        f"{section.path} has no depth to learn from; "
        f"make labels with: transpose render WORLD --viewpoints {quoted(f'at:{section.path}')} --out ..."
    )


def _serves(frame: Frame, needs: Needs) -> bool:
    if needs == "poses":
        return True
    return needs == "points" or frame.has("depth")


def _training_frames(section: Section, needs: Needs) -> list[TrainingFrame]:
    rendered, assumed = section.facts.rendered, section.facts.camera_assumed
    return [TrainingFrame(each, rendered, camera_assumed=assumed) for each in section.frames if _serves(each, needs)]
