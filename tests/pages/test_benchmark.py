"""The page of a benchmark: bold where a method is best, and sentences on where our own is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.evaluation.benchmark_rows import row
from tests.evaluation.stubs import make_results
from transpose.evaluation.benchmark import Block, SceneBounds, blocks_of
from transpose.pages.benchmark_figures import plot_costs, plot_recall
from transpose.pages.benchmark_page import Pictures, sentences, table, write_page
from transpose.pages.benchmark_photos import worst_photos

ROOM = SceneBounds(("2cm2deg", "5cm5deg", "25cm2deg"), "50cm5deg")


def block(*rows: object) -> Block:
    return blocks_of(rows, {"scene": ROOM})[0]  # type: ignore[arg-type]


def cells(text: str) -> dict[str, list[str]]:
    """The table's rows by method."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    return {cells[0].strip("`"): cells for cells in rows}


def test_the_best_of_each_column_is_bold_and_seeds_have_a_deviation() -> None:
    shown = cells(table(block(row(), row(seed=1, median_m=0.02), row("ace", median_m=0.03, train_seconds=9.0))))
    assert shown["fast"][1] == "0, 1" and shown["fast"][2] == "**1.90 cm ± 0.14 cm**"
    assert shown["ace"][2] == "3.00 cm" and shown["ace"][10] == "**9.0 s**"
    assert shown["ace"][3] == shown["fast"][3] == "**0.50°**"  # as good as each other
    assert shown["fast"][-3:] == ["5 rendered views of sim", "poses of test", "a machine"]


def test_scenes_without_metres_are_told_in_per_cent(tmp_path: Path) -> None:
    percent = {"unit": "scene unit", "extent": 4.0, "median_percent": 0.12, "median": 0.0048, "median_m": None}
    text = table(block(row(**percent)))
    assert "0.12 %" in text
    assert "cameras' extent" in write_page([block(row(**percent))], [Pictures({}, {})], None, tmp_path)


def test_where_our_own_method_is_not_the_best() -> None:
    (told,) = sentences(block(row(), row("crossloc", median_m=0.01, train_seconds=500.0, seconds_per_frame=0.3)))
    assert "not the best in the median position error (1.80 cm; `crossloc` 1.00 cm)." in told
    assert "training" not in told
    assert "best in every column" in sentences(block(row(), row("ace", train_seconds=500.0)))[0]
    assert "no result here" in sentences(block(row(failed="it broke"), row("ace")))[0]
    assert sentences(block(row())) == [] and sentences(block(row("ace"), row("crossloc"))) == []


def test_a_failure_is_named_with_its_reason_and_text_cannot_break_the_table(tmp_path: Path) -> None:
    found = block(row(), row("ace", failed="a | b\nc"))
    assert cells(table(found))["ace"][2] == "failed"
    text = write_page([found], [Pictures({"Recall": "figures/r.png"}, {"fast": "figures/w.png"})], 3.5, tmp_path)
    assert "`ace` could not be run (its only seed): a | b" in text
    assert "![Recall](figures/r.png)" in text and "[fast](figures/w.png)" in text and "3.5 min at most" in text


def test_figures_are_drawn_of_what_has_results(tmp_path: Path) -> None:
    lines = block(replace(row(), frames=make_results()), row("ace", failed="it broke"), row("crossloc", median_m=None))
    assert plot_recall(lines, tmp_path / "recall.png") is not None
    assert plot_costs(lines, tmp_path / "costs.png") is not None
    broken = block(row("ace", failed="it broke"))
    assert plot_recall(broken, tmp_path / "no.png") is None and plot_costs(broken, tmp_path / "no.png") is None


def test_the_worst_photos_are_wrong_poses_and_some_refusals() -> None:
    results = make_results(10, (3, 7, 8))
    worst = worst_photos(results, 4)
    assert [each.stem for each in worst] == ["frame-9", "frame-6", "frame-3", "frame-7"]
    assert len(worst_photos([*results, *results], 4)) == 4
    assert np.isinf([each.error[1] for each in worst_photos(make_results(3, (0, 1, 2)), 4)]).all()
