"""What every model of a camera's image offers, whatever its field of view: directions to pixels and back."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Projection(Protocol):
    """The image of a camera, in continuous pixels (first pixel centre at 0.5, 0.5); OpenCV axes.

    Implementations are frozen, so that they can be compared, and their text tells them apart.
    """

    def __hash__(self) -> int: ...

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""

    @property
    def focal_px(self) -> float:
        """Pixels a radian in the middle of the image."""

    def resized(self, width: int, height: int) -> Projection:
        """The same for the image at another size."""

    def px_of_directions(self, directions_n3: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of directions (..., 3) of any length; NaN where the camera does not image them."""

    def directions_of_px(self, px_n2: np.ndarray) -> np.ndarray:
        """Unit directions (..., 3) of pixels (..., 2), the inverse of `px_of_directions`; NaN where there is none."""
