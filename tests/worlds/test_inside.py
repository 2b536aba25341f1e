"""Where one stands in a model, and which views suit it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.worlds.rooms import HIGH_M, house, world_of
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.worlds.inside import floors_below, inside_rooms, rooms
from transpose.worlds.renderer import Renderer
from transpose.worlds.suiting_views import suiting_views
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck
from transpose.worlds.world import World, vertex_colored_world


def plane_world(side_m: float) -> World:
    """Flat ground with a hollow house of a tenth of its side."""
    s, h = side_m / 2, side_m / 20
    vertices = np.array(
        [[-s, -s, 0], [s, -s, 0], [s, s, 0], [-s, s, 0], [-h, -h, h], [h, -h, h], [h, h, h], [-h, h, h]]
    )
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    return vertex_colored_world("ground", vertices, faces, np.full((8, 3), 99))


def test_floors_lie_under_ceilings_and_not_on_or_under_tables() -> None:
    renderer = Renderer(world_of(house()))
    beside, at_table = np.array([[1.0, 1.0]]), np.array([[3.0, 2.5]])
    floors = floors_below(renderer, beside)
    assert np.allclose(floors.height_nk[floors.covered_nk], [0.0], atol=1e-4)
    under = floors_below(renderer, at_table)
    assert not np.isclose(under.height_nk, 0.0, atol=0.1).any()  # 0.7 m of headroom are none


@pytest.mark.parametrize("lift_m", [0.0, -40.0])
def test_storeys(lift_m: float) -> None:
    covered, levels_m = rooms(Renderer(world_of(house(2, lift_m=lift_m))))
    assert covered and np.allclose(levels_m, [lift_m, lift_m + HIGH_M + 0.2], atol=0.01)


@pytest.mark.parametrize(("storeys", "ceiling"), [(1, True), (1, False), (2, True)])
def test_cameras_stand_at_eye_height_in_the_rooms(storeys: int, ceiling: bool) -> None:
    world = world_of(house(storeys, ceiling))
    ranges = HypercubeRanges((1.2, 1.8), (0, 360), (-20, 10), (-5, 5), 0.02)
    camera = Camera.from_focal(60, 80, 60)
    views = inside_rooms(Renderer(world), camera, 24, 0, ranges, ViewCheck())
    height_n = np.array([view.pose.center[2] for view in views])
    over_n = np.min(np.abs(height_n[:, None] - 1.5 - (HIGH_M + 0.2) * np.arange(storeys)), axis=1)
    assert over_n.max() <= 0.31
    assert storeys == 1 or 0.2 < (height_n > HIGH_M).mean() < 0.8
    again = inside_rooms(Renderer(world), camera, 24, 0, ranges, ViewCheck())
    assert all(np.array_equal(a.pose.T_wc, b.pose.T_wc) for a, b in zip(views, again, strict=True))


def test_a_model_without_a_floor_is_refused() -> None:
    wall = vertex_colored_world(
        "wall", np.array([[0, 0, 0], [9, 0, 0], [9, 0, 9.0]]), np.array([[0, 1, 2]]), np.zeros((3, 3))
    )
    with pytest.raises(TransposeError, match="no floor"):
        inside_rooms(Renderer(wall), Camera.from_focal(60, 80, 60), 4, 0, HypercubeRanges((1, 2)), ViewCheck())


@pytest.mark.parametrize(
    ("world", "setting", "word"),
    [
        (world_of(house()), "indoor", "ceiling above it"),
        (world_of(house(2)), "indoor", "2 storeys"),
        (world_of(house(ceiling=False)), "indoor", "without a ceiling"),
        (plane_world(100.0), "aerial", "open to the sky"),
        (plane_world(3000.0), "aerial", "open to the sky"),
    ],
)
def test_rooms_are_stood_in_and_land_is_flown_over(world: World, setting: str, word: str) -> None:
    suiting = suiting_views(Renderer(world))
    assert suiting.setting == setting and word in suiting.because


def test_heights_of_a_flight_follow_the_size() -> None:
    flags = suiting_views(Renderer(plane_world(100.0))).flags
    assert flags[flags.index("--above") + 1 :][:2] == ("30", "60")
    flags = suiting_views(Renderer(plane_world(3000.0))).flags
    assert flags[flags.index("--above") + 1 :][:2] == ("30", "100")


def test_fields_around_are_not_flown_over() -> None:
    town, rng = plane_world(1000.0), np.random.default_rng(0)
    houses = rng.uniform(-100, 100, (2000, 3)) * [1, 1, 0.05]
    corners = (houses[:, None] + rng.uniform(0, 3, (1, 3, 3))).reshape(-1, 3)
    faces = np.concatenate([town.faces_f3, 8 + np.arange(6000).reshape(-1, 3)])
    world = vertex_colored_world("town", np.concatenate([town.vertices_v3, corners]), faces, np.full((6008, 3), 99))
    suiting = suiting_views(Renderer(world))
    margin = float(suiting.flags[suiting.flags.index("--margin") + 1])
    assert 0.3 < margin <= 0.4 and "its detail is in the middle" in suiting.because


@pytest.mark.parametrize("world", [plane_world(100.0), world_of(house())])
def test_the_camera_is_nobody_s(world: World) -> None:
    assert "--any-camera" in suiting_views(Renderer(world)).flags


def test_what_is_said_counts() -> None:
    assert suiting_views(Renderer(plane_world(100.0)), "indoor").setting == "indoor"
    assert suiting_views(Renderer(world_of(house())), "aerial").setting == "aerial"
