"""Geodesy against PROJ, and the directions that cameras look in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.geometry.geodesy import camera_rotations, ecef_from_geodetic, geodetic_from_ecef, ned_axes


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(-400, 20_000))
def test_there_and_back(lon: float, lat: float, height: float) -> None:
    back_3 = geodetic_from_ecef(ecef_from_geodetic(np.array([lon, lat, height])))
    assert np.allclose(back_3[1:], [lat, height], atol=1e-6)
    if abs(lat) < 89.9:
        assert np.allclose((back_3[0] - lon + 180) % 360, 180, atol=1e-6)


def test_it_is_what_proj_says() -> None:
    pyproj = pytest.importorskip("pyproj")
    to_ecef = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    rng = np.random.default_rng(0)
    lonlath_n3 = np.stack([rng.uniform(-180, 180, 50), rng.uniform(-89, 89, 50), rng.uniform(-100, 9000, 50)], 1)
    expected_n3 = np.stack(to_ecef.transform(*lonlath_n3.T), 1)
    assert np.allclose(ecef_from_geodetic(lonlath_n3), expected_n3, atol=1e-6)
    assert np.allclose(geodetic_from_ecef(expected_n3), lonlath_n3, atol=1e-8)


def test_axes_point_where_they_say() -> None:
    place_3 = np.array([7.07, 46.37, 1500.0])
    north_3, east_3, down_3 = ned_axes(place_3[:2]).T
    moved = {
        "north": ecef_from_geodetic(place_3 + np.array([0, 1e-6, 0])),
        "east": ecef_from_geodetic(place_3 + np.array([1e-6, 0, 0])),
        "down": ecef_from_geodetic(place_3 - np.array([0, 0, 0.1])),
    }
    here_3 = ecef_from_geodetic(place_3)
    for axis_3, there_3 in zip((north_3, east_3, down_3), moved.values(), strict=True):
        way_3 = there_3 - here_3
        assert axis_3 @ way_3 / np.linalg.norm(way_3) == pytest.approx(1, abs=1e-6)


def test_axes_of_many_places_are_those_of_each() -> None:
    lonlat = np.random.default_rng(0).uniform(-80, 80, (2, 3, 2))
    axes = ned_axes(lonlat)
    assert axes.shape == (2, 3, 3, 3)
    for i in np.ndindex(2, 3):
        assert np.array_equal(axes[i], ned_axes(lonlat[i]))


@pytest.mark.parametrize(
    "yaw, pitch, roll, ahead, right",
    [(0, 0, 0, "north", "east"), (90, 0, 0, "east", "south"), (0, -90, 0, "down", "east"), (0, 0, 90, "north", "down")],
)
def test_cameras_look_where_their_angles_say(yaw: float, pitch: float, roll: float, ahead: str, right: str) -> None:
    axes_33 = ned_axes(np.array([7.0, 46.0]))
    named = {"north": axes_33[:, 0], "east": axes_33[:, 1], "down": axes_33[:, 2], "south": -axes_33[:, 0]}
    R_33 = camera_rotations(np.array([7.0, 46.0]), np.array([yaw, pitch, roll]))
    assert np.allclose(R_33[:, 2], named[ahead], atol=1e-12)
    assert np.allclose(R_33[:, 0], named[right], atol=1e-12)
    assert np.linalg.det(R_33) == pytest.approx(1)
