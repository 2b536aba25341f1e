"""What a pose rests on, and how sure it is by that."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.localization.checkpoints import CAMERA
from transpose.geometry import Pose
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import confidence, confidence_model, features, offset
from transpose.localization.error_model import ErrorModel, error_model, residual_scale
from transpose.localization.evidence import Evidence, shared_variance
from transpose.solvers import PoseEstimate

RNG = np.random.default_rng(0)
KINDS = ("landmarks", "recognition", "coordinates")


def found(agreeing: int, others: int = 0, by: str = "landmarks", noise_px: float = 0.0) -> Candidate:
    """A right pose, with points that agree, and others that do not."""
    px_n2 = RNG.uniform((1, 1), (CAMERA.width - 1, CAMERA.height - 1), (agreeing + others, 2))
    points_n3 = CAMERA.unproject(px_n2) * RNG.uniform(2, 5, (len(px_n2), 1))
    px_n2 = px_n2 + noise_px * RNG.normal(size=px_n2.shape)
    mask_n = np.arange(len(px_n2)) < agreeing
    return Candidate.by(by, PoseEstimate(Pose(np.eye(4)), "ok", mask_n, 0.5, 1, np.eye(6)), points_n3, px_n2)  # type: ignore[arg-type]


def slow_shared_variance(residual_m2: np.ndarray, px_m2: np.ndarray, square_px: float) -> float:
    """Searle et al.'s moment estimator, a square and an axis at a time."""
    squares: dict[tuple[int, int], list[np.ndarray]] = {}
    for residual_2, px_2 in zip(residual_m2, px_m2, strict=True):
        squares.setdefault((int(px_2[0] // square_px), int(px_2[1] // square_px)), []).append(residual_2)
    number, of_axis = len(residual_m2), []
    for axis in range(2):
        groups = [np.array(each)[:, axis] for each in squares.values()]
        within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (number - len(groups))
        mean = residual_m2[:, axis].mean()
        between = sum(len(group) * (group.mean() - mean) ** 2 for group in groups) / (len(groups) - 1)
        usual = (number - sum(len(group) ** 2 for group in groups) / number) / (len(groups) - 1)
        of_axis.append((between - within) / usual)
    return max(0.0, float(np.mean(of_axis)))


def test_evidence_counts_what_agrees() -> None:
    evidence = Evidence.of(found(40, 60), CAMERA)
    assert (evidence.correspondences, evidence.agreeing, evidence.guided) == (100, 40, False)
    assert evidence.residual_px == pytest.approx(0, abs=1e-9) and evidence.misfit_px == pytest.approx(0, abs=1e-9)
    assert 0 < evidence.spread <= 1
    # What a pose has chosen itself speaks less for it.
    assert Evidence.of(replace(found(400), before=found(40, 60)), CAMERA).agreeing == 40


def test_what_another_place_explains_speaks_against_none() -> None:
    candidate, copy_n = found(40, 60), np.arange(100) >= 60
    assert Evidence.of(candidate.unopposed(copy_n), CAMERA).correspondences == 60
    guided = replace(candidate, guided=True, anywhere=candidate).unopposed(copy_n)
    assert Evidence.of(guided, CAMERA).correspondences == 100 and len(guided.unguided.px_n2) == 60


@given(st.integers(0, 1000), st.floats(20, 200))
def test_the_shared_part_of_residuals_is_that_of_a_slow_twin(seed: int, square_px: float) -> None:
    rng = np.random.default_rng(seed)
    px_m2, residual_m2 = rng.uniform(0, 640, (60, 2)), rng.normal(size=(60, 2))
    residual_m2[:, 0] += np.sin(px_m2[:, 0] / 100)
    if len(np.unique(px_m2 // square_px, axis=0)) < 60:
        expected = slow_shared_variance(residual_m2, px_m2, square_px)
        assert shared_variance(residual_m2, px_m2, square_px) == pytest.approx(expected, abs=1e-9)


def test_the_shared_part_is_what_was_put_in() -> None:
    px_m2 = RNG.uniform(0, 640, (20_000, 2))
    of_square_gg2 = RNG.normal(scale=0.7, size=(8, 8, 2))
    row_m, column_m = (px_m2 // 80).astype(int).T
    residual_m2 = of_square_gg2[row_m, column_m] + RNG.normal(scale=2, size=px_m2.shape)
    assert math.sqrt(shared_variance(residual_m2, px_m2, 80)) == pytest.approx(of_square_gg2.std(), rel=0.1)
    assert shared_variance(residual_m2 - of_square_gg2[row_m, column_m], px_m2, 80) < 0.01
    assert shared_variance(residual_m2[:3], px_m2[:3], 80) == 0 and shared_variance(residual_m2[:0], px_m2[:0], 80) == 0


@pytest.mark.parametrize("by", [*KINDS, "matches"])
def test_more_that_agree_are_surer(by: str) -> None:
    def sure(count: int) -> float | None:
        confirmed = count / 900 if by == "matches" else None
        return confidence(replace(found(count, 900 - count, by), confirmed=confirmed), CAMERA, {})

    few, some, many = map(sure, (8, 60, 600))
    assert few is not None and some is not None and many is not None
    assert few < 0.5 < many and few <= some <= many
    assert many > 0.99


def test_a_place_moves_its_own_confidences() -> None:
    unsure = found(25, 900)
    plain, worse = confidence(unsure, CAMERA, {}), confidence(unsure, CAMERA, {"landmarks": -2.0})
    assert plain is not None and worse is not None and worse < plain
    assert confidence(unsure, CAMERA, {"recognition": -2.0}) == plain


def test_no_pose_is_sure_to_be_wrong_and_what_has_no_model_says_nothing() -> None:
    assert (
        confidence(
            Candidate.by("landmarks", PoseEstimate(None, "no", np.zeros(0, bool)), np.zeros((0, 3)), np.zeros((0, 2))),
            CAMERA,
            {},
        )
        == 0
    )
    assert confidence(found(50, by="renders"), CAMERA, {}) is None
    assert confidence_model("renders") is None and error_model("renders") is None
    assert error_model("matches") is None  # general errors of map and camera hold more of their poses


def test_what_else_a_pose_puts_into_the_image_speaks_for_it() -> None:
    by_matches = found(60, 300, "matches")
    shares = [confidence(replace(by_matches, confirmed=share), CAMERA, {}) for share in (0.0, 0.1, 0.4, 1.0, None)]
    assert None not in shares and shares == sorted(shares) and shares[0] != shares[3] == shares[4]
    by_landmarks = found(60, 300)
    assert confidence(replace(by_landmarks, confirmed=0.1), CAMERA, {}) == confidence(by_landmarks, CAMERA, {})


def test_an_offset_is_what_frames_of_the_place_say() -> None:
    assert offset([]) == pytest.approx(0)
    right, wrong = offset([(0.0, True)] * 20), offset([(0.0, False)] * 20)
    assert right == pytest.approx(-wrong) and right > 1
    assert abs(offset([(0.0, True), (0.0, False)] * 10)) < 1e-9
    assert abs(offset([(10.0, True)] * 24)) < 0.01  # what was expected teaches nothing
    # The most probable: the posterior's slope is nil there.
    judged = [(1.0, True), (2.0, False), (-1.0, True)]
    value = offset(judged)
    slope = sum(is_right - 1 / (1 + math.exp(-(logit + value))) for logit, is_right in judged) - value
    assert slope == pytest.approx(0, abs=1e-9)


def test_features_stay_finite() -> None:
    nothing = Evidence(0, 0, 0.0, math.inf, 0.0, False)
    assert all(math.isfinite(value) for value in features(nothing))


def test_the_shared_error_grows_with_residuals_and_misfit() -> None:
    model = ErrorModel(1.0, 0.1, 1.0, 0.5, 1.5, 0.3, 1.0)
    evidence = Evidence(100, 50, 0.5, 2.0, 0.0, False)
    assert model.shared_px(evidence) == pytest.approx(0.1)
    assert model.shared_px(replace(evidence, residual_px=4.0)) == pytest.approx(0.2)
    assert model.shared_px(replace(evidence, misfit_px=4.0)) == pytest.approx(math.hypot(0.1, 4.0))


@pytest.mark.parametrize("by", KINDS)
def test_a_stated_covariance_holds_the_solvers_and_more(by: str) -> None:
    model = error_model(by)
    assert model is not None and model.residual_scale >= 1
    candidate = found(200, by=by, noise_px=1.0)
    excess_66 = model.covariance(candidate, CAMERA) - model.conformal * model.residual_scale * np.eye(6)
    assert np.linalg.eigvalsh(excess_66).min() > -1e-12
    assert residual_scale(lambda _: 2.0)(by) == pytest.approx(2 * model.conformal * model.residual_scale)
    assert residual_scale(lambda _: 2.0)("renders") == 2.0
