"""Places that look alike: all of them are stated, with weights, and none is given that may as well be another."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.evaluation.stubs import Plain
from tests.localization.checkpoints import checkpoint
from transpose.geometry import Camera
from transpose.geometry.poses import Pose, compose, exp_se3, exp_so3, pose_error, transform
from transpose.localization import LocalizationOptions, Query, alternatives
from transpose.localization.alternatives import MOST, Place, places, rivals, weights
from transpose.localization.answer import answer
from transpose.localization.by_landmarks import ByLandmarks
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import confidence
from transpose.localization.evidence import Evidence
from transpose.localization.landmarks import LandmarkMap
from transpose.localization.rescaled import in_scene_unit
from transpose.localization.seeing import SeenImage
from transpose.models.keypoints import Keypoints
from transpose.scenes.unit import SceneUnit
from transpose.solvers import PoseAlternative, PoseEstimate, RansacOptions, solve_pnp

CAMERA = Camera.from_focal(500.0, 640, 480)
POSE = Pose(compose(exp_so3(np.array([0.1, 0.2, -0.1])), np.array([0.3, -0.2, 0.1])))
APART = np.array([30.0, 0.0, 4.0])
OPTIONS = LocalizationOptions()


def copied(copies: int, only_first: int = 0, count: int = 600, seed: int = 0) -> ByLandmarks:
    """An image of a place of which there are copies, and of a poster that only the first of them has."""
    rng = np.random.default_rng(seed)
    px_n2 = np.concatenate(
        [rng.uniform((20, 20), (620, 460), (count, 2)), rng.uniform((400, 240), (480, 320), (only_first, 2))]
    )
    points_n3 = transform(POSE.T_wc, CAMERA.unproject(px_n2) * rng.uniform(2, 5, len(px_n2))[:, None])
    looks_nc = rng.normal(size=(len(px_n2), 64)) / 8

    def seen(some_nc: np.ndarray) -> torch.Tensor:
        return F.normalize(torch.from_numpy(some_nc + rng.normal(0, 0.04, some_nc.shape)).float(), dim=1)

    parts = [(points_n3, seen(looks_nc))]
    parts += [(points_n3[:count] + k * APART, seen(looks_nc[:count])) for k in range(1, copies)]
    points_l3, descriptors_lc = zip(*parts, strict=True)
    landmarks = LandmarkMap(torch.from_numpy(np.concatenate(points_l3)).float(), torch.cat(descriptors_lc))
    noisy_n2 = torch.from_numpy(px_n2 + rng.normal(0, 0.7, px_n2.shape)).float()
    return ByLandmarks(landmarks, np.zeros(3), Keypoints(noisy_n2, seen(looks_nc)), CAMERA, OPTIONS, seed)


def seen_from(by: ByLandmarks, sides: list[float]) -> ByLandmarks:
    """With each copy seen from where the image was taken (1), or from the other side (-1)."""
    part_l3 = np.repeat(sides, len(by.landmarks) // len(sides))[:, None]
    ray_l3 = POSE.center + np.repeat(np.arange(len(sides)), len(part_l3) // len(sides))[:, None] * APART
    toward_l3 = F.normalize(torch.from_numpy(part_l3 * (ray_l3 - by.landmarks.points_n3.double().numpy())), dim=1)
    return replace(by, landmarks=replace(by.landmarks, toward_n3=toward_l3.float()))


def copy_of(k: int) -> Pose:
    return Pose(compose(POSE.R_wc, POSE.center + k * APART))


def judged(candidate: Candidate) -> float:
    return confidence(candidate, CAMERA, {}) or 0.0


def found(by: ByLandmarks, prior: Pose | None = None) -> tuple[Place, ...]:
    return places(by.everywhere(), CAMERA, judged, lambda: by, OPTIONS, prior=prior)


def estimated(by: ByLandmarks, prior: Pose | None = None) -> PoseEstimate:
    image_hw3 = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    return answer(
        lambda _: by.everywhere(),
        SeenImage(image_hw3, CAMERA, Query(image_hw3, CAMERA, prior=prior)),
        lambda _: 1.0,
        OPTIONS,
        lambda candidate, _: judged(candidate),
        lambda candidate, _: places(candidate, CAMERA, judged, lambda: by, OPTIONS, prior=prior),
    )


def nearest(poses: list[Pose], truth: Pose) -> float:
    return min(pose_error(pose, truth)[1] for pose in poses)


PX = np.random.default_rng(5).uniform((0, 0), (640, 480), (340, 2))
NUMBER = np.arange(340)


def test_weights_are_probabilities_that_copies_share() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        weight_p = weights(rng.random((3, 340)) < 0.5, PX)
        assert weight_p.sum() == pytest.approx(1) and (weight_p > 0).all()
    np.testing.assert_allclose(weights(np.stack([rng.random(340) < 0.7] * 3), PX), 1 / 3)
    # Whatever both explain tells nothing; as many on one side as on the other do not either.
    np.testing.assert_allclose(weights(np.stack([NUMBER < 320, (NUMBER < 300) | (NUMBER >= 320)]), PX), 0.5, atol=0.05)
    # Two halves of different places.
    np.testing.assert_allclose(weights(np.stack([NUMBER < 170, NUMBER >= 170]), PX), 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_a_part_of_the_map_that_knows_less_is_not_less_likely(seed: int) -> None:
    """One copy was seen from many views, the other from few."""
    rng = np.random.default_rng(seed)
    seen_n = rng.random(340) < 0.8
    assert max(weights(np.stack([seen_n & (rng.random(340) < 0.95), seen_n & (rng.random(340) < 0.7)]), PX)) < 0.9


def test_more_in_one_place_that_one_pose_alone_explains_makes_it_likelier() -> None:
    px_n2 = np.concatenate([PX, np.random.default_rng(6).uniform((400, 240), (480, 320), (100, 2))])

    def weight(alone: int) -> float:
        number_n = np.arange(440)
        return float(weights(np.stack([number_n < 340 + alone, number_n < 340]), px_n2)[0])

    likelier = [weight(alone) for alone in (0, 8, 20, 40, 100)]
    assert likelier[0] == 0.5 and likelier == sorted(likelier) and likelier[1] < 0.99 < likelier[3]


def test_a_pose_that_explains_all_leaves_nothing_to_one_that_explains_little() -> None:
    np.testing.assert_allclose(weights(np.stack([NUMBER < 30, NUMBER < 340]), PX), (0, 1), atol=1e-6)


@pytest.mark.parametrize("copies", [2, 3])
def test_copies_are_stated_with_like_weights_and_none_is_given(copies: int) -> None:
    estimate = estimated(copied(copies))
    assert estimate.pose is None and estimate.reason == "ambiguous" and estimate.refused is not None
    assert len(estimate.alternatives) == copies
    assert sum(each.weight for each in estimate.alternatives) == pytest.approx(1)
    assert estimate.alternatives[-1].weight > 0.15
    assert estimate.confidence is not None and estimate.confidence < 0.9
    for k in range(copies):
        assert nearest([each.pose for each in estimate.alternatives], copy_of(k)) < 0.02
    assert all(each.covariance_66 is not None for each in estimate.alternatives)


def test_no_more_places_are_stated_than_three() -> None:
    assert len(found(copied(5, count=1500))) == MOST == 3


def test_one_place_has_no_alternatives() -> None:
    by = copied(1)
    assert len(found(by)) == 1 and found(by)[0].weight == 1
    estimate = estimated(by)
    assert estimate.alternatives == () and estimate.pose is not None
    assert estimate.confidence == judged(by.everywhere())


def test_what_only_the_true_place_has_decides() -> None:
    decided, likely = estimated(copied(2, only_first=120)), estimated(copied(2, only_first=30))
    for estimate in (decided, likely):
        assert estimate.pose is not None and pose_error(estimate.pose, POSE)[1] < 0.02
    assert decided.alternatives == () and len(likely.alternatives) == 2
    assert 0.99 < likely.alternatives[0].weight < 1 and likely.pose is not None
    assert pose_error(likely.alternatives[0].pose, likely.pose)[1] == 0


@pytest.mark.parametrize("k", [0, 1])
def test_a_prior_near_one_of_them_decides(k: int) -> None:
    prior = Pose(copy_of(k).T_wc @ exp_se3(np.array([0.02, 0.0, 0.03, 0.2, 0.1, -0.2])))
    estimate = estimated(copied(2), prior)
    assert estimate.pose is not None and pose_error(estimate.pose, copy_of(k))[1] < 0.02


def test_a_prior_between_them_decides_nothing() -> None:
    assert max(place.weight for place in found(copied(2), Pose(compose(POSE.R_wc, POSE.center + APART / 2)))) < 0.99


def test_a_pose_that_is_unsure_by_itself_is_looked_at_no_further() -> None:
    first = copied(2).everywhere()
    (place,) = places(first, CAMERA, lambda _: 0.1, lambda: None, OPTIONS)
    assert place.candidate is first


def with_weights(by: ByLandmarks, factor: float) -> Candidate:
    """The first pose, with what does not agree with it looking so many times as right as what does."""
    first = by.everywhere()
    assert first.before is not None
    agreeing_n = np.asarray(first.before.estimate.inlier_mask_n)
    return replace(first, before=replace(first.before, draw_weight_n=np.where(agreeing_n, 1.0, factor)))


@pytest.mark.parametrize("factor", [1.0, 0.6, None])
def test_a_copy_whose_matches_look_less_right_is_found_as_well(factor: float | None) -> None:
    by = copied(2)
    first = by.everywhere() if factor is None else with_weights(by, factor)
    if factor is None:
        assert first.before is not None
        first = replace(first, before=replace(first.before, draw_weight_n=None))
    assert len(rivals(first, CAMERA, judged, OPTIONS, 0)) == 1


def test_a_search_for_copies_has_the_seed_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    by, seeds = copied(2), list[int]()
    first = by.everywhere()

    def solved(px_n2: np.ndarray, points_n3: np.ndarray, camera: Camera, options: RansacOptions, **more: Any) -> Any:
        seeds.append(options.seed)
        return solve_pnp(px_n2, points_n3, camera, options, **more)

    monkeypatch.setattr(alternatives, "solve_pnp", solved)
    rivals(first, CAMERA, judged, OPTIONS, 7)
    assert set(seeds) == {7}


def test_nothing_is_searched_that_looks_too_little_right(monkeypatch: pytest.MonkeyPatch) -> None:
    by = copied(2)
    monkeypatch.setattr(alternatives, "solve_pnp", lambda *_, **__: pytest.fail("searched"))
    assert rivals(with_weights(by, 0.01), CAMERA, judged, OPTIONS, 0) == []


def test_matches_with_a_copy_do_not_speak_against_the_first() -> None:
    by = copied(3)
    alone, among = (Evidence.of(each, CAMERA) for each in (by.everywhere(), found(by)[0].candidate))
    assert alone.correspondences > 2 * alone.agreeing and among.correspondences < 1.2 * among.agreeing


def test_without_landmarks_the_correspondences_themselves_are_weighed() -> None:
    by = copied(2)
    unrefined = replace(by, options=replace(OPTIONS, refinement_radius_px=1e-6))
    likely = places(unrefined.everywhere(), CAMERA, judged, lambda: None, OPTIONS)
    assert len(likely) == 2 and likely[0].weight + likely[1].weight == pytest.approx(1)


def test_alternatives_are_told_in_the_scene_unit() -> None:
    class Twofold(Plain):
        def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
            one, other = (PoseAlternative(copy_of(k), np.eye(6), 0.5) for k in (0, 1))
            return PoseEstimate(None, "ambiguous", np.ones(9, bool), refused=POSE, alternatives=(one, other))

    inside = Twofold()
    inside.checkpoint = checkpoint(unit=SceneUnit(False, 4.0, 0.4))
    factor = inside.checkpoint.unit.learned
    told = in_scene_unit(inside).localize(np.zeros((48, 64, 3), np.uint8))
    assert factor != 1 and told.refused is not None
    np.testing.assert_allclose(told.refused.center, factor * POSE.center)
    for k, each in enumerate(told.alternatives):
        np.testing.assert_allclose(each.pose.center, factor * copy_of(k).center)
        assert each.covariance_66 is not None and each.weight == 0.5
        np.testing.assert_allclose(np.diag(each.covariance_66), [1, 1, 1, *[factor**2] * 3])


def test_places_are_looked_for_beside_a_pose_with_which_no_match_from_anywhere_agrees() -> None:
    """A prior leads to a place of which the matches from anywhere know nothing; both copies are found among them."""
    anywhere = copied(2).everywhere().unguided
    away = Pose(compose(POSE.R_wc, POSE.center + np.array([500.0, 0, 0])))
    guided = replace(anywhere, estimate=replace(anywhere.estimate, pose=away), anywhere=anywhere)
    others = rivals(guided, CAMERA, judged, OPTIONS, 0)
    poses = [each.pose for each in others if each.pose is not None]
    assert len(poses) == 2 and all(nearest(poses, copy_of(k)) < 0.05 for k in range(2))


def test_a_copy_that_was_only_seen_from_behind_is_no_place_of_this_image() -> None:
    by = copied(2)
    assert len(found(by)) == len(found(seen_from(by, [1.0, 1.0]))) == 2
    first = by.everywhere().pose
    assert first is not None
    at_first = [pose_error(first, copy_of(k))[1] < 0.05 for k in range(2)]
    (only,) = found(seen_from(by, [1.0 if here else -1.0 for here in at_first]))
    assert only.candidate.pose is not None and pose_error(only.candidate.pose, first)[1] < 0.05 and only.weight == 1
