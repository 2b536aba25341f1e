"""`transpose convert`: published checkpoints whose answers are known localize photos, through every command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.app.test_command_line import fails
from tests.models import published_states as theirs
from transpose import runs
from transpose.app.cli import main
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.localization import load
from transpose.scenes import files
from transpose.scenes.unit import SceneUnit

CAMERA = Camera.from_focal(90.0, 128, 96)
DEPTH_M = 4.0
GIVEN = ["--focal", "90", "--size", "128", "96", "--height", "96"]


@pytest.fixture
def section(tmp_path: Path) -> Path:
    """One photo, taken at the published mean, in whose pixels the reading networks find where each cell is."""
    for layer in ("rgb", "poses", "calibration"):
        (tmp_path / "scene" / "test" / layer).mkdir(parents=True)
    folder = tmp_path / "scene" / "test"
    files.write_image(folder / "rgb" / "a.png", theirs.telling_image(CAMERA))
    files.write_pose(folder / "poses" / "a.txt", Pose(compose(np.eye(3), np.array(theirs.MEAN))))
    files.write_camera(folder / "calibration" / "a.txt", CAMERA)
    return folder


def dsacstar_words(folder: Path) -> list[str]:
    torch.save(theirs.reading_dsacstar(CAMERA, DEPTH_M), folder / "scene.net", _use_new_zipfile_serialization=False)
    return ["convert", str(folder / "scene.net"), "--as", "dsacstar", "--out", str(folder / "run")]


def ace_words(folder: Path) -> list[str]:
    head, encoder = theirs.reading_ace(CAMERA, DEPTH_M)
    torch.save(head, folder / "scene.pt")
    torch.save(encoder, folder / "encoder.pt")
    words = ["convert", str(folder / "scene.pt"), "--as", "ace", "--encoder", str(folder / "encoder.pt")]
    return [*words, "--out", str(folder / "run")]


@pytest.mark.parametrize("words", [dsacstar_words, ace_words])
def test_a_converted_run_finds_the_camera(
    tmp_path: Path, section: Path, capsys: pytest.CaptureFixture[str], words: object
) -> None:
    assert main([*words(tmp_path), "--height", "96", "--like", str(section)]) == 0  # type: ignore[operator]
    run = str(tmp_path / "run")
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "model.pt")
    assert main(["localize", run, str(section / "rgb" / "a.png")]) == 0
    line = json.loads(capsys.readouterr().out)
    assert np.allclose(line["pose"], compose(np.eye(3), np.array(theirs.MEAN)), atol=0.02)
    assert main(["test", run, str(section.parent), "--section", "test", "--out", str(tmp_path / "results")]) == 0
    table = json.loads((tmp_path / "results" / "results.json").read_text())
    assert (table["frames"], table["failed"]) == (1, 0)
    assert table["median_m"] < 0.02
    page = tmp_path / "report.html"
    assert main(["report", run, "--scene", str(section.parent), "--sections", "test", "--out", str(page)]) == 0
    assert "converted from a published checkpoint, scene." in page.read_text()


def test_a_checkpoint_is_of_the_unit_of_its_section(
    tmp_path: Path, section: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another photo 4 units aside, and a scene that says that these are no metres."""
    for layer, name in (("rgb", "b.png"), ("calibration", "b.txt")):
        (section / layer / name).write_bytes((section / layer / f"a{name[1:]}").read_bytes())
    aside = Pose(compose(np.eye(3), np.array(theirs.MEAN) + [4.0, 0, 0]))
    files.write_pose(section / "poses" / "b.txt", aside)
    (section.parent / "scene.json").write_text('{"metric": false}')
    assert main([*dsacstar_words(tmp_path), "--height", "96", "--like", str(section)]) == 0
    assert runs.load_model(tmp_path / "run").unit == SceneUnit(False, 4.0)
    capsys.readouterr()
    assert main(["localize", str(tmp_path / "run"), str(section / "rgb" / "a.png")]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["unit"], line["extent"]) == ("scene unit", 4.0)
    assert np.allclose(line["pose"], compose(np.eye(3), np.array(theirs.MEAN)), atol=0.02)
    words = [
        "test",
        str(tmp_path / "run"),
        str(section.parent),
        "--section",
        "test",
        "--out",
        str(tmp_path / "results"),
    ]
    assert main(words) == 0
    assert "% of the cameras' extent" in capsys.readouterr().out
    table = json.loads((tmp_path / "results" / "results.json").read_text())
    assert table["median_percent"] == pytest.approx(25 * table["median"]) and "median_m" not in table


def test_crosslocs_coordinates_and_sigma_are_theirs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = theirs.crossloc_state()
    torch.save(state, tmp_path / "ckpt.net")
    words = ["convert", str(tmp_path / "ckpt.net"), "--as", "crossloc", "--out", str(tmp_path / "run")]
    assert main([*words, *GIVEN]) == 0
    image_hw3 = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    predicted = load(tmp_path / "run", precision="float32").coordinates(image_hw3)
    expected_hw4 = theirs.twin_crossloc(state, torch.from_numpy(image_hw3).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    assert np.allclose(predicted.points_hw3, expected_hw4[..., :3], atol=1e-3)
    assert np.allclose(predicted.sigma_hw(), expected_hw4[..., 3], rtol=1e-3)


def test_published_images_have_480_rows_unless_told_otherwise(tmp_path: Path) -> None:
    words = dsacstar_words(tmp_path)
    assert main([*words, "--focal", "525", "--size", "640", "480"]) == 0
    assert runs.load_model(tmp_path / "run").height == 480
    assert main([*words, "--focal", "525", "--size", "640", "480", "--height", "240", "--overwrite"]) == 0
    assert runs.load_model(tmp_path / "run").height == 240
    seen = load(tmp_path / "run").coordinates(np.zeros((480, 640, 3), np.uint8))
    assert seen.points_hw3.shape == (30, 40, 3)


def test_what_a_run_left_does_not_mix_with_what_is_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, words = tmp_path / "run", [*dsacstar_words(tmp_path), *GIVEN]
    runs.save_state(run, {"step": 3})
    (run / runs.LOG_FILE).write_text("{}\n")
    (run / "notes.txt").write_text("mine")
    assert "holds a run already" in fails([*words], capsys)
    assert not (run / runs.MODEL_FILE).exists()
    assert main([*words, "--overwrite"]) == 0
    assert {path.name for path in run.iterdir()} == {runs.MODEL_FILE, runs.CONFIG_FILE, "notes.txt"}


def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, aces = dsacstar_words(tmp_path), ace_words(tmp_path)
    whole = (tmp_path / "scene.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    expected: dict[str, list[object]] = {
        "scene.net: this is not CrossLoc's network": [*words[:3], "crossloc", *words[4:], *GIVEN],
        "encoder.pt: this is not DSAC*'s network": ["convert", tmp_path / "encoder.pt", *words[2:], *GIVEN],
        "scene.net: this is not ACE's encoder": [*aces[:5], tmp_path / "scene.net", *aces[6:], *GIVEN],
        "cut.pt cannot be read: truncated": ["convert", tmp_path / "cut.pt", *words[2:], *GIVEN],
        "no.pt does not exist": ["convert", tmp_path / "no.pt", *words[2:], *GIVEN],
        "needs its encoder": [*aces[:4], *aces[6:], *GIVEN],
        "--encoder is for ace": [*words, "--encoder", tmp_path / "encoder.pt", *GIVEN],
        "knows no camera": words,
        "either --like": [*words, "--like", tmp_path, *GIVEN],
        "both --focal and --size": [*words, "--focal", 525],
        "--focal and --size: ": [*words, "--focal", -1, "--size", 640, 480],
        "not a section folder": [*words, "--like", tmp_path / "nowhere"],
        "at least 32 rows": [*words, "--height", 8, "--focal", 525, "--size", 640, 480],
    }
    for message, arguments in expected.items():
        assert message in fails(arguments, capsys)
    assert not (tmp_path / "run").exists()
