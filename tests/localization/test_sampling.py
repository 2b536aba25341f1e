"""Poses drawn for one image, by its covariance or by maps, in any unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.localization.checkpoints import checkpoint
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import exp_se3, invert, log_se3
from transpose.localization import Query, SceneCoordinateLocalizer
from transpose.localization.candidates import Candidate
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.localizer import Localizer, matches_of, task_maps_of, tasks_learned
from transpose.localization.rescaled import in_scene_unit
from transpose.localization.sampling import (
    SampledPoses,
    sample_poses,
    sampled_from_covariance,
    sampled_from_map,
)
from transpose.localization.task_maps import DepthMap, TaskMaps
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.runs import Calibration, LearnedCamera
from transpose.scenes.unit import SceneUnit
from transpose.solvers import PoseEstimate, PosteriorMode, PosteriorOptions

CAMERA = Camera(160, 120, 130.0, 128.0, 78.0, 61.0, k1=0.05)
POSE = Pose(exp_se3(np.array([0.3, -0.2, 0.1, 1, 2, 3])))
A_66 = np.random.default_rng(0).normal(size=(6, 6)) * 0.01
COVARIANCE_66 = A_66 @ A_66.T + 1e-6 * np.eye(6)
QUERY = Query(np.zeros((120, 160, 3), np.uint8), CAMERA)


def estimate(by: str = "landmarks") -> PoseEstimate:
    return PoseEstimate(POSE, "ok", np.ones(3, bool), 0.5, 7, COVARIANCE_66, by, distance=4.0)


@pytest.mark.parametrize(("by", "called"), [("landmarks", "landmarks"), ("matches", "covariance")])
def test_poses_scatter_as_their_covariance_says(by: str, called: str) -> None:
    found = sampled_from_covariance(estimate(by), PosteriorOptions(samples=20_000))
    xi_m6 = log_se3(invert(POSE.T_wc) @ found.T_wc_m44)
    np.testing.assert_allclose(np.cov(xi_m6.T), COVARIANCE_66, atol=0.05 * COVARIANCE_66.diagonal().max())
    assert np.abs(xi_m6.mean(0) / np.sqrt(COVARIANCE_66.diagonal())).max() < 0.03
    assert found.by == called and not found.mode_m.any() and found.mode_m.shape == (20_000,)
    assert len(found.modes) == 1 and found.modes[0].fraction == 1
    again, other = (sampled_from_covariance(estimate(by), PosteriorOptions(seed=seed)) for seed in (0, 1))
    assert np.array_equal(again.T_wc_m44, sampled_from_covariance(estimate(by), PosteriorOptions()).T_wc_m44)
    assert not np.array_equal(again.T_wc_m44, other.T_wc_m44)


def true_map() -> CoordinateMap:
    """Coordinates that are exact, and said to be off by 2 cm."""
    uncertainty = PredictedUncertainty(Uncertainty("isotropic"))
    empty = CoordinateMap(np.zeros((15, 20, 3)), np.full((15, 20, 1), np.log(0.02)), uncertainty, CAMERA)
    depth_n1 = 2 + np.random.default_rng(0).uniform(0, 1, (300, 1))
    points_n3 = CAMERA.unproject(empty.cell_px().reshape(-1, 2)) * depth_n1 @ POSE.R_wc.T + POSE.center
    return replace(empty, points_hw3=points_n3.reshape(15, 20, 3))


def test_maps_drawn_about_a_prediction_give_poses_about_its_pose() -> None:
    predicted, options = true_map(), PosteriorOptions(samples=32, correlation_px=None)
    points_n3, _, _ = predicted.correspondences()
    given = replace(estimate(), inlier_mask_n=np.ones(len(points_n3), bool))
    elsewhere = replace(given, pose=Pose(exp_se3(np.array([0, 0, 0, 50.0, 0, 0])) @ POSE.T_wc))
    asked = []

    def solve(seed: int) -> PoseEstimate:
        asked.append(seed)
        return replace(given, pose=None) if seed == 1 else elsewhere if seed == 2 else given

    found = sampled_from_map(given, predicted, solve, options)
    assert isinstance(found, SampledPoses) and found.by == "coordinates" and found.estimate is given
    assert asked == [1, 2, 3]  # searches that may end elsewhere
    xi_m6 = log_se3(invert(POSE.T_wc) @ found.T_wc_m44)
    sigma_6 = np.sqrt(found.covariance_66.diagonal())
    assert 0.5 < np.median(np.abs(xi_m6) / sigma_6) < 0.9  # 0.67 of a Gaussian
    assert 1e-4 < sigma_6[3:].max() < 0.05
    hopeless = replace(given, inlier_mask_n=np.arange(len(points_n3)) < 4)
    assert sampled_from_map(hopeless, predicted, lambda seed: hopeless, options) is hopeless


class Inside(Localizer):
    """A localizer that gives what it is told, and keeps what it was asked."""

    def __init__(self, learned: float = 1.0, correlation_px: float | None = None) -> None:
        self.camera = CAMERA
        unit = replace(SceneUnit(False, 5.0), learned=learned) if learned != 1 else SceneUnit(True)
        calibration = replace(Calibration(), correlation_px=correlation_px)
        self.checkpoint = checkpoint(unit=unit, calibration=calibration)
        self.asked: list[Query] = []

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        self.asked.append(query)
        return replace(estimate(), iterations=seed)

    def matches(self, query: Query, seed: int = 0) -> Candidate:
        self.asked.append(query)
        return Candidate(replace(estimate(), iterations=seed), np.ones((3, 3)), np.zeros((3, 2)))


class WithMaps(Inside):
    """One that samples, and predicts coordinates and depth."""

    tasks = ("depth",)

    def sample(self, query: Query, options: PosteriorOptions) -> SampledPoses | PoseEstimate:
        self.asked.append(query)
        self.options = options
        mode = PosteriorMode(POSE.T_wc, 1.0)
        return SampledPoses(estimate(), POSE.T_wc[None], np.zeros(1, int), (mode,), COVARIANCE_66, "coordinates")

    def coordinates(self, image_hw3: object, camera: Camera | None = None) -> CoordinateMap:
        return true_map()

    def task_maps(self, image_hw3: object, camera: Camera | None = None) -> TaskMaps:
        return TaskMaps(camera or self.camera, depth=DepthMap(np.full((15, 20), 2.0), np.full((15, 20), 0.1)))


@pytest.mark.parametrize("known", [True, False])
def test_an_estimated_focal_length_is_that_of_the_samples(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """Its error is in the covariance, which is then what is drawn from; of a known camera maps are drawn."""
    learned = Camera.from_focal(500.0, 640, 480)
    true = learned.zoomed(1.12)
    scales = {"coordinates": 1.0, "landmarks": 1.0, "recognition": 1.0}
    calibration = Calibration(covariance_scales=scales)
    localizer = SceneCoordinateLocalizer(
        checkpoint(camera=LearnedCamera(learned), calibration=calibration), use="cells"
    )
    rng = np.random.default_rng(0)
    empty = CoordinateMap(
        np.zeros((60, 80, 3)), np.full((60, 80, 1), np.log(0.01)), PredictedUncertainty(Uncertainty("isotropic")), true
    )
    px_n2 = empty.cell_px().reshape(-1, 2)
    depth_n1 = 4 + 1.5 * np.sin(px_n2[:, :1] / 60) + np.cos(px_n2[:, 1:] / 50)
    points_n3 = true.unproject(px_n2) * depth_n1 @ POSE.R_wc.T + POSE.center + rng.normal(0, 0.01, (len(px_n2), 3))
    found_map = replace(empty, points_hw3=points_n3.reshape(60, 80, 3))
    monkeypatch.setattr(localizer._network, "coordinates", lambda maps, camera: replace(found_map, camera=camera))
    image_hw3 = np.zeros((480, 640, 3), np.uint8)
    query = Query(image_hw3, true) if known else Query.of(learned, image_hw3)
    found = sample_poses(localizer, query, PosteriorOptions(samples=64))
    assert isinstance(found, SampledPoses) and found.by == ("coordinates" if known else "covariance")
    assert found.estimate.covariance_66 is not None
    sigma_m = np.sqrt(found.estimate.covariance_66.diagonal()[3:].sum())
    off_m = np.linalg.norm(found.T_wc_m44[:, :3, 3] - POSE.center, axis=1)
    assert np.median(off_m) < 3 * sigma_m + 0.01 and off_m.max() < 0.3


def test_the_measured_correlation_goes_before_the_options() -> None:
    localizer = WithMaps(correlation_px=33.0)
    sample_poses(localizer, QUERY, PosteriorOptions(correlation_px=50.0, samples=5))
    assert localizer.options == PosteriorOptions(correlation_px=33.0, samples=5)
    localizer = WithMaps()
    sample_poses(localizer, QUERY, PosteriorOptions(correlation_px=50.0))
    assert localizer.options.correlation_px == 50.0
    plain = sample_poses(Inside(), QUERY)
    assert isinstance(plain, SampledPoses) and plain.by == "landmarks" and len(plain.T_wc_m44) == 16


def test_an_image_without_pose_or_covariance_has_no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("pose", "covariance_66"):
        given = replace(estimate(), **{missing: None})
        monkeypatch.setattr(Inside, "localize_query", lambda self, query, seed=0, given=given: given)
        assert sample_poses(Inside(), QUERY) is given


@pytest.mark.parametrize("factor", [0.25, 7.0])
def test_lengths_are_those_of_the_scene_whatever_was_learned(factor: float) -> None:
    inside = WithMaps(learned=factor)
    outside, bare = in_scene_unit(inside), Inside(learned=factor)
    depth_hw = np.full((120, 160), 3.0, np.float32)
    query = replace(QUERY, depth_hw=depth_hw, prior=POSE)
    scale_6 = np.repeat([1.0, factor], 3)
    scaled_66 = COVARIANCE_66 * np.outer(scale_6, scale_6)
    found = outside.localize_query(query, seed=3)
    assert found.pose is not None and found.covariance_66 is not None and found.iterations == 3
    np.testing.assert_allclose(found.pose.center, factor * POSE.center)
    np.testing.assert_allclose(found.pose.R_wc, POSE.R_wc)
    np.testing.assert_allclose(found.covariance_66, scaled_66)
    assert found.distance == pytest.approx(4.0 * factor)
    (asked,) = inside.asked
    assert asked.depth_hw is not None and asked.prior is not None
    np.testing.assert_allclose(asked.depth_hw, depth_hw / factor, rtol=1e-6)
    np.testing.assert_allclose(asked.prior.center, POSE.center / factor)
    matched = matches_of(outside, query, 5)
    np.testing.assert_allclose(matched.points_n3, factor)
    assert matched.estimate.pose is not None and matched.estimate.iterations == 5
    np.testing.assert_allclose(matched.estimate.pose.center, factor * POSE.center)
    sampled = sample_poses(outside, query)
    assert isinstance(sampled, SampledPoses) and sampled.estimate.pose is not None
    for center in (sampled.T_wc_m44[0, :3, 3], sampled.modes[0].T_wc[:3, 3], sampled.estimate.pose.center):
        np.testing.assert_allclose(center, factor * POSE.center)
    np.testing.assert_allclose(sampled.covariance_66, scaled_66)
    coordinates = outside.coordinates(QUERY.image_hw3)  # type: ignore[attr-defined]
    np.testing.assert_allclose(coordinates.points_hw3, factor * true_map().points_hw3)
    np.testing.assert_allclose(coordinates.covariances(None), factor**2 * true_map().covariances(None))
    assert tasks_learned(outside) == ("depth",)
    depth = task_maps_of(outside, QUERY.image_hw3).depth
    assert depth is not None and np.allclose(depth.depth_hw, 2 * factor)
    without = in_scene_unit(bare)
    assert not hasattr(without, "coordinates") and without.localize_query(QUERY).pose is not None
    assert bare.asked[0].depth_hw is None and bare.asked[0].prior is None
    metric = Inside()
    assert in_scene_unit(metric) is metric
