"""The built-in world of the demo: a procedural village."""

from __future__ import annotations

from typing import Any

import numpy as np

from transpose.randomness import stream
from transpose.village.atlas import Atlas
from transpose.village.barriers import add_barrier, add_bridge
from transpose.village.buildings import Workshop, add_building
from transpose.village.ground_shape import add_terrain, base_height, shape_terrain
from transpose.village.ground_texture import paint_ground
from transpose.village.maps import HALF_M
from transpose.village.materials import SEASONS, kind_table
from transpose.village.noise import NoiseBank
from transpose.village.parts import CLASS_NAMES, MeshBuilder, Texture
from transpose.village.planner import plan_village
from transpose.village.plots import PLAN
from transpose.village.scatter import Yard, plants_on_day, scatter
from transpose.village.surroundings import REACH_M, add_surroundings, paint_surroundings
from transpose.village.tiles import paint_boards, paint_leaves, paint_stone, paint_straw
from transpose.village.vegetation import add_plant
from transpose.worlds.world import World

__all__ = ["SEASONS", "build_village"]

_GROUND_PX = 4096
_WALL_PX_PER_M = 27.0
_ROOF_PX_PER_M = 23.0
_CROWN_PX = 336
_TILE_PX = 512
_SURROUNDINGS_PX = 2048


class _Site:
    """A village under construction: its plan, its ground, the mesh and the atlases."""

    def __init__(self, seed: int, season: str, detail: float) -> None:
        self.seed, self.season, self.detail = seed, season, detail
        self.layout, self.free = plan_village(seed)
        self.terrain = shape_terrain(seed, self.layout)
        self.builder = MeshBuilder()
        self.roofs = Atlas(round(2048 * max(detail, 0.25)))
        self.facades = Atlas(round(4096 * max(detail, 0.25)))
        self.crowns = Atlas(round(4096 * max(detail, 0.25)))

    def add_ground(self) -> np.ndarray:
        """The terrain's mesh and the bridges; returns the ground's picture."""
        size_px = max(256, round(_GROUND_PX * self.detail))
        ground = paint_ground(self.seed, self.layout, self.free, self.season, size_px)
        add_terrain(self.builder, self.terrain, kind_table()[ground.material])
        for bridge in self.layout.bridges:
            add_bridge(self.builder, self.terrain, bridge)
        return ground.image

    def add_buildings(self) -> None:
        """All buildings with their pictures."""
        bank = NoiseBank(stream(self.seed, "village", "noise"))
        walls, roofs = _WALL_PX_PER_M * self.detail, _ROOF_PX_PER_M * self.detail
        shop = Workshop(self.builder, self.roofs, self.facades, bank, self.seed, self.season, walls, roofs)
        for building in self.layout.buildings:
            central = bool(np.linalg.norm(building.centre_2 - self.layout.centre_2) < 42)
            add_building(shop, building, base_height(self.terrain, building) + 0.05, central)

    def add_green_and_things(self, moved: int) -> None:
        """Hedges, fences, plants and all small things of one day."""
        for number, barrier in enumerate(self.layout.barriers):
            add_barrier(self.builder, self.terrain, barrier, self.seed, number)
        crown_px = max(32, round(_CROWN_PX * self.detail))
        for plant in plants_on_day(self.layout.plants, self.seed, moved):
            ground_m = float(self.terrain.height(plant.at_2))
            add_plant(self.builder, self.crowns, plant, ground_m, self.seed, self.season, crown_px)
        yard = Yard(self.builder, self.terrain, self.layout, self.seed, moved)
        scatter(yard, lambda at: bool(PLAN.sample(self.free, at[None])[0]))

    def add_surroundings(self) -> np.ndarray:
        """The hills around; returns their picture."""
        size_px = max(256, round(_SURROUNDINGS_PX * self.detail))
        sheet = paint_surroundings(self.seed, self.layout, self.season, size_px)
        add_surroundings(self.builder, self.terrain, self.layout, self.seed, sheet)
        return sheet.image

    def repeating_textures(self) -> list[np.ndarray]:
        """Leaves, stone, boards and straw, in the order of `Texture`."""

        def rng(name: str) -> np.random.Generator:
            return stream(self.seed, "village", "tile", name)

        leaves = paint_leaves(rng("leaves"), _TILE_PX, self.season)
        return [leaves, *(paint(rng(paint.__name__), _TILE_PX) for paint in (paint_stone, paint_boards, paint_straw))]


def build_village(
    seed: int = 0, season: str = "summer", moved: int = 0, *, detail: float = 1.0, surroundings: bool = False
) -> World:
    """Builds a village of about 220 x 220 m; z is up, x east, y north, metres.

    Args:
        seed: another seed is another village.
        season: "summer", "autumn" or "winter"; changes colours only.
        moved: 0 is the day of the survey; on another day cars, market, laundry and some plants differ, while houses,
            roads and terrain are the same.
        detail: resolution of the textures relative to about 5 cm; below 1 for tests.
        surroundings: adds a coarse ring of hills out to 400 m, so that oblique views do not end at the model's edge;
            the world's bounds grow with it, `facts["area_m"]` does not.

    Raises:
        ValueError: if the season is unknown or the detail is outside (0, 1].
    """
    if season not in SEASONS:
        raise ValueError(f"unknown season {season!r}; have {SEASONS}")
    if not 0 < detail <= 1:
        raise ValueError(f"detail must be in (0, 1], got {detail}")
    site = _Site(seed, season, detail)
    ground = site.add_ground()
    site.add_buildings()
    site.add_green_and_things(moved)
    around = [site.add_surroundings()] if surroundings else []
    atlases = {Texture.ROOFS: site.roofs, Texture.FACADES: site.facades, Texture.CROWNS: site.crowns}
    pictures = [ground, *(atlas.pack() for atlas in atlases.values()), *site.repeating_textures(), *around]
    return World(
        f"village-{seed}-{season}" + (f"-moved{moved}" if moved else ""),
        **site.builder.finish(atlases),
        textures=tuple(np.ascontiguousarray(picture) for picture in pictures),
        class_names=CLASS_NAMES,
        facts=_facts(site, moved, surroundings),
    )


def _facts(site: _Site, moved: int, surroundings: bool) -> dict[str, Any]:
    heights = site.terrain.height_kk
    return {
        "kind": "village",
        "seed": site.seed,
        "season": site.season,
        "moved": moved,
        "simulated": True,
        "licence": "Apache-2.0",
        "area_m": [[-HALF_M, -HALF_M], [HALF_M, HALF_M]],
        "surroundings_m": REACH_M if surroundings else None,
        "square_m": [float(part) for part in site.layout.centre_2],
        "ground_height_range_m": [float(heights.min()), float(heights.max())],
    }
