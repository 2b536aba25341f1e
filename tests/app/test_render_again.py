"""`render` again: what is there stays where it is what was asked for, and only there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from transpose.app.cli import main
from transpose.geometry import Pose
from transpose.scenes.facts import SECTION_FILE, read_section_facts
from transpose.scenes.files import read_pose, write_pose
from transpose.scenes.layout import open_section
from transpose.storage import read_json, write_json
from transpose.worlds.world import World, save_world

FREE = ("--above", "2", "3", "--pitch", "-90", "-70", "--margin", "0.2", "--size", "64", "48", "--focal", "50")
Render = Callable[..., bool]


@pytest.fixture
def render(tmp_path: Path, box_world: World, capsys: pytest.CaptureFixture[str]) -> Render:
    """Renders into a section of a scene; says whether that was done already."""
    save_world(box_world, tmp_path / "world")

    def run(section: str, *words: str) -> bool:
        capsys.readouterr()
        out = ["--out", str(tmp_path / "scene" / section), "--processes", "1"]
        assert main(["render", str(tmp_path / "world"), *out, *words]) == 0
        return "rendered already" in capsys.readouterr().err

    return run


def test_a_world_that_was_built_anew_is_rendered_anew(render: Render, tmp_path: Path, box_world: World) -> None:
    """With as many triangles, in other colours."""
    assert not render("sim", "--views", "2", *FREE)
    before = open_section(tmp_path / "scene" / "sim").frames[0].image()
    save_world(box_world, tmp_path / "world")
    assert render("sim", "--views", "2", *FREE)  # the same one
    save_world(replace(box_world, vertex_rgb_v3=255 - box_world.vertex_rgb_v3), tmp_path / "world")
    assert not render("sim", "--views", "2", *FREE)
    assert np.abs(open_section(tmp_path / "scene" / "sim").frames[0].image().astype(int) - before).mean() > 20


@pytest.mark.parametrize("words", [("--viewpoints", "at:{}"), ("--viewpoints", "near:{}", "--views", "2")])
def test_views_follow_the_section_that_they_are_of(render: Render, tmp_path: Path, words: tuple[str, ...]) -> None:
    section = tmp_path / "scene" / "photos"
    render("photos", "--views", "2", *FREE)
    words = tuple(word.format(section) for word in words)
    assert not render("twin", *words)
    image = next(iter(sorted((section / "rgb").iterdir())))
    image.write_bytes(image.read_bytes() + b"\0")  # what photos show is of no matter
    assert render("twin", *words)
    path = next(iter(sorted((section / "poses").iterdir())))
    write_pose(path, Pose(read_pose(path).T_wc + np.eye(4)[:, [0]] * np.array([0, 0, 0, 0.1])))
    assert not render("twin", *words)


def test_views_of_an_earlier_version_are_there(render: Render, tmp_path: Path) -> None:
    """Which did not note what the world held."""
    render("sim", "--views", "2", *FREE)
    file = tmp_path / "scene" / "sim" / SECTION_FILE
    facts = read_json(file)
    del facts["plan"]["contents"]
    write_json(file, facts)
    assert "contents" not in read_section_facts(file.parent).plan
    assert render("sim", "--views", "2", *FREE)
    assert not render("sim", "--views", "3", *FREE)


def test_photos_and_the_section_that_is_followed_are_not_replaced(
    render: Render, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render("sim", "--views", "2", *FREE)
    scene, world = tmp_path / "scene", str(tmp_path / "world")
    facts = read_json(scene / "sim" / SECTION_FILE)
    shutil.copytree(scene / "sim", scene / "photos")
    write_json(scene / "photos" / SECTION_FILE, {**facts, "rendered": False})
    for out, of, said in (
        ("photos", "sim", "holds photos, which renders would replace"),
        ("photos", "photos", "holds photos, which renders would replace"),
        ("sim", "sim", "is the section whose views are followed"),
    ):
        words = ["render", world, "--out", str(scene / out), "--viewpoints", f"at:{scene / of}", "--processes", "1"]
        assert main(words) == 1
        assert said in capsys.readouterr().err
    assert read_json(scene / "sim" / SECTION_FILE) == facts
