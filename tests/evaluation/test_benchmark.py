"""The numbers of a benchmark: means over seeds, failures as infinite, the best of a column, and what scripts read."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.benchmark_rows import make_scene, row
from tests.evaluation.stubs import make_results, make_section
from transpose.errors import TransposeError
from transpose.evaluation.benchmark import Line, SceneBounds, Spread, best_of, blocks_of, columns
from transpose.evaluation.benchmark_files import write_benchmark_json, write_csv
from transpose.evaluation.benchmark_plan import BenchmarkPlan, Method
from transpose.evaluation.frame_log import read_frame_log
from transpose.evaluation.testing import frame_log
from transpose.scenes.unit import METRE
from transpose.training.presets import PRESETS

ROOM = SceneBounds(("2cm2deg", "5cm5deg", "25cm2deg"), "50cm5deg")
COLUMNS = {column.name: column for column in columns(ROOM)}


def test_spread_counts_failures_as_infinite_and_leaves_out_what_is_not_there() -> None:
    spread = Spread.of([1.0, 2.0, 3.0])
    assert (spread.mean, spread.deviation, spread.low, spread.high) == (2.0, 1.0, 1.0, 3.0)
    failed = Spread.of([1.0, math.inf])
    assert failed.mean == math.inf and math.isnan(failed.deviation) and failed.low == 1.0
    assert Spread.of([math.nan, 4.0]).mean == 4.0
    assert math.isnan(Spread.of([4.0]).deviation) and math.isnan(Spread.of([math.nan]).mean)


def test_a_seed_that_failed_counts_in_every_error_and_recall_but_in_no_cost() -> None:
    line = Line((row(seed=0), row(seed=1, failed="it broke")))
    assert line.spread(COLUMNS["median_length"]).mean == math.inf
    assert line.spread(COLUMNS["median_deg"]).mean == math.inf
    assert line.spread(COLUMNS["5cm5deg"]).mean == 0.5
    for name in ("refused", "wrong", "seconds_per_frame", "train_seconds", "model_bytes", "nees_median"):
        spread = line.spread(COLUMNS[name])
        assert math.isfinite(spread.mean) and math.isnan(spread.deviation), name
    refused = Line((row(median_m=None, median_deg=None, calibration={}),))
    assert refused.spread(COLUMNS["median_length"]).mean == math.inf
    assert math.isnan(refused.spread(COLUMNS["nees_median"]).mean)


def test_the_best_of_a_column() -> None:
    fast, matching = Line((row(),)), Line((row("crossloc", median_m=0.01, train_seconds=500.0),))
    broken = Line((row("ace", failed="it broke"),))
    lines = [broken, fast, matching]
    assert best_of(COLUMNS["median_length"], lines) is matching
    assert best_of(COLUMNS["train_seconds"], lines) is fast
    assert best_of(COLUMNS["5cm5deg"], [broken]) is None
    sure, wary = (Line((row(calibration={"nees_median": nees}),)) for nees in (20.0, 2.7))
    assert best_of(COLUMNS["nees_median"], [sure, wary]) is wary  # by a factor of two, not of four


def test_recalls_fit_the_size_of_the_scene(tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test")
    assert SceneBounds.of(section) == ROOM
    for frame in section.frames:
        T_wc = frame.pose.T_wc.copy()
        T_wc[:3, 3] *= 200
        np.savetxt(frame.paths["poses"], T_wc)
    from transpose.scenes.layout import open_section

    assert SceneBounds.of(open_section(section.path)).wrong == "5m10deg"


def test_tables_for_scripts(tmp_path: Path) -> None:
    rows = [row(), row(seed=1, median_m=None), row("ace", failed="kornia is needed")]
    blocks = blocks_of(rows, {"scene": ROOM})
    with write_csv(blocks, tmp_path).open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [each["status"] for each in read] == ["done", "done", "failed"]
    assert (read[0]["median_m"], read[1]["median_m"], read[2]["median_m"]) == ("0.018", "inf", "inf")
    assert (read[0]["within_5cm5deg"], read[2]["within_5cm5deg"], read[2]["train_seconds"]) == ("1.0", "", "")
    assert read[2]["reason"] == "kornia is needed" and read[0]["truth"] == "poses of test"
    for name in ("scene", "training", "method", "seed", "learned", "machine", "wrong", "model_bytes", "coverage_90"):
        assert read[0][name] != "", name
    found = json.loads(write_benchmark_json(blocks, tmp_path).read_text(encoding="utf-8"))
    assert found["format"] == 1 and len(found["rows"]) == 3
    assert found["rows"][0].keys() - {"commands", "inputs"} == set(read[0])
    fast, ace = found["lines"]
    assert (fast["seeds"], fast["seeds_done"], ace["seeds_done"]) == ([0, 1], [0, 1], [])
    assert fast["median_length"] == {"mean": None, "deviation": None, "low": 0.018, "high": None}
    assert fast["train_seconds"]["mean"] == 100.0 and fast["wrong_beyond"] == "50cm5deg"


def test_frames_come_back_as_they_were_written(tmp_path: Path) -> None:
    section, results = make_section(tmp_path / "scene", "test"), make_results()
    with frame_log(section, tmp_path / "out") as record:
        for result in results:
            record(result)
    read = read_frame_log(tmp_path / "out", section, METRE)
    assert [each.stem for each in read] == [each.stem for each in results]
    np.testing.assert_allclose([each.error for each in read], [each.error for each in results], atol=1e-9)
    np.testing.assert_allclose([each.nees for each in read], [each.nees for each in results])
    assert [each.estimate.inliers for each in read] == [each.estimate.inliers for each in results]
    log = next((tmp_path / "out").glob("frames_*"))
    log.write_text(log.read_text(encoding="utf-8") + '{"frame": "frame-0"', encoding="utf-8")
    with pytest.raises(TransposeError, match="line 6"):
        read_frame_log(tmp_path / "out", section, METRE)


def test_jobs_share_a_run_between_refined_and_unrefined_rows(tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene")
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "world.json").write_text("{}")
    methods, trainings = ["fast", "ace", "fast+refine"], ["sim", "sim+photos"]
    with pytest.raises(TransposeError, match=r"fast\+refine refines poses by a world, .* name one with --worlds"):
        BenchmarkPlan.of([scene], methods, trainings, "test", [0, 1])
    plan = BenchmarkPlan.of([scene], methods, trainings, "test", [0, 1], worlds=[tmp_path / "world"])
    jobs = plan.jobs()
    assert len(jobs) == 2 * 2 * 2 and sum(len(job.rows) for job in jobs) == len(plan.rows()) == 12
    assert [each.method.name for each in jobs[0].rows] == ["fast", "fast+refine"]
    assert plan.rows()[6].sections == ("sim", "photos")
    everything = BenchmarkPlan.of([scene], [], ["sim"], "test", [0])
    assert [method.name for method in everything.methods] == list(PRESETS)
    assert Method.named("fast").has_steps


@pytest.mark.parametrize(
    "change, message",
    [
        ({"methods": ["fast", "magic"]}, "no method 'magic'; methods are fast"),
        ({"methods": ["fast", "fast"]}, "method fast is named twice"),
        ({"trainings": ["sim", "nothing"]}, "no section 'nothing'; it has photos, sim, test"),
        ({"trainings": ["sim", "sim"]}, "--train sim is named twice"),
        ({"trainings": ["sim+photos", "photos+sim"]}, "is named twice"),
        ({"trainings": ["sim+sim"]}, "the section sim is named twice"),
        ({"trainings": ["sim+test"]}, "test is learned from in --train sim\\+test"),
        ({"trainings": []}, "without --train"),
        ({"section": "else"}, "no section 'else'"),
        ({"seeds": []}, "without --seeds"),
        ({"seeds": [1, 1]}, "seed 1 is named twice"),
        ({"seeds": [-1]}, "0 or more"),
        ({"minutes": 0.0}, "--minutes must be more than 0"),
        ({"minutes": math.nan}, "--minutes must be more than 0"),
        ({"worlds": [Path("a"), Path("b")]}, "2 worlds for 1 scene"),
        ({"worlds": [Path("nowhere")]}, "no world.json"),
        ({"scenes": []}, "without a scene"),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, change: dict[str, object], message: str) -> None:
    given = {"methods": ["fast"], "trainings": ["sim"], "section": "test", "seeds": [0]}
    scenes = {"scenes": [make_scene(tmp_path / "scene")]}
    with pytest.raises(TransposeError, match=message):
        BenchmarkPlan.of(**(scenes | given | change))  # type: ignore[arg-type]


def test_scenes_that_cannot_be_compared(tmp_path: Path) -> None:
    scene, other = make_scene(tmp_path / "scene"), make_scene(tmp_path / "else" / "scene")
    for scenes, message in (
        ([scene, scene], "is named twice"),
        ([scene, tmp_path / "scene" / ".." / "scene"], "is named twice"),
        ([scene, other], "folder of the name scene is named twice"),
        ([tmp_path / "none"], "is not a folder"),
    ):
        with pytest.raises(TransposeError, match=message):
            BenchmarkPlan.of(scenes, ["fast"], ["sim"], "test", [0])
    make_section(tmp_path / "small", "test")
    with pytest.raises(TransposeError, match="small has no section 'sim'; it has test"):
        BenchmarkPlan.of([scene, tmp_path / "small"], ["fast"], ["sim"], "test", [0])
