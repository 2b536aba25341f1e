"""Gardens in the ground's picture: lawns, beds, terraces, drives and paths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transpose.village.maps import rectangle
from transpose.village.materials import Material
from transpose.village.planting import corridors
from transpose.village.sheet import Sheet
from transpose.village.site_layout import Building

_BLOOMS = [
    (206, 70, 84),
    (226, 190, 60),
    (214, 120, 170),
    (236, 232, 220),
    (140, 96, 180),
    (224, 128, 54),
    (96, 120, 190),
]


def _fill(sheet: Sheet, building: Building, outline_k2: np.ndarray, material: Material, relief: int = 128) -> None:
    outline = building.to_map(outline_k2)
    sheet.frame.fill(sheet.material, outline, int(material))
    sheet.frame.fill(sheet.relief, outline, relief)


def _local_lines(sheet: Sheet, building: Building, lines: Sequence[np.ndarray], width_m: float, value: int) -> None:
    for line in lines:
        sheet.frame.line(sheet.relief, building.to_map(line), width_m, value)


def _pavers(sheet: Sheet, building: Building, area: Sequence[float], rng: np.random.Generator) -> None:
    """Stones of differing tone with joints."""
    x0, x1, y0, y1 = area
    stone = rng.uniform(0.3, 0.6)
    for x in np.arange(x0, x1 - 0.1, stone):
        for y in np.arange(y0, y1 - 0.1, stone):
            part = building.to_map(rectangle(x, min(x + stone, x1), y, min(y + stone, y1)))
            sheet.frame.fill(sheet.relief, part, int(np.clip(128 + rng.normal(0, 26), 40, 220)))
    rows = [np.array([[x, y0], [x, y1]]) for x in np.arange(x0, x1, stone)]
    columns = [np.array([[x0, y], [x1, y]]) for y in np.arange(y0, y1, stone)]
    _local_lines(sheet, building, rows + columns, 0.04, 62)


def _mowing(sheet: Sheet, building: Building, rng: np.random.Generator) -> None:
    x0, x1, y0, y1 = building.plot
    step = rng.uniform(0.5, 0.9)
    if rng.random() < 0.55:
        lines = [np.array([[x, y0], [x, y1]]) for x in np.arange(x0, x1, 2 * step)]
    else:
        lines = [np.array([[x0, y], [x1, y]]) for y in np.arange(y0, y1, 2 * step)]
    _local_lines(sheet, building, lines, step, 128 + int(rng.integers(8, 26)))


def _dots(
    sheet: Sheet, building: Building, area: Sequence[float], rng: np.random.Generator, count: int, size_m: float
) -> None:
    """Plants of a bed: green leaves with blooms in one or two colours, drawn on the colour picture."""
    # How many there are depends on the season; nothing else may.
    rng = rng.spawn(1)[0]
    at = building.to_map(rng.uniform([area[0], area[2]], [area[1], area[3]], (count, 2)))
    bloom = np.array(_BLOOMS)[rng.integers(0, len(_BLOOMS), 2)]
    picks, levels = rng.random(count), rng.integers(-25, 25, count)
    colors = np.where(picks[:, None] < 0.35, bloom[0], np.where(picks[:, None] < 0.5, bloom[1], (84, 112, 58)))
    colors = np.clip(colors + levels[:, None], 0, 255)
    sheet.later(lambda: sheet.frame.discs(sheet.image, at, size_m * (0.6 + 0.8 * picks), colors))


def _beds(sheet: Sheet, building: Building, rng: np.random.Generator, season: str) -> None:
    """Vegetable beds in rows, flower beds along the walls and the border."""
    x0, x1, y0, y1 = building.plot
    main = building.blocks[0]
    sparse = {"summer": 1.0, "autumn": 0.6, "winter": 0.15}[season]
    if y1 - main.y1 > 4.0 and rng.random() < 0.6:
        width, depth = rng.uniform(2.5, 5.0), min(y1 - main.y1 - 1.6, rng.uniform(2.0, 4.0))
        left = rng.uniform(x0 + 0.8, max(x0 + 0.9, x1 - width - 0.8))
        area = (left, left + width, y1 - 0.9 - depth, y1 - 0.9)
        _fill(sheet, building, rectangle(*area), Material.SOIL)
        for y in np.arange(area[2] + 0.25, area[3], 0.55):
            row = (area[0] + 0.1, area[1] - 0.1, y - 0.1, y + 0.1)
            if rng.random() < 0.85:
                _dots(sheet, building, row, rng, int(9 * width * sparse), rng.uniform(0.06, 0.14))
    for side in range(int(rng.integers(1, 4))):
        along, depth = rng.uniform(1.5, 4.0), rng.uniform(0.5, 1.0)
        start = rng.uniform(x0 + 0.6, max(x0 + 0.7, x1 - along - 0.6))
        low = main.y0 - depth - 0.1 if side == 0 else y0 + 0.6 if side == 1 else y1 - depth - 0.5
        area = (start, start + along, low, low + depth)
        _fill(sheet, building, rectangle(*area), Material.SOIL, 110)
        _dots(sheet, building, area, rng, int(30 * along * depth * sparse), rng.uniform(0.07, 0.13))


def _terrace(sheet: Sheet, building: Building, rng: np.random.Generator) -> None:
    main = building.blocks[0]
    width, depth = rng.uniform(3.0, 6.0), rng.uniform(2.0, 3.4)
    depth = min(depth, building.plot[3] - main.y1 - 0.5)
    if depth < 1.2:
        return
    left = rng.uniform(main.x0, max(main.x0 + 0.1, main.x1 - width))
    area = (left, left + width, main.y1 - 0.1, main.y1 + depth)
    _fill(sheet, building, rectangle(*area), Material.CONCRETE if rng.random() < 0.3 else Material.PAVING)
    _pavers(sheet, building, area, rng)


def _pool(sheet: Sheet, building: Building, rng: np.random.Generator) -> None:
    """A garden pond or a pool with a rim."""
    x0, x1, _, y1 = building.plot
    room = y1 - building.blocks[0].y1
    if room < 6.0 or rng.random() > 0.45:
        return
    centre = np.array([rng.uniform(x0 + 3, x1 - 3), y1 - room * 0.4])
    radius, pool = rng.uniform(0.9, 1.6), rng.random() < 0.5
    angle = np.linspace(0, 2 * np.pi, 4 if pool else 14, endpoint=False) + (np.pi / 4 if pool else 0)
    ring = np.stack([1.5 * np.cos(angle), np.sin(angle)], 1) * (
        radius * rng.uniform(0.85, 1.15, (len(angle), 1)) if not pool else 1.9
    )
    outline, color = building.to_map(centre + ring), (96, 168, 178) if pool else (70, 88, 76)

    def draw() -> None:
        sheet.frame.fill(sheet.image, outline, color, smooth=True)
        sheet.frame.line(sheet.image, outline, 0.3, (188, 182, 170), smooth=True, closed=True)

    sheet.later(draw)


def paint_garden(sheet: Sheet, building: Building, season: str) -> None:
    """The ground of one plot."""
    rng = sheet.rng("garden", str(building.number))
    x0, x1, y0, y1 = building.plot
    if building.kind == "barn":
        _fill(sheet, building, rectangle(x0, x1, y0, y1), Material.GRAVEL if rng.random() < 0.5 else Material.DIRT)
    else:
        _fill(sheet, building, rectangle(x0, x1, y0, y1), Material.LAWN if rng.random() < 0.8 else Material.MEADOW)
        _mowing(sheet, building, rng)
    sheet.frame.line(sheet.relief, building.plot_42, 0.35, 108, closed=True)
    if building.kind == "house":
        _terrace(sheet, building, rng)
        _beds(sheet, building, rng, season)
        _pool(sheet, building, rng)
    surfaces = [Material.PAVING, Material.GRAVEL, Material.CONCRETE, Material.OLD_ASPHALT]
    for number, corridor in enumerate(corridors(building)):
        surface = surfaces[int(rng.integers(0, 3 if number == 0 else 4))]
        _fill(sheet, building, corridor, surface, int(rng.integers(105, 150)))
        low, high = corridor.min(0), corridor.max(0)
        if surface == Material.PAVING:
            _pavers(sheet, building, (low[0], high[0], low[1], high[1]), rng)
        edge = building.to_map(corridor)
        sheet.frame.line(sheet.relief, edge, 0.08, int(rng.choice([70, 200])), closed=True)
    for block in building.blocks:
        # Gravel against splashing rain around the walls.
        sheet.frame.line(sheet.material, building.to_map(block.corners_42), 0.7, Material.GRAVEL, closed=True)
