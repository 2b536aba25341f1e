"""The plan of a village from its seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.randomness import stream
from transpose.worlds.village.layout import Layout
from transpose.worlds.village.planting import Room, field_hedges, plan_plants, plot_barriers
from transpose.worlds.village.plots import Ground, open_ground, plan_buildings, plan_fields
from transpose.worlds.village.roads import crossing_bridges, mirrored, plan_river, plan_roads


def plan_village(seed: int) -> tuple[Layout, np.ndarray]:
    """The plan, and the open ground as a uint8 mask on `PLAN`."""
    rng = stream(seed, "village", "roads")
    code = int(rng.integers(0, 8))
    centre, square, roads = plan_roads(rng)
    river, river_m = mirrored(plan_river(rng), code), float(rng.uniform(4.5, 6.0))
    roads = [replace(road, line_n2=mirrored(road.line_n2, code)) for road in roads]
    centre, square = mirrored(centre[None], code)[0], mirrored(square, code)
    ground = Ground(roads, river, river_m, square)
    buildings = plan_buildings(seed, ground, roads, centre)
    free = open_ground(ground)
    fields, around = plan_fields(stream(seed, "village", "fields"), free)
    barriers = [barrier for building in buildings for barrier in plot_barriers(seed, building)]
    barriers += field_hedges(stream(seed, "village", "hedges"), fields, free)
    room = Room(roads, buildings, river, river_m, square)
    plants = plan_plants(seed, room, buildings, roads, river, square, free)
    layout = Layout(
        centre,
        square,
        tuple(roads),
        river,
        river_m,
        tuple(crossing_bridges(roads, river, river_m)),
        tuple(buildings),
        tuple(fields),
        tuple(around),
        tuple(barriers),
        tuple(plants),
    )
    return layout, free
