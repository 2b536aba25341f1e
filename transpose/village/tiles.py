"""Textures that repeat: leaves of hedges, stone, boards, straw."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.village.noise import tileable
from transpose.village.paint import blend, from_tone, soft_spots

LEAF_COLORS = {
    "summer": ((34, 52, 24), (112, 136, 66)),
    "autumn": ((60, 50, 26), (150, 124, 70)),
    "winter": ((58, 54, 42), (116, 106, 84)),
}


def leaf_tone(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Clumps of leaves with dark gaps, 0 to 1, tileable."""
    fine = tileable(rng, size_px, [(1, 0.5), (2, 0.9), (4, 1.0)])
    clumps = tileable(rng, size_px, [(8, 0.8), (16, 1.0), (32, 0.5)])
    return np.clip(0.5 + 0.17 * fine + 0.13 * clumps, 0, 1)


def paint_leaves(rng: np.random.Generator, size_px: int, season: str) -> np.ndarray:
    """A hedge's side."""
    image = from_tone(leaf_tone(rng, size_px), *LEAF_COLORS[season])
    hue = tileable(rng, size_px, [(32, 1.0), (64, 1.0)])
    blend(image, (128, 132, 60) if season == "summer" else (150, 96, 50), np.clip(0.25 * hue, 0, 0.4))
    if season == "winter":
        blend(image, (226, 230, 236), np.clip(0.7 * tileable(rng, size_px, [(4, 0.6), (16, 1.0)]) - 0.5, 0, 0.8))
    return image


def paint_stone(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Rubble masonry: rows of stones of differing width and colour."""
    image = np.empty((size_px, size_px, 3), np.uint8)
    image[:] = (104, 99, 90)
    rows = 40
    high = size_px / rows
    for row in range(rows):
        cuts = np.unique(np.round(np.cumsum(rng.uniform(0.9, 2.6, 64)) * high).astype(int))
        cuts = cuts[cuts < size_px - high * 0.6]
        for a, b in zip(np.append(0, cuts), np.append(cuts, size_px), strict=True):
            color = np.array([146, 138, 122]) * rng.uniform(0.74, 1.2) + rng.normal(0, 6) * np.array([1.0, 0.2, -0.8])
            top, bottom = round(row * high) + 1, round((row + 1) * high)
            image[top:bottom, a + 1 : b] = np.clip(color, 0, 255)
    rough = tileable(rng, size_px, [(1, 0.6), (2, 0.6), (32, 1.0)])
    image = np.clip(image * (1 + 0.08 * rough[..., None]), 0, 255).astype(np.uint8)
    blend(image, (88, 98, 62), np.clip(0.4 * tileable(rng, size_px, [(8, 0.6), (64, 1.0)]) - 0.25, 0, 0.6))
    return image


def paint_boards(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Upright boards, weathered."""
    boards = 32
    width = size_px // boards
    gain = np.repeat(1 + 0.16 * rng.standard_normal(boards), width)[None, :size_px]
    grain = cv2.blur(np.pad(tileable(rng, size_px, [(1, 1.0), (2, 0.6)]), ((16, 16), (0, 0)), "wrap"), (1, 31))[16:-16]
    tone = 0.5 * gain + 0.45 * grain + 0.05 * tileable(rng, size_px, [(64, 1.0)])
    tone[:, ::width] *= 0.5
    return from_tone(tone, (68, 54, 42), (178, 150, 118))


def paint_straw(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Straw of bales."""
    tone = (
        0.5 + 0.2 * cv2.blur(np.pad(tileable(rng, size_px, [(1, 1.0)]), ((0, 0), (4, 4)), "wrap"), (9, 1))[:, 4:-4] * 2
    )
    image = from_tone(tone + 0.06 * tileable(rng, size_px, [(16, 1.0)]), (128, 104, 58), (214, 190, 128))
    count = 40
    holes = soft_spots(
        (size_px, size_px),
        rng.uniform(8, size_px - 8, (count, 2)),
        rng.uniform(1, 4, count),
        rng.uniform(0.2, 0.6, count),
        1.0,
    )
    blend(image, (96, 78, 46), holes)
    return image
