"""The original's commands, written as its users write them."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.training.test_presets import scene  # noqa: F401
from transpose import runs
from transpose.app.cli import main
from transpose.app.services.original_names import new_run, scene_folder, searched_folder, trained_run
from transpose.errors import TransposeError

SMALL = ["--tiny", "--height", "48", "--sections", "sim"]


@pytest.fixture(scope="module")
def workspace(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The scene `epfl_lhs_sim` in `datasets/`, and two runs in `output/`: the original's layout."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(scene, folder / "datasets" / "epfl_lhs_sim")
    output = folder / "output" / "epfl_lhs_sim"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        first = ["train-init", "epfl_lhs_sim", str(output / "init.net"), "--learningrate", "0.0003"]
        first += ["--iterations", "4", "--inittolerance", "100", "--uncertainty"]
        assert main([*first, *SMALL]) == 0
        second = ["train-e2e", "epfl_lhs_sim", str(output / "init.net"), str(output / "bpnp.pth"), "--mode", "1"]
        assert main([*second, "--learningrate", "1e-6", "--iterations", "2", "--batch", "1", "--sections", "sim"]) == 0
    return folder


@pytest.fixture
def output(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs, seen from the folder in which the commands run."""
    monkeypatch.chdir(workspace)
    return Path("output") / "epfl_lhs_sim"


def failed(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(words) == 1
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_names_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets" / "urban").mkdir(parents=True)
    assert scene_folder(Path("urban")) == Path("datasets/urban")
    (tmp_path / "urban").mkdir()
    assert scene_folder(Path("urban")) == Path("urban")
    with pytest.raises(TransposeError, match="no folder rural nor datasets/rural"):
        scene_folder(Path("rural"))
    assert new_run(Path("a/x_v1.5.net")) == Path("a/x_v1.5")
    assert new_run(Path("a/x_v1.5")) == Path("a/x_v1.5")
    (tmp_path / "x.pth").touch()  # the original's own weights, until a run of their name is there
    assert trained_run(Path("x.pth")) == Path("x.pth")
    (tmp_path / "x").mkdir()
    assert trained_run(Path("x.pth")) == trained_run(Path("x/model.pt")) == trained_run(Path("x")) == Path("x")
    assert searched_folder(Path("a/bpnp.pth")) == searched_folder(Path("a")) == Path("a")


def test_the_stages_take_their_flags(output: Path) -> None:
    first, second = runs.load_model(output / "init"), runs.load_model(output / "bpnp")
    assert (first.provenance.preset, first.network.uncertainty["kind"]) == ("dsacstar", "isotropic")
    config = first.provenance.config
    assert (config["steps"], config["learning_rate"], config["tolerances"]["tolerance_m"]) == (4, 3e-4, 100.0)
    assert (config["mode"], config["sparse"], config["tolerances"]["min_depth_m"]) == ("model", False, 0.1)
    assert second.progress.complete
    assert (second.provenance.config["steps"], second.provenance.config["learning_rate"]) == (2, 1e-6)


def test_sparse_labels_are_those_of_init(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train-init", "epfl_lhs_sim", str(tmp_path / "x.net"), *SMALL, "--iterations", "1", "--sparse"]
    assert "they go with mode model" in failed([*words, "--mode", "2"], capsys)
    assert "no uncertainty" in failed([*words[:-1], "--mode", "0", "--uncertainty"], capsys)
    assert main([*words, "--mode", "1"]) == 0
    assert runs.load_model(tmp_path / "x").provenance.config["sparse"]
    bare = tmp_path / "scene" / "bare"
    shutil.copytree(Path("datasets/epfl_lhs_sim/sim"), bare, ignore=shutil.ignore_patterns("init"))
    words = ["train-init", str(bare.parent), str(tmp_path / "y.net"), "--sections", "bare", "--sparse"]
    assert "has no init/" in failed(words, capsys)
    assert not (tmp_path / "y").exists()


def test_all_runs_beside_the_weights_are_compared(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "runs"
    shutil.copytree(output, found)
    for name in ("damaged", "strange", "unsaved"):
        (found / name).mkdir()
    (found / "damaged" / "model.pt").write_bytes(b"PK nothing")
    torch.save({"format": 2, "kind": "scene_coordinates"}, found / "strange" / "model.pt")
    (found / "unsaved" / "config.json").write_text("{}")
    (found / "dsac.net").write_bytes(b"the original's")
    capsys.readouterr()
    words = ["test-bpnp", "epfl_lhs_sim", str(found / "bpnp.pth"), "--mode", "1", "--sparse", "--section", "sim"]
    words += ["--search_dir", "--save_map"]
    assert main(words) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1].strip() for line in printed if line.startswith("broken:")] == [
        "damaged", "dsac.net", "strange", "unsaved",
    ]  # fmt: skip
    assert printed[-1].startswith("best: ")
    with (found / "test_epfl_lhs_sim_sim.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["run"] for row in rows[2:]] == ["damaged", "dsac.net", "strange", "unsaved"]
    assert all(row["problem"] for row in rows[2:]) and not any(row["problem"] for row in rows[:2])
    medians = [float(row["median_m"]) for row in rows[:2]]
    assert medians == sorted(medians) and {row["run"] for row in rows[:2]} == {"bpnp", "init"}
    assert [row["best"] for row in rows] == ["*" if medians[0] < float("inf") else "", *[""] * 5]
    table = json.loads((found / "init" / "test_epfl_lhs_sim_sim" / "results.json").read_text())
    assert table["calibration"]["coordinates"]["cells"] > 100
    assert len(list((found / "init" / "test_epfl_lhs_sim_sim" / "maps").glob("*.npz"))) == 12
    shutil.rmtree(found / "bpnp")
    shutil.rmtree(found / "init")
    assert "none of 4 could be tested" in failed(words, capsys)


def test_maps_are_drawn_as_keywords_say(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["test-bpnp", "epfl_lhs_sim", str(output / "init.net"), "--section", "sim", "--save-map"]
    assert main(words) == 0
    pictures = tmp_path / "pictures"
    drawing = ["visualize", str(output), "--search-dir", "--frames", "2", "--out", str(pictures), "--keywords"]
    assert main([*drawing, "uncertainty"]) == 0
    names = [path.name.split("_", 1)[1] for path in pictures.rglob("*.png")]
    assert sorted(names) == ["uncertainty.png", "uncertainty.png", "vs_uncertainty.png"]
    page = (pictures / "index.html").read_text()
    assert "Expected error" in page and "Coordinate error" not in page
    assert "is not there" not in page and "(2 of 12)" in page
    assert "nothing in" in failed([*drawing, "uncertainty", "rural"], capsys)


def test_a_run_without_maps_gets_them(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "copy"
    shutil.copytree(output / "bpnp", run, ignore=shutil.ignore_patterns("test_*"))
    assert main(["visualize", str(run), "--section", "sim", "--frames", "1", "--keywords", "error", "training"]) == 0
    drawn = {path.relative_to(run / "visualize").as_posix() for path in (run / "visualize").rglob("*.png")}
    assert "training.png" in drawn and "test_epfl_lhs_sim_sim/error_vs_uncertainty.png" in drawn and len(drawn) == 3
    assert "--section is for one run" in failed(["visualize", str(run), "--section", "sim", "--search_dir"], capsys)
    assert "--scene needs --section" in failed(["visualize", str(run), "--scene", "epfl_lhs_sim"], capsys)


def test_what_is_not_there_is_said(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no run with a log and no saved maps" in failed(["visualize", str(tmp_path), "--search_dir"], capsys)
    words = ["test-bpnp", "epfl_lhs_sim", str(tmp_path), "--search_dir", "--section", "sim"]
    assert "holds no run" in failed(words, capsys)
    words = ["test-bpnp", "epfl_lhs_sim", str(output / "init.net"), "--section", "nowhere"]
    assert "sections here: sim" in failed(words, capsys)
    assert "the scene rural is not there" in failed(["train-init", "rural", str(tmp_path / "x.net")], capsys)
    assert not (tmp_path / "x").exists()
