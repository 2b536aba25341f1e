"""What validation frames say of a finished network: which scores its poses must have to be given."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.localization.test_choice import CAMERA, checkpoint, estimate
from transpose.geometry.poses import Pose, compose, transform
from transpose.localization import SceneCoordinateLocalizer
from transpose.localization.coordinate_map import CoordinateMap
from transpose.losses.uncertainty import StatedUncertainty, Uncertainty
from transpose.training import calibration
from transpose.training.calibration import least_score, score_bound
from transpose.training.views import TrainingFrame

LEAST = 0.05
SCORES = st.lists(
    st.tuples(st.integers(50, 900), st.booleans()), min_size=1, max_size=12, unique_by=lambda each: each[0]
)


def gain(bound: float, score_n: np.ndarray, right_n: np.ndarray) -> int:
    """What a bound is worth: right poses less wrong ones."""
    return int(np.where(right_n, 1, -1)[score_n >= bound].sum())


@given(SCORES)
def test_no_bound_is_worth_more_than_the_one_chosen(scored: list[tuple[int, bool]]) -> None:
    score_n, right_n = np.array([each[0] / 1000 for each in scored]), np.array([each[1] for each in scored])
    bound = score_bound(score_n, right_n, LEAST)
    worth = {candidate: gain(candidate, score_n, right_n) for candidate in (LEAST, *(score_n + 1e-9), np.inf)}
    assert bound >= LEAST and gain(bound, score_n, right_n) == max(worth.values())
    # Of bounds worth as much, the lowest: the fewest frames are refused.
    assert np.sum(score_n >= bound) == max(
        np.sum(score_n >= candidate) for candidate, value in worth.items() if value == max(worth.values())
    )


def test_bounds_by_hand() -> None:
    score_n = np.array([0.4, 0.1, 0.2, 0.3])
    assert score_bound(score_n, np.array([True] * 4), LEAST) == LEAST
    assert score_bound(score_n, np.array([True, False, False, True]), LEAST) == pytest.approx(np.sqrt(0.2 * 0.3))
    assert score_bound(score_n, np.array([False, True, False, False]), LEAST) == np.inf
    assert score_bound(score_n, np.array([False] * 4), LEAST) == np.inf


@dataclasses.dataclass(frozen=True)
class Seen:
    """A frame of which only image, camera and pose are asked."""

    pose: Pose
    camera = CAMERA

    def image(self) -> np.ndarray:
        return np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)


def frames(count: int) -> list[TrainingFrame]:
    return [TrainingFrame(Seen(Pose(np.eye(4))), rendered=True) for _ in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong_by_m, count, expected",
    [
        (0.0, 6, calibration.MIN_SCORE),
        (0.05, 6, calibration.MIN_SCORE),
        (1.0, 6, np.inf),  # a wall at two metres, seen from a metre aside
        (1.0, 3, calibration.MIN_SCORE),  # too few to tell
    ],
)
def test_a_network_that_is_wrong_everywhere_gives_no_pose(
    monkeypatch: pytest.MonkeyPatch, wrong_by_m: float, count: int, expected: float
) -> None:
    empty = CoordinateMap(np.zeros((12, 16, 3)), np.zeros((12, 16, 0)), StatedUncertainty(Uncertainty("none")), CAMERA)
    shifted_44 = compose(np.eye(3), np.array([wrong_by_m, 0.0, 0.0]))
    points_n3 = transform(shifted_44, 2 * CAMERA.unproject(empty.cell_px().reshape(-1, 2)))
    wall = dataclasses.replace(empty, points_hw3=points_n3.reshape(12, 16, 3))
    localizer = SceneCoordinateLocalizer(checkpoint())
    monkeypatch.setattr(localizer, "coordinates", lambda *_: wall)
    monkeypatch.setattr(calibration, "load", lambda *_, **__: localizer)
    assert least_score(Path("run"), "cpu", frames(count)) == expected


@pytest.mark.parametrize("least, given_out", [(0.4, True), (0.6, False), (np.inf, False)])
def test_a_pose_below_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch, least: float, given_out: bool) -> None:
    localizer = SceneCoordinateLocalizer({**checkpoint(), "least_score": least}, use="coordinates")
    monkeypatch.setattr(localizer, "solve", lambda *_: estimate(50))
    found = localizer.localize(np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8))
    assert (found.pose is not None) == given_out
    assert given_out or (found.reason == "low_score" and found.covariance_66 is None)
