"""Calibration of a finished network on validation frames: its uncertainty, and which of its poses are to be given."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.localization.checkpoints import CAMERA
from tests.training.test_fast import SETTINGS, scene  # noqa: F401
from transpose import runs
from transpose.geometry import Camera
from transpose.geometry.poses import Pose, compose, exp_se3, transform
from transpose.localization import LocalizationOptions, PredictsCoordinates, load
from transpose.localization.by_coordinates import by_coordinates
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.covariance import EXACT, CameraErrors, stated_part
from transpose.localization.labelled_maps import LabelledMap, labelled_map
from transpose.losses.calibration import chi2_quantile, squared_errors
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.training.calibration import (
    Localized,
    calibrate,
    covariance_scale,
    min_score,
    score_bound,
    temperature,
)
from transpose.training.request import Request
from transpose.training.sections import gather_frames
from transpose.training.start import train

OPTIONS = LocalizationOptions()
ORIGIN = Pose(np.eye(4))
KINDS: tuple[Any, ...] = ("landmarks", "recognition", "coordinates")
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
class Posed:
    """A frame of which only camera and pose are asked."""

    pose: Pose
    camera: Camera = CAMERA


def wall(wrong_by_m: float = 0.0) -> CoordinateMap:
    """A network's output for a wall at two metres, seen from the origin, that takes it for one aside."""
    uncertainty = PredictedUncertainty(Uncertainty("isotropic", "gaussian"))
    empty = CoordinateMap(np.zeros((12, 16, 3)), np.zeros((12, 16, 1)), uncertainty, CAMERA)
    shifted_44 = compose(np.eye(3), np.array([wrong_by_m, 0.0, 0.0]))
    points_n3 = transform(shifted_44, 2 * CAMERA.unproject(empty.cell_px().reshape(-1, 2)))
    return dataclasses.replace(empty, points_hw3=points_n3.reshape(12, 16, 3))


def localized(predicted: CoordinateMap) -> Localized:
    frame: Any = Posed(ORIGIN)
    return Localized(frame, predicted, None, None, by_coordinates(predicted, OPTIONS), dict.fromkeys(KINDS, EXACT))


@pytest.mark.parametrize(
    "wrong_by_m, count, expected",
    [
        (0.0, 6, OPTIONS.min_score),
        (0.05, 6, OPTIONS.min_score),
        (1.0, 6, np.inf),  # seen from a metre aside
        (1.0, 3, OPTIONS.min_score),  # too few to tell
    ],
)
def test_a_network_that_is_wrong_everywhere_gives_no_pose(wrong_by_m: float, count: int, expected: float) -> None:
    assert min_score([localized(wall(wrong_by_m))] * count, OPTIONS.min_score) == expected


@pytest.mark.parametrize("too_small", [1.0, 3.0, 10.0])
def test_covariances_that_are_too_small_are_scaled_by_how_much(too_small: float) -> None:
    """Poses are drawn from a covariance, of which a part is stated."""
    rng = np.random.default_rng(0)
    seen = localized(wall())
    estimate = dataclasses.replace(
        seen.by_coordinates.estimate,
        pose=ORIGIN,
        covariance_66=np.diag([0.01, 0.02, 0.01, 0.03, 0.05, 0.02]) ** 2,
    )
    seen = dataclasses.replace(seen, by_coordinates=dataclasses.replace(seen.by_coordinates, estimate=estimate))
    stated_66 = stated_part(seen.by_coordinates, CAMERA)
    assert stated_66 is not None
    frames = []
    for _ in range(250):
        xi_6 = np.linalg.cholesky(too_small * stated_66) @ rng.standard_normal(6)
        frames.append(dataclasses.replace(seen, frame=cast(Any, Posed(Pose(exp_se3(xi_6))))))
    assert covariance_scale([each.posed("coordinates")[0] for each in frames]) == pytest.approx(too_small, rel=0.25)
    # Photos: what camera and map add explains a part already.
    photos = [dataclasses.replace(each, errors=dict.fromkeys(KINDS, CameraErrors(0.1, 0.1, 0.1))) for each in frames]
    scale = covariance_scale([each.posed("coordinates")[0] for each in photos])
    assert scale is not None and scale < max(1.01, 0.8 * too_small)
    assert covariance_scale([each.posed("coordinates")[0] for each in frames[:4]]) is None
    assert not frames[0].posed("landmarks")


@pytest.mark.parametrize("too_small", [0.25, 1.0, 4.0])
def test_the_temperature_is_how_much_predicted_covariances_are_too_small(too_small: float) -> None:
    rng = np.random.default_rng(0)
    true = wall()
    maps = []
    for _ in range(6):
        sigma_hw1 = rng.uniform(0.02, 0.2, (12, 16, 1))
        noise_hw3 = np.sqrt(too_small) * sigma_hw1 * rng.standard_normal((12, 16, 3))
        predicted = dataclasses.replace(true, points_hw3=true.points_hw3 + noise_hw3, raw_hwk=np.log(sigma_hw1))
        truth_hw3 = np.where(rng.random((12, 16, 1)) < 0.1, np.nan, true.points_hw3)
        maps.append(LabelledMap(predicted, truth_hw3, predicted.covariances(np.eye(3))))
    assert temperature(maps) == pytest.approx(too_small, rel=0.15)
    assert temperature([]) == 1.0
    assert temperature([dataclasses.replace(each, covariances_hw33=None) for each in maps]) == 1.0


def test_calibration_end_to_end_holds_on_frames_like_those_it_saw(scene: Path, tmp_path: Path) -> None:  # noqa: F811
    """A run of the loop, from training to the model on disk: its ellipsoids hold what they promise."""
    train(Request(scene, ["sim"], tmp_path / "run"), settings={**SETTINGS, "steps": 400})
    stored = runs.load_model(tmp_path / "run").calibration
    assert stored.temperature != 1.0 and stored.min_score is not None
    assert stored.covariance_scales == {} and stored.scale("landmarks") > 1  # two frames tell too little of poses
    _, validation = gather_frames(scene, ["sim"], None)
    assert stored == calibrate(runs.load_model(tmp_path / "run"), validation, torch.device("cpu"))  # of what is stored
    localizer = load(tmp_path / "run", use="coordinates")
    assert isinstance(localizer, PredictsCoordinates)
    errors, covariances = zip(*(labelled_map(localizer, each.frame).flat() for each in validation), strict=True)
    squared_n = squared_errors(np.concatenate(errors), np.concatenate(covariances))
    assert np.mean(squared_n < chi2_quantile(0.9, 3)) == pytest.approx(0.9, abs=0.02)
