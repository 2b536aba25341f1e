"""The command line: help, exit codes, and one clear line for bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.scenes.raw_7scenes import write_raw
from transpose import __version__, runs
from transpose.app.cli import main
from transpose.app.command_table import COMMANDS
from transpose.app.services import training
from transpose.evaluation.training_facts import training_facts
from transpose.scenes.facts import read_section_facts
from transpose.worlds.world import World, save_world

ORIGINAL = ["setup-7scenes", "setup-12scenes", "setup-cambridge", "setup-epfl", "setup-comballaz"]
ORIGINAL += ["train-init", "train-e2e", "test-bpnp"]


@pytest.mark.parametrize("words", [["--help"], ["build", "rgbd", "--help"], *([name, "--help"] for name in COMMANDS)])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0
    assert "usage: transpose" in capsys.readouterr().out


def test_help_shows_the_way_of_the_data_first_and_the_original_s_commands_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main([])
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert sorted(shown) == sorted(COMMANDS)
    way = ["up", "demo", "setup", "build", "render", "train", "test", "localize", "serve", "report"]
    assert shown[: len(way)] == way and shown[-len(ORIGINAL) :] == ORIGINAL
    title = lines.index("the original's commands, with its flags:")
    assert lines[title + 1].split()[0] == ORIGINAL[0]
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("words", [["bogus"], ["render"], ["train", "scene", "--steps", "many"], ["test", "--bogus"]])
def test_wrong_usage_exits_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2


def test_help_does_not_import_what_is_heavy() -> None:
    code = (
        "import sys; from transpose.app.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'cv2', 'scipy', 'kornia', 'open3d', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def fails(words: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    assert main([str(word) for word in words]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in printed.err
    return last


def test_bad_input_is_one_line(tmp_path: Path, box_world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world = save_world(box_world, tmp_path / "world")
    source = write_raw(tmp_path / "raw", {"seq-01": ["frame-000000"]})
    (source / "train.txt").write_text("frame-000000\n")
    (source / "test.txt").write_text("frame-000000\n")
    assert main(["setup", "7scenes", "--source", str(source), "--out", str(tmp_path / "scene")]) == 0
    capsys.readouterr()
    scene = tmp_path / "scene"
    (tmp_path / "mesh.ply").write_text("ply\nnot really")
    (tmp_path / "note.txt").write_text("x")
    flight = tmp_path / "flight.csv"
    flight.write_text("x,y,z,yaw,pitch,roll\n0,0,3,0,-90,0\n")
    expected = {
        "is not a folder": ["setup", "7scenes", "--source", tmp_path / "no", "--out", scene],
        "--list needs --section": ["setup", "7scenes", "--source", source, "--out", scene, "--list", tmp_path / "x"],
        "train.txt does not exist from here; name it whole": [
            *("setup", "7scenes", "--source", source, "--out", scene, "--section", "s", "--list", "train.txt"),
        ],
        "not a section folder": ["build", "rgbd", scene / "nope", "--out", tmp_path / "w"],
        "cannot be read as a mesh": ["build", "mesh", tmp_path / "mesh.ply", "--out", tmp_path / "w"],
        "no mesh that can be read": ["build", "mesh", tmp_path / "note.txt", "--out", tmp_path / "w"],
        "is not a world": ["render", tmp_path, "--out", scene / "sim"],
        "transpose build ... --out '": ["render", tmp_path / "no such", "--out", scene / "sim"],
        "is a scene folder; name a section of it: test, train": [
            *("render", world, "--out", scene / "n", "--viewpoints", f"at:{scene}"),
        ],
        "is a section itself, and": ["train", scene / "test", "--sections", "test", "--out", tmp_path / "run"],
        "--viewpoints is lhs": ["render", world, "--out", scene / "sim", "--viewpoints", "sideways"],
        "lhs does not read --offset and --turn; --pace and --turn go with walk": [
            *("render", world, "--out", scene / "n", "--offset", "2", "--turn", "9", "2", "1"),
        ],
        "flight does not read --geoid": [
            *("render", world, "--out", scene / "n", "--viewpoints", "flight", "--geoid", "20"),
        ],
        "near: does not read --size and --above; cameras": [
            *("render", world, "--out", scene / "n", "--viewpoints", f"near:{scene}/a"),
            *("--size", "320", "240", "--above", "3", "4"),
        ],
        "at: does not read --views and --min-seen;": [
            *("render", world, "--out", scene / "n", "--viewpoints", f"at:{scene}/a", "--views", "2"),
            *("--min-seen", "0.9"),
        ],
        "--appearance plain does not read --appearance-strength and --appearance-seed": [
            *("render", world, "--out", scene / "n", "--appearance-strength", "2", "--appearance-seed", "9"),
        ],
        "--appearance-strength is from 0 to 3, not -1": [
            *("render", world, "--out", scene / "n", "--appearance", "photo", "--appearance-strength", "-1"),
        ],
        "at: does not read --offset and --geoid;": [
            *("render", world, "--out", scene / "n", "--viewpoints", f"at:{scene}/a", "--offset", "2"),
            *("--geoid", "20"),
        ],
        "flight:FILE does not read --views and --above and --yaw and --offset; the poses": [
            *("render", world, "--out", scene / "n", "--viewpoints", f"flight:{flight}", "--views", "1"),
            *("--above", "50", "60", "--yaw", "90", "91", "--offset", "3"),
        ],
        "x, y, z in the world's own map, which --geoid does not move": [
            *("render", world, "--out", scene / "n", "--viewpoints", f"flight:{flight}", "--geoid", "20"),
        ],
        "--north-up goes with": ["render", world, "--out", scene / "up", "--viewpoints", "inside", "--north-up"],
        "see enough of the world": ["render", world, "--out", scene / "sim", "--views", 3, "--above", 900, 950],
        "sections here: test, train": ["train", scene, "--sections", "nope", "--out", tmp_path / "run"],
        "too few to keep some out": [
            "train",
            scene,
            "--sections",
            "train",
            "--out",
            tmp_path / "run",
            "--preset",
            "ace",
        ],
        "device cuda:77": [
            "train",
            scene,
            "--sections",
            "train",
            "--val",
            "test",
            "--out",
            tmp_path / "run",
            "--device",
            "cuda:77",
        ],
        "holds no model.pt": ["test", tmp_path / "run", scene, "--section", "test", "--out", tmp_path / "results"],
        "does not exist": ["localize", tmp_path / "run", tmp_path / "photo.jpg"],
        "--focal is a focal length": ["localize", tmp_path / "run", tmp_path / "note.txt", "--focal", -3],
    }
    for words, arguments in expected.items():
        assert words in fails(arguments, capsys)
    assert not (scene / "sim").exists()
    assert not (tmp_path / "w").exists()
    assert not (tmp_path / "results").exists()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0 and capsys.readouterr().out.strip() == f"transpose {__version__}"


def test_doctor_finds_this_installation_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "everything that is needed works" in told
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert all(f"extra {name}" in told for name in extras["optional-dependencies"])


def test_a_full_disk_is_one_line(
    tmp_path: Path, box_world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "mesh.npz")

    monkeypatch.setattr(np, "savez", full)
    mesh = tmp_path / "m.obj"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert "disk is full" in fails(["build", "mesh", mesh, "--out", tmp_path / "w"], capsys)
    assert list(tmp_path.iterdir()) == [mesh]


def cut_off_at_its_first_report(
    words: list[str], run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trains until the machine is wanted back, as a scheduler says it: by SIGTERM."""

    def line(entry: dict[str, float]) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return f"step {entry['step']:.0f}"

    with monkeypatch.context() as patch:
        patch.setattr(training, "training_line", line)
        assert main(words) == 1
    assert "terminated by a signal" in capsys.readouterr().err.splitlines()[-1]
    assert runs.holds_run(run)
    assert 0 < max(entry["step"] for entry in runs.read_log(run)) < 300


def test_a_section_that_somebody_removed_is_rendered_again(
    tmp_path: Path, box_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scene's index names it still."""
    world, out = save_world(box_world, tmp_path / "world"), tmp_path / "scene" / "sim"
    words = ["render", str(world), "--out", str(out), "--views", "3", "--size", "64", "48", "--focal", "50"]
    words += ["--above", "2.2", "3.2", "--pitch", "-90", "-75", "--processes", "1"]
    assert main(words) == 0
    shutil.rmtree(out)
    assert main(words) == 0
    assert "rendered already" not in capsys.readouterr().err
    assert len(list((out / "rgb").iterdir())) == 3


def test_renders_know_whether_photos_come_from_their_camera(
    tmp_path: Path, box_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world, scene = save_world(box_world, tmp_path / "world"), tmp_path / "scene"
    look = ["--views", "2", "--above", "2.2", "3.2", "--pitch", "-90", "-75", "--size", "64", "48", "--processes", "1"]

    def assumed(name: str, *words: str) -> bool:
        assert main(["render", str(world), "--out", str(scene / name), *look, *words]) == 0
        (index,) = [json.loads((scene / "scene.json").read_text())["sections"][name]]
        facts = read_section_facts(scene / name)
        assert index["camera_assumed"] == facts.camera_assumed
        return facts.camera_assumed

    assert not assumed("said", "--focal", "50") and assumed("any", "--focal", "50", "--any-camera")
    before = (scene / "any" / "rgb" / "view-000000.jpg").stat().st_mtime_ns
    assert not assumed("any", "--focal", "50")  # said afterwards: noted, not rendered again
    assert (scene / "any" / "rgb" / "view-000000.jpg").stat().st_mtime_ns == before
    assert assumed("unsaid", "--min-seen", "0.05")
    look = ["--processes", "1", "--views", "2"]
    assert not assumed("near", "--viewpoints", f"near:{scene / 'said'}", "--min-seen", "0.05")
    look = look[:2]
    assert assumed("near_unsaid", "--viewpoints", f"at:{scene / 'unsaid'}")
    look = ["--views", "2", "--above", "2.2", "3.2", "--pitch", "-90", "-75", "--processes", "1"]
    assert not assumed("like", "--like", str(scene / "said")) and assumed(
        "like_unsaid", "--like", str(scene / "unsaid")
    )
    words = ["render", str(world), "--out", str(scene / "x"), *look, "--like", str(scene / "said")]
    assert main([*words, "--focal", "70", "--size", "32", "24"]) == 1
    assert "--like does not read --size and --focal; the camera is" in capsys.readouterr().err
    assert main(["info", str(scene), "--sections", "said", "unsaid"]) == 0
    assert "nobody named the focal length of unsaid (render" in capsys.readouterr().err
    said, unsaid = (read_section_facts(scene / name) for name in ("said", "unsaid"))
    assert replace(said, record=unsaid.record).digest == unsaid.digest != said.digest


def test_the_way_of_the_data_end_to_end(
    tmp_path: Path, box_world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Render, train, be cut off, resume, test, localize, report: small, but every arrow and every file."""
    world, scene, run = save_world(box_world, tmp_path / "world"), tmp_path / "scene", tmp_path / "run"
    looks = ["--size", "160", "128", "--focal", "120", "--above", "2.2", "3.2", "--pitch", "-90", "-75"]
    looks += ["--yaw", "-10", "10", "--roll", "-4", "4", "--processes", "1"]
    assert main(["render", str(world), "--out", str(scene / "sim"), "--views", "80", *looks]) == 0
    assert main(["render", str(world), "--out", str(scene / "sim"), "--views", "80", *looks]) == 0
    assert "rendered already" in capsys.readouterr().err
    photo = ["--views", "6", "--seed", "9", "--appearance", "photo", "--appearance-strength", "0.1"]
    assert main(["render", str(world), "--out", str(scene / "real"), *photo, *looks]) == 0
    train = ["train", str(scene), "--sections", "sim", "--out", str(run), "--steps", "300", "--passes", "2"]
    train += ["--batch", "256"]
    cut_off_at_its_first_report(train, run, monkeypatch, capsys)
    assert main(train) == 1
    assert "--resume" in capsys.readouterr().err
    assert main([*train, "--resume"]) == 0
    done = training_facts(run)
    assert done.complete and (done.steps_done, done.steps_planned) == (300, 300)
    assert main([*train, "--resume"]) == 0  # of a run that is done
    results = tmp_path / "results"
    assert main(["test", str(run), str(scene), "--section", "real", "--out", str(results)]) == 0
    table = json.loads((results / "results.json").read_text(encoding="utf-8"))
    assert table["frames"] == 6
    assert set(table) >= {
        "failed",
        "median_m",
        "median_deg",
        "recall",
        "seconds_per_frame",
        "model_bytes",
        "train_seconds",
    }
    assert table["failed"] <= 2
    assert table["median_m"] < 0.3  # cameras are 2 to 3 m up, and this is a toy
    assert table["model_bytes"] < 4e6
    assert len((results / "poses_scene_real.txt").read_text(encoding="utf-8").splitlines()) == 6
    assert len((results / "test_scene_real.txt").read_text(encoding="utf-8").split()) == 3
    assert (results / "errors_scene_real.png").stat().st_size > 5000
    capsys.readouterr()
    images = [str(path) for path in sorted((scene / "real" / "rgb").iterdir())]
    assert main(["localize", str(run), *images[:2]]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = {
        "image",
        "pose",
        "reason",
        "confidence",
        "alternatives",
        "score",
        "inliers",
        "by",
        "covariance",
        "camera",
        "training_complete",
        "seconds",
        "unit",
    }
    assert [set(line) for line in lines] == [names, names]
    assert all(line["camera"]["source"] == "training" and line["training_complete"] for line in lines)
    assert all(line["unit"] == "metre" for line in lines)
    page = tmp_path / "report.html"
    words = ["report", str(run), "--scene", str(scene), "--sections", "real", "--world", str(world), "--out", str(page)]
    assert main(words) == 0
    assert page.stat().st_size > 100_000
