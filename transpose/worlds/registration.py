"""Poses of photos in a world's frame: from another reference system where they are in one, and never far outside it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.poses import Pose, compose
from transpose.worlds.georeference import import_pyproj, metric_crs
from transpose.worlds.world import WorldMetadata

log = logging.getLogger(__name__)
_STEP_M = 1.0
_FARTHEST = 10.0  # extents of the world


def to_world_frame(crs: str | None, poses: list[Pose], metadata: WorldMetadata, source: Path) -> list[Pose]:
    """Poses in the frame of a world.

    Args:
        crs: their metric reference system; None: they are in the world's frame already.
        poses: camera to `crs`, metres.
        metadata: of the world.
        source: named in errors.

    Raises:
        TransposeError: the world names no system and the poses do, or they lie far outside the world.
    """
    world_crs = metadata.facts.get("crs")
    if crs != world_crs:  # equal codes need no pyproj
        centers_n3 = np.stack([pose.center for pose in poses])
        crs = crs and metric_crs(crs, source, np.stack([centers_n3.min(0), centers_n3.max(0)]))
    if crs and not world_crs:
        log.warning(
            "world %s names no reference system; the poses of %s are taken to be in its own", metadata.name, source
        )
    if crs and world_crs and crs != world_crs:
        poses = _reprojected(poses, crs, world_crs)
    low_3, high_3 = (corner + metadata.origin_3 for corner in metadata.bounds)
    reach_m = _FARTHEST * float(np.linalg.norm(high_3 - low_3))
    off_n = [float(np.linalg.norm(np.maximum(np.maximum(low_3 - p.center, p.center - high_3), 0))) for p in poses]
    if far := [off for off in off_n if off > reach_m]:
        raise TransposeError(
            f"{len(far)} of {len(poses)} poses of {source} lie up to {max(far):.0f} m outside the world "
            f"{metadata.name}; are they in its reference system, and was it built of the same place?"
        )
    if world_crs:  # then z is up
        _warn_of_odd_places(np.stack([pose.center for pose in poses]), low_3, high_3, metadata, source)
    return poses


def _warn_of_odd_places(
    center_n3: np.ndarray, low_3: np.ndarray, high_3: np.ndarray, metadata: WorldMetadata, source: Path
) -> None:
    """Says what is possible, such as an oblique photo from beside the world, but more often a mistake."""
    beside_n = ((center_n3 < low_3) | (center_n3 > high_3))[:, :2].any(1)
    below_n = center_n3[:, 2] < low_3[2]
    said = f"{{}} of {len(center_n3)} poses of {source} are {{}} the world {metadata.name}; {{}}"
    if beside_n.any():
        log.warning(said.format(beside_n.sum(), "beside", "do they see it?"))
    if below_n.any():  # a geoid, tens of metres, lies between ellipsoidal heights and most maps
        log.warning(said.format(below_n.sum(), "below", "are their heights those of its reference system?"))


def _reprojected(poses: list[Pose], crs: str, world_crs: str) -> list[Pose]:
    """Poses in another metric map; the turn between the two grids (meridian convergence) is taken along."""
    pyproj = import_pyproj()
    horizontal = [pyproj.CRS.from_user_input(each).to_2d() for each in (crs, world_crs)]
    transformer = pyproj.Transformer.from_crs(*horizontal, always_xy=True)
    center_n3 = np.stack([pose.center for pose in poses])
    step_n2 = np.array([0.0, _STEP_M])
    here_n2, north_n2 = (
        np.stack(transformer.transform(*(center_n3[:, :2] + step).T), 1) for step in (np.zeros(2), step_n2)
    )
    turn_n = np.arctan2(-(north_n2 - here_n2)[:, 0], (north_n2 - here_n2)[:, 1])
    moved = []
    for pose, xy_2, turn in zip(poses, here_n2, turn_n, strict=True):
        about_up_33 = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        moved.append(Pose(compose(about_up_33 @ pose.R_wc, np.array([*xy_2, pose.center[2]]))))
    return moved
