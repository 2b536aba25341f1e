"""Meshes whose triangles are wound the other way."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.randomness import stream
from transpose.worlds.mesh import read_mesh
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, latin_hypercube
from transpose.worlds.winding import right_way_round
from transpose.worlds.world import World, load_world, save_world


def sheet(turned: bool) -> trimesh.Trimesh:
    x, y = np.meshgrid(np.linspace(0, 100, 21), np.linspace(0, 100, 21), indexing="ij")
    vertices = np.stack([x, y, 3 * np.sin(x / 15) * np.cos(y / 12)], -1).reshape(-1, 3)
    i = np.arange(21 * 21).reshape(21, 21)
    a, b, c, d = i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]
    faces = np.concatenate([np.stack(each, -1).reshape(-1, 3) for each in ((a, b, c), (a, c, d))])
    rgb = stream(0, "sheet").integers(0, 255, (len(vertices), 3)).astype(np.uint8)
    return trimesh.Trimesh(vertices, faces[:, ::-1] if turned else faces, vertex_colors=rgb, process=False)


def test_a_sheet_that_faces_down_is_turned_and_rendered_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    views = []
    for turned in (False, True):
        sheet(turned).export(tmp_path / f"{turned}.ply")
        with caplog.at_level(logging.WARNING):
            world = read_mesh(tmp_path / f"{turned}.ply")
        assert ("wound the other way" in caplog.text) == turned == world.facts.get("faces_turned", False)
        words = ["render", str(save_world(world, tmp_path / f"w{turned}")), "--out", str(tmp_path / f"s{turned}" / "x")]
        assert main([*words, "--views", "2", "--size", "64", "48", "--focal", "50", "--processes", "1"]) == 0
        views.append([path.read_bytes() for path in sorted((tmp_path / f"s{turned}" / "x" / "rgb").iterdir())])
    assert views[0] == views[1]


def test_what_shall_stay_as_it_is_wound_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet(turned=True).export(tmp_path / "ceiling.ply")
    words = ["build", "mesh", str(tmp_path / "ceiling.ply"), "--out"]
    assert main([*words, str(tmp_path / "kept"), "--as-wound"]) == 0
    assert "wound the other way" not in capsys.readouterr().err
    assert main([*words, str(tmp_path / "turned")]) == 0
    kept, turned = (load_world(tmp_path / name) for name in ("kept", "turned"))
    assert "faces_turned" not in kept.facts and np.array_equal(kept.faces_f3[:, ::-1], turned.faces_f3)


def test_closed_bodies_and_rooms_stay_as_they_are(box_world: World) -> None:
    body = trimesh.creation.icosphere()
    for turned in (False, True):
        faces = np.asarray(body.faces, np.int32)
        world = replace(
            box_world,
            vertices_v3=np.asarray(body.vertices, np.float32),
            faces_f3=faces[:, ::-1] if turned else faces,
            vertex_rgb_v3=np.zeros((len(body.vertices), 3), np.uint8),
            corner_uv_f32=np.zeros((len(faces), 3, 2), np.float32),
            face_texture_f=np.full(len(faces), -1, np.int32),
        )
        assert right_way_round(world) is world
    assert right_way_round(box_world) is box_world


def test_views_of_backs_say_so(box_world: World) -> None:
    inside_out = replace(box_world, faces_f3=box_world.faces_f3[:, ::-1])
    camera_ranges = HypercubeRanges((3, 5), (0, 360), (-90, -70), (-5, 5), margin=0.2)
    with pytest.raises(TransposeError, match="show the backs of surfaces"):
        latin_hypercube(Renderer(inside_out), Camera.from_focal(90.0, 128, 96), 3, 0, camera_ranges, ViewCheck())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--focal", "nan"], "--focal needs numbers, not nan"),
        (["--above", "nan", "60"], "--above needs numbers"),
        (["--distortion", "inf", "0"], "--distortion needs numbers"),
        (["--seed", "-1"], "a seed is a whole number from 0 on, not -1"),
        (["--views", "1000000000"], "more than a section can hold"),
        (["--margin", "0.6"], "--margin is a share"),
        (["--pitch", "-120", "-100"], "--pitch goes from -90"),
    ],
)
def test_numbers_that_make_no_sense_are_named(
    box_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    world = save_world(box_world, tmp_path / "world")
    words = ["render", str(world), "--out", str(tmp_path / "scene" / "x"), "--views", "2", "--size", "64", "48"]
    assert main([*words, "--processes", "1", *flags]) == 1
    assert said in capsys.readouterr().err and not (tmp_path / "scene" / "x").exists()


def test_twins_that_show_nothing_are_told(box_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, scene = save_world(box_world, tmp_path / "world"), tmp_path / "scene"
    look = ["--size", "64", "48", "--focal", "50", "--above", "3", "4", "--pitch", "-90", "-80", "--processes", "1"]
    assert main(["render", str(world), "--out", str(scene / "a"), "--views", "2", *look]) == 0
    capsys.readouterr()
    twin = ["render", str(world), "--viewpoints", f"at:{scene / 'a'}", "--processes", "1", "--out"]
    assert main([*twin, str(scene / "b")]) == 0 and "shows anything" not in capsys.readouterr().err
    for path in (scene / "a" / "poses").iterdir():
        pose = np.loadtxt(path)
        pose[:3, 3] += 5e5
        np.savetxt(path, pose)
    assert main([*twin, str(scene / "c")]) == 0
    assert "none of 2 views shows anything of the world" in capsys.readouterr().err
