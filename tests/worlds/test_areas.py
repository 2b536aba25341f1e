import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.surveys import ORIGIN
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.randomness import stream
from transpose.worlds.areas import AREAS, Area, Pace, area_hypercube, random_walk, walk_within
from transpose.worlds.georeference import Geodesist
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck
from transpose.worlds.world import World, vertex_colored_world

pytest.importorskip("pyproj", reason="the extra geo is not installed")
CAMERA = Camera.from_focal(90.0, 128, 96)
CHECK = ViewCheck(min_seen=0.3)


@pytest.fixture(scope="module")
def slope() -> World:
    """A slope of 2 x 2 km in Comballaz, 1 m up for every 10 m east."""
    origin = np.array(
        [*Geodesist("EPSG:2056").from_geographic(np.array([[7.071, 46.3765, 0.0]]))[0, :2].round(), 1400.0]
    )
    xy = np.array([[-1000.0, -1000], [1000, -1000], [1000, 1000], [-1000, 1000]])
    vertices = np.column_stack([xy, xy[:, 0] / 10])
    return vertex_colored_world(
        "slope",
        vertices,
        np.array([[0, 1, 2], [0, 2, 3]]),
        np.full((4, 3), 99),
        origin_3=origin,
        facts={"crs": "EPSG:2056"},
    )


def angles(rotation_33: np.ndarray) -> tuple[float, float]:
    """Yaw on the map and pitch of the camera's axis, degrees."""
    ahead = rotation_33[:, 2]
    return np.degrees(np.arctan2(ahead[0], ahead[1])) % 360, np.degrees(np.arcsin(ahead[2]))


def test_a_hypercube_keeps_to_the_area_and_its_heights(slope: World) -> None:
    area = AREAS["comballaz"]
    views = area_hypercube(Renderer(slope), CAMERA, 60, 0, area, CHECK)
    centers = np.array([v.pose.center for v in views])
    lonlat = Geodesist("EPSG:2056").to_geographic(centers[:, :2])
    for axis, bounds in enumerate((area.longitude, area.latitude)):
        assert bounds[0] <= lonlat[:, axis].min() < lonlat[:, axis].max() <= bounds[1]
        assert np.ptp(lonlat[:, axis]) > 0.9 * (bounds[1] - bounds[0])
    above = centers[:, 2] - (slope.origin_3[2] + (centers[:, 0] - slope.origin_3[0]) / 10)
    assert 100 <= above.min() < 110
    assert 190 < above.max() <= 200
    pitch = np.array([angles(v.pose.R_wc)[1] for v in views])
    assert -90 <= pitch.min() < pitch.max() < -45 + 1e-6


def test_yaw_is_from_true_north(slope: World) -> None:
    north_only = dataclasses.replace(AREAS["comballaz"], yaw_deg=(0.0, 1e-9), roll_deg=(0.0, 1e-9))
    view = area_hypercube(Renderer(slope), CAMERA, 5, 0, north_only, CHECK)[0]
    geodesist = Geodesist("EPSG:2056")
    here = geodesist.to_geographic(view.pose.center[None, :2])[0]
    north = geodesist.from_geographic(np.array([[*(here + [0, 1e-3]), 0.0]]))[0, :2] - view.pose.center[:2]  # noqa: RUF005
    yaw, _ = angles(view.pose.R_wc)
    assert (yaw + 180) % 360 - 180 == pytest.approx(np.degrees(np.arctan2(*north)), abs=1e-3)
    assert abs((yaw + 180) % 360 - 180) > 0.1  # LV95's grid north is elsewhere in the west of Switzerland


def test_ellipsoidal_heights_lose_the_geoid(slope: World) -> None:
    area = dataclasses.replace(AREAS["comballaz"], height_m=(1800.0, 1900.0), over_surface=False)
    centers = np.array(
        [v.pose.center for v in area_hypercube(Renderer(slope), CAMERA, 30, 0, area, CHECK, geoid_m=50.0)]
    )
    assert 1750 <= centers[:, 2].min() < centers[:, 2].max() <= 1850


def test_a_world_elsewhere_or_nowhere_is_refused(slope: World) -> None:
    with pytest.raises(TransposeError, match=r"longitude 7\.07"):
        area_hypercube(Renderer(slope), CAMERA, 5, 0, AREAS["epfl"], CHECK)
    nowhere = dataclasses.replace(slope, facts={"crs": None})
    with pytest.raises(TransposeError, match="no coordinate reference system"):
        area_hypercube(Renderer(nowhere), CAMERA, 5, 0, AREAS["comballaz"], CHECK)


@given(st.integers(0, 10_000), st.integers(2, 200))
def test_walks_stay_within_bounds_and_velocities(seed: int, steps: int) -> None:
    bounds = np.array([[0, 10], [-5, 5], [100, 200], [0, 360], [-90, -30], [-15, 15]], float)
    most = np.array([3, 3, 5, 5, 2, 1.0])
    walk = walk_within(bounds, most, steps, np.random.default_rng(seed))
    assert (walk >= bounds[:, 0] - 1e-9).all()
    assert (walk <= bounds[:, 1] + 1e-9).all()
    step = np.diff(walk, axis=0)
    step[:, 3] = (step[:, 3] + 180) % 360 - 180
    assert (np.abs(step) <= most + 1e-9).all()


@pytest.mark.parametrize("ranges", [AREAS["comballaz"], HypercubeRanges(above_m=(100, 200), pitch_deg=(-90, -45))])
def test_a_walk_is_a_sequence(slope: World, ranges: Area | HypercubeRanges) -> None:
    views = random_walk(Renderer(slope), CAMERA, 50, 0, ranges, CHECK, Pace((10, 10, 5), (5, 2, 1)))
    centers = np.array([v.pose.center for v in views])
    steps = np.linalg.norm(np.diff(centers, axis=0)[:, :2], axis=1)
    assert 0 < steps.mean() < 15
    # Steps are at most the pace, or more where views that see too little were left out.
    assert np.median(steps) <= np.hypot(10, 10) + 0.1
    again = random_walk(Renderer(slope), CAMERA, 50, 0, ranges, CHECK, Pace((10, 10, 5), (5, 2, 1)))
    assert np.array_equal(centers, [v.pose.center for v in again])


def test_a_walk_needs_to_know_where_up_is(slope: World) -> None:
    sideways = dataclasses.replace(slope, up_3=np.array([0.0, -1.0, 0.0]))
    with pytest.raises(TransposeError, match="z axis is up"):
        random_walk(Renderer(sideways), CAMERA, 5, 0, HypercubeRanges(), CHECK)


def test_degrees_and_map_agree_with_known_points() -> None:
    # The old observatory of Bern, the origin of Swiss maps: 2 600 000 / 1 200 000.
    geodesist = Geodesist("EPSG:2056")
    bern = geodesist.from_geographic(np.array([[7.438632, 46.951083, 0.0]]))[0]
    assert np.allclose(bern[:2], [2_600_000, 1_200_000], atol=2)
    rng = stream(0, "places")
    lonlat = np.column_stack([rng.uniform(6.5, 9, 20), rng.uniform(46, 47.5, 20), np.zeros(20)])
    back = geodesist.to_geographic(geodesist.from_geographic(lonlat)[:, :2])
    assert np.allclose(back, lonlat[:, :2], atol=1e-9)
    assert np.allclose(geodesist.from_geographic(np.array([[7.07, 46.37, 55.0]]))[0, 2], 55)
    assert ORIGIN.shape == (3,)
