"""`transpose test` and `report` of whatever a run's method can do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import transpose.localization
from tests.evaluation.stubs import Plain, Stub, make_section, save_run
from transpose.app.cli import main
from transpose.localization import Localizer


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return make_section(tmp_path / "scene", "test").scene


@pytest.fixture
def run(tmp_path: Path, scene: Path) -> Path:
    return save_run(tmp_path / "run", scene)


def loaded(localizer: Localizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's method is this one."""
    monkeypatch.setattr(transpose.localization, "load", lambda *_, **__: localizer)


def test_a_method_that_only_localizes(
    run: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(Plain(), monkeypatch)
    out, page = tmp_path / "out", tmp_path / "report.html"
    assert main(["test", str(run), str(scene), "--section", "test", "--out", str(out), "--save-map"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("test: median 3.0 cm")
    assert "maps are left out" in printed.err
    assert "coordinates" not in json.loads((out / "results.json").read_text(encoding="utf-8"))["calibration"]
    assert not (out / "maps").exists() and (out / "trajectory_scene_test.png").exists()
    elsewhere = [tmp_path / name / "photos" for name in ("forest", "beach")]
    for index, folder in enumerate(elsewhere):
        folder.mkdir(parents=True)
        for number in range(index + 1):
            Image.new("RGB", (64, 48), (120, 120, 120)).save(folder / f"{number}.png")
    words = ["report", str(run), "--scene", str(scene), "--sections", "test", "--out", str(page)]
    assert main([*words, "--foreign", *map(str, elsewhere)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "predicts no coordinates" in text
    assert all(name in text for name in ("forest-photos", "beach-photos"))  # two folders of one name


def test_a_frame_that_raises_is_told_and_costs_nothing_else(
    run: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(Stub(raises=(1,)), monkeypatch)
    out = tmp_path / "out"
    assert main(["test", str(run), str(scene), "--section", "test", "--out", str(out), "--save-map"]) == 0
    assert "1 of 5 frames of test could not be worked on" in capsys.readouterr().err
    table = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert (table["failed"], table["errors"]) == (2, 1)
    assert table["calibration"]["coordinates"]["median_m"] > 0
    assert len((out / "poses_scene_test.txt").read_text(encoding="utf-8").splitlines()) == 5


def test_the_model_s_file_names_the_run(
    run: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(Stub(), monkeypatch)
    out = tmp_path / "out"
    assert main(["test", str(run / "model.pt"), str(scene), "--section", "test", "--out", str(out)]) == 0
    assert json.loads((out / "results.json").read_text(encoding="utf-8"))["model_bytes"] > 0


@pytest.mark.parametrize("inside", ["", "results"])
def test_a_folder_that_cannot_be_one_is_refused_first(
    run: Path,
    scene: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    inside: str,
) -> None:
    localizer = Plain()
    loaded(localizer, monkeypatch)
    out = run / "model.pt" / inside
    assert main(["test", str(run), str(scene), "--section", "test", "--out", str(out)]) == 1
    assert "cannot be a folder for results" in capsys.readouterr().err
    assert localizer.asked == 0
