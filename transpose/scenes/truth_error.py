"""How far the true poses of a section are themselves off, where whoever made them says so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError

KEY = "truth_error"  # in section.json and scene.json


@dataclass(frozen=True)
class TruthError:
    """The root mean square error of true poses, over all three axes together, of positions and of rotations.

    Attributes:
        metres: between a camera's true centre and the one that is stated.
        degrees: by which its rotation is off.

    Raises:
        ValueError: one is negative or not finite, or both are zero.
    """

    metres: float
    degrees: float

    def __post_init__(self) -> None:
        sizes = (self.metres, self.degrees)
        if not all(0 <= size < math.inf for size in sizes) or not any(sizes):
            raise ValueError(f"sizes of errors are positive numbers, not {self.metres} and {self.degrees}")

    @property
    def covariance_66(self) -> np.ndarray:
        """Over xi = (omega in rad, t in metres): as large along each axis, in the frame of the camera or any other."""
        omega, t = math.radians(self.degrees) ** 2 / 3, self.metres**2 / 3
        return np.diag([omega, omega, omega, t, t, t])

    def as_json(self) -> dict[str, float]:
        """As a section's facts state it."""
        return asdict(self)


def read_truth_error(record: Mapping[str, Any], path: Path) -> TruthError | None:
    """What the facts of a section or scene say of it; None: nothing.

    Raises:
        TransposeError: it is something else.
    """
    said = record.get(KEY)
    if said is None:
        return None
    try:
        if set(said) != {"metres", "degrees"} or any(isinstance(value, bool | str) for value in said.values()):
            raise ValueError
        return TruthError(float(said["metres"]), float(said["degrees"]))
    except (TypeError, ValueError, AttributeError, OverflowError):
        expected = '{"metres": 0.4, "degrees": 1}'
        raise TransposeError(f'{path}: "{KEY}" is {said!r:.60}, not such as {expected}') from None
