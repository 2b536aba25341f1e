"""Which of the answers an image gets: from landmarks, from coordinates, or none."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tests.localization.checkpoints import CAMERA, checkpoint, one_landmark
from transpose.geometry import Pose
from transpose.localization import LocalizationOptions, SceneCoordinateLocalizer
from transpose.localization.candidates import Candidate, CorrespondenceKind
from transpose.localization.choice import choose
from transpose.solvers import PoseEstimate

OPTIONS = LocalizationOptions(risk=0.01)
IMAGE = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)


def candidate(inliers: int, by: CorrespondenceKind = "landmarks", score: float = 0.5) -> Candidate:
    pose = Pose(np.eye(4)) if inliers else None
    estimate = PoseEstimate(pose, "ok" if inliers else "no_consensus", np.ones(inliers, bool), score, 1, np.eye(6))
    return Candidate.by(by, estimate, np.ones((inliers, 3)), np.ones((inliers, 2)))


@dataclass
class Landmarks:
    """Finds so many everywhere, and so many near any pose."""

    everywhere_count: int
    near_count: int = 0
    asked: list[str] = field(default_factory=list)

    def everywhere(self) -> Candidate:
        self.asked.append("everywhere")
        return candidate(self.everywhere_count)

    def near(self, pose: Pose) -> Candidate:
        self.asked.append("near")
        return candidate(self.near_count)


def judge(found: Candidate) -> float:
    """One in a hundred with 30 that agree is wrong, one in ten thousand with 60."""
    return 0.0 if found.pose is None else 1 - 10 ** (-found.support / 15)


@pytest.mark.parametrize(
    "everywhere, from_cells, nearby, expected",
    [
        (200, None, 0, 200),  # enough landmarks: the cells are not asked
        (50, 900, 150, 150),  # more of them where the cells say
        (50, 900, 20, 50),  # landmarks that are sure enough, however many cells there are
        (10, 900, 20, 900),  # they are not: the cells answer
        (0, 900, 0, 900),
        (10, 5, 0, 10),  # none is sure: what is likeliest
        (10, 0, 0, 10),
        (40, 0, 0, 40),
    ],
)
def test_the_surest_pose_is_given(everywhere: int, from_cells: int | None, nearby: int, expected: int) -> None:
    def coordinates() -> Candidate:
        assert from_cells is not None, "asked for nothing"
        return candidate(from_cells, "coordinates")

    found = choose(Landmarks(everywhere, nearby), coordinates, None, OPTIONS, judge, 0.045)
    assert found.support == expected
    assert found.pose is None or found.estimate.by == ("coordinates" if expected in (900, 5) else "landmarks")


def test_support_that_a_pose_chose_itself_is_not_enough() -> None:
    chosen = replace(candidate(300), before=candidate(12))
    landmarks = Landmarks(0)
    landmarks.everywhere = lambda: chosen  # type: ignore[method-assign]
    found = choose(landmarks, lambda: candidate(900, "coordinates"), None, OPTIONS, lambda c: judge(c.before or c), 0.0)
    assert found.estimate.by == "coordinates"


@pytest.mark.parametrize(
    "score, least, given_out", [(0.5, 0.4, True), (0.5, 0.6, False), (0.5, np.inf, False), (0.003, 0.0, False)]
)
def test_a_pose_by_coordinates_below_the_bound_is_refused(score: float, least: float, given_out: bool) -> None:
    found = choose(None, lambda: candidate(50, "coordinates", score), None, OPTIONS, judge, least)
    assert (found.pose is not None) == given_out
    assert given_out or (found.estimate.reason == "low_score" and found.estimate.covariance_66 is None)


def test_landmarks_are_also_looked_for_near_a_prior() -> None:
    prior = Pose(np.eye(4))
    landmarks = Landmarks(10, 150)
    assert choose(landmarks, lambda: candidate(0), prior, OPTIONS, judge, 0.045).support == 150
    assert landmarks.asked == ["everywhere", "near"]  # and that was enough
    plenty = Landmarks(200, 0)
    assert choose(plenty, None, prior, OPTIONS, judge, 0.045).support == 200 and plenty.asked == ["everywhere"]


def test_landmarks_alone_are_judged_by_whoever_asked() -> None:
    assert choose(Landmarks(29), None, None, OPTIONS, judge, 0.0).pose is not None
    with pytest.raises(ValueError, match="neither"):
        choose(None, None, None, OPTIONS, judge, 0.0)


@pytest.mark.parametrize("landmarks", [None, one_landmark()])
def test_a_network_that_learned_nothing_refuses_and_says_why(landmarks: dict | None) -> None:
    found = SceneCoordinateLocalizer(checkpoint(landmarks=landmarks)).localize(IMAGE)
    assert found.pose is None and found.reason and found.covariance_66 is None
