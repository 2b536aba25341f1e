"""The layers of the ground's picture while it is painted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from transpose.randomness import stream
from transpose.village.maps import MapFrame
from transpose.village.materials import Material


class Sheet:
    """Material and relief of each pixel first, then the colour picture, on which single things are drawn.

    Attributes:
        material: uint8, `Material` of each pixel.
        relief: uint8, 128 where the tone is the material's own; lighter or darker elsewhere.
        image: uint8 RGB, empty until the tones are painted.
    """

    def __init__(self, seed: int, frame: MapFrame, name: str = "ground") -> None:
        self._seed, self._name = seed, name
        self.frame = frame
        size = frame.size_px
        self.material = np.full((size, size), Material.MEADOW, np.uint8)
        self.material_before = self.material
        self.relief = np.full((size, size), 128, np.uint8)
        self.image = np.zeros((0, 0, 3), np.uint8)
        self._later: list[Callable[[], None]] = []

    def rng(self, *purpose: str) -> np.random.Generator:
        """The random stream of one purpose on this ground."""
        return stream(self._seed, "village", self._name, *purpose)

    def add_relief(self, window: tuple[slice, slice], delta: np.ndarray) -> None:
        """Lightens or darkens a window."""
        self.relief[window] = np.clip(self.relief[window] + delta, 0, 255).astype(np.uint8)

    def later(self, draw: Callable[[], None]) -> None:
        """Remembers something to draw on the colour picture once there is one."""
        self._later.append(draw)

    def flush(self) -> None:
        """Draws what was remembered, in order."""
        for draw in self._later:
            draw()
        self._later.clear()
