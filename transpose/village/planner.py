"""The plan of a village from its seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from transpose.randomness import stream
from transpose.village.planting import Room, field_hedges, plan_plants, plot_barriers
from transpose.village.plots import Ground, open_ground, plan_buildings, plan_fields
from transpose.village.roads import crossing_bridges, mirrored, plan_river, plan_roads
from transpose.village.site_layout import SiteLayout


def plan_village(seed: int) -> tuple[SiteLayout, np.ndarray]:
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
    layout = SiteLayout(
        centre_2=centre,
        square_k2=square,
        roads=tuple(roads),
        river_n2=river,
        river_width_m=river_m,
        bridges=tuple(crossing_bridges(roads, river, river_m)),
        buildings=tuple(buildings),
        fields=tuple(fields),
        fields_around=tuple(around),
        barriers=tuple(barriers),
        plants=tuple(plants),
    )
    return layout, free
