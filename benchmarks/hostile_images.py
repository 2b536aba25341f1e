"""Images that a localizer of a place should refuse: of nothing at all, and photos of the place taken apart."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

TAKEN_APART = ("mosaic 3 x 3", "mosaic 4 x 4", "mosaic 5 x 5", "mirrored")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789"


def of_nothing(width: int, height: int, count: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and image (height, width, 3) uint8: noise, colours, stripes and text, so many of each kind."""
    for _ in range(count):
        yield "noise", rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3)).astype(np.uint8)
        yield "blotches", cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        yield "flat", np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
        period = int(rng.integers(8, 60))
        stripes = ((np.arange(width) // period + np.arange(height)[:, None] // period) % 2 * 200 + 20).astype(np.uint8)
        yield "checkerboard", np.repeat(stripes[..., None], 3, 2)
        yield "text", _page(width, height, rng)


def taken_apart(image_hw3: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and image of what no camera would see of a place: mosaics of its photo, and the photo mirrored.

    Tiles are a ninth of the photo at most, and shuffled until none is where it was or beside one that it was beside:
    of larger pieces there is a camera that sees them so, if not the one that took the photo.
    """
    height, width = (side // 60 * 60 for side in image_hw3.shape[:2])
    image_hw3 = image_hw3[:height, :width]
    for side in (3, 4, 5):
        tiles = [part for row in np.split(image_hw3, side) for part in np.split(row, side, 1)]
        rows = [np.concatenate([tiles[i] for i in row], 1) for row in shuffled(side, rng)]
        yield f"mosaic {side} x {side}", np.ascontiguousarray(np.concatenate(rows))
    yield "mirrored", np.ascontiguousarray(image_hw3[:, ::-1])


def shuffled(side: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers (side, side) of tiles, none where it was, or right of or below one that it was right of or below."""
    whole = np.arange(side**2).reshape(side, side)
    while True:
        places = rng.permutation(side**2).reshape(side, side)
        beside = (np.diff(places, axis=1) == 1) & (places[:, :-1] % side < side - 1)
        below = np.diff(places, axis=0) == side
        if not ((places == whole).any() or beside.any() or below.any()):
            return places


def hardly_seen(image_hw3: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and image of the same pose, of which little is left: blurred, dark, noisy, or behind something."""
    width = image_hw3.shape[1]
    yield "blurred", cv2.GaussianBlur(image_hw3, (0, 0), float(rng.uniform(4, 10)))
    dark = image_hw3 * rng.uniform(0.02, 0.08) + rng.normal(0, 3, image_hw3.shape)
    yield "dark", np.clip(dark, 0, 255).astype(np.uint8)
    yield "noisy", np.clip(image_hw3 + rng.normal(0, 60, image_hw3.shape), 0, 255).astype(np.uint8)
    covered = image_hw3.copy()
    left = int(rng.integers(0, width // 4))
    covered[:, left : left + 3 * width // 4] = rng.integers(0, 256, 3)
    yield "behind something", covered


def _page(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    page = np.full((height, width, 3), 235, np.uint8)
    for line in range(20, height, 24):
        words = "".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), width // 12))
        cv2.putText(page, words, (8, line), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (20, 20, 20), 1, cv2.LINE_AA)
    return page
