"""Pictures that no single camera took, and what they do to confidences."""

from __future__ import annotations

import numpy as np
import pytest

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import exp_se3, transform
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import beside_rival, confidence, is_doubted, logit, rival_weight
from transpose.localization.contradiction import rival_support
from transpose.localization.options import LocalizationOptions
from transpose.randomness import stream
from transpose.solvers import RansacOptions, solve_pnp

CAMERA = Camera.from_focal(500.0, 640, 480)
HERE, THERE = (Pose(exp_se3(np.array(xi))) for xi in ([0.0, 0, 0, 0, 0, 0], [0.1, -0.5, 0.1, 1.0, 0.4, -0.5]))


def seen_from(pose: Pose, count: int, side: slice) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a part of the image, and the points that a camera at a pose sees there."""
    rng = stream(count, "seen")
    px_n2 = rng.uniform((0, 0), (640, 480), (4 * count, 2))
    px_n2 = px_n2[(px_n2[:, 0] >= side.start) & (px_n2[:, 0] < side.stop)][:count]
    points_n3 = CAMERA.unproject(px_n2) * rng.uniform(3, 8, (len(px_n2), 1))
    return px_n2 + rng.normal(0, 0.5, px_n2.shape), transform(pose.T_wc, points_n3)


def found(*parts: tuple[np.ndarray, np.ndarray], chance: int = 0) -> Candidate:
    """The pose of a picture of such parts, and of so many matches by chance."""
    rng = stream(chance, "chance")
    px_n2 = np.concatenate([*(px for px, _ in parts), rng.uniform((0, 0), (640, 480), (chance, 2))])
    points_n3 = np.concatenate([*(points for _, points in parts), rng.uniform(-8, 8, (chance, 3))])
    estimate = solve_pnp(px_n2, points_n3, CAMERA, RansacOptions(6.0))
    return Candidate.by("landmarks", estimate, points_n3, px_n2)


def rival(candidate: Candidate) -> float:
    return rival_support(candidate, CAMERA, LocalizationOptions())


def test_parts_of_two_photos_are_two_poses() -> None:
    whole = found(seen_from(HERE, 120, slice(0, 320)), seen_from(THERE, 60, slice(320, 640)), chance=100)
    assert rival(whole) == pytest.approx(0.5, abs=0.1)
    assert rival(found(seen_from(HERE, 90, slice(0, 320)), seen_from(THERE, 89, slice(320, 640)))) > 0.9


@pytest.mark.parametrize("chance", [0, 40, 600])
def test_what_agrees_by_chance_is_no_rival(chance: int) -> None:
    assert rival(found(seen_from(HERE, 120, slice(0, 640)), chance=chance)) < 0.2


def test_what_is_left_of_the_pose_itself_is_no_rival_and_hides_none() -> None:
    """A part of the map that is off by more than what agrees is seen from nearly the same pose."""
    px_n2, points_n3 = seen_from(HERE, 60, slice(0, 320))
    bent = (px_n2 + np.array([9.0, 0.0]), points_n3)
    rest = seen_from(HERE, 120, slice(0, 640))
    assert rival(found(rest, bent)) == 0
    assert rival(found(rest, bent, seen_from(THERE, 40, slice(320, 640)))) == pytest.approx(1 / 3, abs=0.1)


def test_a_rival_is_asked_for_where_it_may_decide_and_speaks_against_a_pose() -> None:
    asked = []

    def says(value: float) -> float:
        asked.append(value)
        return value

    sure = found(seen_from(HERE, 400, slice(0, 640)))
    assert confidence(sure, CAMERA, {}, lambda _: says(1.0)) == confidence(sure, CAMERA, {}) and not asked
    unsure = found(seen_from(HERE, 60, slice(0, 200)), chance=200)
    known = logit(unsure, CAMERA)
    assert known is not None
    offsets = {"landmarks": 2.0 - known}  # in doubt, whatever the weights are
    assert is_doubted(2.0)
    alone, beside = (confidence(unsure, CAMERA, offsets, lambda _, r=r: says(r)) for r in (0.0, 0.6))
    assert alone is not None and beside is not None and beside < alone and asked == [0.0, 0.6]
    assert alone == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_what_is_there_by_chance_says_nothing() -> None:
    assert beside_rival(2.0, 0.0, 10.0) == beside_rival(2.0, 0.2, 10.0) == 2.0
    assert beside_rival(2.0, 0.5, 10.0) == pytest.approx(-1.0)
    assert (rival_weight("landmarks") or 0) > 0 and (rival_weight("recognition") or 0) > 0
    assert (rival_weight("matches") or 0) > 0 and rival_weight("coordinates") is None
