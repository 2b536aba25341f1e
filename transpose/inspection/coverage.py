"""Which part of a place a section covers, from how many directions, and which views of another section it supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transpose.geometry.cameras import CELL_STRIDE
from transpose.geometry.poses import transform
from transpose.inspection.surface import Surface, labelled_points, sample_surface
from transpose.scenes.layout import Frame

_MOST_FRAMES = 400
_CELL_PX = 24.0  # of a typical view: the side of a cell of the surface
_DIRECTIONS = 64
_OCTAVE_BANDS = 16
MAX_ANGLE_DEG = 45.0
MAX_SCALE_RATIO = 2.0
_CHUNK = 4096
_SAME_SURFACE = 1.2  # of the depth: a point farther behind is hidden


@dataclass(frozen=True)
class Coverage:
    """What a section covers.

    Attributes:
        centers_c3: middle of each covered cell of the surface, metres.
        cell_m: their side.
        directions_c: from how many of 64 directions a cell was seen.
        seen_cdb: whether it was seen from a direction, at a band of scales (octaves of the ground sampling distance).
    """

    centers_c3: np.ndarray
    cell_m: float
    directions_c: np.ndarray
    seen_cdb: np.ndarray
    _keys_c: np.ndarray
    _low_3: np.ndarray
    _finest_m: float

    def as_json(self, metric: bool = True) -> dict[str, Any]:
        """Plain numbers; names say metres only where the section's lengths are (`metric`)."""
        many = {f"from_{n}_directions": float((self.directions_c >= n).mean()) for n in (2, 4, 8)}
        return {"cells": len(self.centers_c3), "cell_m" if metric else "cell": self.cell_m, **many}

    def supported(self, points_n3: np.ndarray, towards_n3: np.ndarray, gsd_n: np.ndarray) -> np.ndarray:
        """Which observations (n,) resemble one of the section: of the same cell or one beside it, from within 45
        degrees, at no more than twice the scale or half of it."""
        supported_n = np.zeros(len(points_n3), bool)
        cosine = np.cos(np.radians(MAX_ANGLE_DEG))
        for first in range(0, len(points_n3), _CHUNK):
            part = slice(first, first + _CHUNK)
            near_nd = towards_n3[part] @ _directions().T > cosine
            band_n = self._band(gsd_n[part])
            near_nb = np.abs(np.arange(_OCTAVE_BANDS) - band_n[:, None]) <= round(np.log2(MAX_SCALE_RATIO))
            found_n = np.zeros(len(near_nd), bool)
            for offset_3 in _AROUND:
                cell_n = self._cells(points_n3[part] + offset_3 * self.cell_m)
                there_n = cell_n >= 0
                seen_ndb = self.seen_cdb[cell_n[there_n]]
                found_n[there_n] |= (seen_ndb & near_nd[there_n, :, None] & near_nb[there_n, None, :]).any((1, 2))
            supported_n[part] = found_n
        return supported_n

    def _cells(self, points_n3: np.ndarray) -> np.ndarray:
        key_n = _keys(points_n3, self._low_3, self.cell_m)
        place_n = np.searchsorted(self._keys_c, key_n).clip(0, len(self._keys_c) - 1)
        return np.where(self._keys_c[place_n] == key_n, place_n, -1)

    def _band(self, gsd_n: np.ndarray) -> np.ndarray:
        return _bands(gsd_n, self._finest_m)


_AROUND = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float64)


def cover(frames: Sequence[Frame]) -> Coverage | None:
    """What frames with labels cover; None where none has any."""
    surface = sample_surface(frames, _MOST_FRAMES)
    return cover_surface(surface) if len(surface.points_n3) else None


def cover_surface(surface: Surface) -> Coverage:
    """What observations cover."""
    cell_m = _CELL_PX * float(np.median(surface.gsd_n))
    low_3, finest_m = surface.points_n3.min(0) - 2 * cell_m, float(surface.gsd_n.min())
    keys_c, cell_n = np.unique(_keys(surface.points_n3, low_3, cell_m), return_inverse=True)
    seen_cdb = np.zeros((len(keys_c), _DIRECTIONS, _OCTAVE_BANDS), bool)
    direction_n = (surface.towards_n3 @ _directions().T).argmax(1)
    seen_cdb[cell_n, direction_n, _bands(surface.gsd_n, finest_m)] = True
    count_c = np.bincount(cell_n)
    centers_c3 = np.stack([np.bincount(cell_n, surface.points_n3[:, i]) / count_c for i in range(3)], 1)
    directions_c = seen_cdb.any(2).sum(1)
    return Coverage(centers_c3, cell_m, directions_c, seen_cdb, keys_c, low_3, finest_m)


def _directions() -> np.ndarray:
    """Unit vectors (64, 3) spread evenly over the sphere (Fibonacci's lattice)."""
    i = np.arange(_DIRECTIONS) + 0.5
    z, turn = 1 - 2 * i / _DIRECTIONS, np.pi * (1 + 5**0.5) * i
    across = np.sqrt(1 - z * z)
    return np.stack([across * np.cos(turn), across * np.sin(turn), z], 1)


def _keys(points_n3: np.ndarray, low_3: np.ndarray, cell_m: float) -> np.ndarray:
    x_n, y_n, z_n = np.floor((points_n3 - low_3) / cell_m).astype(np.int64).T
    return (x_n << 42) + (y_n << 21) + z_n


def _bands(gsd_n: np.ndarray, finest_m: float) -> np.ndarray:
    return np.log2(np.maximum(gsd_n, 1e-12) / finest_m).round().astype(np.int64).clip(0, _OCTAVE_BANDS - 1)


@dataclass(frozen=True)
class Support:
    """How much of one view another section has seen: `share` of what it shows, of `shown` sampled points."""

    stem: str
    share: float
    shown: int


def support(coverage: Coverage, frames: Sequence[Frame]) -> list[Support]:
    """The support of each view, the worst first.

    What a view shows is known from its labels; without any, from the covered surface that lies in it.
    """
    views = [_support(coverage, frame) for frame in frames]
    return sorted(views, key=lambda view: view.share)


def _support(coverage: Coverage, frame: Frame) -> Support:
    _, points_n3 = labelled_points(frame)
    if len(points_n3) == 0:
        points_n3 = _visible(coverage, frame)
    if len(points_n3) == 0:
        return Support(frame.stem, 0.0, 0)
    way_n3 = points_n3 - frame.pose.center
    distance_n = np.linalg.norm(way_n3, axis=1)
    seen_n = coverage.supported(points_n3, way_n3 / distance_n[:, None], distance_n / frame.camera.fx)
    return Support(frame.stem, float(seen_n.mean()), len(points_n3))


def _visible(coverage: Coverage, frame: Frame) -> np.ndarray:
    """Cells of the covered surface that a view shows: nothing much nearer lies in the same place of the image."""
    camera_c3 = transform(frame.pose.T_cw, coverage.centers_c3)
    px_c2 = frame.camera.project(camera_c3)
    with np.errstate(invalid="ignore"):
        inside_c = ((px_c2 >= 0) & (px_c2 < (frame.camera.width, frame.camera.height))).all(1)
    block_n2 = (px_c2[inside_c] // (4 * CELL_STRIDE)).astype(np.int64)
    columns = int(frame.camera.width // (4 * CELL_STRIDE)) + 1
    block_n, z_n = block_n2[:, 1] * columns + block_n2[:, 0], camera_c3[inside_c, 2]
    nearest = np.full(block_n.max(initial=0) + 1, np.inf)
    np.minimum.at(nearest, block_n, z_n)
    visible: np.ndarray = coverage.centers_c3[inside_c][z_n < _SAME_SURFACE * nearest[block_n]]
    return visible
