"""Stated confidences against what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.evaluation.metrics import FrameResult, judged, summarize
from transpose.evaluation.reliability import Reliability, image_shift, risk_coverage
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, exp_so3
from transpose.solvers import PoseEstimate

CAMERA = Camera.from_focal(500, 640, 480)
HERE = Pose(np.eye(4))


def result(
    pose: Pose | None, chance: float | None, refused: Pose | None = None, distance: float | None = 5.0
) -> FrameResult:
    estimate = PoseEstimate(
        pose, "ok", np.ones(3, bool), camera=CAMERA, confidence=chance, distance=distance, refused=refused
    )
    return FrameResult("a", HERE, estimate, 0.1)


def slow_risk(confidence_n: list[float], right_n: list[bool]) -> list[float]:
    """Of distinct confidences, one cut at a time."""
    order = sorted(range(len(right_n)), key=lambda i: -confidence_n[i])
    return [sum(not right_n[i] for i in order[: k + 1]) / (k + 1) for k in range(len(order))]


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.randoms())
def test_the_risk_coverage_curve_is_that_of_a_slow_twin(right: list[bool], random) -> None:  # type: ignore[no-untyped-def]
    chances = [i / 40 for i in range(len(right))]
    random.shuffle(chances)
    assert risk_coverage(np.array(chances), np.array(right)) == pytest.approx(slow_risk(chances, right))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_scores_are_bounded_and_no_order_beats_the_best(judged: list[tuple[float, bool]]) -> None:
    found = Reliability.of(np.array([c for c, _ in judged]), np.array([r for _, r in judged]))
    assert 0 <= found.brier <= 1 and 0 <= found.ece <= 1
    assert found.aurc_best <= found.aurc + 1e-12 <= 1 + 1e-12
    assert sum(found.images_b) == found.images == len(judged)


def test_confidences_that_hold_have_no_error() -> None:
    rng = np.random.default_rng(0)
    confidence_n = rng.uniform(size=100_000)
    found = Reliability.of(confidence_n, rng.uniform(size=len(confidence_n)) < confidence_n)
    assert found.ece < 0.01 and found.brier == pytest.approx(1 / 6, abs=0.005)
    boasting = Reliability.of(np.full(1000, 0.99), np.arange(1000) % 2 == 0)
    assert boasting.ece == pytest.approx(0.49) and boasting.aurc == pytest.approx(0.5)


def test_nothing_is_told_of_nothing() -> None:
    assert math.isnan(Reliability.of(np.zeros(0), np.zeros(0, bool)).ece)
    assert len(judged([result(HERE, None)])[0]) == 0
    assert "confidence" not in summarize([result(HERE, None)])
    with pytest.raises(ValueError, match="probability"):
        Reliability.of(np.array([1.5]), np.array([True]))
    with pytest.raises(ValueError, match="as many"):
        Reliability.of(np.array([0.5]), np.array([True, False]))


def test_refused_poses_are_judged_as_well() -> None:
    far = Pose(compose(np.eye(3), np.array([3.0, 0, 0])))
    results = [result(HERE, 0.999), result(None, 0.3, refused=HERE), result(None, 0.2, refused=far), result(None, 0.0)]
    assert [each.right for each in results] == [True, True, False, False]
    told = summarize(results)["confidence"]
    assert told["images"] == 4 and told["right"] == 0.5


def test_a_shift_of_the_image_is_told_in_diagonals() -> None:
    turned = Pose(compose(exp_so3(np.array([0, math.radians(2), 0])), np.zeros(3)))
    expected = 500 * math.tan(math.radians(2)) / 800
    assert image_shift(turned, HERE, CAMERA, 5.0) == pytest.approx(expected, rel=0.2)
    moved = Pose(compose(np.eye(3), np.array([0.1, 0, 0])))
    assert image_shift(moved, HERE, CAMERA, 5.0) == pytest.approx(500 * 0.1 / 5 / 800)
    behind = Pose(compose(exp_so3(np.array([0, math.pi, 0])), np.zeros(3)))
    assert image_shift(behind, HERE, CAMERA, 5.0) == math.inf
    assert not result(HERE, 0.5, distance=None).right
