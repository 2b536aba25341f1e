"""How a building looks: colours and materials drawn once for all its walls and roofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_PLASTER = [
    (222, 214, 196), (214, 196, 160), (226, 206, 172), (204, 188, 168), (216, 178, 150), (196, 200, 188),
    (228, 224, 216), (200, 172, 130), (186, 194, 200), (214, 206, 180), (206, 158, 136), (190, 184, 160),
]  # fmt: skip
_BRICK = [(150, 88, 68), (166, 104, 78), (134, 80, 66), (172, 124, 92), (142, 104, 86)]
_STONE = [(158, 150, 134), (142, 138, 130), (172, 160, 136), (150, 140, 122)]
_WOOD = [(116, 82, 56), (142, 108, 74), (96, 74, 58), (128, 114, 98), (150, 60, 50), (104, 112, 104)]
_TILE = [
    (150, 98, 78), (136, 82, 68), (160, 112, 88), (120, 84, 72), (144, 106, 90), (112, 94, 84), (128, 100, 84),
    (152, 90, 72), (104, 88, 80),
]  # fmt: skip
_SLATE = [(92, 96, 102), (78, 80, 86), (108, 106, 104), (98, 90, 84)]
_METAL = [(140, 146, 148), (112, 128, 120), (150, 108, 92), (166, 166, 160)]
_PAINT = [
    (70, 98, 74), (120, 50, 44), (60, 82, 112), (112, 76, 46), (84, 110, 116), (138, 130, 112), (150, 96, 60),
    (226, 222, 212), (76, 70, 64), (164, 140, 84),
]  # fmt: skip
_LEAVES = {
    "summer": ((36, 58, 26), (98, 126, 60)),
    "autumn": ((90, 36, 26), (176, 96, 48)),
    "winter": ((60, 52, 42), (106, 96, 80)),
}


@dataclass(frozen=True)
class Style:
    """Colours are float RGB in [0, 255].

    Attributes:
        material: of the walls: "plaster", "brick", "stone" or "wood".
        upper_material: of the upper storeys: "wood", "plaster", "timber" (a frame over the walls' plaster) or "".
        roof: "tile", "slate", "metal" or "gravel".
        age: 0 new to 1 weathered.
        ivy: the chance of ivy on a wall.
        season: snow and leaves.
    """

    material: str
    wall_rgb: np.ndarray
    upper_material: str
    upper_rgb: np.ndarray
    upper_from_m: float
    plinth_m: float
    plinth_rgb: np.ndarray
    timber_rgb: np.ndarray
    trim_rgb: np.ndarray
    frame_rgb: np.ndarray
    shutter_rgb: np.ndarray | None
    door_rgb: np.ndarray
    quoins: bool
    window_m: tuple[float, float]
    panes: tuple[int, int]
    window_step_m: float
    flower_boxes: float
    age: float
    ivy: float
    ivy_rgb: tuple[tuple[int, int, int], tuple[int, int, int]]
    roof: str
    roof_rgb: np.ndarray
    tile_m: tuple[float, float]
    moss: float
    has_roof_windows: bool
    sign: str
    season: str


def _pick(rng: np.random.Generator, colors: list[tuple[int, int, int]], spread: float = 9.0) -> np.ndarray:
    """A colour of a list, changed a little so that it occurs once."""
    base = np.array(colors[int(rng.integers(0, len(colors)))], float)
    return np.clip(base * rng.uniform(0.9, 1.08) + rng.normal(0, spread / 2, 3), 20, 245)


def _walls(rng: np.random.Generator, kind: str) -> tuple[str, np.ndarray, str, np.ndarray]:
    if kind == "church":
        return "plaster" if rng.random() < 0.5 else "stone", _pick(rng, _STONE + _PLASTER[:1]), "", np.zeros(3)
    if kind == "barn":
        return "wood", _pick(rng, _WOOD), "", np.zeros(3)
    material = str(rng.choice(["plaster", "brick", "stone", "wood"], p=[0.62, 0.16, 0.13, 0.09]))
    colors = {"plaster": _PLASTER, "brick": _BRICK, "stone": _STONE, "wood": _WOOD}[material]
    upper = "" if material == "wood" else str(rng.choice(["", "wood", "timber"], p=[0.55, 0.22, 0.23]))
    if upper == "timber" and material != "plaster":
        upper = "plaster"
    return material, _pick(rng, colors), upper, _pick(rng, _WOOD if upper == "wood" else _PLASTER)


def draw_style(rng: np.random.Generator, kind: str, flat: bool, sign: str, season: str) -> Style:
    """The style of one building; the season changes nothing that is drawn at random."""
    material, wall, upper, upper_rgb = _walls(rng, kind)
    roof = str(rng.choice(["tile", "slate", "metal"], p=[0.2, 0.3, 0.5] if kind == "barn" else [0.73, 0.22, 0.05]))
    roof = "gravel" if flat else roof
    shutters = rng.random() < 0.55 and kind == "house"
    window = (float(rng.uniform(0.85, 1.25)), float(rng.uniform(1.1, 1.5)))
    return Style(
        material=material,
        wall_rgb=wall,
        upper_material=upper,
        upper_rgb=upper_rgb,
        upper_from_m=float(rng.uniform(2.7, 3.2)),
        plinth_m=float(rng.uniform(0.3, 0.8)) if rng.random() < 0.7 else 0.0,
        plinth_rgb=_pick(rng, _STONE) * rng.uniform(0.75, 1.0),
        timber_rgb=_pick(rng, [(84, 60, 44), (62, 48, 40), (112, 62, 48)]),
        trim_rgb=_pick(rng, [(214, 208, 194), (182, 172, 152), (160, 140, 118)]),
        frame_rgb=_pick(rng, [(232, 230, 224), (236, 234, 230), (112, 82, 58), (92, 96, 98)]),
        shutter_rgb=_pick(rng, _PAINT) if shutters else None,
        door_rgb=_pick(rng, _PAINT),
        quoins=bool(rng.random() < 0.2),
        window_m=window,
        panes=(int(rng.integers(1, 3)), int(rng.integers(1, 4))),
        window_step_m=float(rng.uniform(2.0, 3.1)),
        flower_boxes=float(rng.choice([0.0, 0.0, 0.7])) * (season == "summer"),
        age=float(rng.uniform(0.1, 1.0)),
        ivy=0.16 if kind == "house" else 0.05,
        ivy_rgb=_LEAVES[season],
        roof=roof,
        roof_rgb=_pick(
            rng,
            {"tile": _TILE, "slate": _SLATE, "metal": _METAL, "gravel": [(150, 146, 138), (120, 118, 112)]}[roof],
            6.0,
        ),
        tile_m=(float(rng.uniform(0.2, 0.32)), float(rng.uniform(0.26, 0.38))),
        moss=float(rng.uniform(0.0, 1.0) ** 1.5),
        has_roof_windows=kind == "house",
        sign=sign,
        season=season,
    )
