"""Colours of the ground's materials in each season."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from transpose.village.parts import Kind

SEASONS = ("summer", "autumn", "winter")


class Material(IntEnum):
    """What the ground is made of at a pixel."""

    MEADOW = 0
    LAWN = 1
    WHEAT = 2
    BARLEY = 3
    MAIZE = 4
    PLOUGHED = 5
    HAY = 6
    POTATO = 7
    CLOVER = 8
    RAPE = 9
    ASPHALT = 10
    OLD_ASPHALT = 11
    GRAVEL = 12
    COBBLES = 13
    PAVING = 14
    CONCRETE = 15
    WATER = 16
    BANK = 17
    SOIL = 18
    FOREST = 19
    DIRT = 20
    VERGE = 21
    CANOPY = 22


class Palette(NamedTuple):
    """Dark and light colour, and how much grain, spots and clouds (0 to about 60 of 255) vary between them."""

    dark: tuple[int, int, int]
    light: tuple[int, int, int]
    grain: float
    spots: float
    clouds: float


_SUMMER = {
    Material.MEADOW: Palette((74, 88, 44), (160, 160, 96), 22, 26, 26),
    Material.LAWN: Palette((76, 98, 48), (140, 156, 84), 18, 18, 22),
    Material.WHEAT: Palette((160, 132, 76), (216, 192, 132), 20, 16, 18),
    Material.BARLEY: Palette((166, 150, 98), (210, 198, 146), 20, 18, 16),
    Material.MAIZE: Palette((48, 70, 32), (116, 138, 66), 24, 24, 14),
    Material.PLOUGHED: Palette((92, 72, 54), (150, 122, 94), 22, 22, 16),
    Material.HAY: Palette((122, 128, 68), (188, 182, 118), 24, 20, 18),
    Material.POTATO: Palette((66, 84, 44), (128, 138, 78), 20, 26, 12),
    Material.CLOVER: Palette((66, 90, 46), (124, 144, 80), 20, 30, 20),
    Material.RAPE: Palette((124, 128, 62), (188, 178, 102), 24, 24, 18),
    Material.ASPHALT: Palette((84, 84, 86), (132, 131, 129), 22, 8, 16),
    Material.OLD_ASPHALT: Palette((106, 104, 99), (156, 151, 142), 26, 14, 22),
    Material.GRAVEL: Palette((128, 116, 98), (200, 188, 166), 34, 20, 16),
    Material.COBBLES: Palette((94, 90, 84), (178, 170, 156), 12, 14, 18),
    Material.PAVING: Palette((126, 120, 111), (190, 182, 170), 10, 12, 18),
    Material.CONCRETE: Palette((140, 138, 132), (194, 190, 182), 10, 16, 26),
    Material.WATER: Palette((46, 62, 58), (92, 108, 98), 6, 22, 24),
    Material.BANK: Palette((96, 90, 66), (178, 168, 136), 36, 32, 14),
    Material.SOIL: Palette((74, 58, 44), (126, 102, 78), 30, 28, 10),
    Material.FOREST: Palette((58, 56, 34), (120, 108, 70), 28, 34, 18),
    Material.DIRT: Palette((122, 104, 78), (182, 160, 126), 24, 24, 16),
    Material.VERGE: Palette((88, 92, 54), (172, 162, 112), 28, 30, 18),
    Material.CANOPY: Palette((30, 44, 24), (104, 122, 62), 34, 50, 14),
}

_AUTUMN = {
    Material.MEADOW: Palette((84, 84, 44), (168, 154, 94), 22, 28, 28),
    Material.LAWN: Palette((84, 94, 48), (150, 148, 86), 20, 24, 24),
    Material.WHEAT: Palette((140, 118, 78), (196, 174, 128), 26, 22, 18),
    Material.BARLEY: Palette((94, 76, 56), (152, 126, 96), 24, 24, 16),
    Material.MAIZE: Palette((116, 98, 56), (178, 158, 104), 28, 26, 14),
    Material.HAY: Palette((96, 104, 56), (162, 158, 98), 24, 24, 18),
    Material.POTATO: Palette((98, 80, 58), (154, 130, 98), 26, 26, 12),
    Material.RAPE: Palette((78, 96, 50), (134, 148, 84), 24, 26, 18),
    Material.FOREST: Palette((86, 62, 34), (158, 116, 66), 34, 36, 18),
    Material.VERGE: Palette((96, 88, 52), (172, 152, 102), 30, 30, 18),
    Material.CANOPY: Palette((62, 50, 28), (164, 128, 72), 34, 50, 14),
}

_WINTER = {
    Material.MEADOW: Palette((98, 94, 62), (166, 156, 116), 24, 28, 26),
    Material.LAWN: Palette((92, 96, 60), (150, 148, 102), 20, 24, 24),
    Material.WHEAT: Palette((96, 100, 60), (146, 144, 94), 22, 22, 18),
    Material.BARLEY: Palette((86, 70, 56), (142, 120, 98), 24, 24, 16),
    Material.MAIZE: Palette((122, 106, 76), (176, 158, 122), 28, 26, 14),
    Material.HAY: Palette((108, 104, 66), (166, 156, 110), 24, 24, 18),
    Material.POTATO: Palette((88, 74, 58), (142, 122, 98), 26, 26, 12),
    Material.CLOVER: Palette((92, 96, 58), (148, 146, 96), 22, 28, 20),
    Material.RAPE: Palette((84, 92, 54), (140, 142, 88), 24, 26, 18),
    Material.FOREST: Palette((82, 66, 46), (144, 118, 86), 32, 36, 18),
    Material.VERGE: Palette((102, 94, 66), (168, 154, 118), 30, 30, 18),
    Material.CANOPY: Palette((60, 54, 44), (124, 112, 92), 34, 50, 14),
    Material.WATER: Palette((50, 58, 58), (98, 106, 102), 6, 22, 24),
}

_SEASON_PALETTES = {"summer": {}, "autumn": _AUTUMN, "winter": _WINTER}

_KIND = {
    Material.WATER: Kind.WATER,
    Material.ASPHALT: Kind.ROAD,
    Material.OLD_ASPHALT: Kind.ROAD,
    Material.COBBLES: Kind.ROAD,
    Material.GRAVEL: Kind.ROAD,
    Material.PAVING: Kind.ROAD,
    Material.CANOPY: Kind.VEGETATION,
}


def palettes(season: str) -> dict[Material, Palette]:
    """The palette of every material."""
    return {**_SUMMER, **_SEASON_PALETTES[season]}


def color_table(season: str) -> np.ndarray:
    """Colour of every material at every tone, uint8 (materials, 256, 3)."""
    tone = np.linspace(0, 1, 256)[:, None]
    rows = [
        np.add(palette.dark, tone * np.subtract(palette.light, palette.dark)) for palette in palettes(season).values()
    ]
    return np.round(np.array(rows)).astype(np.uint8)


def kind_table() -> np.ndarray:
    """Class of every material, uint8."""
    return np.array([_KIND.get(material, Kind.GROUND) for material in Material], np.uint8)
