"""Viewpoints: how cameras are held."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.geometry.turning import turn
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import (
    HypercubeRanges,
    ViewCheck,
    Viewpoint,
    accepted_views,
    north_up,
    rotation_from_angles,
    survey_flight,
)
from transpose.worlds.world import World, vertex_colored_world

CAMERA = Camera.from_focal(90.0, 128, 96)


@settings(max_examples=30)
@given(st.floats(0, 360), st.floats(-90, -30), st.floats(-15, 15))
def test_north_up_is_one_of_four_quarters_and_whichever_way_a_camera_is_held(
    yaw: float, pitch: float, roll: float
) -> None:
    held = Viewpoint(CAMERA, Pose(compose(rotation_from_angles(yaw, pitch, roll), np.array([3.0, 4.0, 50.0]))), "a")
    found = north_up(held)
    assert (found.stem, found.camera) == (held.stem, held.camera)
    turned = [held.pose.T_wc @ turn(quarters) for quarters in range(4)]
    assert min(np.abs(found.pose.T_wc - each).max() for each in turned) < 1e-12
    up_y = [-(each[1, 1]) for each in turned]
    assert -found.pose.R_wc[1, 1] == pytest.approx(max(up_y))
    other_way = north_up(Viewpoint(CAMERA, Pose(turned[1])))
    if sorted(up_y)[-1] - sorted(up_y)[-2] > 1e-6:
        np.testing.assert_allclose(other_way.pose.T_wc, found.pose.T_wc, atol=1e-9)
    if pitch < -89:  # straight down, north is up to an eighth of a turn
        assert -found.pose.R_wc[1, 1] > np.cos(np.radians(46))


def floor(height_m: float, hole: bool) -> World:
    """A square of 400 m at a height, perhaps without its middle."""
    side = np.linspace(0, 400, 41)
    x, y = (each.ravel() for each in np.meshgrid(side, side))
    first = (np.arange(40)[:, None] * 41 + np.arange(40)).ravel()
    kept = ~((np.abs(x[first] - 195) < 25) & (np.abs(y[first] - 195) < 25)) | (not hole)
    a = first[kept]
    faces = np.concatenate([np.stack([a, a + 1, a + 42], 1), np.stack([a, a + 42, a + 41], 1)])
    vertices = np.stack([x, y, np.full_like(x, height_m)], 1)
    return vertex_colored_world("floor", vertices, faces, np.full((len(x), 3), 128))


@pytest.mark.parametrize(("height_m", "hole"), [(0.0, False), (450.0, True), (-300.0, True)])
def test_a_flight_keeps_its_height_over_holes_and_reaches_the_end_of_the_area(height_m: float, hole: bool) -> None:
    camera, ranges = Camera.from_focal(480, 640, 480), HypercubeRanges()
    views = survey_flight(Renderer(floor(height_m, hole)), camera, 120, 0, ranges, ViewCheck())
    centers = np.array([view.pose.center for view in views])
    assert len(views) == 120
    assert centers[:, 2].min() > height_m + 29 and centers[:, 2].max() < height_m + 61
    assert centers[:, 1].max() > 300


def test_of_a_round_that_is_a_whole_some_are_taken_evenly() -> None:
    world = floor(0.0, False)
    down = Pose(compose(rotation_from_angles(0, -90, 0), np.array([200.0, 200, 40])))
    blind = Pose(compose(rotation_from_angles(0, 90, 0), np.array([200.0, 200, 40])))
    camera = Camera.from_focal(480, 640, 480)

    def propose(round_: int) -> Iterator[Viewpoint]:
        for k in range(8 * (1 + round_)):
            yield Viewpoint(camera, blind if k == 3 else down, f"{round_}-{k}")

    found = accepted_views(Renderer(world), propose, 8, ViewCheck(), "here", from_start=True)
    assert [view.stem for view in found][::7] == ["1-0", "1-15"] and len(found) == 8
