"""Folders that hold what this program never wrote are not replaced: whoever forgets a name loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.app import miniatures
from tests.scenes.raw_7scenes import write_raw
from tests.worlds.test_winding import sheet
from transpose.app.cli import main
from transpose.storage import read_json, write_json
from transpose.worlds.mesh import read_mesh
from transpose.worlds.world import save_world

VIEWS = ("--views", "2", "--size", "64", "48", "--focal", "50", "--processes", "1")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said; the folder stays as it is."""
    before = contents(folder)
    assert main(words) == 1 and contents(folder) == before
    told = capsys.readouterr().err
    assert "would be replaced with all that is in it" in told
    return told


def test_a_world_is_not_built_over_its_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mesh = miniatures.mesh(tmp_path / "house" / "house.ply")
    assert "holds house.ply, which is no part of a world" in refused(
        ["build", "mesh", str(mesh), "--out", str(mesh.parent)], mesh.parent, capsys
    )
    assert main(["build", "mesh", str(mesh), "--out", str(tmp_path / "worlds" / "house")]) == 0
    refused(["build", "mesh", str(mesh), "--out", str(tmp_path / "worlds")], tmp_path / "worlds", capsys)
    assert main(["build", "mesh", str(mesh), "--out", str(tmp_path / "worlds" / "house")]) == 0  # again
    (tmp_path / "worlds" / "house" / "notes.txt").write_text("mine")
    refused(["build", "mesh", str(mesh), "--out", str(tmp_path / "worlds" / "house")], tmp_path / "worlds", capsys)


def test_a_section_takes_the_place_of_a_section_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet(turned=False).export(tmp_path / "sheet.ply")
    world = save_world(read_mesh(tmp_path / "sheet.ply"), tmp_path / "world")
    scene = tmp_path / "scenes" / "kitchen"
    render = ["render", str(world), *VIEWS, "--out"]
    assert main([*render, str(scene / "train")]) == 0
    told = refused([*render, str(scene)], scene, capsys)  # the section was forgotten
    assert "scene.json" in told and "no part of a section that was set up or rendered" in told
    assert main([*render, str(scene / "train"), "--seed", "1"]) == 0
    # A section of an earlier version, which the scene alone knows, and one that somebody made by hand.
    (scene / "train" / "section.json").rename(tmp_path / "section.json")
    known = read_json(scene / "scene.json")
    del known["sections"]["train"]["format"]
    write_json(scene / "scene.json", known)
    assert main([*render, str(scene / "train"), "--seed", "2"]) == 0
    (scene / "train" / "section.json").unlink()
    (scene / "scene.json").unlink()
    refused([*render, str(scene / "train"), "--seed", "3"], scene, capsys)


def test_a_set_up_does_not_replace_its_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_raw(tmp_path / "raw", {"seq-01": ["frame-000000", "frame-000001"]})
    (source / "train").mkdir()
    (source / "train" / "mine.png").write_bytes(b"1")
    refused(["setup", "7scenes", "--source", str(source), "--out", str(source)], source, capsys)
    lego = tmp_path / "lego"
    (lego / "train").mkdir(parents=True)
    photos = miniatures.pictures(lego / "train", 2)
    frames = [
        {"file_path": f"train/{k}.jpg", "transform_matrix": [[1, 0, 0, k], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}
        for k in range(2)
    ]
    (lego / "transforms_train.json").write_text(json.dumps({"camera_angle_x": 0.9, "frames": frames}))
    (photos / "0_depth.png").write_bytes(b"2")
    refused(["setup", "nerfstudio", "--source", str(lego), "--out", str(lego), "--metric"], lego, capsys)
