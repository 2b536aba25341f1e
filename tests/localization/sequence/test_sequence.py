"""Sequences: what the filter and the smoother promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.localization.sequence.flights import flown, measured, refused, straight, wrong
from transpose.errors import TransposeError
from transpose.geometry.poses import Pose, compose, exp_so3, normalized_error, pose_error
from transpose.localization import MotionModelOptions, SequenceFilter, SequenceOptions, smooth
from transpose.solvers import PoseAlternative, PoseEstimate

CHI2_6_90 = 10.645


def filtered(estimates: list[PoseEstimate], times: list[float] | None = None) -> list[PoseEstimate]:
    forward = SequenceFilter()
    return [forward.update(e, None if times is None else times[i]) for i, e in enumerate(estimates)]


BOTH = pytest.mark.parametrize("method", [filtered, smooth], ids=["filter", "smooth"])


def reasons(estimates: list[PoseEstimate]) -> list[str]:
    return [estimate.reason for estimate in estimates]


def assert_same(a: list[PoseEstimate], b: list[PoseEstimate], atol: float = 1e-9) -> None:
    assert reasons(a) == reasons(b)
    for one, other in zip(a, b, strict=True):
        assert (one.pose is None) == (other.pose is None)
        if one.pose is not None and other.pose is not None:
            assert np.allclose(one.pose.T_wc, other.pose.T_wc, atol=atol)
            assert np.allclose(one.covariance_66, other.covariance_66, rtol=1e-5, atol=1e-12)


@BOTH
def test_constant_velocity_comes_back_exactly(method) -> None:
    poses = straight(25)
    for estimate, pose in zip(method(measured(poses)), poses, strict=True):
        assert estimate.reason == "ok"
        assert np.allclose(estimate.pose.T_wc, pose.T_wc, atol=1e-7)


@BOTH
def test_times_may_be_uneven(method) -> None:
    chosen = [0, 1, 2, 4, 5, 9, 10, 11, 14, 15, 16]
    poses = [straight(17)[k] for k in chosen]
    for estimate, pose in zip(method(measured(poses), [0.2 * k for k in chosen]), poses, strict=True):
        assert np.allclose(estimate.pose.T_wc, pose.T_wc, atol=1e-7)


@pytest.fixture(scope="module")
def many() -> dict[float, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """For a fraction of the covariance that is bias: metres and NEES of each method."""
    found = {}
    for bias in (0.0, 0.7):
        methods: dict[str, list] = {"single": [], "filter": [], "smooth": []}
        for seed in range(6):
            poses = flown(seed, 60)
            single = measured(poses, seed, bias)
            said = {"single": single, "filter": filtered(single), "smooth": smooth(single)}
            for name, answers in said.items():
                methods[name] += [
                    (pose_error(e.pose, p)[1], normalized_error(e.pose, p, e.covariance_66))
                    for e, p in zip(answers, poses, strict=True)
                ]
        found[bias] = {name: tuple(np.array(values).T) for name, values in methods.items()}
    return found


def test_smoothing_beats_filtering_beats_single_frames(many) -> None:
    for bias, most in ((0.0, (0.95, 0.75)), (0.7, (1.0, 0.97))):
        rms = {name: np.sqrt((metres**2).mean()) for name, (metres, _) in many[bias].items()}
        assert rms["smooth"] < rms["filter"] < rms["single"]
        assert rms["filter"] < most[0] * rms["single"]
        assert rms["smooth"] < most[1] * rms["single"]


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_covariances_are_consistent(many, bias: float) -> None:
    """NEES is neither too high, also where most of the error does not average out, nor far too low."""
    for name in ("filter", "smooth"):
        nees = many[bias][name][1]
        assert 2.5 < np.median(nees) < 6.5
        assert (nees < CHI2_6_90).mean() > 0.86
        assert nees.mean() < 8


@BOTH
def test_covariances_are_symmetric_and_positive(method) -> None:
    single = measured(flown(3, 30), 3)
    single[10] = refused(single[10])
    for estimate in method(single):
        assert np.array_equal(estimate.covariance_66, estimate.covariance_66.T)
        assert np.linalg.eigvalsh(estimate.covariance_66).min() > 0


@BOTH
def test_poses_of_no_covariance_begin_nothing(method) -> None:
    single = [replace(each, covariance_66=np.zeros((6, 6))) for each in measured(flown(3, 4), 3)]
    answers = method(single)
    assert all(each.pose is None and each.covariance_66 is None for each in answers)
    assert reasons(answers) == ["no_covariance"] * 4


@BOTH
@pytest.mark.parametrize("shift", [1, 20])
def test_an_outlier_changes_nothing(method, shift: int) -> None:
    poses = flown(4, 40)
    single = measured(poses, 4)
    with_wrong = list(single)
    with_wrong[20] = wrong(single[20])
    without = list(single)
    without[20] = refused(single[20])
    answers = method(with_wrong)
    assert answers[20].reason == "outlier"
    assert reasons(answers).count("ok") == 39
    assert answers[20].score == with_wrong[20].score
    without_answers = method(without)
    assert without_answers[20].reason == "predicted"
    without_answers[20] = replace(without_answers[20], reason="outlier")
    assert_same(answers, without_answers)
    assert normalized_error(answers[20].pose, poses[20], answers[20].covariance_66) < 25


def test_a_gap_is_bridged_with_growing_uncertainty_and_then_lost() -> None:
    single = measured(flown(5, 45), 5)
    gapped = [refused(e) if 20 <= k < 40 else e for k, e in enumerate(single)]
    answers = filtered(gapped)
    words = reasons(answers[20:40])
    bridged = words.count("predicted")
    assert 2 <= bridged <= 10
    assert words == ["predicted"] * bridged + ["lost"] * (20 - bridged)
    sigmas = [np.sqrt(np.trace(e.covariance_66[3:, 3:])) for e in answers[19 : 20 + bridged]]
    assert all(np.diff(sigmas) > 0)
    assert all(e.pose is None and e.covariance_66 is None for e in answers[20 + bridged : 40])
    assert reasons(answers[40:]) == ["ok"] * 5
    assert np.allclose(answers[40].pose.T_wc, single[40].pose.T_wc)
    smoothed = smooth(gapped)
    assert smoothed[39].reason == "predicted"  # from what came after
    assert "lost" in reasons(smoothed)


def test_how_long_to_bridge_can_be_chosen() -> None:
    single = measured(flown(5, 30), 5)
    gapped = [refused(e) if k >= 20 else e for k, e in enumerate(single)]
    for options, bridged in ((SequenceOptions(max_unseen=1), 1), (SequenceOptions(max_growth=1e9), 10)):
        forward = SequenceFilter(options)
        assert reasons([forward.update(e) for e in gapped]).count("predicted") == bridged
    with pytest.raises(ValueError, match="gate between"):
        SequenceOptions(gate=0)
    with pytest.raises(ValueError, match="at least one measurement"):
        SequenceOptions(confirmed_after=0)


def test_frames_refused_at_the_start_keep_their_reason() -> None:
    single = measured(flown(6, 20), 6)
    late = [refused(e) if k < 3 else e for k, e in enumerate(single)]
    assert reasons(filtered(late)) == ["low_score"] * 3 + ["ok"] * 17
    assert reasons(smooth(late))[1:] == ["predicted"] * 2 + ["ok"] * 17
    none = [refused(e) for e in single]
    for answers in (filtered(none), smooth(none)):
        assert [(each.pose, each.reason) for each in answers] == [(None, each.reason) for each in none]
    assert smooth([]) == []


@BOTH
def test_one_frame_alone_is_as_it_was(method) -> None:
    single = measured(flown(7, 1), 7)
    assert_same(method(single), single)


def ambiguous(estimate: PoseEstimate, other: PoseEstimate) -> PoseEstimate:
    """A frame that may as well have been taken elsewhere, which comes first."""
    alternatives = tuple(PoseAlternative(each.pose, each.covariance_66, 0.5) for each in (other, estimate) if each.pose)
    return replace(refused(estimate), reason="ambiguous", alternatives=alternatives)


@BOTH
def test_of_places_that_look_alike_the_one_on_the_way_is_taken(method) -> None:
    singles = measured(flown(4, 20), 4)
    twofold = [ambiguous(each, wrong(each)) if i % 4 else each for i, each in enumerate(singles)]
    assert_same(method(twofold), method(singles))


@BOTH
def test_places_that_look_alike_are_no_measurement_where_none_is_on_the_way(method) -> None:
    singles = measured(flown(4, 12), 4)
    nowhere = [ambiguous(wrong(each), wrong(each)) if i == 6 else each for i, each in enumerate(singles)]
    assert_same(method(nowhere), method([refused(each) if i == 6 else each for i, each in enumerate(singles)]))
    start = ambiguous(singles[0], wrong(singles[0]))
    assert filtered([start, start])[-1].reason == "ambiguous" and filtered([start, start])[-1].pose is None


@BOTH
def test_photos_of_anywhere_stay_what_they_are(method) -> None:
    """No motion joins them, so nothing is made up of them."""
    single = [replace(e, pose=wrong(e).pose) if k % 2 else e for k, e in enumerate(measured(flown(8, 12), 8))]
    anywhere = [
        replace(e, pose=Pose(compose(exp_so3(np.array([k * 2.0 % 3, 0, k % 2])), e.pose.center * (-5.0) ** (k % 5))))
        for k, e in enumerate(single)
    ]
    answers = method(anywhere)
    assert reasons(answers) == ["ok"] * 12
    for answer, each in zip(answers, anywhere, strict=True):
        assert np.allclose(answer.pose.T_wc, each.pose.T_wc, atol=1e-4)


def jumping() -> list[PoseEstimate]:
    """Estimates of two flights, the second of which goes on far away at frame 20."""
    far = np.array([900.0, -700.0, 100.0])
    return [
        replace(e, pose=Pose(compose(e.pose.R_wc, e.pose.center + far))) if k >= 20 else e
        for k, e in enumerate(measured([*flown(9, 20), *flown(10, 20)], 9))
    ]


def test_a_jump_is_followed_once_three_frames_agree() -> None:
    jumped = jumping()
    answers = filtered(jumped)
    assert reasons(answers) == ["ok"] * 20 + ["outlier"] * 2 + ["ok"] * 18
    assert np.linalg.norm(answers[22].pose.center - jumped[22].pose.center) < 1
    assert reasons(smooth(jumped)) == ["ok"] * 40
    assert np.linalg.norm(smooth(jumped)[20].pose.center - jumped[20].pose.center) < 1


def test_how_many_frames_must_agree_can_be_chosen() -> None:
    forward = SequenceFilter(SequenceOptions(confirmed_after=5, max_growth=1e9))
    assert reasons([forward.update(e) for e in jumping()]) == ["ok"] * 20 + ["outlier"] * 4 + ["ok"] * 16


@pytest.mark.parametrize(("confidence", "reason"), [(0.9999, "ok"), (0.99, "lost"), (None, "lost")])
def test_a_sure_frame_is_believed_where_the_track_knows_too_little(confidence: float | None, reason: str) -> None:
    """After as many frames without a pose as are bridged, of a flight that went elsewhere in between."""
    told = [replace(each, confidence=confidence) for each in jumping()]
    bridged = reasons(filtered([*told[:12], *map(refused, told[12:20])])).count("predicted")
    told = told[: 12 + bridged] + told[20:]
    answers = filtered([refused(e) if 12 <= k < 12 + bridged else e for k, e in enumerate(told)])
    assert reasons(answers) == ["ok"] * 12 + ["predicted"] * bridged + [reason] + ["ok"] * 19
    if reason == "ok":
        assert np.allclose(answers[12 + bridged].pose.T_wc, told[12 + bridged].pose.T_wc)


def test_a_sure_frame_is_not_believed_where_the_track_knows_better() -> None:
    single = [replace(each, confidence=0.9999) for each in measured(flown(5, 30), 5)]
    answers = filtered([wrong(e) if k == 20 else e for k, e in enumerate(single)])
    assert reasons(answers) == ["ok"] * 20 + ["outlier"] + ["ok"] * 9


def test_motion_models_can_be_chosen() -> None:
    """A filter of a camera that hardly accelerates takes a turn for outliers; with the default models it follows."""
    turning = [
        replace(e, pose=Pose(compose(e.pose.R_wc, e.pose.center + np.array([0.0, 3.0 * max(k - 14, 0), 0.0]))))
        for k, e in enumerate(measured(straight(22)))
    ]
    rail = SequenceOptions(motion=MotionModelOptions(process_noise_levels=(0.01,), process_noise_prior=(1.0,)))
    on_a_rail = SequenceFilter(rail)
    assert "outlier" not in reasons(filtered(turning))
    assert "outlier" in reasons([on_a_rail.update(e) for e in turning])


@pytest.mark.parametrize("first", [0, 1])
def test_a_wrong_start_does_not_spoil_the_rest(first: int) -> None:
    poses = flown(11, 20)
    single = measured(poses, 11)
    single[first] = wrong(single[first])
    for k, answer in enumerate(filtered(single)):
        if k != first:
            assert pose_error(answer.pose, poses[k])[1] < 0.6
    smoothed = smooth(single)
    assert reasons(smoothed) == ["outlier" if k == first else "ok" for k in range(20)]
    assert max(pose_error(e.pose, p)[1] for e, p in zip(smoothed, poses, strict=True)) < 1.5


@BOTH
def test_the_world_may_be_turned_and_the_clock_may_run_otherwise(method) -> None:
    single = measured(flown(12, 15), 12)
    single[7] = refused(single[7])
    T_new_old = compose(exp_so3(np.array([0.5, 1.0, -2.0])), np.array([100.0, -20.0, 3.0]))

    def turned(estimates: list[PoseEstimate]) -> list[PoseEstimate]:
        return [e if e.pose is None else replace(e, pose=Pose(T_new_old @ e.pose.T_wc)) for e in estimates]

    assert_same(method(turned(single)), turned(method(single)), atol=1e-6)
    assert_same(method(single, [1e5 + 0.04 * k for k in range(15)]), method(single), atol=1e-6)


def test_an_estimate_without_a_covariance_is_no_measurement() -> None:
    single = measured(flown(13, 12), 13)
    without = list(single)
    without[6] = replace(single[6], covariance_66=None)
    without[8] = replace(single[8], covariance_66=np.zeros((6, 6)))
    assert [reasons(filtered(without))[k] for k in (5, 6, 7, 8, 9)] == ["ok", "predicted"] * 2 + ["ok"]


def test_times_must_increase() -> None:
    single = measured(flown(14, 3), 14)
    for times in ([0.0, 1.0, 1.0], [0.0, 2.0, 1.0]):
        with pytest.raises(TransposeError, match="frame 3 has the time 1, the one before it"):
            smooth(single, times)
    with pytest.raises(TransposeError, match="frame 2 has the time nan"):
        filtered(single, [0.0, float("nan"), 1.0])
    with pytest.raises(TransposeError, match="3 frames have 2 times"):
        smooth(single, [0.0, 1.0])
    forward = SequenceFilter()
    forward.update(single[0], 0.0)
    with pytest.raises(TransposeError, match="frame 2 has no time"):
        forward.update(single[1])


def test_a_pose_that_is_none_is_refused() -> None:
    single = measured(flown(15, 1), 15)[0]
    with pytest.raises(TransposeError, match="not rigid"):
        SequenceFilter().update(replace(single, pose=Pose(2 * single.pose.T_wc)))
