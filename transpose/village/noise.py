"""Noise pictures from resized random arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import cv2
import numpy as np


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell_px: float) -> np.ndarray:
    """Noise of standard deviation about one whose features are about `cell_px` wide, float32 of that shape."""
    cell = max(1.0, cell_px)
    rows, columns = (ceil(side / cell) + 3 for side in shape)
    coarse = rng.standard_normal((rows, columns), np.float32)
    if cell == 1.0:
        return coarse[: shape[0], : shape[1]]
    fine = cv2.resize(coarse, (ceil(columns * cell), ceil(rows * cell)), interpolation=cv2.INTER_CUBIC)
    start = int(cell)
    return fine[start : start + shape[0], start : start + shape[1]] * 1.4


def fractal(rng: np.random.Generator, shape: tuple[int, int], octaves: Sequence[tuple[float, float]]) -> np.ndarray:
    """A sum of octaves (cell in pixels, weight), scaled to a standard deviation of about one."""
    total = np.zeros(shape, np.float32)
    for cell_px, weight in octaves:
        total += weight * smooth_noise(rng, shape, cell_px)
    return total / sum(weight**2 for _, weight in octaves) ** 0.5


def tileable(rng: np.random.Generator, size_px: int, octaves: Sequence[tuple[int, float]]) -> np.ndarray:
    """Like `fractal` on a square whose borders fit each other; the cells must divide the size."""
    total = np.zeros((size_px, size_px), np.float32)
    for cell_px, weight in octaves:
        count = size_px // cell_px
        coarse = np.pad(rng.standard_normal((count, count), np.float32), 2, mode="wrap")
        side = (count + 4) * cell_px
        fine = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        total += weight * fine[2 * cell_px : -2 * cell_px, 2 * cell_px : -2 * cell_px]
    return total / sum(weight**2 for _, weight in octaves) ** 0.5


class NoiseBank:
    """Large tileable noises made once, of which painters of small pieces take windows at random places."""

    def __init__(self, rng: np.random.Generator, size_px: int = 1024) -> None:
        self.size_px = size_px
        self._fields = {
            "grain": tileable(rng, size_px, [(1, 1.0), (2, 0.8)]),
            "spots": tileable(rng, size_px, [(4, 1.0), (8, 0.8)]),
            "stains": tileable(rng, size_px, [(8, 0.4), (16, 0.7), (32, 1.0), (64, 1.0)]),
        }

    def take(self, rng: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
        """A window of `grain`, `spots` or `stains`, float32 of standard deviation about one."""
        row, column = rng.integers(0, self.size_px, 2)
        rows = np.arange(row, row + shape[0]) % self.size_px
        columns = np.arange(column, column + shape[1]) % self.size_px
        return self._fields[kind][np.ix_(rows, columns)]
