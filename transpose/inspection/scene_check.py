"""Does a section agree with itself? Files, intrinsics, labels, and whether depth, poses and images tell one story.

Where no label says what an image shows, or too few do, poses are compared with matched keypoints (`epipolar`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import transform
from transpose.inspection.findings import Finding, SectionCheck
from transpose.inspection.keypoint_check import check_by_keypoints
from transpose.inspection.surface import labelled_points
from transpose.scenes import files
from transpose.scenes.labels import depth_at
from transpose.scenes.layout import Frame, Section
from transpose.selection import evenly_chosen

_MOST_FRAMES = 32
_PARTNERS = 3
_FEWEST_POINTS = 60
_FOCAL_RANGE = (0.15, 6.0)  # of the image's longer side
_NEAREST_M, _FARTHEST_M = 0.02, 50_000.0
_LABELS_APART = 0.03  # of the depth
_DEPTHS_APART = 0.06
_SHIFT = 0.06  # of the image's width, by which images must not agree better
_FOCAL_FACTORS = (0.9, 1.1)
_SCALES = (0.1, 0.2, 0.5, 2.0, 5.0, 10.0)  # by which a unit may be mistaken; thousands are seen in the labels alone
_CLEARLY = 0.03  # of a correlation
_POOR = 0.3
_NOT_COMPARED = "poses were not compared with images: files are to be put right first"


@dataclass(frozen=True)
class _PairAgreement:
    """How far two frames agree on the surface that both see.

    Attributes:
        depth_off: median relative difference of depth; NaN where the second has none.
        similarity: correlation of brightness at the same world points.
        shifted: the best correlation with the second image moved aside.
        refocused: the best with another focal length for both.
        rescaled: with labels so many times as far away, by `_SCALES`.
    """

    depth_off: float
    similarity: float
    shifted: float
    refocused: float
    rescaled: tuple[float, ...]


def check_section(section: Section, progress: Callable[[Sequence[int]], Iterable[int]] = iter) -> SectionCheck:
    """Checks files of every frame, and agreement on some frames evenly chosen with those that see the same."""
    findings = [finding for frame in section.frames for finding in _check_files(frame)]
    if findings:
        return SectionCheck(tuple(findings), unseen=_NOT_COMPARED)
    try:
        findings, pairs = _by_labels(section, progress)
        if pairs or findings:
            return SectionCheck(tuple(findings), f"labels of {pairs} pairs of frames" if pairs else "")
        return check_by_keypoints(section, _labels_could_tell(section), progress)
    except TransposeError as error:
        # Some file is broken behind its header. All of them are read now, so that none is left to be found next time.
        found = [finding for frame in section.frames for finding in _check_labels(frame, section.facts.metric)]
        return SectionCheck(tuple(found) or (Finding(str(section.path), str(error)),), unseen=_NOT_COMPARED)


def _by_labels(section: Section, progress: Callable[[Sequence[int]], Iterable[int]]) -> tuple[list[Finding], int]:
    """Findings by depth and coordinates, and how many pairs of frames were compared."""
    findings: list[Finding] = []
    chosen = evenly_chosen(len(section), _MOST_FRAMES)
    agreements = []
    for index in progress(chosen):
        frame = section.frames[index]
        findings += _check_labels(frame, section.facts.metric)
        pairs = _pairs(section.frames, index)
        agreements += [pair for _, pair in pairs]
        findings += _odd_one_out(frame, [pair for _, pair in pairs])
    return findings + _together(section, agreements), len(agreements)


def _labels_could_tell(section: Section) -> bool:
    """Whether frames have labels enough to be compared, had they any surface in common."""
    chosen = [section.frames[i] for i in evenly_chosen(len(section), _MOST_FRAMES)]
    return sum(len(labelled_points(frame)[0]) >= _FEWEST_POINTS for frame in chosen) >= 2


def _check_files(frame: Frame) -> list[Finding]:
    try:
        camera = frame.camera
        _ = frame.pose
        files.image_size(frame.paths["rgb"])
    except TransposeError as error:
        return [Finding(frame.stem, str(error))]
    findings = []
    longer = max(camera.width, camera.height)
    if not _FOCAL_RANGE[0] * longer < camera.fx < _FOCAL_RANGE[1] * longer:
        findings.append(
            Finding(str(frame.paths["calibration"]), f"focal length {camera.fx:.0f} px for {longer} px is implausible")
        )
    if not (0 < camera.cx < camera.width and 0 < camera.cy < camera.height):
        findings.append(Finding(str(frame.paths["calibration"]), "the principal point lies outside the image"))
    return findings


def _check_labels(frame: Frame, metric: bool) -> list[Finding]:
    try:
        frame.image()
        px_n2, points_n3 = labelled_points(frame)
    except TransposeError as error:
        return [Finding(frame.stem, str(error))]
    if len(points_n3) == 0:
        return []
    distance_n = transform(frame.pose.T_cw, points_n3)[:, 2]
    where = str(frame.paths.get("depth") or frame.paths["init"])
    middle = float(np.median(distance_n))
    if metric and not _NEAREST_M < middle < _FARTHEST_M:
        return [Finding(where, f"half of it lies nearer than {middle:.4g} m; is its unit right (millimetres, metres)?")]
    if frame.has("depth") and frame.has("init"):
        return _depth_beside_init(frame)
    if not frame.has("depth"):
        off = float(
            np.median(np.linalg.norm(frame.camera.project(transform(frame.pose.T_cw, points_n3)) - px_n2, axis=1))
        )
        if not off < 12.0:
            return [Finding(where, f"its points project {off:.0f} px from their cells; are poses camera-to-world?")]
    return []


def _depth_beside_init(frame: Frame) -> list[Finding]:
    _, by_depth_n3 = labelled_points(frame)
    px_n2, _ = labelled_points(frame)
    map_3hw = frame.coordinates()
    column_n, row_n = (px_n2 // 8).astype(np.int64).T
    by_init_n3 = map_3hw[:, row_n.clip(0, map_3hw.shape[1] - 1), column_n.clip(0, map_3hw.shape[2] - 1)].T
    both_n = np.isfinite(by_init_n3).all(1)
    if both_n.sum() < _FEWEST_POINTS:
        return []
    apart_n = np.linalg.norm(by_depth_n3 - by_init_n3, axis=1)[both_n]
    apart_n /= np.linalg.norm(by_depth_n3[both_n] - frame.pose.center, axis=1)
    apart = float(np.median(apart_n))
    if apart < _LABELS_APART:
        return []
    return [
        Finding(str(frame.paths["init"]), f"its points lie {100 * apart:.0f} % of their distance from those of depth")
    ]


def _pairs(frames: Sequence[Frame], index: int) -> list[tuple[Frame, _PairAgreement]]:
    """The frames that see most of what one frame shows, and what they have in common."""
    frame = frames[index]
    px_n2, points_n3 = labelled_points(frame)
    if not frame.has("depth"):
        px_n2 = frame.camera.project(transform(frame.pose.T_cw, points_n3))  # which need not be the middle of the cell
        px_n2, points_n3 = (each[np.isfinite(px_n2).all(1)] for each in (px_n2, points_n3))
    if len(points_n3) < _FEWEST_POINTS:
        return []
    others = [i for i in {*evenly_chosen(len(frames), 64), index - 1, index + 1} if 0 <= i < len(frames) and i != index]
    overlap = {i: _inside(frames[i].camera, transform(frames[i].pose.T_cw, points_n3)).sum() for i in others}
    best = sorted(others, key=lambda i: -overlap[i])[:_PARTNERS]
    return [
        (frames[i], found)
        for i in best
        if overlap[i] >= _FEWEST_POINTS and (found := _compare(frame, px_n2, points_n3, frames[i])) is not None
    ]


def _inside(camera: Camera, camera_n3: np.ndarray) -> np.ndarray:
    px_n2 = camera.project(camera_n3)
    with np.errstate(invalid="ignore"):
        inside_n2 = (px_n2 >= 1) & (px_n2 < (camera.width - 1, camera.height - 1))
    return np.asarray(inside_n2.all(axis=1))


def _compare(frame: Frame, px_n2: np.ndarray, points_n3: np.ndarray, other: Frame) -> _PairAgreement | None:
    camera_n3 = transform(other.pose.T_cw, points_n3)
    depth_off, visible_n = np.nan, _inside(other.camera, camera_n3)
    if other.has("depth"):
        seen_n = depth_at(other.depth(), other.camera.project(camera_n3))
        with np.errstate(invalid="ignore", divide="ignore"):
            off_n = np.abs(seen_n - camera_n3[:, 2]) / camera_n3[:, 2]
        known_n = visible_n & np.isfinite(off_n)
        if known_n.sum() < _FEWEST_POINTS:
            return None
        depth_off = float(np.median(off_n[known_n]))
        visible_n = known_n & (off_n < max(0.05, 1.5 * depth_off))  # what is hidden looks like something else
    if visible_n.sum() < _FEWEST_POINTS:
        return None
    mine_n = _brightness(frame, px_n2[visible_n])
    ahead_n3 = camera_n3[visible_n]
    px_there_n2 = other.camera.project(ahead_n3)
    image = other.image()

    def similarity(at_n2: np.ndarray) -> float:
        return _correlation(mine_n, _sampled(image, at_n2))

    step = _SHIFT * other.camera.width
    moves = np.array([[step, 0], [-step, 0], [0, step], [0, -step]])
    z_n1 = transform(frame.pose.T_cw, points_n3[visible_n])[:, 2:]
    here_n3, middle_2 = frame.camera.unproject(px_n2[visible_n]) * z_n1, np.array([other.camera.cx, other.camera.cy])

    def seen_again(moved_n3: np.ndarray) -> np.ndarray:
        return other.camera.project(transform(other.pose.T_cw, transform(frame.pose.T_wc, moved_n3)))

    # Another focal length for both: the point moves sideways before it is seen again.
    refocused = [
        similarity((seen_again(here_n3 / np.array([factor, factor, 1.0])) - middle_2) * factor + middle_2)
        for factor in _FOCAL_FACTORS
    ]
    rescaled = tuple(similarity(seen_again(scale * here_n3)) for scale in _SCALES)
    shifted = max(similarity(px_there_n2 + move) for move in moves)
    return _PairAgreement(depth_off, similarity(px_there_n2), shifted, max(refocused), rescaled)


def _brightness(frame: Frame, px_n2: np.ndarray) -> np.ndarray:
    return _sampled(frame.image(), px_n2)


def _sampled(image_hw3: np.ndarray, px_n2: np.ndarray) -> np.ndarray:
    height, width = image_hw3.shape[:2]
    with np.errstate(invalid="ignore"):
        column_n, row_n = np.nan_to_num(px_n2).astype(np.int64).T
    return image_hw3[row_n.clip(0, height - 1), column_n.clip(0, width - 1)].astype(np.float64).mean(1)


def _correlation(a_n: np.ndarray, b_n: np.ndarray) -> float:
    a_n, b_n = a_n - a_n.mean(), b_n - b_n.mean()
    scale = float(np.linalg.norm(a_n) * np.linalg.norm(b_n))
    return float(a_n @ b_n) / scale if scale > 0 else 0.0


def _odd_one_out(frame: Frame, pairs: list[_PairAgreement]) -> list[Finding]:
    """One frame whose image is not what its pose and labels imply."""
    if not pairs:
        return []
    similarity, shifted = (
        float(np.median([getattr(pair, name) for pair in pairs])) for name in ("similarity", "shifted")
    )
    if similarity < _POOR and similarity < shifted + _CLEARLY:
        return [Finding(frame.stem, "its image does not show what its pose and labels say; are files swapped?")]
    return []


def _medians(pairs: Sequence[_PairAgreement], *names: str) -> list[float]:
    return [float(np.median([getattr(pair, name) for pair in pairs])) for name in names]


def _together(section: Section, agreements: list[_PairAgreement]) -> list[Finding]:
    """What is wrong with the section as a whole."""
    findings = []
    depths = [pair.depth_off for pair in agreements if np.isfinite(pair.depth_off)]
    if depths and float(np.median(depths)) > _DEPTHS_APART:
        findings.append(
            Finding(
                str(section.path),
                f"depths of overlapping frames differ by {100 * float(np.median(depths)):.0f} %; check poses "
                "(camera-to-world, OpenCV axes), intrinsics and the unit of depth",
            )
        )
    if agreements:
        similarity, shifted, refocused = _medians(agreements, "similarity", "shifted", "refocused")
        rescaled = np.median([pair.rescaled for pair in agreements], axis=0)
        what = ""
        if max(similarity, shifted, refocused) < rescaled.max() - _CLEARLY:
            what = f"images agree better with labels {_SCALES[int(rescaled.argmax())]:g} times as far away"
            what += "; check the unit of depth, and that of poses"
        elif similarity < shifted + _CLEARLY:
            what = "images agree no better at their poses than moved aside; check poses, or register depth to colour"
        elif similarity < refocused - _CLEARLY:
            what = "images agree better with a focal length 10 % off; check it"
        if what:
            findings.append(Finding(str(section.path), what))
    return findings
