"""Pages about a scene that is not in metres speak of per cent of the cameras' extent, and never of metres."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.stubs import Stub, make_results, make_section, save_run
from tests.evaluation.test_units import UNIT, localizer_of, results_of, unknown_unit
from transpose import runs
from transpose.app.services.training import training_line
from transpose.evaluation.maps import save_maps
from transpose.pages.headline import bound_for, headline, marked_bound, named_bound
from transpose.pages.plots import length_unit, plot_error_curve, plot_trajectory
from transpose.pages.report import SectionResults, write_report
from transpose.pages.report_tables import accuracy_table
from transpose.pages.visualize import Wanted, draw, find_drawable
from transpose.pages.visualize_page import write_page
from transpose.pages.wording import length, round_length, unit_sentence
from transpose.scenes.unit import METRE, SceneUnit
from transpose.worlds.top_down import map_limits, top_down

METRES = re.compile(r"(?<![\w-])(metres|\d\s?(cm|m|mm))(?![\w-])")
LOG = [{"step": i, "loss": -i, "train_median_percent": 3.0 / i, "val_median_percent": 4.0 / i} for i in (1, 2)]


def words_of(page: str) -> str:
    """What a reader sees of a page, labels of its figures too."""
    figures = re.findall(r'<script type="application/json" class="plot-data">(.*?)</script>', page)
    plain = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"data:image[^\"']*", "", plain) + json.dumps(
        [json.loads(text) for text in figures], ensure_ascii=False
    )


def test_the_report(tmp_path: Path) -> None:
    section = unknown_unit(make_section(tmp_path / "scene", "test"))
    run = save_run(tmp_path / "run", section.scene)
    for entry in LOG:
        runs.append_log(run, entry)
    test = SectionResults(section, results_of())
    page = write_report(run, [test], tmp_path / "r.html", localizer=localizer_of(Stub)).read_text()
    words = words_of(page)
    assert "The median error over 5 photos of test is 0.75 % of the cameras' extent" in words.replace("&#x27;", "'")
    assert "This scene is not in metres. Lengths are per cent of the cameras&#x27; extent" in words
    assert "4 of the scene&#x27;s units" in words and "moved most, in the scene's units;" in words
    assert "Within 1 % and 1°" in words and "(units)" in words
    assert "coordinate error (% of the extent)" in words and "position error (% of the extent)" in words
    told = words.replace("This scene is not in metres.", "")
    assert not METRES.findall(told), METRES.findall(told)


def test_a_metric_report_says_metres(tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test")
    run = save_run(tmp_path / "run", section.scene)
    page = write_report(run, [SectionResults(section, make_results())], tmp_path / "r.html", localizer=Stub())
    words = words_of(page.read_text())
    assert METRES.search(words) and "moved most, in metres;" in words and "extent" not in words


def test_galleries_of_saved_maps(tmp_path: Path) -> None:
    section = unknown_unit(make_section(tmp_path / "scene", "test"))
    save_maps(localizer_of(Stub), section, results_of(), tmp_path / "run" / "test" / "maps")  # type: ignore[arg-type]
    for entry in LOG:
        runs.append_log(tmp_path / "run", entry)
    wanted = Wanted.by([])
    found = find_drawable(tmp_path / "run", False, wanted)
    drawn = [draw(each, wanted, 3, tmp_path / "out" / each.folder.name) for each in found]
    words = words_of(write_page(drawn, tmp_path / "run", tmp_path / "out" / "index.html").read_text())
    told = words.replace("This scene is not in metres.", "")
    assert "% of the cameras" in told and not METRES.findall(told), METRES.findall(told)


def test_words_of_lengths() -> None:
    lengths = (0.03125, 0.5, 1.234, 12.3, 250.0, 0.00002, float("inf"))
    told = [length(each, UNIT) for each in lengths]
    assert told == ["0.0312 %", "0.5 %", "1.23 %", "12.3 %", "250 %", "0.00002 %", "–"]
    assert round_length(0.5, UNIT) == "0.5 %" and unit_sentence(METRE) == "" and "4 of the scene" in unit_sentence(UNIT)
    assert headline(results_of(), "test", "photos", named_bound("1%1deg")).endswith(
        "3 of 5 lie within 1 % and 1°, and 1 was refused."
    )
    assert [bound_for(each, UNIT) for each in (0.01, 0.2, 2.0, 50.0)] == ["0.1%0.1deg", "1%1deg", "5%5deg", "10%10deg"]
    assert length_unit(results_of()) == (1.0, "% of the extent") and marked_bound(results_of()).name == "5%5deg"
    line = training_line(
        {"step": 1, "steps": 2, "loss": 0.5, "seconds": 1, "seconds_left": 1, **LOG[0], "val_pose": 2.0}
    )
    assert "error 3 % of the extent" in line and "validation 4 % of the extent" in line and "cm" not in line


def test_tables_of_both_kinds_stand_side_by_side() -> None:
    table = accuracy_table({"a": results_of(), "b": make_results()}, None, named_bound("5%5deg"))
    assert "Within 5 % and 5°" in table and "Within 5 cm and 5°" in table and "–" in table


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_maps_from_above_fit_a_scene_of_any_size(factor: float, tmp_path: Path) -> None:
    unit = SceneUnit(False, 4 * factor)
    places_n2 = factor * np.array([[0.0, 0.0], [1.0, 3.0]])
    low_2, high_2 = map_limits(places_n2, places_n2, unit)
    assert np.allclose(high_2 - low_2, factor * np.array([1.6, 3.6]))
    assert top_down(factor * np.eye(3), unit=unit).labels[0].endswith("(units)")
    plot_error_curve({"test": results_of()}, tmp_path / "a.png")
    plot_trajectory(results_of(), tmp_path / "b.png")
