"""Testing a section: any localizer will do, and nothing that was localized is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.stubs import Plain, Stub, make_results, make_section, save_run, truth
from transpose.errors import TransposeError
from transpose.evaluation.frame_log import read_frame_log
from transpose.evaluation.maps import map_files, read_saved_map, save_maps
from transpose.evaluation.metrics import summarize
from transpose.evaluation.samples import write_samples
from transpose.evaluation.testing import frame_log, localize_section, write_results
from transpose.localization import PredictsCoordinates
from transpose.scenes import open_section
from transpose.scenes.facts import record_in_scene
from transpose.scenes.truth_error import TruthError
from transpose.scenes.unit import METRE
from transpose.solvers import PosteriorOptions


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_localizer_is_a_camera_and_a_way_to_localize(tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test")
    localizer = Plain()
    assert not isinstance(localizer, PredictsCoordinates)
    results = localize_section(localizer, section)
    assert [result.error for result in results] == [result.error for result in make_results()]
    table = write_results(results, section, save_run(tmp_path / "run", section.scene), tmp_path / "out")
    assert (table["frames"], table["failed"], table["errors"]) == (5, 1, 0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.json",
        "poses_scene_test.txt",
        "test_scene_test.txt",
    }
    said = write_samples(localizer, section.frames, PosteriorOptions(samples=2), tmp_path / "samples.json")
    assert [each["reason"] for each in said.values()] == ["ok", "ok", "ok", "no_consensus", "ok"]
    assert said["frame-0"]["by"] == "covariance" and len(said["frame-0"]["samples"]) == 2


def test_the_error_of_the_truth_goes_into_results_logs_and_maps(tmp_path: Path) -> None:
    make_section(tmp_path / "scene", "test")
    record_in_scene(tmp_path / "scene", truth_error={"metres": 0.4, "degrees": 1})
    section, off = open_section(tmp_path / "scene" / "test"), TruthError(0.4, 1.0)
    with frame_log(section, tmp_path / "out") as record:
        results = localize_section(Stub(), section, record=record)
    assert all(result.truth_error == off for result in results)
    again = read_frame_log(tmp_path / "out", section, METRE)
    assert [result.nees for result in again][:3] == pytest.approx([result.nees for result in results][:3])
    save_maps(Stub(), section, results, tmp_path / "out" / "maps")
    assert read_saved_map(map_files(tmp_path / "out")[0]).result.truth_error == off
    table = write_results(results, section, save_run(tmp_path / "run", section.scene), tmp_path / "out")
    assert table["calibration"]["truth_error"] == off.as_json() and table["calibration"]["nees_median"] < 0.1


def test_a_test_that_was_cut_off_does_not_pass_for_the_one_before(tmp_path: Path) -> None:
    section, out = make_section(tmp_path / "scene", "test"), tmp_path / "out"
    run = save_run(tmp_path / "run", section.scene)
    with frame_log(section, out) as record:
        write_results(localize_section(Plain(), section, record=record), section, run, out)
    assert len(read_frame_log(out, section, METRE)) == 5
    with pytest.raises(KeyboardInterrupt), frame_log(section, out) as record:
        localize_section(Plain(interrupted=2), section, record=record)
    with pytest.raises(TransposeError, match=r"holds 2 frames and .*results\.json tells of 5: a test was cut off"):
        read_frame_log(out, section, METRE)


def test_a_frame_that_raises_is_a_failed_frame(tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test")
    section.frames[4].paths["rgb"].write_bytes(b"no image")
    with frame_log(section, tmp_path / "out") as record:
        results = localize_section(Plain(raises=(1,)), section, record=record)
    assert [result.raised for result in results] == [False, True, False, False, True]
    assert results[1].estimate.reason == "error: IndexError: index 1 is out of bounds for dimension 0"
    assert "not a readable image" in results[4].estimate.reason
    table = summarize(results)
    assert (table["failed"], table["errors"]) == (3, 2)
    lines = lines_of(tmp_path / "out" / "frames_scene_test.jsonl")
    assert [line["frame"] for line in lines] == [f"frame-{i}" for i in range(5)]
    assert [line["pose"] is None for line in lines] == [False, True, False, True, True]
    assert np.allclose(np.array(lines[2]["pose"])[:3, 3], truth(2).center + np.array([0, 0, 0.03]))
    assert lines[3]["reason"] == "no_consensus" and lines[3]["error_m"] is None


def test_maps_are_saved_of_frames_that_did_not_raise(saved_localizer_maps: Path) -> None:
    assert [path.stem for path in map_files(saved_localizer_maps)] == ["frame-0", "frame-2", "frame-3", "frame-4"]
    assert read_saved_map(map_files(saved_localizer_maps)[0]).stem == "frame-0"


@pytest.fixture
def saved_localizer_maps(tmp_path: Path) -> Path:
    from tests.evaluation.stubs import Stub

    section = make_section(tmp_path / "scene", "test")
    localizer = Stub(raises=(1,))
    save_maps(localizer, section, localize_section(localizer, section), tmp_path / "out" / "maps")
    return tmp_path / "out"


def test_what_was_localized_before_an_interrupt_is_on_disk(tmp_path: Path) -> None:
    section, log = make_section(tmp_path / "scene", "test"), tmp_path / "out" / "frames_scene_test.jsonl"
    with pytest.raises(KeyboardInterrupt), frame_log(section, tmp_path / "out") as record:
        localize_section(Plain(interrupted=3), section, record=record)
    assert [line["frame"] for line in lines_of(log)] == ["frame-0", "frame-1", "frame-2"]
    with frame_log(section, tmp_path / "out") as record:
        localize_section(Plain(), section, record=record)
    assert len(lines_of(log)) == 5


def test_where_every_frame_raises_nothing_was_measured(tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test")
    with pytest.raises(TransposeError, match=r"no frame of .* the first, frame-0: IndexError: index 0"):
        localize_section(Plain(raises=(0, 1, 2, 3, 4)), section)


def test_a_machine_out_of_memory_is_no_fault_of_the_frame(tmp_path: Path) -> None:
    class Exhausted(Plain):
        def localize_query(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise MemoryError

    with pytest.raises(MemoryError):
        localize_section(Exhausted(), make_section(tmp_path / "scene", "test"))


def test_a_true_pose_that_cannot_be_read_is_said_first(tmp_path: Path) -> None:
    section, localizer = make_section(tmp_path / "scene", "test"), Plain()
    section.frames[4].paths["poses"].write_text("1 2 3", encoding="utf-8")
    with pytest.raises(TransposeError, match="frame-4"):
        localize_section(localizer, section)
    assert localizer.asked == 0
