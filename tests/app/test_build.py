"""`transpose build` from files to a world that a person can check."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.quarters import COLORS, assert_quarters, picture, write_obj
from transpose.app.cli import main
from transpose.scenes import files
from transpose.worlds.world import load_world


def scan(folder: Path, name: str = "m.obj") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_obj(folder / name)
    (folder / "m.mtl").write_text("newmtl mat\nmap_Kd tex.png\n")
    picture().save(folder / "tex.png")
    return folder / name


def test_a_build_ends_with_its_facts_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w"
    assert main(["build", "mesh", str(scan(tmp_path / "scan")), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    last = said.err.strip().splitlines()[-1]
    for words in (
        "extent 2 x 2 x 0 m",
        "up z of the file (assumed",
        "1 texture",
        "100 % of the faces coloured",
        "no map",
    ):
        assert words in last
    above = files.read_image(out / "preview.png")[:, :480].astype(int)
    seen = np.array([above[360, 120], above[360, 360], above[120, 120], above[120, 360]])
    assert np.abs(seen - COLORS).max() < 9


def test_place_axis_and_unit_can_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w"
    words = ["--unit", "cm", "--up", "-z", "--origin", "576663", "5188164", "12.5", "--crs", "EPSG:32615"]
    assert main(["build", "mesh", str(scan(tmp_path / "scan")), "--out", str(out), *words]) == 0
    world = load_world(out)
    assert np.allclose(np.ptp(world.vertices_v3, axis=0), [0.02, 0.02, 0])
    assert world.origin_3.tolist() == [576663, 5188164, 12.5]
    assert "map EPSG:32615, origin 576663 5188164 12 from --origin" in capsys.readouterr().err
    assert json.loads((out / "world.json").read_text())["facts"]["up"] == "-z"


@pytest.mark.parametrize("command", ["odm", "mesh"])
def test_an_opendronemap_project_by_either_command(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project, out = tmp_path / "park", tmp_path / "w"
    scan(project / "odm_texturing", "odm_textured_model_geo.obj")
    (project / "odm_georeferencing").mkdir()
    (project / "odm_georeferencing" / "coords.txt").write_text("WGS84 UTM 15N\n576663 5188164\n")
    assert main(["build", command, str(project), "--out", str(out)]) == 0
    world = load_world(out)
    assert_quarters(world)
    assert world.origin_3.tolist() == [576663, 5188164, 0]
    assert "map EPSG:32615, origin 576663 5188164 0 from coords.txt" in capsys.readouterr().err


@pytest.mark.parametrize("lost", ["tex.png", "m.mtl"])
def test_a_refusal_is_one_line_and_leaves_nothing(
    tmp_path: Path, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scan(tmp_path / "scan")
    (path.parent / lost).unlink()
    assert main(["build", "mesh", str(path), "--out", str(tmp_path / "w")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert lost in said.err
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("words", [["--unit", "furlong"], ["--crs", "EPSG:4326"], ["--crs", "nowhere"]])
def test_wrong_words_are_refused(tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyproj")
    path = scan(tmp_path / "scan")
    assert main(["build", "mesh", str(path), "--out", str(tmp_path / "w"), *words]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "w").exists()


def test_a_folder_of_meshes_is_no_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan(tmp_path / "scan")
    assert main(["build", "mesh", str(tmp_path / "scan"), "--out", str(tmp_path / "w")]) == 1
    assert "is a folder; name the mesh in it: m.obj" in capsys.readouterr().err
