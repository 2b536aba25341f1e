"""Axes, units and places of meshes: what files beside them say, what a person says, and what is only odd."""

from pathlib import Path

import numpy as np
import pytest

from tests.worlds.quarters import assert_quarters, picture, plane, write_obj
from transpose.errors import TransposeError
from transpose.geometry.reference_systems import system_code
from transpose.worlds.mesh import read_mesh
from transpose.worlds.mesh_frames import MeshFrame, unit_in_metres

ODM = "WGS84 UTM 15N\n576663 5188164\n0.5 0.5 190\n"
METADATA = (
    '<?xml version="1.0" encoding="utf-8"?>\n<ModelMetadata version="1">\n'
    "<SRS>{}</SRS>\n<SRSOrigin>{}</SRSOrigin>\n</ModelMetadata>"
)
PLACE = [576663.0, 5188164.0, 12.5]


def scan(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_obj(folder / "m.obj")
    (folder / "m.mtl").write_text("newmtl mat\nmap_Kd tex.png\n")
    picture().save(folder / "tex.png")
    return folder / "m.obj"


@pytest.mark.parametrize(
    ("name", "text", "z"),
    [
        ("coords.txt", ODM, 0),
        ("odm_georeferencing_model_geo.txt", ODM.rsplit("\n", 2)[0], 0),
        ("../odm_georeferencing/coords.txt", ODM, 0),
        ("metadata.xml", METADATA.format("EPSG:32615", "576663,5188164,12.5"), 12.5),
        ("Metadata.xml", METADATA.format("EPSG:32615+5703", "576663 , 5188164 , 12.5"), 12.5),
        ("../metadata.xml", METADATA.format("EPSG:32615", "576663;5188164;12.5"), 12.5),
        ("offset.txt", "EPSG:32615\n576663 5188164 12.5\n", 12.5),
        ("SHIFT.txt", "EPSG::32615 576663.0 5188164.0 12.5", 12.5),
    ],
)
def test_programs_leave_an_offset_beside_a_mesh(tmp_path: Path, name: str, text: str, z: float) -> None:
    path = scan(tmp_path / "scan")
    (path.parent / name).parent.mkdir(exist_ok=True)
    (path.parent / name).write_text(text)
    world = read_mesh(path)
    assert world.origin_3.tolist() == [*PLACE[:2], z]
    assert world.facts["crs"] == "EPSG:32615"
    assert world.facts["origin_from"] == Path(name).name
    assert_quarters(world)


@pytest.mark.parametrize("place", ["2_densification/3d_mesh", "exports"])
def test_pix4d_leaves_offset_and_projection_apart(tmp_path: Path, place: str) -> None:
    pyproj = pytest.importorskip("pyproj")
    path = scan(tmp_path / "project" / place)
    beside = path.parent if place == "exports" else tmp_path / "project" / "1_initial" / "params"
    beside.mkdir(parents=True, exist_ok=True)
    (beside / "project_offset.xyz").write_text("576663.000 5188164.000 12.500")
    (beside / "project_wkt.prj").write_text(pyproj.CRS("EPSG:32615").to_wkt("WKT1_GDAL"))
    world = read_mesh(path)
    assert world.origin_3.tolist() == PLACE
    assert world.facts["crs"] == "EPSG:32615"


def test_a_mesh_that_is_on_the_map_is_not_moved_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = scan(tmp_path)
    text = [
        "v {:.3f} {:.3f} {:.3f}".format(*np.array(line.split()[1:], float) + PLACE) if line.startswith("v ") else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(text))
    (tmp_path / "metadata.xml").write_text(METADATA.format("EPSG:32615", "576663,5188164,12.5"))
    world = read_mesh(path)
    low, high = (corner + world.origin_3 for corner in world.bounds)
    assert np.allclose((low + high) / 2, PLACE, atol=1e-3)
    assert world.facts["crs"] == "EPSG:32615"
    assert "not added" in caplog.text


def test_what_a_person_says_counts_more(tmp_path: Path) -> None:
    path = scan(tmp_path)
    (tmp_path / "coords.txt").write_text(ODM)
    world = read_mesh(path, MeshFrame(origin_3=(2.6e6, 1.2e6, 400.0), crs="EPSG:2056"))
    assert world.origin_3.tolist() == [2.6e6, 1.2e6, 400]
    assert world.facts["crs"] == "EPSG:2056"
    assert world.facts["origin_from"] == "--origin"


def test_a_plane_that_touches_the_earth_becomes_the_map_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pyproj = pytest.importorskip("pyproj")
    path = scan(tmp_path)
    (tmp_path / "metadata.xml").write_text(METADATA.format("ENU:46.5,6.6", "10,20,30"))
    world = read_mesh(path)
    assert world.origin_3.tolist() == [10, 20, 30]
    to_degrees = pyproj.Transformer.from_crs(world.facts["crs"], "EPSG:4326", always_xy=True)
    assert to_degrees.transform(0, 0) == pytest.approx((6.6, 46.5))
    assert "touches the earth" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metadata.xml", METADATA.format("EPSG:4326", "6.5,46.5,0"), "degrees"),
        ("metadata.xml", METADATA.format("EPSG:32632", "here"), "not three numbers"),
        ("metadata.xml", "<ModelMetadata><SRSOrigin>1,2", "no XML"),
        ("offset.txt", "1 2", "holds 2 numbers"),
    ],
)
def test_broken_offsets_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = scan(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(TransposeError, match=words):
        read_mesh(path)


def test_other_files_of_these_names_say_nothing(tmp_path: Path) -> None:
    path = scan(tmp_path)
    (tmp_path / "coords.txt").write_text("name x y\na 1 2\n")
    (tmp_path / "metadata.xml").write_text("<camera><model>X</model></camera>")
    world = read_mesh(path)
    assert not world.origin_3.any()
    assert world.facts["crs"] is None


@pytest.mark.parametrize(
    ("unit", "metres"), [("mm", 0.001), ("CM", 0.01), ("ft", 0.3048), ("2.5", 2.5), ("inches", 0.0254)]
)
def test_units(tmp_path: Path, unit: str, metres: float) -> None:
    world = read_mesh(scan(tmp_path), MeshFrame(unit_m=unit_in_metres(unit)))
    assert np.allclose(np.ptp(world.vertices_v3, axis=0), [2 * metres, 2 * metres, 0])


@pytest.mark.parametrize("unit", ["furlong", "0", "-1", "inf", "nan"])
def test_units_that_are_none(unit: str) -> None:
    with pytest.raises(TransposeError, match="--unit"):
        unit_in_metres(unit)


@pytest.mark.parametrize("factor", [0.01, 1e5])
def test_odd_sizes_are_warned_of_unless_the_unit_was_said(
    tmp_path: Path, factor: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = scan(tmp_path)
    lines = path.read_text().splitlines()
    vertices = [f"v {' '.join(str(x) for x in row)}" for row in plane()[0] * factor]
    path.write_text("\n".join([line for line in lines if not line.startswith("v ")] + vertices))
    path.write_text("\n".join(vertices + [line for line in lines if not line.startswith("v ")]))
    read_mesh(path)
    assert "--unit" in caplog.text
    caplog.clear()
    read_mesh(path, MeshFrame(unit_m=1.0))
    assert "--unit" not in caplog.text


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("EPSG:32615 (UTM 15N)", "EPSG:32615"),
        ("epsg 2056", "EPSG:2056"),
        ("2056", "EPSG:2056"),
        ("EPSG::32633", "EPSG:32633"),
        ("urn:ogc:def:crs:EPSG::25832", "EPSG:25832"),
        ("EPSG:25832+5783", "EPSG:25832"),
        ("WGS84 UTM 15N", "EPSG:32615"),
        ("WGS 84 / UTM zone 33S", "EPSG:32733"),
        ("+proj=utm +zone=5 +south +datum=WGS84 +units=m +no_defs", "EPSG:32705"),
        ("+proj=utm +zone=5 +ellps=GRS80 +units=m", "+proj=utm +zone=5 +ellps=GRS80 +units=m"),
        ("LV95", "LV95"),
    ],
)
def test_names_of_reference_systems(said: str, code: str) -> None:
    assert system_code(said) == code


@pytest.mark.parametrize("ending", ["ply", "glb"])
def test_coordinates_of_32_bits_far_from_0_are_warned_of(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    trimesh = pytest.importorskip("trimesh")
    vertices, faces = plane()
    for place, is_warned in ((PLACE, True), ([50.0, 60.0, 7.0], False)):
        caplog.clear()
        trimesh.Trimesh(vertices + place, faces, process=False).export(tmp_path / f"m.{ending}")
        read_mesh(tmp_path / f"m.{ending}")
        assert ("steps of 0.5" in caplog.text) == is_warned
