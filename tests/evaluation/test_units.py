"""A scene that is not in metres is measured in its own unit and in per cent of the cameras' extent."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.stubs import Plain, Stub, make_results, make_section, save_run
from tests.localization.checkpoints import checkpoint
from transpose.app.services.testing import localize_and_write
from transpose.errors import TransposeError
from transpose.evaluation.coordinate_calibration import calibrate_coordinates
from transpose.evaluation.maps import map_files, read_saved_map, save_maps
from transpose.evaluation.metrics import (
    PERCENT_BOUNDS,
    RECALL_BOUNDS,
    FrameResult,
    recall_bounds,
    summarize,
    table_unit,
    told_median,
)
from transpose.evaluation.samples import write_samples
from transpose.evaluation.search import EvaluatedRun, write_table
from transpose.evaluation.testing import check_unit, frame_log, localize_section, write_results
from transpose.pages.search_table import table_text
from transpose.pages.wording import summary_line
from transpose.scenes.layout import Section
from transpose.scenes.unit import METRE, SceneUnit
from transpose.solvers import PosteriorOptions
from transpose.storage import read_json, write_json

UNIT = SceneUnit(False, 4.0, 0.4)


def unknown_unit(section: Section) -> Section:
    return replace(section, facts=replace(section.facts, metric=False))


def localizer_of(kind: type[Plain]) -> Plain:
    localizer = kind()
    localizer.checkpoint = checkpoint(unit=UNIT)
    return localizer


def results_of(count: int = 5, refused: tuple[int, ...] = (3,)) -> list[FrameResult]:
    """Errors of 0.01, 0.02, ... of the scene's units."""
    return [replace(result, unit=UNIT) for result in make_results(count, refused)]


def keys_of(content: object) -> set[str]:
    if isinstance(content, dict):
        return {str(key) for key in content} | {key for value in content.values() for key in keys_of(value)}
    return {key for value in content for key in keys_of(value)} if isinstance(content, list) else set()


def test_tables_name_no_metres_where_there_are_none() -> None:
    table = summarize(results_of(refused=()))
    assert (table["unit"], table["extent"]) == ("scene unit", 4.0)
    assert table["median"] == pytest.approx(0.03) and table["median_percent"] == pytest.approx(0.75)
    assert table["recall"].keys() == PERCENT_BOUNDS.keys()
    assert table["recall"] == dict(zip(PERCENT_BOUNDS, [0.0, 0.2, 0.6, 1.0, 1.0, 1.0], strict=True))
    assert not any(key.endswith(("_m", "cm1deg", "5m5deg")) for key in keys_of(table))
    assert table_unit(table) == SceneUnit(False, 4.0) and told_median(table) == table["median_percent"]
    refused = summarize(results_of(refused=(0, 1, 2)))
    assert math.isinf(refused["median"]) and math.isinf(refused["median_percent"]) and refused["failed"] == 3


def test_metres_keep_their_names() -> None:
    table = summarize(make_results())
    assert table["unit"] == "metre" and "extent" not in table and "median_percent" not in table
    assert table["median_m"] == pytest.approx(0.03) and table["recall"]["5cm5deg"] == 0.6
    assert recall_bounds(METRE).keys() == table["recall"].keys()
    older = {key: value for key, value in table.items() if key != "unit"}
    assert table_unit(older) == METRE and told_median(older) == table["median_m"]


def test_what_a_test_writes(tmp_path: Path) -> None:
    section = unknown_unit(make_section(tmp_path / "scene", "test"))
    run = save_run(tmp_path / "run", section.scene)
    localizer = localizer_of(Plain)
    with frame_log(section, tmp_path / "out") as record:
        results = localize_section(localizer, section, record=record)
    assert all(result.unit == UNIT for result in results)
    table = write_results(results, section, run, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "frames_scene_test.jsonl").read_text().splitlines()]
    assert lines[1]["error"] == pytest.approx(0.02) and lines[1]["error_percent"] == pytest.approx(0.5)
    assert lines[3]["error"] is None and lines[3]["error_percent"] is None
    median = float((tmp_path / "out" / "test_scene_test.txt").read_text().split()[1])
    assert median == pytest.approx(0.75)
    last = (tmp_path / "out" / "poses_scene_test.txt").read_text().splitlines()[4].split()
    assert float(last[-1]) == pytest.approx(0.05)
    said = write_samples(localizer, section.frames, PosteriorOptions(samples=2), tmp_path / "samples.json")
    mode = said["frame-0"]["modes"][0]
    assert mode["error_percent"] == pytest.approx(25 * mode["error"])
    written = [lines, said, read_json(tmp_path / "out" / "results.json")]
    assert not any(key.endswith("_m") for key in keys_of(written))
    line = summary_line(table)
    assert line.startswith(
        "test: median 0.75 % of the cameras' extent (0.03 of 4 units), 0.00 deg; 4 of 5 within 2%2deg"
    )


def test_a_section_of_another_unit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    metric = make_section(tmp_path / "scene", "test")
    for unit, section, message in (
        (METRE, unknown_unit(metric), r"test is in a unit of its own and the localizer in metres.*--unit"),
        (UNIT, metric, r"test is in metres and the localizer in the unit of a scene that is not.*--unit"),
    ):
        localizer = Plain()
        localizer.checkpoint = checkpoint(unit=unit)
        with pytest.raises(TransposeError, match=message):
            localize_and_write(localizer, section, tmp_path / "run", tmp_path / "out")
        with pytest.raises(TransposeError, match=message):
            localize_section(localizer, section)
    assert not (tmp_path / "out").exists()
    check_unit(METRE, metric)
    check_unit(UNIT, unknown_unit(metric))


def test_saved_maps_remember_the_unit(tmp_path: Path) -> None:
    section = unknown_unit(make_section(tmp_path / "scene", "test"))
    save_maps(localizer_of(Stub), section, results_of(), tmp_path / "maps")  # type: ignore[arg-type]
    saved = read_saved_map(map_files(tmp_path)[0])
    assert saved.result.unit == SceneUnit(False, 4.0)
    assert np.nanmedian(saved.error_hw) == pytest.approx(0.75 * 3**0.5, rel=1e-6)  # 0.03 of 4 units along each axis
    assert np.nanmedian(saved.expected_hw) == pytest.approx(25 * 1.5 * np.nanmedian(saved.sigma_hw), rel=1e-6)
    found = calibrate_coordinates(localizer_of(Stub), section.frames)  # type: ignore[arg-type]
    assert found is not None and found.as_json()["median_percent"] > 0 and "median_m" not in found.as_json()


def test_maps_of_an_older_version_are_in_metres(tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test", frames=1)
    save_maps(Stub(), section, make_results(1), tmp_path / "maps")
    path = map_files(tmp_path)[0]
    with np.load(path) as arrays:
        older = {name: arrays[name] for name in arrays if name not in ("metric", "extent")}
    np.savez_compressed(path, **older)
    assert read_saved_map(path).result.unit == METRE


def test_runs_are_compared_in_per_cent(tmp_path: Path) -> None:
    tables = []
    for count in (5, 3):
        more = {"model_bytes": 5, "train_seconds": None}
        write_json(tmp_path / "t.json", summarize(results_of(count, ())) | more)
        tables.append(read_json(tmp_path / "t.json"))
    candidates = [EvaluatedRun(tmp_path / name, table) for name, table in zip("ab", tables, strict=True)]
    candidates.sort(key=lambda each: each.rank)
    assert [each.run.name for each in candidates] == ["b", "a"]
    head = write_table(candidates, tmp_path, tmp_path / "t.tsv").read_text().splitlines()[0].split("\t")
    assert "median_percent" in head and "1%1deg" in head and "5cm5deg" not in head
    text = table_text(candidates, tmp_path)
    assert "within 5 % and 5°" in text and "0.5 %" in text and "cm" not in text


def test_runs_of_one_scene_are_held_against_each_other_by_length(tmp_path: Path) -> None:
    """Not by per cent of the extent of the views that each learned from."""
    near, far = (summarize(results_of(count, ())) | {"model_bytes": 5, "train_seconds": None} for count in (3, 5))
    far = far | {"extent": 10 * far["extent"], "median_percent": far["median_percent"] / 10}
    assert far["median_percent"] < near["median_percent"] and near["median"] < far["median"]
    candidates = [EvaluatedRun(tmp_path / "far", far), EvaluatedRun(tmp_path / "near", near)]
    candidates.sort(key=lambda each: each.rank)
    head, first, _ = (
        line.split("\t") for line in write_table(candidates, tmp_path, tmp_path / "t.tsv").read_text().splitlines()
    )
    row = dict(zip(head, first, strict=True))
    assert (row["best"], row["run"]) == ("*", "near") and float(row["median"]) == pytest.approx(near["median"])


def test_no_median_is_told_where_most_were_refused() -> None:
    recall = dict.fromkeys(RECALL_BOUNDS, 0.2)
    table = {"section": "test", "median_m": math.inf, "median_deg": math.inf, "frames": 5, "failed": 4}
    line = summary_line({**table, "recall": recall, "seconds_per_frame": 1.0})
    assert line.startswith("test: no median, since half or more have no pose; 1 of 5 within") and "inf" not in line
