"""Poses by recognized map points: right ones among wrong, what is refused, and that coordinates stand in."""

from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch

from tests.localization.checkpoints import HEAD, checkpoint
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, pose_error
from transpose.localization.by_recognition import by_recognition
from transpose.localization.confidence import confidence
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import Query
from transpose.localization.sampling import SampledPoses, sample_poses
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
from transpose.localization.scene_network import SceneNetwork
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.models.keypoints import Keypoints
from transpose.models.network import ImageMaps
from transpose.models.networks import build_network, network_state
from transpose.models.recognition import Recognized
from transpose.runs import LearnedCamera, StoredNetwork

CAMERA = Camera.from_focal(500.0, 640, 480)
ORIGIN_3 = np.array([100.0, -50.0, 3.0])
OPTIONS = LocalizationOptions()
UNCERTAIN = PredictedUncertainty.for_scene(Uncertainty("isotropic", "laplace"), 1.0)


def seen(count: int, wrong: float, likely: float = 0.9) -> tuple[Recognized, Keypoints, Pose]:
    """Keypoints of points in front of a camera, some of which are taken for others."""
    rng = np.random.default_rng(0)
    pose = Pose(compose(np.eye(3), ORIGIN_3 + np.array([0.1, 0.2, 0.3])))
    px_n2 = rng.uniform((0, 0), (640, 480), (count, 2))
    points_n3 = CAMERA.unproject(px_n2) * rng.uniform(2, 6, (count, 1)) + pose.center - ORIGIN_3
    mixed_n = rng.random(count) < wrong
    points_n3[mixed_n] = rng.permutation(points_n3[mixed_n])
    recognized = Recognized(torch.from_numpy(points_n3).float(), torch.full((count,), likely))
    return recognized, Keypoints(torch.from_numpy(px_n2).float(), torch.zeros(count, 64)), pose


def test_right_points_among_three_times_as_many_wrong_ones_give_the_pose() -> None:
    recognized, keypoints, pose = seen(800, 0.75)
    found = by_recognition(recognized, keypoints, ORIGIN_3, CAMERA, OPTIONS)
    assert found.pose is not None and found.estimate.by == "recognition"
    off_m, off_deg = pose_error(found.pose, pose)
    assert off_m < 0.005 and off_deg < 0.1
    assert 150 < found.support < 260


def test_unlikely_points_have_no_say() -> None:
    recognized, keypoints, _ = seen(800, 0.2, likely=0.05)
    assert by_recognition(recognized, keypoints, ORIGIN_3, CAMERA, OPTIONS).pose is None


def test_too_few_or_no_right_points_give_no_pose_to_rely_on() -> None:
    for count, wrong in ((12, 0.0), (0, 0.0)):
        recognized, keypoints, _ = seen(count, wrong)
        found = by_recognition(recognized, keypoints, ORIGIN_3, CAMERA, OPTIONS)
        assert found.pose is None and found.estimate.covariance_66 is None
    recognized, keypoints, _ = seen(600, 1.0)
    by_chance = confidence(by_recognition(recognized, keypoints, ORIGIN_3, CAMERA, OPTIONS), CAMERA, {})
    assert by_chance is not None and by_chance < 0.1


def test_a_localizer_rests_on_recognition_before_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network that recognizes each keypoint's true point, as no network of random weights does."""
    pose = Pose(compose(np.eye(3), np.array([0.1, 0.2, 0.3])))
    network = build_network("fast", {**asdict(HEAD), "map_points": 5})
    stored = StoredNetwork("fast", {**asdict(HEAD), "map_points": 5}, network_state(network), UNCERTAIN.state())
    image_hw3 = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    image_hw3 = cv2.GaussianBlur(image_hw3, (0, 0), 3.0)

    def recognized(_: SceneNetwork, maps: ImageMaps, keypoints: Keypoints) -> Recognized:
        points_n3 = CAMERA.unproject(keypoints.px_n2.double().numpy()) * 4.0 + pose.center
        return Recognized(torch.from_numpy(points_n3).float(), torch.ones(len(points_n3)))

    monkeypatch.setattr(SceneNetwork, "recognized", recognized)
    found = {}
    for use in ("coordinates", "cells"):
        model = checkpoint(network=stored, camera=LearnedCamera(CAMERA))
        localizer = SceneCoordinateLocalizer(model, use=use)
        found[use] = localizer.localize_query(Query.of(CAMERA, image_hw3))
        if use == "coordinates":
            sampled = sample_poses(localizer, Query.of(CAMERA, image_hw3))
            assert isinstance(sampled, SampledPoses) and sampled.by == "covariance"
    assert found["coordinates"].by == "recognition" and found["cells"].by != "recognition"
    wall_l3 = pose.center + CAMERA.unproject(np.random.default_rng(1).uniform((0, 0), (640, 480), (200, 2))) * 4.0
    for side, known in ((-1.0, True), (1.0, False)):  # seen from where the camera stands, or from behind the wall
        toward_l3 = torch.tensor([[0.0, 0.0, side]]).expand(200, 3)
        landmarks = LandmarkMap(torch.from_numpy(wall_l3).float(), torch.zeros(200, 64), toward_l3).state()
        model = checkpoint(network=stored, camera=LearnedCamera(CAMERA), landmarks=landmarks)
        localizer = SceneCoordinateLocalizer(model, use="coordinates")
        recognized_ = localizer.by_recognition(localizer.encode(Query.of(CAMERA, image_hw3)))
        assert recognized_ is not None and (recognized_.pose is not None) == known
    assert pose_error(found["coordinates"].pose, pose)[0] < 0.01
