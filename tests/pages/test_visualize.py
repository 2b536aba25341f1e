"""Saved maps: nothing is lost on the way to disk and back; pictures and pages of whatever they hold."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.pages.test_report import EVIL, Stub, make_results, make_section
from transpose import runs
from transpose.errors import TransposeError
from transpose.evaluation import search
from transpose.evaluation.maps import map_files, read_map, save_maps
from transpose.pages.map_pictures import draw_scatter
from transpose.pages.visualize import Wanted, draw, find_drawable
from transpose.pages.visualize_page import write_page


@pytest.fixture
def saved_folder(tmp_path: Path) -> Path:
    section = make_section(tmp_path / "scene", "test")
    save_maps(Stub(), section, make_results(), tmp_path / "run" / "test" / "maps")
    return tmp_path / "run" / "test"


def test_maps_come_back_as_they_were(saved_folder: Path, tmp_path: Path) -> None:
    assert [path.stem for path in map_files(saved_folder)] == [f"frame-{i}" for i in range(5)]
    for path, result in zip(map_files(saved_folder), make_results(), strict=True):
        saved = read_map(path)
        assert saved.coordinates_hw3.shape == (6, 8, 3) and saved.sigma_hw.shape == (6, 8)
        assert saved.coordinates_hw3.dtype == np.float64
        assert saved.image.is_file()
        back, estimate = saved.result, result.estimate
        assert back.error == result.error and back.seconds == result.seconds and back.truth.center is not None
        assert np.array_equal(back.truth.T_wc, result.truth.T_wc)
        assert (back.estimate.reason, back.estimate.score) == (estimate.reason, estimate.score)
        assert back.estimate.inliers == estimate.inliers and (back.estimate.pose is None) == (estimate.pose is None)
        assert np.array_equal(back.nees, result.nees, equal_nan=True)
    # The stub errs by 3 cm along each axis in the first frame, which stands at the origin.
    first = read_map(map_files(saved_folder)[0])
    assert np.nanmedian(first.error_hw) == pytest.approx(0.03 * 3**0.5, rel=1e-6)


def test_maps_of_another_test_do_not_stay(saved_folder: Path, tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "other", frames=2)
    save_maps(Stub(), section, make_results(2), saved_folder / "maps")
    assert [path.stem for path in map_files(saved_folder)] == ["frame-0", "frame-1"]

    def broken(pairs: object) -> object:
        raise TransposeError("cut off")

    with pytest.raises(TransposeError, match="cut off"):
        save_maps(Stub(), section, make_results(2), saved_folder / "maps", broken)  # type: ignore[arg-type]
    assert [path.stem for path in map_files(saved_folder)] == ["frame-0", "frame-1"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive at all"])
def test_a_broken_map_is_named(saved_folder: Path, content: bytes) -> None:
    path = map_files(saved_folder)[1]
    path.write_bytes(content)
    with pytest.raises(TransposeError, match=r"frame-1\.npz is no saved coordinate map"):
        read_map(path)
    np.savez(path, coordinates=np.zeros((2, 2, 3)))
    with pytest.raises(TransposeError, match=r"frame-1\.npz is no saved coordinate map"):
        read_map(path)


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


def test_a_scatter_needs_labels_and_stated_errors(saved_folder: Path, tmp_path: Path) -> None:
    maps = [read_map(path) for path in map_files(saved_folder)]
    assert draw_scatter(maps, tmp_path / "scatter.png") is not None
    silent = [replace(each, sigma_hw=np.full_like(each.sigma_hw, np.inf)) for each in maps]
    assert draw_scatter(silent, tmp_path / "none.png") is None and not (tmp_path / "none.png").exists()


def table(median_m: float, median_deg: float = 1.0) -> dict[str, object]:
    from transpose.evaluation.metrics import RECALL_BOUNDS

    facts = {"frames": 10, "failed": 0, "median_m": median_m, "median_deg": median_deg, "seconds_per_frame": 0.1}
    return facts | {"model_bytes": 5, "train_seconds": None, "recall": dict.fromkeys(RECALL_BOUNDS, 0.5)}


def test_the_best_comes_first_and_a_run_that_fails_stops_nothing(tmp_path: Path) -> None:
    tables = {"a": table(0.2), "b": table(0.1, 2.0), "c": table(0.1, 1.0), "d": table(float("inf"))}
    for name in (*tables, "e"):
        runs.write_config(tmp_path / name, {})

    def tested(run: Path) -> dict[str, object]:
        return tables[run.name]  # KeyError for e

    candidates = search.tested_below(tmp_path, tested)
    assert [each.run.name for each in candidates] == ["c", "b", "a", "d", "e"]
    assert (
        search.best_of(candidates) is candidates[0]
        and search.best_of(candidates[3:]) is None
        and search.best_of([]) is None
    )
    lines = search.write_table(candidates, tmp_path, tmp_path / "t.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [["*", "c"], ["", "b"], ["", "a"], ["", "d"], ["", "e"]]
    assert len({line.count("\t") for line in lines}) == 1
    text = search.table_text(candidates, tmp_path).splitlines()
    assert text[1].startswith("*  c ") and "5 of 10" in text[1] and text[-1].startswith("broken: e: ")
    assert search.table_text([search.Candidate(tmp_path, None, "why")], tmp_path) == f"broken: {tmp_path.name}: why"
