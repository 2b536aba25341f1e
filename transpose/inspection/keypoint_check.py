"""The check of poses against images where labels do not say what images show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from transpose.inspection.epipolar import pose_agreement
from transpose.inspection.findings import Finding, SectionCheck
from transpose.inspection.image_pairs import find_pairs
from transpose.scenes.layout import Section


def check_by_keypoints(
    section: Section, labels_could_tell: bool, progress: Callable[[Sequence[int]], Iterable[int]] = iter
) -> SectionCheck:
    """What matched keypoints say of the poses of a section.

    Args:
        section: whose labels, if it has any, no two frames share.
        labels_could_tell: its frames have so many labels that they should share some where images do.
        progress: wraps the frames as they are looked at.
    """
    if len(section) < 2:
        return SectionCheck((), unseen="poses were not compared with images: there is one frame alone")
    pairs, looked = find_pairs(section.frames, progress)
    if not pairs:
        why = _why_no_labels(section, labels_could_tell)
        what = f"poses were not compared with images: {why}, and no two of {looked} images have enough in common"
        return SectionCheck((), unseen=what)
    agreement = pose_agreement(section.frames, pairs)
    compared = f"keypoints of {len(pairs)} pairs of images"
    share = f"{100 * agreement.share:.0f} % of what images have in common fits the poses"
    if agreement.wrong is not None:
        return SectionCheck((Finding(str(section.path), f"{agreement.wrong} ({share} as they are)"),), compared)
    findings = [
        Finding(section.frames[number].stem, "its image does not show what its pose says; are files swapped?")
        for number in agreement.odd
    ]
    if labels_could_tell:
        what = "poses agree with images, but no two frames see the same surface by their labels; check depth and init"
        findings.append(Finding(str(section.path), what))
    unseen = ""
    if agreement.as_well:
        unseen = f"images agree just as well if poses {' or '.join(each.split(':')[0] for each in agreement.as_well)}"
    return SectionCheck(tuple(findings), f"{compared}; {share}", unseen)


def _why_no_labels(section: Section, labels_could_tell: bool) -> str:
    if labels_could_tell:
        return "no two frames see the same surface by their poses and labels"
    if any(frame.has("depth") or frame.has("init") for frame in section.frames):
        return "there are too few labels"
    return "there is no depth or init"
