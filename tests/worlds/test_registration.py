"""Poses from one map in another."""

import logging
from pathlib import Path

import numpy as np
import pytest

from transpose.errors import TransposeError
from transpose.geometry import Pose
from transpose.geometry.poses import compose, exp_so3
from transpose.worlds.registration import to_world_frame
from transpose.worlds.world import WorldMetadata

pytest.importorskip("pyproj", reason="the extra geo is not installed")
HERE = np.array([576715.0, 5188162.0, 200.0])  # UTM 15N


def world(crs: str | None, origin_3: np.ndarray) -> WorldMetadata:
    return WorldMetadata("w", (np.full(3, -50.0), np.full(3, 50.0)), origin_3, {"crs": crs})


def test_the_turn_between_two_maps_is_taken_along() -> None:
    """Two cameras look at one another in either map."""
    pyproj = pytest.importorskip("pyproj")
    to_16 = pyproj.Transformer.from_crs("EPSG:32615", "EPSG:32616", always_xy=True)
    origin_3 = np.array([*to_16.transform(*HERE[:2]), 200.0])
    ahead_3 = np.array([0.6, 0.8, 0.0])
    R_wc = np.stack([[0.8, -0.6, 0], [0, 0, -1], ahead_3], 1)
    poses = [Pose(compose(R_wc, HERE)), Pose(compose(R_wc @ exp_so3(np.array([0, 0.3, 0])), HERE + 40 * ahead_3))]
    a, b = to_world_frame("EPSG:32615", poses, world("EPSG:32616", origin_3), Path("poses.json"))
    way_3 = (b.center - a.center) / np.linalg.norm(b.center - a.center)
    assert np.allclose(way_3, a.R_wc[:, 2], atol=1e-5)
    assert np.degrees(np.arccos(a.R_wc[:, 2] @ ahead_3)) > 3  # the maps differ by degrees here
    assert np.allclose(a.R_wc.T @ b.R_wc, poses[0].R_wc.T @ poses[1].R_wc, atol=1e-6)


def test_the_same_map_changes_nothing_and_other_places_are_refused() -> None:
    poses = [Pose(compose(np.eye(3), HERE))]
    assert to_world_frame("EPSG:32615", poses, world("EPSG:32615", HERE), Path("p"))[0] is poses[0]
    with pytest.raises(TransposeError, match="outside the world"):
        to_world_frame(None, poses, world("EPSG:32615", np.zeros(3)), Path("poses.json"))
    with pytest.raises(TransposeError, match=r"is foot .*UTM.*, its heights in metres as well$") as refused:
        to_world_frame("EPSG:2269", poses, world("EPSG:32615", HERE), Path("poses.json"))
    assert "gdal" not in str(refused.value)  # which is for rasters
    with pytest.raises(TransposeError, match="degrees"):
        to_world_frame("EPSG:4326", poses, world("EPSG:32615", HERE), Path("poses.json"))


def test_odd_places_are_said(caplog: pytest.LogCaptureFixture) -> None:
    over, beside, below = (
        Pose(compose(np.eye(3), HERE + np.array(off))) for off in ((0, 0, 40), (70, 0, 0), (0, 0, -60))
    )
    with caplog.at_level(logging.WARNING):
        to_world_frame("EPSG:32615", [over], world("EPSG:32615", HERE), Path("p"))
        assert not caplog.records
        to_world_frame("EPSG:32615", [over, beside, below], world("EPSG:32615", HERE), Path("p"))
    assert "1 of 3 poses of p are beside the world w" in caplog.text
    assert "1 of 3 poses of p are below the world w" in caplog.text


def test_systems_by_name_and_unknown_ones(caplog: pytest.LogCaptureFixture) -> None:
    poses = [Pose(compose(np.eye(3), HERE))]
    (same,) = to_world_frame("WGS 84 / UTM zone 15N", poses, world("EPSG:32615", HERE), Path("poses.json"))
    assert np.array_equal(same.T_wc, poses[0].T_wc)
    with pytest.raises(TransposeError, match="unknown coordinate reference system"):
        to_world_frame("Middle Earth", poses, world("EPSG:32615", HERE), Path("poses.json"))
    with caplog.at_level(logging.WARNING):
        to_world_frame("EPSG:32615", poses, world(None, HERE), Path("poses.json"))
    assert "names no reference system" in caplog.text
