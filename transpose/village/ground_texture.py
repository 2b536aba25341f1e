"""The picture of the ground from above: materials, their tones and colours, and what lies on them."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.village.gardens import paint_garden
from transpose.village.maps import HALF_M, MapFrame, rectangle, turned
from transpose.village.materials import Material
from transpose.village.noise import fractal, smooth_noise
from transpose.village.road_paint import paint_road_details, paint_roads, paint_square
from transpose.village.sheet import Sheet
from transpose.village.site_layout import Field, SiteLayout
from transpose.village.tones import lay_snow, paint_tones, vary_tint

_CROP = {name.lower(): Material[name] for name in Material.__members__}
# Distance between rows in metres, strength in tones.
_ROWS = {
    "wheat": (0.9, 12),
    "barley": (1.1, 14),
    "maize": (0.75, 44),
    "ploughed": (0.55, 34),
    "hay": (3.4, 30),
    "potato": (0.8, 48),
    "clover": (2.2, 6),
    "rape": (1.3, 14),
    "meadow": (4.0, 5),
}


def _paint_field(sheet: Sheet, number: int, field: Field, free_hw: np.ndarray) -> None:
    """One field with its rows, its tramlines and places where the crop is poor."""
    rng, frame = sheet.rng("field", str(number)), sheet.frame
    window = frame.window(np.clip(field.corners_42, -109.9, 109.9))
    inside = frame.mask(field.corners_42, window) & free_hw[window]
    sheet.material[window][inside] = _CROP[field.crop]
    east, north = frame.metres()
    side = field.corners_42[1] - field.corners_42[0]
    angle = float(np.arctan2(side[1], side[0])) + rng.uniform(-0.06, 0.06)
    across = -np.sin(angle) * east[:, window[1]] + np.cos(angle) * north[window[0]]
    wobble = smooth_noise(rng, inside.shape, 9 * frame.px_per_m)
    period, strength = _ROWS[field.crop]
    rows = strength * np.cos(2 * np.pi / period * (across + 0.10 * wobble))
    # Tramlines: pairs of wheel tracks every dozen metres.
    spacing, track = rng.uniform(9, 14), rng.uniform(0, 9)
    place = np.abs((across + track) % spacing - 0.9)
    if field.crop not in ("ploughed", "potato", "meadow"):
        rows -= 55 * np.exp(-(((place - 0.9) / 0.22) ** 2))
    rows += 16 * wobble + 30 * np.minimum(0, smooth_noise(rng, inside.shape, 3.5 * frame.px_per_m) + 1.1)
    sheet.add_relief(window, np.where(inside, rows, 0))


def _paint_river(sheet: Sheet, layout: SiteLayout) -> None:
    """Banks, shallows and streaks along the flow."""
    rng, frame, river = sheet.rng("river"), sheet.frame, layout.river_n2
    frame.line(sheet.material, river, layout.river_width_m + 1.7, Material.BANK)
    frame.line(sheet.material, river, layout.river_width_m, Material.WATER)
    normal = turned(np.gradient(river, axis=0), np.pi / 2)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    for _ in range(150):
        start, length = rng.integers(0, len(river) - 6), rng.integers(4, 16)
        part = slice(start, start + length)
        offset = rng.uniform(-0.42, 0.42) * layout.river_width_m
        value = int(rng.integers(-34, 40) + 128)
        frame.line(sheet.relief, river[part] + normal[part] * offset, rng.uniform(0.1, 0.5), value)


def _paint_parcels(sheet: Sheet) -> None:
    """Meadows are not one lawn: parcels cut at different times, grazed, or left to grow."""
    rng, frame = sheet.rng("parcels"), sheet.frame
    mask, stripes = np.zeros_like(sheet.relief), np.full_like(sheet.relief, 128)
    for _ in range(90):
        half, yaw = rng.uniform([5, 4], [15, 11]), rng.uniform(0, np.pi)
        centre = rng.uniform(-HALF_M, HALF_M, 2)
        outline = turned(rectangle(-half[0], half[0], -half[1], half[1]) + rng.uniform(-2, 2, (4, 2)), yaw) + centre
        level = 128 + int(rng.integers(-26, 27))
        frame.fill(mask, outline, 1)
        frame.fill(stripes, outline, level)
        if rng.random() < 0.5:
            for y in np.arange(-half[1] + 0.5, half[1] - 0.3, 2 * (gap := rng.uniform(0.5, 1.1))):
                row = turned(np.array([[-half[0] + 1, y], [half[0] - 1, y]]), yaw) + centre
                frame.line(stripes, row, gap, level + int(rng.integers(8, 20)))
    chosen = (mask > 0) & (sheet.material == Material.MEADOW)
    sheet.relief[chosen] = stripes[chosen]


def _paint_paths(sheet: Sheet, layout: SiteLayout) -> None:
    """Paths worn by people across the meadows."""
    rng, frame = sheet.rng("paths"), sheet.frame
    places, mask = [building.centre_2 for building in layout.buildings], np.zeros_like(sheet.material)
    for _ in range(14):
        ends = [places[i] for i in rng.integers(0, len(places), 2)]
        middle = (ends[0] + ends[1]) / 2 + rng.uniform(-9, 9, 2)
        t = np.linspace(0, 1, 40)[:, None]
        line = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * middle + t**2 * ends[1]
        frame.line(mask, line, rng.uniform(0.5, 1.0), 1)
    sheet.material[(mask > 0) & (sheet.material == Material.MEADOW)] = Material.DIRT


def _ragged(sheet: Sheet) -> None:
    """Makes the borders between natural materials irregular."""
    rng, frame = sheet.rng("ragged"), sheet.frame
    size, amount = frame.size_px, 0.22 * frame.px_per_m
    for top in range(0, size, 1024):
        shape = (min(1024, size - top), size)
        shift = [fractal(rng, shape, [(0.5 * frame.px_per_m, 1.0), (2.0 * frame.px_per_m, 1.2)]) for _ in range(2)]
        columns = np.arange(size, dtype=np.float32)[None] + amount * shift[0]
        rows = np.arange(top, top + shape[0], dtype=np.float32)[:, None] + amount * shift[1]
        source_top = max(0, top - 64)
        source = sheet.material_before[source_top : top + shape[0] + 64]
        sheet.material[top : top + shape[0]] = cv2.remap(
            source, columns, rows - source_top, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        )


def _litter(sheet: Sheet, layout: SiteLayout) -> None:
    """Litter and bare ground under large trees."""
    frame = sheet.frame
    for plant in layout.plants:
        if plant.kind in ("fir", "broad"):
            radius = plant.height_m * 0.28
            angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            disc = plant.at_2 + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
            window = frame.window(np.clip(disc, -HALF_M, HALF_M))
            soft = np.isin(sheet.material[window], (Material.MEADOW, Material.LAWN, Material.VERGE))
            sheet.material[window][soft & frame.mask(disc, window)] = Material.FOREST


def _occlusion(sheet: Sheet, layout: SiteLayout) -> None:
    """Soft darkness at the foot of walls and under crowns, painted at a quarter of the resolution."""
    coarse = MapFrame(max(256, sheet.frame.size_px // 4))
    dark = np.zeros((coarse.size_px, coarse.size_px), np.float32)
    for building in layout.buildings:
        for block in building.blocks:
            coarse.fill(dark, building.to_map(block.corners_42), 1)
    for barrier in layout.barriers:
        coarse.line(dark, barrier.line_n2, 0.8, 1)
    crowns = np.zeros_like(dark)
    for plant in layout.plants:
        coarse.disc(crowns, plant.at_2, plant.height_m * (0.12 if plant.kind == "poplar" else 0.26), 1)
    near = cv2.GaussianBlur(dark, (0, 0), 0.75 * coarse.px_per_m)
    under = cv2.GaussianBlur(crowns, (0, 0), 0.6 * coarse.px_per_m)
    gain = np.clip(128 * (1 - 0.5 * near) * (1 - 0.32 * under), 30, 128).astype(np.uint8)
    size = sheet.frame.size_px
    full = cv2.resize(gain, (size, size), interpolation=cv2.INTER_LINEAR)
    for channel in range(3):
        sheet.image[..., channel] = cv2.multiply(np.ascontiguousarray(sheet.image[..., channel]), full, scale=1 / 128)


def _meadow_flowers(sheet: Sheet, season: str) -> None:
    """Flowers in summer, leaves in autumn: small dots in drifts."""
    rng, size = sheet.rng("flowers"), sheet.frame.size_px
    palette = {
        "summer": [(232, 226, 200), (222, 196, 80), (196, 120, 150), (150, 120, 180), (210, 90, 70)],
        "autumn": [(190, 130, 50), (160, 90, 40), (205, 165, 70), (120, 80, 50)],
        "winter": [(120, 105, 80), (150, 135, 105)],
    }[season]
    drifts, per_drift = 420, max(4, int(26 * (sheet.frame.px_per_m / 18.6)))
    centres = rng.uniform(0, size, (drifts, 1, 2))
    spread = rng.uniform(0.4, 2.5, (drifts, 1, 1)) * sheet.frame.px_per_m
    points = (
        np.clip(centres + spread * rng.standard_normal((drifts, per_drift, 2)), 0, size - 1).reshape(-1, 2).astype(int)
    )
    colors = np.repeat(np.array(palette, np.uint8)[rng.integers(0, len(palette), drifts)], per_drift, 0)
    grassy = np.isin(sheet.material[points[:, 1], points[:, 0]], (Material.MEADOW, Material.VERGE, Material.FOREST))
    sheet.image[points[grassy, 1], points[grassy, 0]] = colors[grassy]


def paint_ground(seed: int, layout: SiteLayout, free_hw: np.ndarray, season: str, size_px: int) -> Sheet:
    """Paints the ground.

    Args:
        seed: of the village.
        layout: the plan.
        free_hw: open ground on any `MapFrame`, uint8.
        season: "summer", "autumn" or "winter".
        size_px: of the picture.

    Returns:
        The sheet with `image` (size_px, size_px, 3) and `material` (size_px, size_px), both uint8.
    """
    sheet = Sheet(seed, MapFrame(size_px))
    free = cv2.resize(cv2.GaussianBlur(free_hw * 255, (0, 0), 2.0), (size_px, size_px)) > 127
    for number, field in enumerate(layout.fields):
        _paint_field(sheet, number, field, free)
    _paint_parcels(sheet)
    _paint_paths(sheet, layout)
    _paint_river(sheet, layout)
    paint_roads(sheet, layout, natural=True)
    _litter(sheet, layout)
    sheet.material_before = sheet.material.copy()
    _ragged(sheet)
    for building in layout.buildings:
        paint_garden(sheet, building, season)
    paint_roads(sheet, layout, natural=False)
    paint_square(sheet, layout)
    sheet.image = paint_tones(sheet, season)
    vary_tint(sheet)
    _meadow_flowers(sheet, season)
    sheet.flush()
    paint_road_details(sheet, layout, season)
    if season == "winter":
        lay_snow(sheet)
    _occlusion(sheet, layout)
    return sheet
