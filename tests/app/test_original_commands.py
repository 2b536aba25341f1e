"""The original's commands, written as its users write them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.training.test_presets import scene  # noqa: F401
from transpose import runs
from transpose.app.cli import main
from transpose.evaluation.maps import read_saved_maps


@pytest.fixture(scope="module")
def trained(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """`epfl_lhs_sim` trained by the original's first command, in a folder of runs."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["train-init", str(scene), str(folder / "first.net"), "--learningrate", "0.0003", "--iterations", "6"]
    words += ["--inittolerance", "100", "--uncertainty", "--tiny", "--sections", "sim"]
    assert main(words) == 0
    return folder


def test_the_first_stage_takes_its_flags(trained: Path) -> None:
    model = runs.load_model(trained / "first")
    assert (model["preset"], model["uncertainty"]["kind"]) == ("dsacstar", "isotropic")
    config = model["config"]
    assert (config["steps"], config["learning_rate"], config["tolerances"]["tolerance_m"]) == (6, 3e-4, 100.0)


def test_the_second_stage_takes_its_arguments(scene: Path, trained: Path) -> None:  # noqa: F811
    words = ["train-e2e", str(scene), str(trained / "first.net"), str(trained / "second.net"), "--mode", "1"]
    assert main([*words, "--sections", "sim", "--steps", "2", "--batch", "1"]) == 0
    assert runs.load_model(trained / "second")["complete"]


@pytest.mark.parametrize("flag", ["--search_dir", "--search-dir"])
def test_all_runs_below_a_folder_are_compared(
    scene: Path,  # noqa: F811
    trained: Path,
    tmp_path: Path,
    flag: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (trained / "broken").mkdir(exist_ok=True)
    (trained / "broken" / "model.pt").write_bytes(b"PK nothing")
    words = ["test-bpnp", str(scene), str(trained), "--mode", "1", "--section", "sim", flag, "--out", str(tmp_path)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t")[:3] == ["best", "run", "median_m"]
    assert [line.split("\t")[0] for line in lines[1:]].count("*") == 1
    assert "broken" in lines[-1] and "cannot be read" in lines[-1]
    written = next(tmp_path.glob("search_*.tsv")).read_text().splitlines()
    assert written == lines


def test_maps_are_saved_and_drawn(scene: Path, trained: Path, tmp_path: Path) -> None:  # noqa: F811
    words = ["test-bpnp", str(scene), str(trained / "first.pth"), "--section", "sim", "--save_map"]
    assert main([*words, "--out", str(tmp_path / "uncertainty_results")]) == 0
    maps = read_saved_maps(tmp_path / "uncertainty_results" / "maps")
    assert len(maps) == 12
    assert maps[0].coordinates_hw3.shape == (60, 80, 3)
    assert np.isfinite(maps[0].sigma_hw).all() and np.isfinite(maps[0].error_hw).any()
    calibration = json.loads((tmp_path / "uncertainty_results" / "calibration.json").read_text())
    assert calibration["coordinates"]["cells"] > 100
    assert main(["visualize", str(tmp_path), "--search_dir", "--keywords", "uncertainty"]) == 0
    page = (tmp_path / "visualize" / "index.html").read_text()
    assert page.count("<img") >= 37 and "stated error" in page
    assert list((tmp_path / "visualize").rglob("*_uncertainty.png"))
    assert main(["visualize", str(trained / "first")]) == 0
    assert (trained / "first" / "visualize" / "training.png").exists()


def test_what_is_not_there_is_said(
    scene: Path,  # noqa: F811
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["visualize", str(tmp_path), "--search_dir", "--keywords", "nothing"]) == 1
    assert "holds no run" in capsys.readouterr().err
    assert main(["test-bpnp", str(scene), str(tmp_path), "--search_dir", "--section", "sim"]) == 1
    assert "holds no run" in capsys.readouterr().err
    assert main(["test-bpnp", str(scene), str(trained / "first.net"), "--section", "nowhere"]) == 1
    assert "sections here: sim" in capsys.readouterr().err
    no_init = tmp_path / "scene" / "bare"
    shutil.copytree(scene / "sim", no_init)
    shutil.rmtree(no_init / "init", ignore_errors=True)
    words = ["train-init", str(no_init.parent), str(tmp_path / "x.net"), "--sections", "bare", "--iterations", "2"]
    assert main([*words, "--sparse"]) == 1
    assert "has no init/" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
