"""What every method of localization offers: from an image and what is known of its camera to a pose, or to none."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.localization.coordinate_map import CoordinateMap
from transpose.solvers import PoseEstimate


class Localizer(Protocol):
    """What testing, sequences, reports and commands need of a method.

    Attributes:
        camera: of the images that it learned from.
    """

    camera: Camera

    def localize(
        self, image_hw3: np.ndarray, camera: Camera | None = None, focal_px: float | None = None, seed: int = 0
    ) -> PoseEstimate:
        """The pose of an RGB uint8 image (height, width, 3), or the reason why there is none."""


@runtime_checkable
class PredictsCoordinates(Protocol):
    """The optional ability to say which world point each cell of an image shows; ask for it with `isinstance`."""

    def coordinates(self, image_hw3: np.ndarray, camera: Camera | None = None) -> CoordinateMap:
        """World points and their uncertainty of the cells of an RGB uint8 image."""
