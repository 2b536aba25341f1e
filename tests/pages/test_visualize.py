"""Saved maps: nothing is lost on the way to disk and back; pictures and pages of whatever they hold."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.evaluation.stubs import EVIL, Stub, make_results, make_section, saved_folder_in
from transpose import runs
from transpose.evaluation.maps import map_files, read_saved_map, save_maps
from transpose.pages.map_pictures import draw_scatter
from transpose.pages.visualize import Wanted, draw, find_drawable
from transpose.pages.visualize_page import write_page


@pytest.fixture
def saved_folder(tmp_path: Path) -> Path:
    return saved_folder_in(tmp_path)


def test_every_kind_is_drawn_and_the_page_stands_alone(saved_folder: Path, tmp_path: Path) -> None:
    runs.append_log(tmp_path / "run", {"step": 1, "loss": 2.0, "train_median_m": 0.1})
    runs.append_log(tmp_path / "run", {"step": 2, "loss": 1.0, "train_median_m": 0.05})
    out, wanted = tmp_path / "out", Wanted.by([])
    found = find_drawable(tmp_path / "run", False, wanted)
    assert [each.folder for each in found] == [tmp_path / "run", saved_folder]
    drawn = [draw(each, wanted, 5, out / each.folder.name) for each in found]
    made = {path.name for path in out.rglob("*.png")}
    kinds = ("coordinates", "error", "uncertainty")
    assert made >= {f"frame-{i}_{kind}.png" for i in range(5) for kind in kinds}
    assert made >= {"training.png", "error_vs_uncertainty.png"}
    for path in out.rglob("*.png"):
        assert cv2.imread(str(path)).std() > 5, path
    page = write_page(drawn, tmp_path / "run", out / "index.html").read_text()
    assert "Maps of 5 frames from 1 test and 1 training" in page and "1 was refused" in page
    assert "//" not in page.split("base64", 1)[0] and "<script" not in page and "$" not in page


def test_names_and_missing_labels_do_no_harm(tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test", depth=False)
    folder = tmp_path / EVIL.replace("/", "_")
    save_maps(Stub(), section, make_results(), folder / "maps")
    for frame in section.frames:
        frame.paths["rgb"].unlink()
    wanted = Wanted.by([])
    drawn = draw(find_drawable(folder, False, wanted)[0], wanted, 2, tmp_path / "out")
    made = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert {name.split("_")[1] for name in made} == {"coordinates.png", "uncertainty.png"}
    page = write_page([drawn], folder, tmp_path / "out" / "index.html").read_text()
    assert "<img src=x" not in page and "The image is not there any more" in page


def test_keywords_choose_kinds_and_paths() -> None:
    wanted = Wanted.by(["uncertainty", "urban", "frame-1"])
    assert wanted.kinds == {"uncertainty"}
    assert wanted.takes(Path("runs/urban/test/frame-12")) and not wanted.takes(Path("runs/urban/test/frame-2"))
    assert Wanted.by(["urban"]).kinds == Wanted().kinds


def test_a_scatter_needs_labels_and_predicted_errors(saved_folder: Path, tmp_path: Path) -> None:
    maps = [read_saved_map(path) for path in map_files(saved_folder)]
    assert draw_scatter(maps, tmp_path / "scatter.png") is not None
    silent = [replace(each, sigma_hw=np.full_like(each.sigma_hw, np.inf)) for each in maps]
    assert draw_scatter(silent, tmp_path / "none.png") is None and not (tmp_path / "none.png").exists()
