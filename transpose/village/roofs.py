"""Pictures of roofs: tiles, slates, sheet metal and gravel with all that gathers on them."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.village.noise import NoiseBank
from transpose.village.paint import blend, courses, from_tone, rect, shade, soft_spots
from transpose.village.styles import Style


def _tiles(style: Style, shape: tuple[int, int], scale: float, bank: NoiseBank, rng: np.random.Generator) -> np.ndarray:
    """Rows of tiles, each a little different, with fields that were laid again at another time."""
    tile = style.tile_m[0] * scale, style.tile_m[1] * scale
    gain, _ = courses(rng, shape, tile, 0.105 if style.roof == "tile" else 0.13)
    stains = bank.take(rng, shape, "stains")
    image = np.empty((*shape, 3), np.float32)
    image[:] = style.roof_rgb
    image *= (gain * (1 + 0.07 * stains + 0.05 * bank.take(rng, shape, "grain")))[..., None]
    # Some tiles are of another hue, not only of another brightness.
    hue, _ = courses(rng, shape, tile, 1.0)
    image += ((hue - 1) * 4.5)[..., None] * np.array([1.0, -0.1, -0.6])
    for _ in range(int(rng.integers(0, 4))):
        height, width = (max(2, int(rng.uniform(0.08, 0.5) * side)) for side in shape)
        top, left = rng.integers(0, max(1, shape[0] - height)), rng.integers(0, max(1, shape[1] - width))
        change = rng.uniform(0.8, 1.22) + rng.normal(0, 0.04, 3)
        image[top : top + height, left : left + width] *= change
    y = (np.arange(shape[0]) + 0.5) % max(2.0, tile[1]) / max(2.0, tile[1])
    image *= (1.07 - 0.26 * np.clip((y - 0.68) / 0.32, 0, 1))[:, None, None]
    return np.clip(image, 0, 255).astype(np.uint8)


def _metal(style: Style, shape: tuple[int, int], scale: float, bank: NoiseBank, rng: np.random.Generator) -> np.ndarray:
    """Sheets with standing seams, some of them replaced, and rust."""
    gain, _ = courses(rng, shape, (rng.uniform(0.9, 1.3) * scale, 50 * scale), 0.05)
    image = from_tone(
        0.5 + 0.1 * bank.take(rng, shape, "stains") + 0.04 * bank.take(rng, shape, "grain"),
        style.roof_rgb * 0.8,
        style.roof_rgb * 1.16,
    )
    shade(image, gain)
    seam = (np.arange(shape[1]) % max(3.0, 0.4 * scale)) < 1.5
    shade(image, np.broadcast_to(np.where(seam, 0.8, 1.0), shape))
    rust = np.clip(bank.take(rng, shape, "stains") - 1.0 + 0.5 * bank.take(rng, shape, "spots"), 0, 0.8)
    blend(image, (124, 78, 52), rust * style.age)
    return image


def _gravel(
    style: Style, shape: tuple[int, int], scale: float, bank: NoiseBank, rng: np.random.Generator
) -> np.ndarray:
    """A flat roof: gravel, sedum, a rim, vents and puddles."""
    image = from_tone(
        0.5 + 0.16 * bank.take(rng, shape, "grain") + 0.12 * bank.take(rng, shape, "stains"),
        style.roof_rgb * 0.7,
        style.roof_rgb * 1.25,
    )
    if rng.random() < 0.5:
        sedum = from_tone(0.5 + 0.3 * bank.take(rng, shape, "spots"), (84, 92, 52), (156, 128, 88))
        blend(image, sedum, np.clip(0.6 + 0.6 * bank.take(rng, shape, "stains"), 0, 1))
    damp = np.clip(bank.take(rng, shape, "stains") - 0.9, 0, 0.6)
    blend(image, (84, 84, 82), damp)
    rim = max(2, round(0.22 * scale))
    cv2.rectangle(image, (0, 0), (shape[1] - 1, shape[0] - 1), (164, 164, 160), rim)
    for _ in range(int(rng.integers(1, 5))):
        x, y, size = rng.uniform(0.1, 0.8) * shape[1], rng.uniform(0.1, 0.8) * shape[0], rng.uniform(0.3, 0.9) * scale
        rect(image, x, y, x + size, y + size, np.array([1, 1, 1]) * rng.integers(70, 200))
        rect(image, x + 2, y + 2, x + size - 2, y + size - 2, np.array([1, 1, 1]) * rng.integers(110, 220))
    return image


def _inside(mask_hw: np.ndarray, x: float, y: float, width: float, height: float) -> bool:
    """Whether a rectangle of pixels lies on the roof's plane."""
    if x < 0 or y < 0 or x + width >= mask_hw.shape[1] or y + height >= mask_hw.shape[0]:
        return False
    return bool(mask_hw[int(y) : int(y + height) + 1, int(x) : int(x + width) + 1].all())


def _panels(image: np.ndarray, mask_hw: np.ndarray, scale: float, rng: np.random.Generator) -> None:
    """A field of solar panels."""
    wide, high = 1.05 * scale, 1.7 * scale
    columns, rows = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    x, y = rng.uniform(0.05, 0.6) * image.shape[1], rng.uniform(0.05, 0.5) * image.shape[0]
    if not _inside(mask_hw, x, y, columns * wide, rows * high):
        return
    for i in range(columns):
        for j in range(rows):
            left, top = x + i * wide, y + j * high
            rect(image, left, top, left + wide, top + high, (150, 154, 158))
            blue = np.array([34, 44, 70]) * rng.uniform(0.85, 1.3)
            rect(image, left + 1, top + 1, left + wide - 1, top + high - 1, blue)
            for cell in (1 / 3, 2 / 3):
                rect(image, left + 1, top + cell * high, left + wide - 1, top + cell * high + 1, blue * 1.5)


def _skylights(image: np.ndarray, mask_hw: np.ndarray, scale: float, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(0, 4))):
        wide, high = rng.uniform(0.6, 0.95) * scale, rng.uniform(0.9, 1.3) * scale
        x, y = rng.uniform(0, 0.9) * image.shape[1], rng.uniform(0.1, 0.7) * image.shape[0]
        if _inside(mask_hw, x - 3, y - 3, wide + 6, high + 6):
            rect(image, x - 3, y - 3, x + wide + 3, y + high + 3, (72, 70, 68))
            rect(image, x, y, x + wide, y + high, np.array([118, 136, 150]) * rng.uniform(0.6, 1.25))
            rect(image, x, y, x + wide * 0.5, y + high * 0.4, np.array([170, 184, 194]) * rng.uniform(0.8, 1.1))


def _growth(style: Style, image: np.ndarray, scale: float, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Moss (more of it near the eaves), lichen, dark runs below the ridge."""
    shape = image.shape[:2]
    low = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    spots, stains = bank.take(rng, shape, "spots"), bank.take(rng, shape, "stains")
    moss = np.clip(0.7 * stains + 0.7 * spots + low - 1.9 + 1.3 * style.moss, 0, 1)
    blend(image, (84, 92, 52), 0.8 * moss)
    count = int(rng.integers(0, 30) * (0.3 + style.moss))
    lichen = soft_spots(
        shape,
        rng.uniform(0, shape[::-1], (count, 2)),
        rng.uniform(0.04, 0.16, count) * scale,
        rng.uniform(0.3, 0.8, count),
        0.6,
    )
    blend(image, (190, 184, 150), lichen)
    runs = cv2.blur(bank.take(rng, shape, "spots"), (1, max(3, int(1.2 * scale))))
    shade(image, 1 + 0.2 * style.age * np.clip(runs, -0.6, 0.3))


def _edges(style: Style, image: np.ndarray, outline_px: np.ndarray, scale: float) -> None:
    """Ridge and hip tiles, verge boards, the gutter along the eaves."""
    ridge = tuple(float(part) for part in np.clip(style.roof_rgb * 0.78, 0, 255))
    gutter = (104.0, 104.0, 100.0)
    bottom = outline_px[:, 1].max()
    ends = np.roll(outline_px, -1, axis=0)
    for a, b in zip(outline_px, ends, strict=True):
        on_eaves = abs(a[1] - bottom) < 1 and abs(b[1] - bottom) < 1
        p, q = np.round(a).astype(int), np.round(b).astype(int)
        width = max(2, round((0.2 if on_eaves else 0.3) * scale))
        cv2.line(
            image, (int(p[0]), int(p[1])), (int(q[0]), int(q[1])), gutter if on_eaves else ridge, width, cv2.LINE_AA
        )


def _snow(image: np.ndarray, scale: float, bank: NoiseBank, rng: np.random.Generator) -> None:
    shape = image.shape[:2]
    low = np.linspace(-0.3, 0.3, shape[0], dtype=np.float32)[:, None]
    cover = (
        0.75 * bank.take(rng, shape, "stains") + 0.3 * bank.take(rng, shape, "spots") + low + rng.normal(-0.15, 0.45)
    )
    blend(image, (228, 232, 238), np.clip(cover * 1.5, 0, 0.86))


def paint_roof(
    outline_px: np.ndarray,
    style: Style,
    px_per_m: float,
    bank: NoiseBank,
    rng: np.random.Generator,
    snow: np.random.Generator,
) -> np.ndarray:
    """The picture of a roof's plane, uint8 (h, w, 3), rows from the ridge down to the eaves.

    Args:
        outline_px: the plane's outline in the picture, (k, 2) columns and rows.
        style: of the building.
        px_per_m: resolution.
        bank: shared noise.
        rng: for what every season shows.
        snow: for the snow alone.
    """
    columns, rows = np.maximum(4, np.ceil(outline_px.max(0))).astype(int)
    shape = (int(rows), int(columns))
    painter = {"metal": _metal, "gravel": _gravel}.get(style.roof, _tiles)
    image = painter(style, shape, px_per_m, bank, rng)
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(outline_px).astype(np.int32)], 1)
    if style.roof != "gravel":
        _growth(style, image, px_per_m, bank, rng)
        draw = rng.random() if style.has_roof_windows else 1.0
        if draw < 0.2:
            _panels(image, mask, px_per_m, rng)
        elif draw < 0.6:
            _skylights(image, mask, px_per_m, rng)
        _edges(style, image, outline_px, px_per_m)
    if style.season == "winter":
        _snow(image, px_per_m, bank, snow)
    return image
