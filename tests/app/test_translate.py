"""`transpose translate`: learned, applied, measured; and all that it refuses."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.app.test_command_line import fails
from tests.training.test_translation import scene  # noqa: F401
from transpose.app.cli import main
from transpose.app.services.translating import tell_displacement, write_sheet
from transpose.inspection.displacement import Displacement
from transpose.scenes import files
from transpose.scenes.layout import LABEL_LAYERS, open_section

TINY = ["--steps", "2", "--crop", "32", "--precision", "float32"]


def learned(folder: Path, run: Path, *words: str) -> int:
    return main(["translate", str(folder), "--a", "sim", "--b", "photos", "--out", str(run), *TINY, *words])


@pytest.fixture(scope="module")
def run(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("run") / "run"
    assert learned(scene, folder, "--method", "cyclegan") == 0
    return folder


def test_a_run_shows_what_it_does(run: Path) -> None:
    assert {"model.pt", "state.pt", "config.json", "log.jsonl"} < {path.name for path in run.iterdir()}
    height, width = cv2.imread(str(run / "examples.jpg")).shape[:2]
    assert width == 3 * 480 and height == 3 * 360 + 2 * 384  # three renders, two photos
    geometry = json.loads((run / "geometry.json").read_text())
    assert set(geometry) == {"to_b", "to_a"} and geometry["to_b"]["images"] == 3
    config = json.loads((run / "config.json").read_text())
    assert (config["preset"], config["size"], config["sections"]) == ("cyclegan", "small", ["sim", "photos"])
    assert "uncertainty" not in config


def test_all_labels_are_kept(
    scene: Path,  # noqa: F811
    run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["translate", str(run), "--apply", str(scene / "sim")]) == 0
    out, told = capsys.readouterr()
    assert out.strip() == str(scene / "sim_cyclegan") and "keypoint" in told
    before, after = open_section(scene / "sim"), open_section(scene / "sim_cyclegan")
    assert [frame.stem for frame in before.frames] == [frame.stem for frame in after.frames]
    for first, second in zip(before.frames, after.frames, strict=True):
        assert first.paths.keys() == second.paths.keys() and {"depth", "init", "normal"} < first.paths.keys()
        for layer in ("poses", "calibration", *LABEL_LAYERS):
            if first.has(layer):
                assert first.paths[layer].read_bytes() == second.paths[layer].read_bytes()
        image_hw3, made_hw3, hole_hw = first.image(), second.image(), ~np.isfinite(first.depth())
        assert image_hw3.shape == made_hw3.shape and not np.array_equal(image_hw3, made_hw3)
        kept = np.abs(image_hw3[hole_hw].astype(int) - made_hw3[hole_hw])
        assert hole_hw.any() and np.median(kept) <= 2  # but for what JPEG leaves
    facts = after.facts
    assert facts.rendered and facts.source == before.facts.source and facts.depth == before.facts.depth
    made = facts.record["translated"]
    assert (made["of"], made["method"], made["way"]) == ("sim", "cyclegan", "to_b")
    assert made["geometry"]["images"] == 3 and facts.digest == before.facts.digest
    assert json.loads((scene / "scene.json").read_text())["sections"]["sim_cyclegan"]["translated"] == made


def test_what_is_there_is_kept(
    scene: Path,  # noqa: F811
    run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["translate", str(run), "--apply", str(scene / "photos"), "--back", "--into", "photos_rendered"]
    assert main(words) == 0
    written = scene / "photos_rendered" / "rgb" / "one.png"
    before = written.stat().st_mtime_ns
    assert files.image_size(written) == (50, 40)  # no multiple of 4
    assert main(words) == 0
    assert "is there already" in capsys.readouterr().err and written.stat().st_mtime_ns == before
    others = [*words[:-1], "sim"]
    assert "name another one with --into" in fails(others, capsys)
    assert "was not made by a translation" in fails([*words[:-1], "photos", "--overwrite"], capsys)
    assert "was not made by a translation" in fails([*words[:-1], "sim", "--overwrite"], capsys)
    assert main(["translate", str(run), "--apply", str(scene / "photos"), "--into", "photos_rendered"]) == 1
    assert main(["translate", str(run), *words[2:4], "--into", "photos_rendered", "--overwrite"]) == 0
    assert not list(scene.glob(".*.unfinished"))


def test_learned_and_applied_at_once(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert learned(scene, tmp_path / "run", "--apply", str(scene / "sim"), "--into", "sim_as_photos") == 0
    lines = capsys.readouterr().out.split()
    assert lines == [str(tmp_path / "run" / "model.pt"), str(scene / "sim_as_photos")]


def test_what_is_refused(
    scene: Path,  # noqa: F811
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place, out = str(scene), str(tmp_path / "new")
    refused = {
        "takes --a, --b and --out": ["translate", place, "--a", "sim", "--out", out],
        "name --a, --b and --out": ["translate", place],
        "--into and --back go with --apply": [
            "translate",
            place,
            "--a",
            "sim",
            "--b",
            "photos",
            "--out",
            out,
            "--back",
        ],
        "not a path": ["translate", str(run), "--apply", str(scene / "sim"), "--into", "x/y"],
        "--a and --b are both sim": ["translate", place, "--a", "sim", "--b", "sim", "--out", out],
        "sections here: ": ["translate", place, "--a", "nope", "--b", "sim", "--out", out],
        "holds no model.pt": ["translate", place, "--apply", str(scene / "sim")],
        "is not a section folder": ["translate", str(run), "--apply", str(scene / "nope")],
        "smaller --crop": ["translate", place, "--a", "sim", "--b", "photos", "--out", out],
        "holds a run already": ["translate", place, "--a", "sim", "--b", "photos", "--out", str(run), *TINY],
        "holds no localizer": ["localize", str(run), str(scene / "photos" / "rgb" / "one.png")],
    }
    for words, command in refused.items():
        assert words in fails(command, capsys)
    assert not (tmp_path / "new").exists()


def test_a_movement_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    tell_displacement("sim", Displacement(3, 100, 0.4, 0.9, (0.0, 0.1)))
    assert not capsys.readouterr().err.startswith("warning")
    tell_displacement("sim", Displacement(3, 100, 1.4, 0.3, (1.2, 0.1)))
    told = capsys.readouterr().err
    assert told.startswith("warning") and "1.40 px" in told and "30% of 100" in told
    tell_displacement("sim", Displacement(3, 0, float("nan"), 0.0, (float("nan"), float("nan"))))
    assert capsys.readouterr().err.startswith("warning")


def test_rows_of_a_sheet_may_differ_in_height(tmp_path: Path) -> None:
    first, second = (np.full((rows, 96, 3), 100, np.uint8) for rows in (48, 96))
    write_sheet(tmp_path / "sheet.jpg", [[first, first], [second, first]])
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape == (240 + 480, 960, 3)
