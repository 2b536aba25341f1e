"""Depth, normals and classes by their measures, of a localizer that is made up."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.stubs import CAMERA, Plain, Stub, make_section, truth
from transpose.evaluation.tasks import TaskLabels, intersections_over_unions, measure_tasks, normal_errors
from transpose.geometry import Camera
from transpose.localization.localizer import task_maps_of, tasks_learned
from transpose.localization.rescaled import _RescaledWithCoordinates
from transpose.localization.task_maps import ClassMap, DepthMap, NormalMap, TaskMaps
from transpose.pages.task_pictures import task_pictures
from transpose.pages.wording import task_lines
from transpose.scenes.layout import Section, open_section
from transpose.scenes.writer import FrameLabels, SectionWriter

ROWS, COLUMNS = 6, 8


class Knowing(Stub):
    """Says that everything lies 2.2 m ahead, faces the camera, and is ground; it is off by what `make_section` says."""

    tasks = ("depth", "normal", "semantics")

    def task_maps(self, image_hw3: np.ndarray, camera: Camera | None = None) -> TaskMaps:
        shape = ROWS, COLUMNS
        probabilities_hwc = np.tile(np.array([0.1, 0.7, 0.1, 0.1, 0.0, 0.0]), (*shape, 1))
        return TaskMaps(
            camera or CAMERA,
            DepthMap(np.full(shape, 2.2), np.full(shape, 0.1)),
            NormalMap(np.tile([0.0, 0.0, -1.0], (*shape, 1)), np.full(shape, np.radians(5))),
            ClassMap(probabilities_hwc),
        )


@pytest.fixture
def labelled(tmp_path: Path) -> Section:
    """A wall two metres ahead, turned by 10 degrees in its left half; three quarters ground, a quarter building."""
    writer = SectionWriter(tmp_path, "sim", {})
    normal_3hw = np.zeros((3, ROWS, COLUMNS), np.float32)
    normal_3hw[2] = -1
    turned_3 = np.array([np.sin(np.radians(10)), 0, -np.cos(np.radians(10))])
    normal_3hw[:, :, :4] = turned_3[:, None, None]
    classes_hw = np.ones((48, 64), np.uint8)
    classes_hw[:24, :32] = 3
    for i in range(3):
        labels = FrameLabels(np.full((48, 64), 2, np.float32), None, normal_3hw, classes_hw)
        writer.add(f"frame-{i}", np.full((48, 64, 3), 40 * i, np.uint8), truth(i), CAMERA, labels)
    writer.finish({"source": "made up"})
    return open_section(tmp_path / "sim")


def test_each_task_is_measured_by_its_own(labelled: Section) -> None:
    measured = measure_tasks(Knowing(), labelled.frames)
    depth, normal, semantics = measured["depth"], measured["normal"], measured["semantics"]
    assert depth["cells"] == normal["cells"] == semantics["cells"] == 3 * ROWS * COLUMNS
    assert depth["median_relative"] == pytest.approx(0.1) and depth["delta_1.25"] == 1
    assert (depth["mean_log"], depth["stated_mean_log"]) == pytest.approx((np.log(1.1), 0.1)) and depth[
        "covered_90"
    ] == 1
    assert (normal["median_deg"], normal["mean_deg"], normal["stated_mean_deg"]) == pytest.approx((5, 5, 5), abs=1e-4)
    assert semantics["accuracy"] == 0.75 and semantics["stated_accuracy"] == pytest.approx(0.7)
    assert semantics["iou"] == {
        "sky": None, "ground": 0.75, "vegetation": None, "building": 0.0, "water": None, "bridge": None,
    }  # fmt: skip
    assert semantics["miou"] == 0.375
    lines = task_lines({"tasks": measured})
    assert lines[0].startswith("depth: median 10.0 % off, 100.0 % within a factor of 1.25")
    assert "mean 5.0 deg (5.0 deg stated)" in lines[1] and "mIoU 37.5 % (ground 75, building 0)" in lines[2]


def test_what_has_no_labels_is_not_measured(tmp_path: Path) -> None:
    bare = make_section(tmp_path, "bare", depth=False)
    assert measure_tasks(Knowing(), bare.frames) == {} and task_lines({"tasks": {}}) == task_lines({}) == []
    assert measure_tasks(Knowing(), make_section(tmp_path, "depth").frames).keys() == {"depth"}
    assert tasks_learned(Plain()) == () and measure_tasks(Plain(), bare.frames) == {}
    assert task_maps_of(Plain(), np.zeros((48, 64, 3), np.uint8)).depth is None
    assert len(task_pictures(Knowing(), bare.frames[0])) == 3 and task_pictures(Plain(), bare.frames[0]) == []


def test_pictures_show_predictions_and_labels(labelled: Section) -> None:
    captions = [each.caption for each in task_pictures(Knowing(), labelled.frames[0])]
    assert captions == [
        "Predicted depth, median 10.0 % off", "Depth by the label",
        "Predicted normals, median 5.00° off", "Normals by the label",
        "Predicted classes, 75 % right", "Classes by the label",
    ]  # fmt: skip


def test_labels_fit_an_image_at_another_scale(labelled: Section) -> None:
    """A localizer that sees the image half as large has a quarter of the cells, which show the same."""
    maps = TaskMaps(CAMERA.resized(32, 24), normal=NormalMap(np.tile([0.0, 0.0, -1.0], (3, 4, 1)), np.zeros((3, 4))))
    labels = TaskLabels.of(labelled.frames[0], maps)
    assert labels.depth_hw.shape == (3, 4) and np.allclose(labels.depth_hw, 2)
    assert np.allclose(normal_errors(maps, labels), [[10, 10, 0, 0]] * 3, atol=1e-4)
    assert labels.classes_hw.tolist() == [[3, 3, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_depth_is_told_in_the_scene_s_unit() -> None:
    inside = Knowing()
    around = _RescaledWithCoordinates(inside, inside, 10.0)
    maps = around.task_maps(np.zeros((48, 64, 3), np.uint8), CAMERA)
    assert around.tasks == inside.tasks
    assert maps.depth is not None and np.allclose(maps.depth.depth_hw, 22) and np.allclose(maps.depth.expected_hw, 0.1)


def test_intersections_over_unions_are_those_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    true_n, predicted_n = rng.integers(0, 3, 200), rng.integers(0, 4, 200)
    confusion = np.zeros((4, 4), np.int64)
    np.add.at(confusion, (true_n, predicted_n), 1)
    for label, value in enumerate(intersections_over_unions(confusion)):
        either = ((true_n == label) | (predicted_n == label)).sum()
        expected = ((true_n == label) & (predicted_n == label)).sum() / either if (true_n == label).any() else np.nan
        assert value == pytest.approx(expected, nan_ok=True)
