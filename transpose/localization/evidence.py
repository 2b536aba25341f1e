"""What a pose rests on: how many correspondences agree with it, how widely they are spread, and how well they fit.

The residuals of correspondences have two parts. What a keypoint's place in the image is off by differs from one to the
next. What a map, a lens or a camera's calibration is off by is shared by neighbours, and no number of them averages it
away: the mean residuals of squares of the image then differ by more than chance would have them. By how much, a
one-way analysis of variance tells (the moment estimator of a variance component; Searle, Casella and McCulloch,
Variance Components, 1992).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import invert, transform
from transpose.localization.candidates import Candidate

_FIELDS = (8, 6)  # along the longer and the shorter side, by which the spread is counted
_SHARED_PX = 160.0  # over which errors of map and lens are shared; wider ones, the pose takes up


@dataclass(frozen=True)
class Evidence:
    """What speaks for a pose. Pixels are those of the image at the scale that was learned.

    Attributes:
        correspondences: among which the pose was sought, before any were chosen by it.
        agreeing: of them.
        spread: share of 8 x 6 fields of the image that hold an agreeing one, 0..1.
        residual_px: median distance of agreeing correspondences from where the pose puts them.
        misfit_px: standard deviation, along an axis, of the part of the residuals that neighbours share.
        guided: see `Candidate`.
        confirmed: see `Candidate`; 1 where nobody looked.
    """

    correspondences: int
    agreeing: int
    spread: float
    residual_px: float
    misfit_px: float
    guided: bool
    confirmed: float = 1.0

    @classmethod
    def of(cls, candidate: Candidate, camera: Camera) -> Evidence:
        """Of a candidate with a pose, found in an image of this camera."""
        assert candidate.pose is not None
        found = candidate.before or candidate
        assert found.pose is not None
        px_m2 = found.inlier_px_m2
        residual_m2 = px_m2 - camera.project(transform(invert(found.pose.T_wc), found.inlier_points_m3))
        seen_m = np.isfinite(residual_m2).all(1)
        px_m2, residual_m2 = px_m2[seen_m], residual_m2[seen_m]
        return cls(
            len(found.points_n3),
            len(px_m2),
            _spread(px_m2, camera),
            float(np.median(np.linalg.norm(residual_m2, axis=1))) if len(px_m2) else math.inf,
            math.sqrt(shared_variance(residual_m2, px_m2, _SHARED_PX)),
            found.guided,
            1.0 if candidate.confirmed is None else candidate.confirmed,
        )


def shared_variance(residual_m2: np.ndarray, px_m2: np.ndarray, square_px: float) -> float:
    """The variance, along an axis, of the part of residuals that those in one square share; 0 where too few tell.

    Args:
        residual_m2: of the correspondences, pixels.
        px_m2: where in the image they are.
        square_px: side of the squares.
    """
    _, square_m, count_g = np.unique(_numbered(px_m2 // square_px), return_inverse=True, return_counts=True)
    number, squares = len(residual_m2), len(count_g)
    if squares < 2 or number <= squares:
        return 0.0
    mean_g2 = np.stack([np.bincount(square_m, residual_m2[:, i], squares) / count_g for i in (0, 1)], 1)
    within = ((residual_m2 - mean_g2[square_m]) ** 2).sum() / (number - squares)
    between = (count_g[:, None] * (mean_g2 - residual_m2.mean(0)) ** 2).sum() / (squares - 1)
    usual_count = (number - (count_g**2).sum() / number) / (squares - 1)
    return float(max(0.0, (between - within) / usual_count / 2))


def _spread(px_m2: np.ndarray, camera: Camera) -> float:
    fields = np.array(_FIELDS if camera.width >= camera.height else _FIELDS[::-1])
    field_m2 = np.floor(px_m2 * fields / (camera.width, camera.height)).clip(0, fields - 1)
    return len(np.unique(_numbered(field_m2))) / float(fields.prod())


def _numbered(square_m2: np.ndarray) -> np.ndarray:
    """A number (m,) of each square by its column and row: much faster to tell apart than rows of an array."""
    return np.asarray(square_m2 @ np.array([1.0, 2.0**20]))
