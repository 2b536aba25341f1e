"""Plots: failures stay in the curves, and every input that a test can bring forth gives a picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from transpose.evaluation.metrics import FrameResult
from transpose.geometry.poses import Pose, compose, exp_so3
from transpose.pages.headline import marked_bound
from transpose.pages.plots import (
    ESTIMATE_COLOR,
    REFUSED_COLOR,
    SERIES_COLORS,
    TRUE_COLOR,
    error_steps,
    length_unit,
    plot_error_curve,
    plot_training,
    plot_trajectory,
    unique_steps,
)
from transpose.scenes.files import image_size, read_image
from transpose.solvers import PoseEstimate
from transpose.worlds.top_down import map_limits, top_down


def result(index: int, error_m: float | None = 0.02, scale: float = 1.0) -> FrameResult:
    """A frame on a circle, estimated with an error, or refused where that is None."""
    angle = 0.3 * index
    R_wc = exp_so3(np.array([0.0, 0.0, angle])) @ exp_so3(np.array([-math.pi / 2, 0.0, 0.0]))
    truth = Pose(compose(R_wc, scale * np.array([math.cos(angle), math.sin(angle), 1.5])))
    if error_m is None:
        return FrameResult(f"frame-{index}", truth, PoseEstimate(None, "no_consensus", np.zeros(0, bool)), 0.1)
    pose = Pose(compose(truth.R_wc @ exp_so3(np.array([0.01, 0, 0])), truth.center + np.array([error_m, 0, 0])))
    estimate = PoseEstimate(pose, "ok", np.ones(50, bool), 0.8, 100, np.diag([1e-4] * 3 + [4e-4] * 3))
    return FrameResult(f"frame-{index}", truth, estimate, 0.1)


MIXED = [result(i, None if i % 4 == 0 else 0.01 * (i + 1)) for i in range(12)]


def assert_picture(path: Path) -> None:
    width, height = image_size(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert 500 < width < 2500 and 400 < height < 2500
    assert 5_000 < path.stat().st_size < 1_000_000
    assert list(path.parent.glob(".*")) == []


def rows_of(path: Path, color: str) -> np.ndarray:
    """Rows of a picture in which there are pixels of a colour, a few at least."""
    rgb_3 = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    close_hw = (np.abs(read_image(path).astype(int) - rgb_3) < 12).all(2)
    return np.flatnonzero(close_hw.sum(1) >= 3)


def test_a_curve_with_failures_ends_lower(tmp_path: Path) -> None:
    solved, half = [result(i) for i in range(8)], [result(i, None if i % 2 else 0.02) for i in range(8)]
    whole = rows_of(plot_error_curve({"test": solved}, tmp_path / "whole.png"), SERIES_COLORS[0])
    ending = rows_of(plot_error_curve({"test": half}, tmp_path / "half.png"), SERIES_COLORS[0])
    bottom = whole[whole < 0.8 * image_size(tmp_path / "whole.png")[1]].max()  # the legend lies below the axes
    assert (bottom - ending.min()) / (bottom - whole.min()) == pytest.approx(0.5, abs=0.03)


def test_the_map_shows_estimates_and_refusals(tmp_path: Path) -> None:
    for name, results in {"mixed": MIXED, "solved": [result(i) for i in range(5)]}.items():
        path = plot_trajectory(results, tmp_path / f"{name}.png")
        assert len(rows_of(path, TRUE_COLOR)) > 20 and len(rows_of(path, ESTIMATE_COLOR)) > 20
        assert bool(len(rows_of(path, REFUSED_COLOR)) > 5) == (name == "mixed")
    nothing = plot_trajectory([result(i, None) for i in range(3)], tmp_path / "refused.png")
    assert len(rows_of(nothing, REFUSED_COLOR)) > 5


def test_a_falling_loss_is_drawn_falling(tmp_path: Path) -> None:
    drawn = plot_training([{"step": i, "loss": -float(i)} for i in range(1, 9)], tmp_path / "falling.png")
    image_hw3 = read_image(drawn)
    blue_hw = (np.abs(image_hw3.astype(int) - [0, 0x72, 0xB2]) < 12).all(2)
    left_hw = blue_hw[:, : image_hw3.shape[1] // 2]
    columns = np.flatnonzero(left_hw.any(0))
    first, last = (np.flatnonzero(left_hw[:, column]).mean() for column in (columns[3], columns[-4]))
    assert last > first + 0.4 * image_hw3.shape[0]


def test_curve_with_failures_ends_below_all_frames() -> None:
    _, share_n = error_steps(np.array([r.error[1] for r in MIXED]), 1e-5)
    assert share_n[-1] == pytest.approx(75.0)
    assert (np.diff(share_n) > 0).all()


def test_curve_of_failures_alone_is_empty() -> None:
    x_n, share_n = error_steps(np.array([math.inf, math.inf]), 1e-5)
    assert len(x_n) == len(share_n) == 0


@pytest.mark.parametrize(
    "results",
    [MIXED, [result(0)], [result(0, 0.0)], [result(i, None) for i in range(3)], [result(i, 1e6) for i in range(2)]],
    ids=["mixed", "one", "exact", "all refused", "far away"],
)
def test_every_outcome_gives_pictures(results: list[FrameResult], tmp_path: Path) -> None:
    assert_picture(plot_error_curve({"test": results, "$odd_{name": results}, tmp_path / "curve.png"))
    assert_picture(plot_trajectory(results, tmp_path / "map.png"))
    assert_picture(plot_trajectory(results, tmp_path / "level.png", up_3=np.array([0.1, 0.0, 1.0])))


def test_nothing_to_plot_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no results"):
        plot_error_curve({"test": []}, tmp_path / "curve.png")
    with pytest.raises(ValueError, match="no results"):
        plot_trajectory([], tmp_path / "map.png")
    with pytest.raises(ValueError, match="no step"):
        plot_training([{"note": "x"}], tmp_path / "training.png")


def test_training_log_with_gaps_and_a_resumed_step(tmp_path: Path) -> None:
    log = [
        {"step": 250, "loss": -2.7, "train_median_m": 0.33, "val_median_m": 0.35, "seconds": 60.0},
        {"step": 500, "loss": 9.0, "train_median_m": 0.2, "seconds": 120.0},
        {"step": 500, "loss": -3.0, "train_median_m": float("nan"), "seconds": 121.0},
    ]
    assert [entry["loss"] for entry in unique_steps(log)] == [-2.7, -3.0]
    assert_picture(plot_training(log, tmp_path / "training.png"))
    assert_picture(plot_training(log[:1], tmp_path / "one.png"))
    assert_picture(plot_training([{"step": 1}], tmp_path / "none.png"))


def test_units_and_bound_follow_the_errors() -> None:
    near, far = [result(i, 0.02) for i in range(3)], [result(i, 4.0, scale=100.0) for i in range(3)]
    assert (length_unit(near)[1], marked_bound(near).name) == ("cm", "5cm5deg")
    assert (length_unit(far)[1], marked_bound(far).name) == ("m", "5m5deg")
    assert marked_bound([result(0, None)]).name == "5cm5deg"


def test_map_is_seen_from_above() -> None:
    plan = top_down(np.zeros((1, 3)), up_3=np.array([0.0, -1.0, 0.0]))
    assert np.allclose(np.cross(*plan.axes_23), (0, -1, 0))
    assert plan.labels == ("x (m)", "z (m)")


def test_map_of_the_two_widest_axes_relative_to_large_coordinates() -> None:
    plan = top_down(np.array([[2.6e6, 5.0, 1.2e6], [2.6e6 + 300, 6.0, 1.2e6 + 200]]))
    assert plan.labels == ("x − 2600000 (m)", "z − 1200000 (m)")
    assert np.allclose(plan.places(np.array([[2.6e6 + 1, 9.0, 1.2e6 + 2]])), [[1, 2]])


def test_one_wild_estimate_does_not_shrink_the_map() -> None:
    low_2, high_2 = map_limits(np.array([[0.0, 0.0], [4.0, 2.0]]), np.array([[1e5, 0.0], [4.5, 1.0]]))
    assert 4.5 < high_2[0] < 6 and low_2[0] > -1
