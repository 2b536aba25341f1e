"""Poses by time, and what was taken at about the same time: recorders write their streams side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.poses import Pose, compose
from transpose.storage import read_text

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

_COLUMNS = "`timestamp tx ty tz qx qy qz qw`"
_UNIT_TOLERANCE = 0.05  # quaternions are written with 4 digits; what is farther from length 1 is something else
# Text rounds times; beyond the first and the last pose by no more than this, it is that pose.
_SAME_TIME_S = 1e-3


@dataclass(frozen=True)
class Trajectory:
    """Camera poses at rising times.

    Attributes:
        seconds_n: (n,) float64, without two of one time.
        positions_n3: (n, 3) camera centres in the world, metres.
        quaternions_n4: (n, 4) camera-to-world rotations, x, y, z, w.
    """

    seconds_n: np.ndarray
    positions_n3: np.ndarray
    quaternions_n4: np.ndarray

    def at(self, seconds_n: np.ndarray, tolerance_s: float) -> list[Pose | None]:
        """Poses at other times: positions linearly between the two around each, rotations along the great arc (slerp).

        None where the nearest pose is farther away than `tolerance_s`, and outside the first and the last.
        """
        first, last = self.seconds_n[0], self.seconds_n[-1]
        within_n = (seconds_n >= first - _SAME_TIME_S) & (seconds_n <= last + _SAME_TIME_S)
        known_n = within_n & (np.abs(self.seconds_n[nearest(seconds_n, self.seconds_n)] - seconds_n) <= tolerance_s)
        T_n44 = compose(self.rotations(seconds_n).as_matrix(), self.positions(seconds_n))
        return [Pose(T_44) if known else None for T_44, known in zip(T_n44, known_n, strict=True)]

    def positions(self, seconds_n: np.ndarray) -> np.ndarray:
        """Camera centres (n, 3) at other times, see `at`; before the first and after the last those."""
        return np.stack([np.interp(seconds_n, self.seconds_n, column) for column in self.positions_n3.T], -1)

    def rotations(self, seconds_n: np.ndarray) -> Rotation:
        """Rotations at other times, see `at`; before the first and after the last those."""
        from scipy.spatial.transform import Rotation, Slerp

        known = Rotation.from_quat(self.quaternions_n4)
        asked_n = np.clip(seconds_n, self.seconds_n[0], self.seconds_n[-1])
        return known[[0] * len(asked_n)] if len(self.seconds_n) == 1 else Slerp(self.seconds_n, known)(asked_n)

    def earlier(self, seconds: float) -> Trajectory:
        """The same poses, stamped so much earlier."""
        return replace(self, seconds_n=self.seconds_n - seconds)


def read_trajectory(path: Path) -> Trajectory:
    """Camera-to-world poses of lines `timestamp tx ty tz qx qy qz qw` (TUM's format), in any order of time.

    `#` starts a comment; commas may stand between the numbers. Lines with numbers that are not finite are poses that
    were lost, and of two of one time the first counts.

    Raises:
        TransposeError: a line is something else, or no pose is left.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 8:
            raise TransposeError(f"{path}, line {number}: expected {_COLUMNS}")
        if np.isfinite(row).all():
            if abs(np.linalg.norm(row[4:]) - 1) > _UNIT_TOLERANCE:
                raise TransposeError(f"{path}, line {number}: {row[4:]} is no rotation; expected {_COLUMNS}")
            rows.append(row)
    if not rows:
        raise TransposeError(f"{path} holds no poses, lines of {_COLUMNS}")
    values_n8 = np.array(rows)
    _, order = np.unique(values_n8[:, 0], return_index=True)
    values_n8 = values_n8[order]
    return Trajectory(values_n8[:, 0], values_n8[:, 1:4], values_n8[:, 4:])


def nearest(seconds_n: np.ndarray, rising_m: np.ndarray) -> np.ndarray:
    """The index (n,) of the time nearest to each among rising ones, of which there is at least one."""
    after_n = np.searchsorted(rising_m, seconds_n).clip(1, max(1, len(rising_m) - 1))
    before_n = after_n - 1
    after_n = after_n.clip(max=len(rising_m) - 1)
    closer_after_n = np.abs(rising_m[after_n] - seconds_n) < np.abs(rising_m[before_n] - seconds_n)
    nearest_n: np.ndarray = np.where(closer_after_n, after_n, before_n)
    return nearest_n


def paired(seconds_n: np.ndarray, rising_m: np.ndarray, tolerance_s: float) -> np.ndarray:
    """Which of the rising times belongs to each time, (n,), -1 none: both are each other's nearest, and near enough."""
    if not len(rising_m) or not len(seconds_n):
        return np.full(len(seconds_n), -1)
    order_n = np.argsort(seconds_n, kind="stable")
    partner_n = nearest(seconds_n, rising_m)
    back_n = order_n[nearest(rising_m[partner_n], seconds_n[order_n])]
    apart_n = np.abs(rising_m[partner_n] - seconds_n)
    mutual_n = (seconds_n[back_n] == seconds_n) & (apart_n <= tolerance_s)
    return np.where(mutual_n, partner_n, -1)
