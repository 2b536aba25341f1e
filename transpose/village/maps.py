"""North-up pictures of the whole village: where metres meet pixels, for planning masks and for the ground texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

HALF_M = 110.0
"""The village spans [-HALF_M, HALF_M] in x (east) and y (north)."""

_SOUTH = np.array([1.0, -1.0])  # Rows run southwards.
_SHIFT = 4  # OpenCV draws in fixed point: sixteenths of a pixel.


@dataclass(frozen=True)
class MapFrame:
    """A square picture of `size_px` pixels over [-half_m, half_m] in x and y, first row in the north."""

    size_px: int
    half_m: float = HALF_M

    @property
    def px_per_m(self) -> float:
        """Pixels per metre."""
        return self.size_px / (2 * self.half_m)

    def px(self, points_n2: np.ndarray) -> np.ndarray:
        """Continuous pixel coordinates (column, row) of points in metres."""
        return (np.asarray(points_n2, float) * _SOUTH + self.half_m) * self.px_per_m

    def metres(self) -> tuple[np.ndarray, np.ndarray]:
        """East (1, n) and north (n, 1) of the pixel centres."""
        centre = (np.arange(self.size_px, dtype=np.float32) + 0.5) / self.px_per_m - self.half_m
        return centre[None, :], -centre[:, None]

    def length_px(self, metres: float) -> int:
        """A line width in whole pixels, at least one."""
        return max(1, round(metres * self.px_per_m))

    def _fixed(self, points_n2: np.ndarray) -> np.ndarray:
        # OpenCV counts pixel centres at integers.
        return np.round((self.px(points_n2) - 0.5) * (1 << _SHIFT)).astype(np.int32)

    def fill(self, image: np.ndarray, polygon_k2: np.ndarray, value: int | Sequence[int], smooth: bool = False) -> None:
        """Fills a polygon given in metres."""
        kind = cv2.LINE_AA if smooth else cv2.LINE_8
        cv2.fillPoly(image, [self._fixed(polygon_k2)], _color(value), kind, _SHIFT)

    def mask(self, polygon_k2: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
        """Which pixels of a window lie in a polygon, bool."""
        rows, columns = window
        inside = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        corner = np.array([columns.start, rows.start]) << _SHIFT
        cv2.fillPoly(inside, [self._fixed(polygon_k2) - corner], (1.0,), cv2.LINE_8, _SHIFT)
        return inside > 0

    def line(
        self,
        image: np.ndarray,
        line_n2: np.ndarray,
        width_m: float,
        value: int | Sequence[int],
        smooth: bool = False,
        closed: bool = False,
    ) -> None:
        """Draws a polyline given in metres with round ends."""
        kind = cv2.LINE_AA if smooth else cv2.LINE_8
        cv2.polylines(image, [self._fixed(line_n2)], closed, _color(value), self.length_px(width_m), kind, _SHIFT)

    def disc(self, image: np.ndarray, centre_2: np.ndarray, radius_m: float, value: int | Sequence[int]) -> None:
        """Fills a disc."""
        centre = self._fixed(np.asarray(centre_2))
        radius = max(1, round(radius_m * self.px_per_m * (1 << _SHIFT)))
        cv2.circle(image, (int(centre[0]), int(centre[1])), radius, _color(value), -1, cv2.LINE_AA, _SHIFT)

    def discs(self, image: np.ndarray, centres_n2: np.ndarray, radii_n: np.ndarray, colors_n3: np.ndarray) -> None:
        """Fills many discs, each in its own colour."""
        centres = self._fixed(centres_n2).tolist()
        radii = np.maximum(1, np.round(radii_n * self.px_per_m * (1 << _SHIFT))).astype(int).tolist()
        for (x, y), radius, color in zip(centres, radii, colors_n3.tolist(), strict=True):
            cv2.circle(image, (x, y), radius, color, -1, cv2.LINE_AA, _SHIFT)

    def window(self, points_n2: np.ndarray, margin_m: float = 0.0) -> tuple[slice, slice]:
        """Rows and columns of the picture that hold all points, as slices inside the picture."""
        px, margin = self.px(points_n2), margin_m * self.px_per_m
        low = np.clip(np.floor(px.min(0) - margin), 0, self.size_px - 1).astype(int)
        high = np.clip(np.ceil(px.max(0) + margin), low + 1, self.size_px).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def sample(self, image: np.ndarray, points_n2: np.ndarray) -> np.ndarray:
        """The picture's values at points, nearest pixel."""
        columns, rows = np.clip(self.px(points_n2).astype(int), 0, self.size_px - 1).T
        return image[rows, columns]


def _color(value: int | Sequence[int]) -> tuple[float, ...]:
    return (float(value),) if isinstance(value, int) else tuple(float(part) for part in value)


def rectangle(x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """Corners of an axis-aligned rectangle, (4, 2), counter-clockwise."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def turned(points_n2: np.ndarray, yaw: float) -> np.ndarray:
    """Points turned by an angle, counter-clockwise."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return np.asarray(points_n2, float) @ np.array([[cosine, sine], [-sine, cosine]])


def walk(line_n2: np.ndarray, step_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Points every `step_m` along a polyline and the unit directions there, (n, 2) each."""
    steps = np.linalg.norm(np.diff(line_n2, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.arange(0.0, max(along[-1], step_m * 0.5), step_m)
    points = np.stack([np.interp(at, along, line_n2[:, axis]) for axis in (0, 1)], 1)
    segment = np.clip(np.searchsorted(along, at, "right") - 1, 0, len(steps) - 1)
    return points, (np.diff(line_n2, axis=0) / np.maximum(steps, 1e-9)[:, None])[segment]
