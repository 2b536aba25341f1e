"""A focal length that nobody knows: estimated with the pose, and what is left of its uncertainty is stated."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from transpose.geometry import Camera
from transpose.geometry.poses import Pose, normalized_error
from transpose.localization import LocalizationOptions, Query
from transpose.localization.answer import answer, at_found_scale
from transpose.localization.candidates import Candidate
from transpose.localization.covariance import CameraErrors, calibrated
from transpose.localization.focal import Focused, with_focal
from transpose.localization.query import GUESSED_FOCAL, UNKNOWN_FOCAL
from transpose.localization.seeing import SeenImage
from transpose.localization.systematic import SystematicErrors, focal_shift_by_center
from transpose.solvers import PoseEstimate, RansacOptions, solve_pnp

CAMERA, ERRORS = Camera.from_focal(500.0, 640, 480), SystematicErrors()


def matches(factor: float, seed: int, depth: str = "deep") -> tuple[np.ndarray, np.ndarray]:
    """Pixels and world points seen by a camera at the origin whose focal length is off; two fifths are wrong."""
    rng = np.random.default_rng(seed)
    px_n2 = rng.uniform((0, 0), (640, 480), (200, 2))
    z_n = rng.uniform(1.5, 5, 200) if depth == "deep" else np.full(200, 40.0)
    points_n3 = Camera.from_focal(500.0 * factor, 640, 480).unproject(px_n2) * z_n[:, None]
    px_n2 = px_n2 + rng.normal(0, 1.0, px_n2.shape)
    wrong = rng.random(200) < 0.4
    px_n2[wrong] = rng.uniform((0, 0), (640, 480), (int(wrong.sum()), 2))
    return px_n2, points_n3


def focused(factor: float, seed: int, depth: str = "deep", right: float = 0.5, tolerance: float = 0.0) -> Focused:
    px_n2, points_n3 = matches(factor, seed, depth)
    options = RansacOptions(max_error_px=6.0, correlation_px=80.0)

    def solve(camera: Camera) -> Candidate:
        return Candidate.by("landmarks", solve_pnp(px_n2, points_n3, camera, options), points_n3, px_n2)

    return with_focal(solve, CAMERA, GUESSED_FOCAL, right, lambda _: 1.0, 80.0, 0.003, tolerance, least_share=0.07)


@pytest.mark.parametrize("factor", [0.7, 0.85, 1.15, 1.35])
def test_the_focal_length_of_another_camera_is_found(factor: float) -> None:
    """By as much as one phone's wide lens differs from another's; the pose is as good as with the right one."""
    off = []
    for seed in range(6):
        found = focused(factor, seed)
        assert found.candidate.pose is not None
        assert found.camera.fx / 500.0 == pytest.approx(factor, rel=0.01)
        assert np.linalg.norm(found.candidate.pose.center) < 0.03  # with 500 px: 0.4 m and more
        off.append((found.camera.fx / 500.0 / factor - 1) / found.sigma)
    assert 0.2 < np.sqrt(np.mean(np.square(off))) < 2.0


def test_the_training_camera_itself_is_recognized() -> None:
    for seed in range(4):
        found = focused(1.0, seed)
        assert found.camera == CAMERA
        assert found.sigma < 0.003


def test_what_an_image_does_not_tell_stays_unknown() -> None:
    """A camera that looks straight at a plane: a longer lens from farther away sees the same."""
    for factor in (1.0, 1.12):
        found = focused(factor, 0, "plane")
        query = Query(np.zeros((480, 640, 3), np.uint8), CAMERA, "training", found.sigma)
        estimate = calibrated(
            found.candidate, found.camera, lambda _: 1.0, CameraErrors.of(query, ERRORS, found.candidate.estimate.by)
        )
        assert estimate.pose is not None and estimate.covariance_66 is not None
        assert found.sigma > 0.09
        assert np.sqrt(estimate.covariance_66[5, 5]) > 3.0  # metres, of 40
        assert normalized_error(estimate.pose, Pose(np.eye(4)), estimate.covariance_66) < 15


def test_a_focal_length_that_cannot_be_right_is_given_up() -> None:
    assert focused(1.05, 1, right=0.0).camera.fx == pytest.approx(525.0, rel=0.01)


def test_nothing_found_is_no_pose() -> None:
    rng = np.random.default_rng(0)
    px_n2, points_n3 = rng.uniform(0, 480, (60, 2)), rng.uniform(1, 5, (60, 3))
    found = with_focal(
        lambda camera: Candidate.by("landmarks", solve_pnp(px_n2, points_n3, camera), points_n3, px_n2),
        *(CAMERA, GUESSED_FOCAL, True, lambda _: 1.0, 80.0, 0.01),
        least_share=0.07,
    )
    assert found.candidate.pose is None and found.sigma == GUESSED_FOCAL


@pytest.mark.parametrize(("least_share", "is_tried"), [(0.07, False), (0.03, True)])
def test_what_few_agree_with_tells_no_focal_length(least_share: float, is_tried: bool) -> None:
    """Twenty right of 400, told by their looks: a focal length that they tell is tried only where so few count."""
    rng, asked = np.random.default_rng(0), []
    px_n2, points_n3 = matches(1.3, 0)
    right_n = np.linalg.norm(CAMERA.zoomed(1.3).project(points_n3) - px_n2, axis=1) < 4
    right_n[np.flatnonzero(right_n)[20:]] = False
    px_n2, points_n3 = px_n2[right_n], points_n3[right_n]
    px_n2 = np.concatenate([px_n2, rng.uniform((0, 0), (640, 480), (380, 2))])
    points_n3 = np.concatenate([points_n3, rng.uniform((-2, -2, 2), (2, 2, 5), (380, 3))])
    weight_n = np.r_[np.full(20, 1.0), np.full(380, 0.9)]

    def solve(camera: Camera) -> Candidate:
        asked.append(camera)
        estimate = PoseEstimate(None, "no_consensus", np.zeros(400, bool))
        return Candidate(estimate, points_n3, px_n2, draw_weight_n=weight_n)

    with_focal(solve, CAMERA, GUESSED_FOCAL, 0.0, lambda _: 1.0, 80.0, 0.003, least_share=least_share)
    assert (len(asked) > 1) == is_tried


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_metadata_that_contradict_the_image_are_not_believed(factor: float) -> None:
    for seed in range(4):
        found = focused(factor, seed, right=0.98, tolerance=0.012)
        assert found.camera.fx / 500.0 == pytest.approx(factor, rel=0.01) and found.sigma < 0.02


@pytest.mark.parametrize("factor", [0.55, 1.7])
def test_where_nothing_is_known_twice_the_focal_length_is_found(factor: float) -> None:
    for seed in range(3):
        px_n2, points_n3 = matches(factor, seed)

        def solve(camera: Camera, px_n2: np.ndarray = px_n2, points_n3: np.ndarray = points_n3) -> Candidate:
            estimate = solve_pnp(px_n2, points_n3, camera, RansacOptions(max_error_px=6.0))
            return Candidate.by("landmarks", estimate, points_n3, px_n2)

        found = with_focal(solve, CAMERA, UNKNOWN_FOCAL, 0.0, lambda _: 1.0, 80.0, 0.003, least_share=0.07)
        assert found.camera.fx == pytest.approx(500 * factor, rel=0.01)
        assert found.candidate.pose is not None and np.linalg.norm(found.candidate.pose.center) < 0.05


def test_correspondences_that_a_wrong_focal_length_has_chosen_do_not_confirm_it() -> None:
    """A pose refined by matches near it agrees with them whatever the camera; those before say what it is."""
    px_n2, points_n3 = matches(1.3, 0)

    def solve(camera: Camera) -> Candidate:
        whole = Candidate.by("landmarks", solve_pnp(px_n2, points_n3, camera, RansacOptions(6.0)), points_n3, px_n2)
        near_n = np.asarray(whole.estimate.inlier_mask_n)
        again = solve_pnp(px_n2[near_n], points_n3[near_n], camera, RansacOptions(3.0))
        return Candidate(replace(again, by="landmarks"), points_n3[near_n], px_n2[near_n], before=whole)

    found = with_focal(solve, CAMERA, UNKNOWN_FOCAL, 0.0, lambda _: 1.0, 80.0, 0.003, least_share=0.07)
    assert found.camera.fx == pytest.approx(650.0, rel=0.01)


def test_an_image_is_seen_anew_at_the_scale_that_it_turns_out_to_have() -> None:
    query, asked = Query(np.zeros((480, 640, 3), np.uint8), CAMERA, "exif", 0.01), []

    def localize(query: Query, zoom: float) -> PoseEstimate:
        asked.append((query.camera.fx, query.source))
        pose = None if query.source == "estimated" and zoom == 3.0 else Pose(np.eye(4))
        return PoseEstimate(pose, "ok", np.ones(5, bool), camera=CAMERA.zoomed(zoom))

    for zoom, wanted in ((1.0, 1), (1.2, 1), (1.6, 2), (0.6, 2), (3.0, 2)):
        asked.clear()
        found = at_found_scale(partial(localize, zoom=zoom), query, LocalizationOptions())
        assert found.pose is not None and len(asked) == wanted
        assert asked[1:] == ([(pytest.approx(500 * zoom), "estimated")] if wanted == 2 else [])


def test_an_image_of_unknown_focal_length_is_looked_at_at_other_scales_where_a_glance_tells() -> None:
    unknown, asked = Query(np.zeros((480, 640, 3), np.uint8), CAMERA, "estimated", UNKNOWN_FOCAL), []

    def localize(query: Query, right: float) -> PoseEstimate:
        asked.append(query.camera.fx / 500.0)
        near = abs(query.camera.fx / 500.0 / right - 1) < 0.1
        return PoseEstimate(Pose(np.eye(4)) if near else None, "ok", np.ones(5, bool), camera=CAMERA.zoomed(right))

    for right, wanted in ((1.0, [1.0]), (1.25, [1.0, 1.25]), (0.64, [1.0, 0.64]), (3.0, [1.0])):

        def sees(query: Query, right: float = right) -> bool:
            return query.camera.fx / 500.0 == pytest.approx(right)

        asked.clear()
        found = at_found_scale(partial(localize, right=right), unknown, LocalizationOptions(), sees)
        assert found.is_located == (right != 3.0) and asked == pytest.approx(wanted)
    for query, glance in ((replace(unknown, focal_sigma=0.15), lambda _: True), (unknown, None)):
        asked.clear()
        found = at_found_scale(partial(localize, right=1.25), query, LocalizationOptions(), glance)
        assert not found.is_located and len(asked) == 1


def test_a_principal_point_that_is_off_moves_the_focal_length_as_stated() -> None:
    """To first order, and for points of one weight, which the solver gives them not quite."""
    rng = np.random.default_rng(0)
    points_n3 = rng.uniform((-2, -1.5, 2), (2, 1.5, 6), (300, 3))
    px_n2 = CAMERA.project(points_n3)
    one = focal_shift_by_center(points_n3, Pose(np.eye(4)), 1.0)
    off = [
        solve_pnp(px_n2, points_n3, replace(CAMERA, cx=320 + dx, cy=240 + dy), estimate_focal=True).focal_px
        for dx, dy in ((2.0, 0.0), (0.0, 2.0))
    ]
    assert np.linalg.norm(np.log(np.divide(off, 500.0))) == pytest.approx(one * 2.0 / 500, rel=0.4)


def test_metadata_that_the_image_bears_out_or_says_nothing_of_are_believed() -> None:
    for depth, most in (("deep", 0.014), ("plane", 0.03)):
        found = focused(1.0, 0, depth, right=0.98, tolerance=0.012)
        assert found.camera == CAMERA and 0.012 <= found.sigma < most


@pytest.mark.parametrize("factor", [1.0, 0.972, 1.02])
def test_a_camera_like_that_of_the_training_images_is_not_taken_for_exact(factor: float) -> None:
    """EXIF says 28 mm of both, which may be 27.5 or 28.5."""
    image_hw3, off = np.zeros((480, 640, 3), np.uint8), []
    query = Query(image_hw3, CAMERA, "training", focal_sigma=0.02)
    for seed in range(6):
        px_n2, points_n3 = matches(factor, seed)

        def solve(camera: Camera, px_n2: np.ndarray = px_n2, points_n3: np.ndarray = points_n3) -> Candidate:
            found = solve_pnp(px_n2, points_n3, camera, RansacOptions(6.0, correlation_px=80.0))
            return Candidate.by("landmarks", found, points_n3, px_n2)

        found = answer(solve, SeenImage(image_hw3, CAMERA, query), lambda _: 1.0, LocalizationOptions())
        assert found.camera is not None and found.focal_sigma is not None and 0.0005 < found.focal_sigma < 0.02
        off.append((found.camera.fx / 500.0 / factor - 1) / found.focal_sigma)
    assert np.sqrt(np.mean(np.square(off))) < 2.0


def test_no_more_is_taken_from_an_image_than_what_was_known_before_allows() -> None:
    """Straight down at what is almost a plane: the image says little, and what was known before stays the stronger."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        px_n2, z_n = rng.uniform((0, 0), (640, 480), (200, 2)), 40 + rng.uniform(-0.2, 0.2, 200)
        points_n3 = CAMERA.zoomed(1.3).unproject(px_n2) * z_n[:, None]
        px_n2 = px_n2 + rng.normal(0, 1.0, px_n2.shape)

        def solve(camera: Camera, px_n2: np.ndarray = px_n2, points_n3: np.ndarray = points_n3) -> Candidate:
            found = solve_pnp(px_n2, points_n3, camera, RansacOptions(6.0, correlation_px=80.0))
            return Candidate.by("landmarks", found, points_n3, px_n2)

        found = with_focal(solve, CAMERA, 0.05, 0.0, lambda _: 1.0, 80.0, 0.003, least_share=0.07)
        assert 0.04 < found.sigma < 0.05 and abs(np.log(found.camera.fx / 500.0)) < 0.06
