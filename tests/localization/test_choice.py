"""Which of the answers an image gets: from landmarks, from coordinates, or none."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from transpose.geometry import Camera, Pose
from transpose.localization import SceneCoordinateLocalizer
from transpose.localization.landmarks import LandmarkMap
from transpose.losses.uncertainty import StatedUncertainty, Uncertainty
from transpose.models.heads import HeadConfig
from transpose.models.networks import build_network, network_state
from transpose.models.xfeat import DESCRIPTOR_CHANNELS
from transpose.solvers import PoseEstimate

CAMERA = Camera.from_focal(90.0, 128, 96)
HEAD = HeadConfig(width=8, blocks=1, anchors=2)


def estimate(inliers: int, x_m: float = 0.0) -> PoseEstimate:
    T_wc = np.eye(4)
    T_wc[0, 3] = x_m
    pose = Pose(T_wc) if inliers else None
    return PoseEstimate(pose, "ok" if inliers else "no_consensus", np.ones(inliers, bool), 0.5, 1, np.eye(6))


def checkpoint() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "camera": asdict(CAMERA),
        "network": "fast",
        "network_config": asdict(HEAD),
        "weights": network_state(build_network("fast", asdict(HEAD))),
        "uncertainty": StatedUncertainty.for_scene(Uncertainty("isotropic", "laplace"), 1.0).state(),
        "origin": [0.0, 0.0, 0.0],
    }


@pytest.fixture
def localizer() -> SceneCoordinateLocalizer:
    one = LandmarkMap(torch.zeros(1, 3), torch.ones(1, DESCRIPTOR_CHANNELS))
    return SceneCoordinateLocalizer({**checkpoint(), "landmarks": one.state()})


@pytest.mark.parametrize(
    "everywhere, from_cells, nearby, expected",
    [
        (200, None, None, 200),  # enough landmarks: the cells are not asked
        (50, 900, 150, 150),  # more of them where the cells say
        (50, 900, 20, 50),
        (10, 900, 20, 900),  # too few to be believed: the cells answer
        (0, 900, 0, 900),
        (10, 0, None, 0),  # neither
        (40, 0, None, 40),
    ],
)
def test_the_best_supported_pose_is_given(
    localizer: SceneCoordinateLocalizer,
    monkeypatch: pytest.MonkeyPatch,
    everywhere: int,
    from_cells: int | None,
    nearby: int | None,
    expected: int,
) -> None:
    answers = iter([n for n in (everywhere, nearby) if n is not None])
    monkeypatch.setattr(localizer, "_by_landmarks", lambda *_: estimate(next(answers)))

    def solve(*_: object) -> PoseEstimate:
        assert from_cells is not None
        return estimate(from_cells)

    monkeypatch.setattr(localizer, "solve", solve)
    found = localizer.localize(np.zeros((96, 128, 3), np.uint8))
    assert found.inliers == expected
    assert (found.pose is None) == (expected == 0)


def test_a_model_without_landmarks_still_answers() -> None:
    found = SceneCoordinateLocalizer(checkpoint()).localize(np.zeros((96, 128, 3), np.uint8))
    assert found.pose is None
    assert found.reason


def test_stated_covariances_are_scaled_and_doubted(localizer: SceneCoordinateLocalizer) -> None:
    points_n3 = np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 4), (50, 3))
    raw = estimate(50)
    exact = localizer.stating({"landmarks": 4.0}, exact=True)._stated(raw, points_n3, CAMERA, "landmarks")
    assert np.allclose(exact.covariance_66, 4 * np.eye(6))
    doubting = localizer.stating({"landmarks": 4.0}, exact=False)._stated(raw, points_n3, CAMERA, "landmarks")
    assert np.linalg.eigvalsh(doubting.covariance_66 - exact.covariance_66).min() > -1e-12
    assert np.trace(doubting.covariance_66) > np.trace(exact.covariance_66)


@pytest.mark.parametrize(
    "width, focal_px, expected",
    [
        (128, 90.0, 128),
        (128, 100.0, 128),  # about the same: as it is
        (256, 180.0, 128),  # a larger photo of the same view
        (64, 45.0, 128),  # a smaller one
        (128, 180.0, 64),  # a longer lens
        (640, 9.0, 248),  # a lens so wide that its image would become enormous
    ],
)
def test_images_are_seen_at_the_scale_that_was_learned(
    localizer: SceneCoordinateLocalizer, width: int, focal_px: float, expected: int
) -> None:
    given = Camera.from_focal(focal_px, width, width * 3 // 4)
    image_hw3, camera = localizer._as_seen(np.zeros((given.height, given.width, 3), np.uint8), given)
    assert image_hw3.shape[:2] == (camera.height, camera.width)
    assert camera.width == pytest.approx(expected, rel=0.05)
    assert camera.fx / camera.width == pytest.approx(given.fx / given.width)  # the same view
