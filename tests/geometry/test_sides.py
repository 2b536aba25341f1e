"""From which side points are seen."""

import numpy as np

from transpose.geometry.poses import compose, exp_so3, transform
from transpose.geometry.sides import agreeing_in_sight, seen_from_behind


def test_what_is_seen_from_above_is_not_seen_from_below() -> None:
    rng = np.random.default_rng(0)
    points_n3 = rng.uniform((-5, -5, -0.5), (5, 5, 0.5), (100, 3))
    up_n3 = np.tile([0.0, 0.0, 0.9], (100, 1))
    assert not seen_from_behind(points_n3, up_n3, np.array([1.0, 2.0, 30.0])).any()
    assert seen_from_behind(points_n3, up_n3, np.array([1.0, 2.0, -30.0])).all()
    assert not seen_from_behind(points_n3, up_n3, np.array([100.0, 0.0, 0.0])).any()  # along the ground


def test_what_is_seen_from_all_around_or_from_nobody_knows_where_has_no_side() -> None:
    points_n3, center_3 = np.zeros((2, 3)), np.array([0.0, 0.0, -9.0])
    assert not seen_from_behind(points_n3, np.array([[0.0, 0.0, 0.15], [0.0, 0.0, 0.0]]), center_3).any()
    assert not seen_from_behind(points_n3[:1], np.array([[0.0, 0.0, 1.0]]), points_n3[0]).any()  # camera in the point


def test_it_does_not_depend_on_the_frame_or_its_unit() -> None:
    rng = np.random.default_rng(1)
    points_n3, toward_n3, center_3 = rng.normal(size=(50, 3)), rng.normal(size=(50, 3)), rng.normal(size=3)
    T = compose(exp_so3(rng.normal(size=3)), rng.normal(size=3))
    behind_n = seen_from_behind(points_n3, toward_n3, center_3)
    assert 0 < behind_n.sum() < 50
    moved = (7 * transform(T, points_n3), toward_n3 @ T[:3, :3].T, 7 * transform(T, center_3[None])[0])
    assert np.array_equal(seen_from_behind(*moved), behind_n)


def test_a_pose_that_sees_most_of_what_agrees_from_behind_is_none() -> None:
    points_n3, toward_n3 = np.zeros((9, 3)), np.tile([0.0, 0.0, 1.0], (9, 1))
    toward_n3[:4] *= -1
    agreeing_n, center_3 = np.ones(9, bool), np.array([0.0, 0.0, 5.0])
    kept_n = agreeing_in_sight(agreeing_n, points_n3, toward_n3, center_3)
    assert kept_n is not None and np.array_equal(kept_n, np.arange(9) >= 4)
    agreeing_n[8] = False  # four of eight
    assert agreeing_in_sight(agreeing_n, points_n3, toward_n3, center_3) is None
    assert agreeing_in_sight(~np.ones(9, bool), points_n3, toward_n3, center_3) is None
