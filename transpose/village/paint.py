"""Brushes that the painters of the ground, the facades and the roofs share."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Color = Sequence[int] | np.ndarray


def blend(image_hw3: np.ndarray, rgb: Color, alpha_hw: np.ndarray | float) -> None:
    """Lays a colour, or a picture of the same size, over a picture in place; alpha in [0, 1]."""
    alpha = np.asarray(alpha_hw, np.float32)
    alpha = alpha[..., None] if alpha.ndim else alpha
    over = np.asarray(rgb, np.float32)
    image_hw3[:] = np.clip(image_hw3 + (over - image_hw3) * alpha, 0, 255)


def shade(image_hw3: np.ndarray, gain_hw: np.ndarray | float) -> None:
    """Multiplies a picture's brightness in place."""
    gain = np.asarray(gain_hw, np.float32)
    image_hw3[:] = np.clip(image_hw3 * (gain[..., None] if gain.ndim else gain), 0, 255)


def from_tone(tone_hw: np.ndarray, dark: Color, light: Color) -> np.ndarray:
    """A picture between two colours; tone 0 is dark, 1 light. uint8."""
    steps = np.linspace(0, 1, 256)[:, None]
    table = np.clip(np.asarray(dark, float) * (1 - steps) + np.asarray(light, float) * steps, 0, 255).astype(np.uint8)
    return table[np.clip(tone_hw * 255, 0, 255).astype(np.uint8)]


def rect(image: np.ndarray, x0: float, y0: float, x1: float, y1: float, rgb: Color) -> None:
    """Fills pixels [x0, x1) x [y0, y1) of a picture, at least one pixel, cut at the borders."""
    top, left = max(0, round(y0)), max(0, round(x0))
    image[top : max(top + 1, round(y1)), left : max(left + 1, round(x1))] = np.asarray(rgb, np.uint8)


def courses(
    rng: np.random.Generator, shape: tuple[int, int], brick_px: tuple[float, float], jitter: float, shift: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of bricks, tiles or paving stones.

    Returns:
        The brightness of each brick (about 1, standard deviation `jitter`) and whether a pixel is a joint, (h, w) each.
    """
    width, height = max(2.0, brick_px[0]), max(2.0, brick_px[1])
    y, x = np.arange(shape[0])[:, None] + 0.5, np.arange(shape[1])[None, :] + 0.5
    row = (y / height).astype(int)
    start = x + (row % 2) * shift * width + rng.uniform(0, width)
    column = (start / width).astype(int)
    gains = (1 + jitter * rng.standard_normal((row.max() + 1, column.max() + 1))).astype(np.float32)
    joint = ((y % height) < 1.0) | ((start % width) < 1.0)
    return gains[row, column], joint


def soft_spots(
    shape: tuple[int, int], centres_n2: np.ndarray, radii_n: np.ndarray, weights_n: np.ndarray, blur_px: float
) -> np.ndarray:
    """Blurred discs, the strongest where they overlap; float32 in [0, 1]. Centres are (column, row)."""
    mask = np.zeros(shape, np.uint8)
    for (x, y), radius, weight in sorted(zip(centres_n2, radii_n, weights_n, strict=True), key=lambda disc: disc[2]):
        cv2.circle(mask, (round(x), round(y)), max(1, round(radius)), int(255 * weight), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), max(0.3, blur_px)).astype(np.float32) / 255
