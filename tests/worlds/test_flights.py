from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.conftest import SHARED
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.scenes.writer import is_stem
from transpose.worlds.flights import read_flight
from transpose.worlds.georeference import Geodesist
from transpose.worlds.world import World, vertex_colored_world

pyproj = pytest.importorskip("pyproj", reason="the extra geo is not installed")
CAMERA = Camera.from_focal(480.0, 720, 480)
LONGITUDE, LATITUDE, HEIGHT = 7.071, 46.3765, 1600.0


def world_with(crs: str | None) -> World:
    corners = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]])
    return vertex_colored_world("w", corners, np.array([[0, 1, 2]]), np.zeros((3, 3)), facts={"crs": crs})


SWISS = world_with("EPSG:2056")


def ecef_pose_by_the_book(lon: float, lat: float, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """R_wc in ECEF as TOPO-DataGen has it: north-east-down by Rz(lon) Ry(-lat - pi/2), body by Rz Ry Rx."""

    def rx(a: float) -> np.ndarray:
        return np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])

    def ry(a: float) -> np.ndarray:
        return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])

    def rz(a: float) -> np.ndarray:
        return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])

    lon, lat, yaw, pitch, roll = np.radians([lon, lat, yaw, pitch, roll])
    body = rz(lon) @ ry(-lat - np.pi / 2) @ rz(yaw) @ ry(pitch) @ rx(roll)
    return body[:, [1, 2, 0]]


@pytest.mark.parametrize("angles", [(0, 0, 0), (90, -30, 0), (215, -64, 12), (359, -89, -15)])
def test_poses_in_ecef_look_at_the_same_points(tmp_path: Path, angles: tuple[float, float, float]) -> None:
    to_ecef = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    center = np.array(to_ecef.transform(LONGITUDE, LATITUDE, HEIGHT))
    np.save(tmp_path / "f_poses.npy", [[*center, *angles]])
    (view,) = read_flight(tmp_path / "f_poses.npy", SWISS, CAMERA)
    # Points ahead of the camera, once by ECEF and once by the map.
    points = np.array([[0, 0, 200.0], [60, 0, 200], [0, -40, 200]])
    R_ecef = ecef_pose_by_the_book(LONGITUDE, LATITUDE, *angles)
    geodesist = Geodesist("EPSG:2056")
    by_ecef = geodesist.from_geographic(geodesist.ecef_to_geographic(center + points @ R_ecef.T))
    by_map = view.pose.center + points @ view.pose.R_wc.T
    # The map's scale and the curve of the earth are within centimetres here.
    assert np.abs(by_ecef - by_map).max() < 0.05


def test_tables_in_degrees_and_in_the_map(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(
        f"Name,Longitude,Latitude,Height,Yaw,Pitch,Roll\na,{LONGITUDE},{LATITUDE},{HEIGHT},90,-45,0\n"
    )
    (view,) = read_flight(tmp_path / "d.csv", SWISS, CAMERA, geoid_m=50.0)
    assert view.stem == "a"
    expected = Geodesist("EPSG:2056").from_geographic(np.array([[LONGITUDE, LATITUDE, HEIGHT - 50]]))[0]
    assert np.allclose(view.pose.center, expected)
    x, y, z = expected
    (tmp_path / "m.csv").write_text(f"x,y,z,yaw,pitch,roll\n{x},{y},{z},0,-90,0\n")
    (down,) = read_flight(tmp_path / "m.csv", world_with(None), CAMERA)
    assert down.stem is None
    assert np.allclose(down.pose.center, expected)
    assert np.allclose(down.pose.R_wc[:, 2], [0, 0, -1])
    with pytest.raises(TransposeError, match=r"m\.csv has x, y, z .* --geoid"):
        read_flight(tmp_path / "m.csv", SWISS, CAMERA, geoid_m=50.0)


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_tables_of_other_programs(tmp_path: Path, delimiter: str, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        ["Lat", "Lon", "Alt", "Roll", "Yaw", "Pitch"],
        [str(LATITUDE), str(LONGITUDE), "1600.5", "0", "90", "-45,0"],
    ]
    if delimiter != ",":  # with decimal commas, as spreadsheets of half of Europe write them
        rows[1] = [cell.replace(".", ",") for cell in rows[1]]
    else:
        rows[1][-1] = "-45"
    text = "sep=;\n" if delimiter == ";" else ""
    (tmp_path / "f.csv").write_bytes(("\ufeff" + text + "\r\n".join(delimiter.join(row) for row in rows)).encode())
    (view,) = read_flight(tmp_path / "f.csv", SWISS, CAMERA)
    expected = Geodesist("EPSG:2056").from_geographic(np.array([[LONGITUDE, LATITUDE, 1600.5]]))[0]
    assert np.allclose(view.pose.center, expected, atol=1e-6)
    assert np.degrees(np.arcsin(view.pose.R_wc[2, 2])) == pytest.approx(-45)
    assert "alt is taken for the height" in caplog.text


def drone_photo(path: Path, xmp: str | None, gps: bool = True) -> Path:
    image = Image.new("RGB", (64, 48))
    exif = Image.Exif()
    if gps:
        rational = TiffImagePlugin.IFDRational
        parts = {1: "N", 2: (46, 22, rational(3540, 100)), 3: "E", 4: (7, 4, rational(1560, 100)), 5: 0, 6: 1612.3}
        exif.get_ifd(0x8825).update(parts)
    image.save(path, exif=exif, **({"xmp": xmp.encode()} if xmp else {}))
    return path


XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description drone-dji:AbsoluteAltitude="+1612.34"
 drone-dji:GimbalRollDegree="+0.00" drone-dji:GimbalYawDegree="-136.80" drone-dji:GimbalPitchDegree="-26.50"
 drone-dji:FlightYawDegree="10.0"/></x:xmpmeta>"""


def test_drone_photos_say_where_they_were_taken(tmp_path: Path) -> None:
    drone_photo(tmp_path / "DJI_0001.JPG", XMP)
    drone_photo(tmp_path / "DJI_0002.jpg", XMP.replace("-26.50", "-90.00"))
    first, second = read_flight(tmp_path, SWISS, CAMERA)
    assert (first.stem, second.stem) == ("DJI_0001", "DJI_0002")
    place = Geodesist("EPSG:2056").from_geographic(
        np.array([[7 + 4 / 60 + 15.6 / 3600, 46 + 22 / 60 + 35.4 / 3600, 1612.34]])
    )
    assert np.allclose(first.pose.center, place[0], atol=1e-3)
    assert np.degrees(np.arcsin(first.pose.R_wc[2, 2])) == pytest.approx(-26.5)
    assert second.pose.R_wc[2, 2] == pytest.approx(-1)


def test_bad_flights_are_refused(tmp_path: Path) -> None:
    def fails(path: Path, match: str, world: World = SWISS) -> None:
        with pytest.raises(TransposeError, match=match):
            read_flight(path, world, CAMERA)

    fails(tmp_path / "missing.npy", "does not exist")
    (tmp_path / "f.txt").write_text("1")
    fails(tmp_path / "f.txt", "no flight")
    (tmp_path / "empty.npy").write_bytes(b"")
    fails(tmp_path / "empty.npy", "cannot be read")
    np.save(tmp_path / "shape.npy", np.zeros((3, 7)))
    fails(tmp_path / "shape.npy", r"\(3, 7\)")
    np.save(tmp_path / "local.npy", np.zeros((3, 6)))
    fails(tmp_path / "local.npy", "not on the earth")
    (tmp_path / "c.csv").write_text("longitude,latitude,height,yaw\n7,46,1,0\n")
    fails(tmp_path / "c.csv", "lacks the columns pitch, roll")
    (tmp_path / "n.csv").write_text("x,y,z,yaw,pitch,roll\n1,2,,0,0,0\n")
    fails(tmp_path / "n.csv", "line 2")
    (tmp_path / "p.csv").write_text("longitude,latitude,height,yaw,pitch,roll\n2570000,1135000,1,0,0,0\n")
    fails(tmp_path / "p.csv", "degrees")
    (tmp_path / "h.csv").write_text("longitude,latitude,height,yaw,pitch,roll\n")
    fails(tmp_path / "h.csv", "no rows")
    (tmp_path / "ok.csv").write_text("longitude,latitude,height,yaw,pitch,roll\n7,46,1,0,0,0\n")
    fails(tmp_path / "ok.csv", "no coordinate reference", world_with(None))
    (tmp_path / "twice.csv").write_text("x,y,z,yaw,pitch,roll,name\n1,2,3,0,0,0,a\n1,2,3,0,0,0,a\n")
    fails(tmp_path / "twice.csv", "twice")
    fails(drone_photo(tmp_path / "nogps.jpg", XMP, gps=False), "no GPS")
    fails(drone_photo(tmp_path / "noxmp.jpg", None), "no gimbal")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    fails(tmp_path / "broken.jpg", "not a readable image")
    (tmp_path / "none").mkdir()
    fails(tmp_path / "none", "no JPEG")


def test_the_real_flights_are_over_comballaz() -> None:
    path = SHARED / "swiss" / "presets" / "comballaz-2020-11-06-piloted_poses.npy"
    if not path.is_file():
        pytest.skip(f"the Swiss presets are not at {path}")
    centers = np.array([v.pose.center for v in read_flight(path, SWISS, CAMERA)])
    assert len(centers) == 798
    assert 2_568_000 < centers[:, 0].min() < centers[:, 0].max() < 2_576_000
    assert 1_132_000 < centers[:, 1].min() < centers[:, 1].max() < 1_139_000


@pytest.mark.parametrize("name", ["../../evil", "/etc/cron.d/evil", "", " ", ".hidden", "..", "a\0b", "x" * 300])
def test_names_of_views_lead_nowhere(tmp_path: Path, name: str) -> None:
    """Folders become part of a name; what is left is no path, or refused."""
    path = tmp_path / "flight.csv"
    path.write_text(f"x,y,z,yaw,pitch,roll,name\n0,0,8,10,-80,0,plain\n0,0,8,10,-80,0,{name}\n", encoding="utf-8")
    try:
        stem = read_flight(path, SWISS, CAMERA)[1].stem
    except TransposeError as error:
        assert str(path) in str(error)
    else:
        assert stem is not None and is_stem(stem) and "evil" in stem and "/" not in stem


def test_views_are_called_as_photos_are(tmp_path: Path) -> None:
    path = tmp_path / "flight.csv"
    rows = "".join(f"0,0,8,10,-80,0,{name}\n" for name in ("a/DJI_1.JPG", "b\\DJI_1.JPG", "frame.0001", "v1.5 east"))
    path.write_text(f"x,y,z,yaw,pitch,roll,name\n{rows}", encoding="utf-8")
    stems = [view.stem for view in read_flight(path, SWISS, CAMERA)]
    assert stems == ["a-DJI_1", "b-DJI_1", "frame.0001", "v1.5 east"]
