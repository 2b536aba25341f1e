"""Points of a cloud in parts, and what every file of them answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

CHUNK_POINTS = 1_000_000


@dataclass(frozen=True)
class Points:
    """Some points of a file: float64 coordinates, colours as stored (any range), ASPRS classes or None."""

    xyz_n3: np.ndarray
    rgb_n3: np.ndarray
    class_n: np.ndarray | None

    def __len__(self) -> int:
        return len(self.xyz_n3)


class PointFile(Protocol):
    """A point cloud on disk that can be read again and again."""

    @property
    def path(self) -> Path:
        """Named in errors."""
        ...

    @property
    def count(self) -> int:
        """How many points the header promises."""
        ...

    @property
    def white(self) -> float | None:
        """The number of a full colour, where the format prescribes one."""
        ...

    @property
    def crs(self) -> Any:
        """Whatever pyproj understands, or None."""
        ...

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[Points]:
        """All points in the order of the file; raises `TransposeError` where the file ends early."""
        ...


@dataclass(frozen=True)
class TurnedPoints:
    """A point cloud whose coordinates are turned or scaled by a matrix."""

    file: PointFile
    matrix_33: np.ndarray

    @property
    def path(self) -> Path:
        """Of the cloud that is turned."""
        return self.file.path

    @property
    def count(self) -> int:
        """As the file promises."""
        return self.file.count

    @property
    def white(self) -> float | None:
        """Of the file: colours are not turned."""
        return self.file.white

    @property
    def crs(self) -> Any:
        """Of the file; the matrix has no say in it."""
        return self.file.crs

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[Points]:
        """The points of the file, turned."""
        for part in self.file.chunks(points):
            yield Points(part.xyz_n3 @ self.matrix_33.T, part.rgb_n3, part.class_n)
