"""From materials to colours: tones, slow changes of tint, snow."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.village.materials import Material, color_table, palettes
from transpose.village.noise import fractal
from transpose.village.sheet import Sheet

_BAND_ROWS = 256


def paint_tones(sheet: Sheet, season: str) -> np.ndarray:
    """The colour picture: grain, spots and clouds weighted by material, looked up in the material's colours."""
    rng, scale, size = sheet.rng("tones"), sheet.frame.px_per_m, sheet.frame.size_px
    weights = np.array([palette[2:] for palette in palettes(season).values()], np.float32)
    table = color_table(season).reshape(-1, 3)
    spots = fractal(rng, (size, size), [(0.13 * scale, 0.8), (0.34 * scale, 0.9), (1.2 * scale, 0.6)])
    spots *= 1.25
    clouds = fractal(rng, (size, size), [(4 * scale, 1.0), (13 * scale, 1.0)])
    image = np.empty((size, size, 3), np.uint8)
    for top in range(0, size, _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        material = sheet.material[rows]
        grain, dotted, cloudy = (weights[material, part] for part in range(3))
        tone = 128 + grain * cv2.GaussianBlur(rng.standard_normal(material.shape, np.float32), (3, 3), 0.6) * 1.7
        tone += dotted * spots[rows] + cloudy * clouds[rows] + (sheet.relief[rows].astype(np.float32) - 128)
        index = material.astype(np.int32) * 256 + np.clip(tone, 0, 255).astype(np.int32)
        image[rows] = table[index]
    return image


def vary_tint(sheet: Sheet) -> None:
    """Slow changes of hue and brightness, so that two places of one material never look the same."""
    rng = sheet.rng("tint")
    size = sheet.frame.size_px
    coarse = np.stack([fractal(rng, (256, 256), [(26, 1.0), (9, 0.7), (3, 0.5)]) for _ in range(3)], -1)
    common = coarse.mean(-1, keepdims=True)
    gain = np.clip(134 * (1 + 0.065 * common + 0.012 * coarse), 60, 200).astype(np.uint8)
    gain = cv2.resize(gain, (size, size), interpolation=cv2.INTER_CUBIC)
    cv2.multiply(sheet.image, gain, sheet.image, scale=1 / 128)


def lay_snow(sheet: Sheet) -> None:
    """Thin snow that is left in hollows and shade, little of it on roads, none on water."""
    rng, scale, size = sheet.rng("snow"), sheet.frame.px_per_m, sheet.frame.size_px
    cover = np.full(len(Material), -0.1, np.float32)
    for material in (Material.ASPHALT, Material.OLD_ASPHALT, Material.COBBLES, Material.PAVING, Material.WATER):
        cover[material] = -1.6
    cover[Material.WATER] = -9.0
    cover[Material.FOREST] = cover[Material.CANOPY] = -0.9
    wide = fractal(rng, (size, size), [(9 * scale, 1.0), (2.4 * scale, 0.6), (0.5 * scale, 0.35)])
    for top in range(0, size, _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        amount = wide[rows] + cover[sheet.material[rows]] - 0.006 * (sheet.relief[rows].astype(np.float32) - 128)
        alpha = np.clip((amount - 0.1) * 1.3, 0, 0.84)[..., None]
        white = np.array([226, 231, 238], np.float32) + 6 * np.clip(wide[rows], -2, 2)[..., None]
        sheet.image[rows] = np.clip(sheet.image[rows] * (1 - alpha) + white * alpha, 0, 255)
