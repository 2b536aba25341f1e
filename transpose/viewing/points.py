"""Coloured points beside the world: landmarks by how often they were matched, and what a section covers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.geometry.poses import Pose, compose
from transpose.inspection.coverage import cover
from transpose.scenes.layout import Section
from transpose.selection import evenly_chosen
from transpose.viewing.colors import ramp
from transpose.viewing.content import CameraGroup

MOST_MATCHED_FRAMES = 60
_UNMATCHED = (150, 150, 150)
_DOT = 0.6  # of the side of a covered cell, so that the surface is seen between them


@dataclass(frozen=True)
class Points:
    """Points relative to the scene's origin with their colours.

    Attributes:
        points_n3: float64.
        rgb_n3: uint8.
        amount_n: what the colours stand for.
        legend: that in words.
        size: of a point as it is drawn, in the scene's unit; None: unknown, drawn small.
    """

    points_n3: np.ndarray
    rgb_n3: np.ndarray
    amount_n: np.ndarray
    legend: str
    size: float | None = None


def coverage_points(section: Section, origin_3: np.ndarray) -> Points | None:
    """The surface that a section's labels show, by the directions from which it was seen; None without labels."""
    found = cover(section.frames)
    if found is None:
        return None
    high = max(4, int(np.quantile(found.directions_c, 0.98)))
    rgb_n3 = ramp(found.directions_c - 1, high - 1)
    legend = (
        f"**coverage by {section.name}**: {len(found.centers_c3)} places; dark blue: seen from one direction of 64, "
        f"yellow: from {high} or more"
    )
    size = _DOT * found.cell_m
    return Points(found.centers_c3 - origin_3, rgb_n3, found.directions_c, legend, size)


def landmark_points(
    run: Path, origin_3: np.ndarray, estimates: CameraGroup | None, device: str = "cpu"
) -> Points | None:
    """A run's landmarks (points of the place that it recognizes), by how many tested photos they were matched in.

    Args:
        run: the run folder.
        origin_3: that positions are shown relative to.
        estimates: of a test by this run; None: nothing was tested, and all have one colour.
        device: as PyTorch names it.

    Returns:
        None where the run keeps no landmarks.

    Raises:
        TransposeError: the run or a photo is broken.
    """
    from transpose import runs

    checkpoint = runs.load_model(run)
    if checkpoint.landmarks is None or not len(checkpoint.landmarks["points"]):
        return None
    learned_n3 = checkpoint.landmarks["points"].double().numpy() + checkpoint.origin_3
    points_n3 = checkpoint.unit.learned * learned_n3 - origin_3
    count_n, photos = _match_counts(run, estimates, len(points_n3), device)
    if not photos:
        one_n3 = np.tile(np.array(_UNMATCHED, np.uint8), (len(points_n3), 1))
        return Points(points_n3, one_n3, count_n, f"**landmarks**: {len(points_n3)} points that the run recognizes")
    high = max(2.0, float(np.quantile(count_n[count_n > 0], 0.95))) if count_n.any() else 2.0
    rgb_n3 = ramp(count_n, high)
    rgb_n3[count_n == 0] = _UNMATCHED
    legend = (
        f"**landmarks**: {len(points_n3)} points that the run recognizes; grey: matched in none of {photos} photos "
        f"({100 * np.mean(count_n == 0):.0f} %), dark blue: in one, yellow: in {high:.0f} or more"
    )
    return Points(points_n3, rgb_n3, count_n, legend)


def _match_counts(run: Path, estimates: CameraGroup | None, landmarks: int, device: str) -> tuple[np.ndarray, int]:
    """In how many photos each landmark lies where the estimate puts it and looks alike, and how many were asked."""
    from transpose import runs
    from transpose.localization.landmarks import LandmarkMap, match_near
    from transpose.localization.query import Query
    from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
    from transpose.models.precision import checked_device

    count_n = np.zeros(landmarks, np.int64)
    if estimates is None or not len(estimates):
        return count_n, 0
    checkpoint = runs.load_model(run)
    state = checkpoint.landmarks
    if checkpoint.kind != "scene_coordinates" or state is None:
        return count_n, 0
    localizer = SceneCoordinateLocalizer(checkpoint, checked_device(device))  # in the lengths that were learned
    known = LandmarkMap.from_state(state, localizer.device)
    chosen = evenly_chosen(len(estimates), MOST_MATCHED_FRAMES)
    for i in chosen:
        frame, pose = estimates.frames[i], estimates.poses[i]
        encoded = localizer.encode(Query(frame.image(), frame.camera))
        local = Pose(compose(pose.R_wc, pose.center / checkpoint.unit.learned - checkpoint.origin_3))
        radius_px = localizer.options.refinement_radius_px
        found = match_near(encoded.content.keypoints, known, local, encoded.seen.camera, radius_px)
        count_n[np.unique(found.landmark_m)] += 1
    return count_n, len(chosen)
