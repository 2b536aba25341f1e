"""Poses that a network states: what its outputs mean, and what their covariance is made of."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from tests.localization.checkpoints import CAMERA
from transpose.errors import TransposeError
from transpose.geometry.poses import exp_se3
from transpose.localization.pose_regression import PoseRegressionLocalizer, PoseStandard
from transpose.models.atloc import AtLoc, AtLocConfig
from transpose.randomness import stream
from transpose.runs import Calibration, Checkpoint, LearnedCamera, StoredNetwork

ORIGIN = np.array([100.0, 200.0, 5.0])
MIDDLE = exp_se3(np.array([0.4, 2.9, -0.3, 101.0, 198.0, 6.0]))


def poses(count: int) -> np.ndarray:
    return MIDDLE @ exp_se3(stream(0, "poses").normal(size=(count, 6)) * ([0.4] * 3 + [2.0, 0.5, 1.0]))


def checkpoint(calibration: Calibration | None = None, spread: float = 0.05) -> Checkpoint:
    """A network that states the mean pose, whose draws differ by about `spread`."""
    standard = PoseStandard.of(poses(50))
    config = AtLocConfig(
        side=32,
        features=16,
        mean=tuple(standard.mean_3 - ORIGIN),
        std=tuple(standard.std_3),
        rotation=tuple(tuple(row) for row in standard.R_33),
    )
    torch.manual_seed(0)
    network = AtLoc(config)
    for layer in (network.position, network.rotation):
        torch.nn.init.normal_(layer.weight, std=spread)
        torch.nn.init.zeros_(layer.bias)
    stored = StoredNetwork("atloc", dataclasses.asdict(config), network.state_dict(), {})
    calibration = calibration or Calibration(covariance_scales={"regression": 1.0})
    return Checkpoint("pose_regression", stored, ORIGIN, LearnedCamera(CAMERA), 32, calibration)


def image(seed: int = 0) -> np.ndarray:
    return stream(seed, "image").integers(0, 255, (CAMERA.height, CAMERA.width, 3), np.uint8)


def test_outputs_mean_poses() -> None:
    T_n44 = poses(30)
    standard = PoseStandard.of(T_n44)
    out_n6 = standard.outputs(T_n44)
    np.testing.assert_allclose(standard.poses(out_n6), T_n44, atol=1e-9)
    np.testing.assert_allclose(out_n6[:, :3].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(out_n6[:, :3].std(0), 1)
    # Near half a turn from the identity; relative to their mean they are small.
    assert np.abs(out_n6[:, 3:]).max() < 1.0


def test_an_axis_along_which_nothing_moves_is_not_blown_up() -> None:
    T_n44 = poses(30)
    T_n44[:, 2, 3] = 6.0
    standard = PoseStandard.of(T_n44)
    assert standard.std_3[2] == max(standard.std_3[:2])
    assert np.isfinite(PoseStandard.of(T_n44[:1]).outputs(T_n44[:1])).all()


def test_the_answer_is_the_same_for_the_same_seed() -> None:
    localizer = PoseRegressionLocalizer(checkpoint(), precision="float32")
    one, again, other = (localizer.localize(image(), CAMERA, seed=seed) for seed in (0, 0, 1))
    assert one.pose is not None and other.pose is not None
    assert one.covariance_66 is not None and again.covariance_66 is not None and other.covariance_66 is not None
    np.testing.assert_array_equal(one.covariance_66, again.covariance_66)
    np.testing.assert_array_equal(one.pose.T_wc, other.pose.T_wc)
    assert not np.array_equal(one.covariance_66, other.covariance_66)
    assert (one.by, one.reason) == ("regression", "ok") and one.camera == CAMERA


def test_the_covariance_is_what_the_loss_learned_and_how_far_draws_differ() -> None:
    agreeing = PoseRegressionLocalizer(checkpoint(spread=1e-6), precision="float32").localize(image(), CAMERA)
    differing = PoseRegressionLocalizer(checkpoint(spread=0.3), precision="float32").localize(image(), CAMERA)
    assert agreeing.covariance_66 is not None and differing.covariance_66 is not None and agreeing.pose is not None
    # Errors whose 1-norms are 1 (standardized) and e^-3 in the mean: a third of that for each component.
    expected_3 = 2 * (PoseStandard.of(poses(50)).std_3 / 3) ** 2
    world_33 = agreeing.pose.R_wc @ agreeing.covariance_66[3:, 3:] @ agreeing.pose.R_wc.T
    np.testing.assert_allclose(world_33, np.diag(expected_3), atol=1e-3)
    np.testing.assert_allclose(agreeing.covariance_66[:3, :3], 8 * (np.exp(-3) / 3) ** 2 * np.eye(3), atol=1e-6)
    assert np.trace(differing.covariance_66) > 2 * np.trace(agreeing.covariance_66)
    assert differing.score < agreeing.score == pytest.approx(1, abs=1e-3)


def test_calibration_scales_and_refuses() -> None:
    plain = PoseRegressionLocalizer(checkpoint(), precision="float32").localize(image(), CAMERA)
    scaled = PoseRegressionLocalizer(
        checkpoint(Calibration(covariance_scales={"regression": 4.0})), precision="float32"
    ).localize(image(), CAMERA)
    assert plain.covariance_66 is not None and scaled.covariance_66 is not None
    np.testing.assert_allclose(scaled.covariance_66, 4 * plain.covariance_66)
    strict = Calibration(min_score=plain.score + 1e-6, covariance_scales={"regression": 1.0})
    refused = PoseRegressionLocalizer(checkpoint(strict), precision="float32").localize(image(), CAMERA)
    assert (refused.pose, refused.reason, refused.covariance_66, refused.by) == (None, "low_score", None, "")


def test_a_position_hardly_surer_than_that_of_any_camera_is_refused() -> None:
    given = PoseRegressionLocalizer(
        checkpoint(Calibration(min_score=0.0, covariance_scales={"regression": 0.25})), precision="float32"
    ).localize(image(), CAMERA)
    assert given.pose is not None and given.covariance_66 is not None
    assert np.sqrt(np.trace(given.covariance_66[3:, 3:])) < 0.5 * np.linalg.norm(PoseStandard.of(poses(50)).std_3)
    refused = PoseRegressionLocalizer(
        checkpoint(Calibration(min_score=0.0, covariance_scales={"regression": 4.0})), precision="float32"
    ).localize(image(), CAMERA)
    assert (refused.pose, refused.reason, refused.covariance_66, refused.by) == (None, "low_score", None, "")


def test_a_model_without_its_network_is_refused() -> None:
    whole = checkpoint()
    assert whole.network is not None
    with pytest.raises(TransposeError, match="needs a network 'atloc'"):
        PoseRegressionLocalizer(dataclasses.replace(whole, network=None))
    changes: list[dict[str, Any]] = [{"config": {"side": 4}}, {"config": {"sides": 4}}, {"weights": {}}]
    for changed in changes:
        stored = dataclasses.replace(whole.network, **changed)
        with pytest.raises(TransposeError, match="do not fit"):
            PoseRegressionLocalizer(dataclasses.replace(whole, network=stored))
