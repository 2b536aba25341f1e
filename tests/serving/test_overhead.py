"""Where a camera is on the picture from above."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.localization.checkpoints import checkpoint
from tests.worlds.rooms import HIGH_M, LONG_M, WIDE_M, house, world_of
from transpose.geometry.poses import Pose, compose, exp_se3
from transpose.localization.landmarks import LandmarkMap
from transpose.models.xfeat import DESCRIPTOR_CHANNELS
from transpose.serving.overhead import Overhead, overhead_of
from transpose.worlds import top_down as worlds_top_down
from transpose.worlds.renderer import Renderer
from transpose.worlds.top_down import top_down
from transpose.worlds.world import World


@pytest.fixture
def plan() -> Overhead:
    corners_n3 = np.array([[0.0, 0.0, 0.0], [10.0, 5.0, 0.0]])
    return Overhead(top_down(corners_n3, np.array([0.0, 0.0, 1.0])), (np.zeros(2), np.array([10.0, 5.0])), b"")


def test_corners_and_headings(plan: Overhead) -> None:
    east = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # looks along x
    top_left = plan.at(Pose(compose(east, np.array([0.0, 5.0, 2.0]))), None)
    assert (top_left["x"], top_left["y"]) == pytest.approx((0, 0)) and top_left["ellipse"] is None
    assert top_left["heading_deg"] == pytest.approx(0)
    north = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # looks along y, up on the picture
    middle = plan.at(Pose(compose(north, np.array([5.0, 2.5, 2.0]))), None)
    assert (middle["x"], middle["y"], middle["heading_deg"]) == pytest.approx((0.5, 0.5, -90))


def test_the_ellipse_holds_ninety_of_a_hundred(plan: Overhead) -> None:
    rng = np.random.default_rng(0)
    R_wc = exp_se3(np.array([0.4, -0.8, 0.3, 0, 0, 0]))[:3, :3]
    root_66 = 0.05 * rng.normal(size=(6, 6))
    covariance_66 = root_66 @ root_66.T
    pose = Pose(compose(R_wc, np.array([4.0, 2.0, 1.0])))
    said = plan.at(pose, covariance_66)
    xi_n6 = rng.multivariate_normal(np.zeros(6), covariance_66, 4000)
    held = 0
    angle = np.radians(said["ellipse"]["angle_deg"])
    turn_22 = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for xi_6 in xi_n6:
        other = plan.at(Pose(pose.T_wc @ exp_se3(np.r_[np.zeros(3), xi_6[3:]])), None)
        # In widths of the picture, down as the picture's rows go.
        off_2 = turn_22 @ np.array([other["x"] - said["x"], (other["y"] - said["y"]) * 0.5])
        held += np.hypot(off_2[0] / said["ellipse"]["major"], off_2[1] / said["ellipse"]["minor"]) < 1
    assert held / len(xi_n6) == pytest.approx(0.9, abs=0.02)


def cuts(world: World, points_n3: np.ndarray, toward_n3: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the picture for a run with such landmarks leaves a ceiling away."""
    asked: list[float] = []

    def cut_above(world: World, up_3: np.ndarray, height: float) -> World:
        asked.append(height)
        return world

    monkeypatch.setattr(worlds_top_down, "_cut_above", cut_above)
    looks_nc = torch.ones(len(points_n3), DESCRIPTOR_CHANNELS)
    landmarks = LandmarkMap(torch.from_numpy(points_n3).float(), looks_nc, torch.from_numpy(toward_n3).float())
    assert overhead_of(checkpoint(landmarks=landmarks.state()), Renderer(world)) is not None
    return bool(asked)


def test_roofs_on_which_landmarks_lie_are_not_cut_away_as_ceilings(
    box_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lie a little below the surface as often as above it."""
    under_n3 = box_world.vertices_v3.astype(np.float64) + box_world.origin_3 - np.array([0, 0, 0.01])
    assert not cuts(box_world, under_n3, np.tile([0.0, 0.0, 0.95], (len(under_n3), 1)), monkeypatch)


def test_a_room_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    on_floor_n3 = rng.uniform((0.2, 0.2, -0.002), (WIDE_M - 0.2, LONG_M - 0.2, -0.001), (200, 3))
    at_wall_n3 = rng.uniform((0.11, 0.2, 0.1), (0.12, LONG_M - 0.2, HIGH_M - 0.1), (200, 3))
    toward_n3 = np.repeat([[0.0, 0.0, 0.9], [0.9, 0.0, 0.0]], 200, axis=0)
    assert cuts(world_of(house()), np.concatenate([on_floor_n3, at_wall_n3]), toward_n3, monkeypatch)
    assert not cuts(world_of(house(ceiling=False)), np.concatenate([on_floor_n3, at_wall_n3]), toward_n3, monkeypatch)
