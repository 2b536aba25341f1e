"""The surface that a section's labels show: sampled world points, from where and how closely each was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import cell_points, grid_shape
from transpose.scenes.labels import coordinates_at
from transpose.scenes.layout import Frame
from transpose.selection import evenly_chosen

_CELLS_A_FRAME = 1500
_SPARSE = 0.2  # of the cells


@dataclass(frozen=True)
class Surface:
    """Observations of surface points.

    Attributes:
        points_n3: world, metres.
        towards_n3: unit vectors from the camera to the point.
        gsd_n: ground sampling distance, metres that a pixel covers there.
        frame_n: number of the frame that saw it.
        rgb_n3: uint8, what it looked like.
    """

    points_n3: np.ndarray
    towards_n3: np.ndarray
    gsd_n: np.ndarray
    frame_n: np.ndarray
    rgb_n3: np.ndarray


def labelled_points(frame: Frame, most: int = _CELLS_A_FRAME) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 2) and world points (n, 3) of cells that have a label, evenly chosen where they are many.

    Where fewer than a fifth of the cells have one, as with the points of a reconstruction, all of them count: a part of
    them would not be the same points in another frame.
    """
    px_n2, points_n3 = _labelled_cells(frame)
    cells = np.prod(grid_shape(frame.camera.width, frame.camera.height))
    if len(px_n2) > _SPARSE * cells:
        px_n2, points_n3 = (each[:: max(1, len(each) // most)] for each in (px_n2, points_n3))
    return px_n2, points_n3


def labelled_fraction(frame: Frame) -> float:
    """The fraction of a frame's cells that have a label."""
    return len(_labelled_cells(frame)[0]) / max(1, len(_cells(frame)))


def _cells(frame: Frame) -> np.ndarray:
    px_n2 = cell_points(frame.camera.width, frame.camera.height).reshape(-1, 2)
    return px_n2[(px_n2 < (frame.camera.width, frame.camera.height)).all(1)]


def _labelled_cells(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    px_n2 = _cells(frame)
    if not (frame.has("depth") or frame.has("init")):
        return px_n2[:0], np.zeros((0, 3))
    points_n3 = coordinates_at(frame, px_n2)
    known_n = np.isfinite(points_n3).all(1)
    return px_n2[known_n], points_n3[known_n]


def sample_surface(frames: Sequence[Frame], most_frames: int) -> Surface:
    """Observations of some frames, evenly chosen; those without labels give none."""
    points, towards, gsds, numbers, colors = [], [], [], [], []
    for number in evenly_chosen(len(frames), most_frames):
        frame = frames[number]
        px_n2, points_n3 = labelled_points(frame)
        if len(points_n3) == 0:
            continue
        way_n3 = points_n3 - frame.pose.center
        distance_n = np.linalg.norm(way_n3, axis=1)
        column_n, row_n = px_n2.astype(np.int64).T
        points.append(points_n3)
        towards.append(way_n3 / distance_n[:, None])
        gsds.append(distance_n / frame.camera.fx)
        numbers.append(np.full(len(points_n3), number))
        colors.append(frame.image()[row_n, column_n])
    if not points:
        return Surface(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros(0, int), np.zeros((0, 3), np.uint8))
    return Surface(*(np.concatenate(each) for each in (points, towards, gsds, numbers, colors)))
