"""Images turned by quarters: the way there and back, and what a localizer that knows one way up makes of them."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, exp_se3, invert, log_se3, pose_error, transform
from transpose.geometry.turning import turn, turned_camera
from transpose.localization import Query
from transpose.localization.turning import Glance, at_any_turn
from transpose.randomness import stream
from transpose.solvers import PoseAlternative, PoseEstimate

CAMERA = Camera(40, 30, 35.0, 36.0, 19.0, 14.5, 0.02, -0.01)
POSE = Pose(exp_se3(np.array([0.3, -0.5, 0.8, 1.0, 2.0, 3.0])))
IMAGE = stream(0, "image").integers(0, 255, (30, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_camera_sees_the_same_where_the_turned_image_shows_it(quarters: int) -> None:
    points_n3 = stream(0, "points").uniform((-1, -1, 3), (1, 1, 6), (50, 3))
    px_n2 = CAMERA.project(points_n3)
    for _ in range(quarters):
        width = 40 if _ % 2 == 0 else 30
        px_n2 = np.stack([px_n2[:, 1], width - px_n2[:, 0]], 1)
    turned_n3 = transform(invert(turn(quarters)), points_n3)
    np.testing.assert_allclose(turned_camera(CAMERA, quarters).project(turned_n3), px_n2, atol=1e-9)
    assert turned_camera(turned_camera(CAMERA, quarters), -quarters) == CAMERA
    np.testing.assert_array_equal(turn(quarters) @ turn(-quarters), np.eye(4))


@pytest.mark.parametrize("quarters", range(4))
def test_an_estimate_comes_back_in_the_frame_of_the_image(quarters: int) -> None:
    """A localizer that knows the image upright alone, and is a little off, with the covariance that says so."""
    root_66 = stream(1, "root").normal(size=(6, 6)) * 0.01
    xi_6 = root_66 @ stream(2, "xi").normal(size=6)
    asked = []

    def localize(query: Query) -> PoseEstimate:
        asked.append(query)
        if not np.array_equal(query.image_hw3, IMAGE):
            return PoseEstimate(None, "low_score", np.zeros(0, bool))
        assert query.camera == CAMERA and query.depth_hw is not None and query.prior is not None
        assert pose_error(query.prior, POSE)[1] < 1e-9
        off = Pose(POSE.T_wc @ exp_se3(xi_6))
        return PoseEstimate(off, "ok", np.ones(4, bool), 0.5, covariance_66=root_66 @ root_66.T, camera=CAMERA)

    held = np.ascontiguousarray(np.rot90(IMAGE, -quarters))
    camera, truth = turned_camera(CAMERA, -quarters), Pose(POSE.T_wc @ turn(-quarters))
    depth_hw = np.rot90(np.ones((30, 40)), -quarters)
    found = at_any_turn(localize, Query(held, camera, depth_hw=depth_hw, prior=truth))
    assert found.pose is not None and found.covariance_66 is not None and found.camera == camera
    assert len(asked) == (1 if quarters == 0 else {2: 2, 1: 3, 3: 4}[quarters])
    here_6 = log_se3(invert(truth.T_wc) @ found.pose.T_wc)
    np.testing.assert_allclose(
        here_6 @ np.linalg.solve(found.covariance_66, here_6), xi_6 @ np.linalg.solve(root_66 @ root_66.T, xi_6)
    )
    np.testing.assert_allclose(np.linalg.norm(here_6[3:]), np.linalg.norm(xi_6[3:]))


def test_what_is_refused_whichever_way_stays_refused_as_at_first() -> None:
    reasons = iter(["low_score", "no_consensus", "too_few_points", "degenerate"])
    found = at_any_turn(lambda _: PoseEstimate(None, next(reasons), np.zeros(0, bool)), Query(IMAGE, CAMERA))
    assert (found.pose, found.reason) == (None, "low_score") and next(reasons, None) is None


def test_a_focal_length_is_looked_for_only_where_a_turned_image_is_found() -> None:
    asked = []

    def localize(query: Query) -> PoseEstimate:
        asked.append((query.source, query.focal_sigma, query.camera.width))
        if query.camera.width == 40 or len(asked) < 3:
            return PoseEstimate(None, "low_score", np.zeros(0, bool))
        return PoseEstimate(POSE, "ok", np.ones(4, bool), camera=query.camera, focal_sigma=query.focal_sigma)

    found = at_any_turn(localize, Query(IMAGE, CAMERA, source="estimated", focal_sigma=0.3))
    assert asked == [
        ("estimated", 0.3, 40), ("calibration", 0.0, 40), ("calibration", 0.0, 30), ("estimated", 0.3, 30)
    ]  # fmt: skip
    assert found.focal_sigma == 0.3 and found.camera == CAMERA


def test_an_image_that_is_found_is_looked_at_once() -> None:
    asked = []

    def localize(query: Query) -> PoseEstimate:
        asked.append(query)
        return PoseEstimate(Pose(compose(np.eye(3), np.ones(3))), "ok", np.ones(4, bool))

    query = replace(Query(IMAGE, CAMERA), source="exif")
    assert at_any_turn(localize, query).pose is not None and asked == [query]


def test_alternatives_of_a_turned_image_come_back_in_its_frame() -> None:
    """A refused pose and its look-alikes are turned as a pose would be."""
    covariance_66 = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    other = Pose(compose(POSE.R_wc, POSE.center + 10))
    alternatives = (PoseAlternative(POSE, covariance_66, 0.6), PoseAlternative(other, None, 0.4))
    asked = []

    def localize(query: Query) -> PoseEstimate:
        asked.append(query)
        if not np.array_equal(query.image_hw3, IMAGE):
            return PoseEstimate(None, "low_score", np.zeros(0, bool))
        return PoseEstimate(None, "ambiguous", np.ones(4, bool), refused=POSE, alternatives=alternatives)

    held = np.ascontiguousarray(np.rot90(IMAGE, -1))
    found = at_any_turn(localize, Query(held, turned_camera(CAMERA, -1)))
    assert found.reason == "ambiguous" and found.refused is not None
    for pose, truth in zip(
        [found.refused, *(each.pose for each in found.alternatives)], (POSE, POSE, other), strict=True
    ):
        np.testing.assert_allclose(pose.T_wc, truth.T_wc @ turn(-1), atol=1e-12)
    assert [each.weight for each in found.alternatives] == [0.6, 0.4] and found.alternatives[1].covariance_66 is None
    turned_66 = found.alternatives[0].covariance_66
    assert turned_66 is not None
    np.testing.assert_allclose(np.diag(turned_66), [2.0, 1.0, 3.0, 5.0, 4.0, 6.0], atol=1e-12)
    asked.clear()
    assert at_any_turn(localize, Query(IMAGE, CAMERA)).alternatives == alternatives and len(asked) == 1


@dataclass
class Glanced:
    """A localizer that is asked at a glance first: what it answers by quarters, and what it was asked."""

    strength: dict[int, float]
    seen: tuple[int, ...] = ()
    located: tuple[int, ...] = ()
    asked: list[int] = field(default_factory=list)

    def quarters(self, query: Query) -> int:
        return next(q for q in range(4) if np.array_equal(query.image_hw3, np.rot90(IMAGE, q)))

    def localize(self, query: Query) -> PoseEstimate:
        self.asked.append(self.quarters(query))
        pose = POSE if self.asked[-1] in self.located else None
        return PoseEstimate(pose, "ok" if pose else "low_score", np.zeros(0, bool), camera=query.camera)

    def found(self) -> PoseEstimate:
        glance = Glance(
            lambda query: self.quarters(query) in self.seen, lambda query: self.strength[self.quarters(query)]
        )
        return at_any_turn(self.localize, Query(IMAGE, CAMERA), glance)


def test_an_image_of_another_place_is_searched_once() -> None:
    """No turn is seen, and none stands out."""
    elsewhere = Glanced({0: 10.0, 1: 10.1, 2: 9.0, 3: 9.9})
    assert elsewhere.found().pose is None and elsewhere.asked == [0]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_that_is_seen_or_stands_out_is_searched_and_no_other(quarters: int) -> None:
    alike = dict.fromkeys(range(4), 10.0)
    for glanced in (
        Glanced(alike, seen=(quarters,), located=(quarters,)),
        Glanced(alike | {quarters: 11.0}, located=(quarters,)),
    ):
        assert glanced.found().pose is not None and glanced.asked == [quarters]
        # What shows something upright is searched so first.
        glanced = replace(glanced, seen=(0, *glanced.seen), asked=[])
        assert glanced.found().pose is not None and glanced.asked == [0, quarters]


def test_of_turns_that_stand_out_below_the_upright_none_is_searched() -> None:
    """A photo of the place, upright, of which too little is seen."""
    upright = Glanced({0: 20.0, 1: 12.0, 2: 9.0, 3: 9.0})
    assert upright.found().pose is None and upright.asked == [0]


def test_a_turn_that_is_seen_in_vain_leaves_the_others_their_chance() -> None:
    glanced = Glanced({0: 10.0, 1: 10.0, 2: 10.0, 3: 13.0}, seen=(2,), located=(3,))
    assert glanced.found().pose is not None and glanced.asked == [2, 3]
    twice = Glanced({0: 10.0, 1: 10.0, 2: 13.0, 3: 10.0}, seen=(2,))
    assert twice.found().pose is None and twice.asked == [2, 0]


def test_an_upright_image_that_shows_nothing_at_a_glance_is_found_all_the_same() -> None:
    glanced = Glanced(dict.fromkeys(range(4), 10.0), located=(0,))
    assert glanced.found().pose is not None and glanced.asked == [0]


def test_of_an_upright_image_that_is_found_no_turn_is_glanced_at() -> None:
    glanced = Glanced({}, seen=(0,), located=(0,))
    assert glanced.found().pose is not None and glanced.asked == [0]
