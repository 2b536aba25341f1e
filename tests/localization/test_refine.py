"""Refinement by renders: a pose that is a little off comes back, and one that the world says nothing of stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.localization.checkpoints import checkpoint
from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, exp_se3, invert, log_se3, normalized_error, pose_error
from transpose.localization import Localizer, PredictsCoordinates, Query, load
from transpose.localization.candidates import Candidate
from transpose.localization.localizer import matches_of
from transpose.localization.methods import METHODS
from transpose.localization.refine import Refined, refined
from transpose.localization.refine_options import RefineOptions
from transpose.localization.refine_tracking import even_contrast, tracked
from transpose.localization.refine_views import RenderedView, RenderedViews, depth_at
from transpose.localization.rescaled import in_scene_unit
from transpose.localization.sampling import SampledPoses, sample_poses
from transpose.randomness import stream
from transpose.runs import Checkpoint, LearnedCamera, Provenance
from transpose.scenes.unit import SceneUnit
from transpose.solvers import PoseEstimate, PosteriorOptions
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import World, save_world, vertex_colored_world

CAMERA = Camera.from_focal(260.0, 320, 240)
TRUTH = Pose(compose(np.diag([1.0, -1.0, -1.0]), np.array([0.1, -0.05, 1.2])))
OFF = Pose(TRUTH.T_wc @ exp_se3(np.array([0.01, -0.006, 0.012, 0.02, -0.015, 0.03])))
SMALL = RefineOptions(pixels=80_000)
ORIGIN = np.array([500000.0, 5200000.0, 400.0])


@pytest.fixture(scope="module")
def world() -> World:
    """A bumpy ground of 3 x 3 m with stains of all sizes."""
    n = 260
    rng = stream(0, "stained ground")
    x, y = np.meshgrid(np.linspace(-1.5, 1.5, n), np.linspace(-1.5, 1.5, n))
    stains = sum(cv2.resize(rng.normal(size=(k, k, 3)), (n, n), interpolation=cv2.INTER_CUBIC) for k in (20, 50, 110))
    height = 0.15 * cv2.resize(rng.normal(size=(9, 9)), (n, n), interpolation=cv2.INTER_CUBIC)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (each.reshape(-1) for each in (i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    rgb = np.clip(128 + 45 * np.asarray(stains), 0, 255).astype(np.uint8).reshape(-1, 3)
    return vertex_colored_world("ground", np.stack([x, y, height], -1).reshape(-1, 3), faces, rgb)


@pytest.fixture(scope="module")
def photo(world: World) -> np.ndarray:
    """What a camera sees of it, darker and with noise."""
    rgb_hw3 = Renderer(world).view(CAMERA, TRUTH).rgb_hw3
    noise = stream(0, "sensor").normal(0, 4, rgb_hw3.shape)
    return np.clip(0.8 * rgb_hw3 + noise, 0, 255).astype(np.uint8)


class Says(Localizer):
    """A method that answers with one pose, whatever it is shown, and notes what it was asked."""

    def __init__(self, pose: Pose | None, model: Checkpoint | None = None) -> None:
        self.checkpoint = model or checkpoint(camera=LearnedCamera(CAMERA))
        self.camera = self.checkpoint.camera.camera
        self.estimate = PoseEstimate(pose, "ok", np.ones(9, bool), 1.0, 1, 0.01 * np.eye(6), by="landmarks")
        self.asked: list[Query] = []

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        self.asked.append(query)
        return self.estimate


def test_a_pose_that_is_off_comes_back_to_millimetres(world: World, photo: np.ndarray) -> None:
    found = refined(Says(OFF), world, options=SMALL).localize_query(Query(photo, CAMERA))
    degrees, metres = pose_error(found.pose, TRUTH)
    assert metres < 0.003 and degrees < 0.1
    assert pose_error(OFF, TRUTH)[1] > 0.03
    assert found.by == "renders" and found.inliers >= RefineOptions().min_points and found.reason == "ok"
    assert found.covariance_66 is not None and found.pose is not None
    assert normalized_error(found.pose, TRUTH, found.covariance_66) < 20
    # Camera and map are off by some tenths of a per cent, whatever the number of matches.
    assert np.sqrt(np.linalg.eigvalsh(found.covariance_66[3:, 3:])[0]) > 0.002


def test_a_pose_far_off_is_rendered_once_more(world: World, photo: np.ndarray) -> None:
    """Tracks across a large motion are fewer, and less exact."""
    query, far = Query(photo, CAMERA), Pose(TRUTH.T_wc @ exp_se3(np.array([0.04, -0.03, 0.04, 0.05, -0.04, 0.06])))
    errors = {
        repeat_px: pose_error(
            refined(Says(far), world, options=RefineOptions(repeat_px=repeat_px)).localize_query(query).pose, TRUTH
        )
        for repeat_px in (1e9, 1.0)
    }
    assert errors[1.0] < errors[1e9] and errors[1.0][1] < 0.003


def test_coordinates_far_from_zero_keep_their_digits(world: World, photo: np.ndarray) -> None:
    """As in a metric map, where float32 knows half metres."""
    inside = Says(Pose(compose(OFF.R_wc, OFF.center + ORIGIN)), checkpoint(origin_3=ORIGIN))
    found = refined(inside, replace(world, origin_3=ORIGIN), options=SMALL).localize_query(Query(photo, CAMERA))
    here = refined(Says(OFF), world, options=SMALL).localize_query(Query(photo, CAMERA))
    assert found.pose is not None and here.pose is not None
    assert np.allclose(found.pose.center - ORIGIN, here.pose.center, atol=1e-4)


def test_the_first_pose_is_kept_where_nothing_better_is_borne_out(world: World, photo: np.ndarray) -> None:
    away = Pose(compose(OFF.R_wc, np.array([40.0, 0.0, 1.2])))  # beside the world
    other = stream(1, "another place").integers(0, 255, (240, 320, 3), dtype=np.uint8)
    for pose, image in ((away, photo), (OFF, other), (OFF, np.zeros_like(photo))):
        inside = Says(pose)
        assert refined(inside, world, options=SMALL).localize_query(Query(image, CAMERA)) is inside.estimate
    refusing = Says(None)
    assert refined(refusing, world).localize_query(Query(photo, CAMERA)) is refusing.estimate


def test_large_photos_are_matched_small_and_told_at_their_size(world: World, photo: np.ndarray) -> None:
    large = Query(cv2.resize(photo, (640, 480), interpolation=cv2.INTER_CUBIC), CAMERA.resized(640, 480))
    found = refined(Says(OFF), world, options=RefineOptions(pixels=320 * 240)).localize_query(large)
    assert found.pose is not None and pose_error(found.pose, TRUTH)[1] < 0.005


def test_the_camera_that_was_found_is_taken(world: World, photo: np.ndarray) -> None:
    inside = Says(OFF)
    inside.estimate = replace(inside.estimate, camera=CAMERA, focal_sigma=0.02)
    guess = Query(photo, Camera.from_focal(400.0, 320, 240), focal_sigma=0.4)  # of which the method found more out
    unsure = refined(inside, world, options=SMALL).localize_query(guess)
    sure = refined(Says(OFF), world, options=SMALL).localize_query(Query(photo, CAMERA))
    assert unsure.pose is not None and pose_error(unsure.pose, TRUTH)[1] < 0.003
    assert unsure.camera == CAMERA and unsure.focal_sigma == 0.02
    assert unsure.covariance_66 is not None and sure.covariance_66 is not None
    along_axis_m = float(np.median(np.linalg.norm(world.vertices_v3 - TRUTH.center, axis=1)))
    assert 4 * sure.covariance_66[5, 5] < unsure.covariance_66[5, 5] < (3 * 0.02 * along_axis_m) ** 2


def test_prior_unit_and_abilities_pass_through(world: World, photo: np.ndarray) -> None:
    """The wrapper stands outside of that for units, and takes metres however the run learned them."""
    inside = Says(Pose(OFF.T_wc).scaled(0.5), checkpoint(unit=SceneUnit(True, 4.0, learned=2.0)))
    localizer = refined(in_scene_unit(inside), world, options=SMALL)
    found = localizer.localize_query(Query(photo, CAMERA, prior=TRUTH))
    assert found.pose is not None and pose_error(found.pose, TRUTH)[1] < 0.003
    assert inside.asked[0].prior is not None
    assert np.allclose(inside.asked[0].prior.center, TRUTH.center / 2)
    assert localizer.checkpoint is inside.checkpoint and localizer.camera == inside.camera
    assert not isinstance(localizer, PredictsCoordinates)


def test_coordinates_and_samples_of_a_run(world: World, photo: np.ndarray, tmp_path: Path) -> None:
    runs.save_model(tmp_path / "run", checkpoint())
    save_world(world, tmp_path / "world")
    localizer = load(tmp_path / "run", refine=True, world=tmp_path / "world")
    assert isinstance(localizer, PredictsCoordinates) and isinstance(localizer, Refined)
    assert localizer.coordinates(photo, CAMERA).points_hw3.shape == (11, 14, 3)  # at the scale that was learned
    drawn = sample_poses(refined(Says(OFF), world, options=SMALL), Query(photo, CAMERA), PosteriorOptions(samples=400))
    assert isinstance(drawn, SampledPoses) and drawn.estimate.by == "renders"
    xi_m6 = np.stack([log_se3(invert(drawn.estimate.pose.T_wc) @ T_wc) for T_wc in drawn.T_wc_m44])
    assert np.allclose(np.cov(xi_m6.T).diagonal(), drawn.covariance_66.diagonal(), rtol=0.4)


def same(a: RenderedView, b: RenderedView) -> bool:
    pairs = ((a.px_n2, b.px_n2), (a.points_n3, b.points_n3), (a.grey_hw, b.grey_hw), (a.pose.T_wc, b.pose.T_wc))
    return all(np.array_equal(*pair) for pair in pairs)


def test_a_refined_localizer_matches_as_the_one_inside(world: World, photo: np.ndarray) -> None:
    inside, query = Says(OFF), Query(photo, CAMERA)
    with pytest.raises(TransposeError, match="matches no points"):
        matches_of(refined(inside, world), query)
    found = Candidate(inside.localize_query(query), np.ones((3, 3)), np.zeros((3, 2)))
    inside.matches = lambda query, seed: found
    assert matches_of(refined(inside, world), query) is found


def test_kept_views_are_those_that_would_be_rendered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    views = RenderedViews(world, torch.device("cpu"))
    fresh = views.view(CAMERA, TRUTH, 500)
    monkeypatch.setattr(Renderer, "view", None)  # rendering anew would fail
    kept = views.view(CAMERA, Pose(TRUTH.T_wc.copy()), 500)
    assert same(kept, fresh)
    with pytest.raises(TypeError):
        views.view(CAMERA, OFF, 500)
    monkeypatch.undo()
    for step in range(20):
        views.view(CAMERA, Pose(compose(TRUTH.R_wc, TRUTH.center + 0.01 * step)), 50)
    again = views.view(CAMERA, TRUTH, 500)  # forgotten by now, and rendered anew
    assert again is not fresh and same(again, fresh)


def test_points_are_tracked_to_a_fraction_of_a_pixel(world: World) -> None:
    """A shift by many pixels and a part of one, under other light; where nothing is alike, nothing is found."""
    image_hw3 = Renderer(world).view(CAMERA, TRUTH).rgb_hw3
    shift_2 = np.array([17.3, -9.6])
    moved_hw3 = cv2.warpAffine(image_hw3, np.float64([[1, 0, shift_2[0]], [0, 1, shift_2[1]]]), (320, 240))
    darker_hw3 = (0.5 * moved_hw3 + 20).astype(np.uint8)
    px_n2 = stream(0, "points").uniform((60, 60), (260, 180), (300, 2))
    found_n2 = tracked(even_contrast(image_hw3), even_contrast(darker_hw3), px_n2)
    known_n = np.isfinite(found_n2).all(1)
    assert known_n.mean() > 0.8
    assert np.median(np.linalg.norm(found_n2 - px_n2 - shift_2, axis=1)[known_n]) < 0.1
    noise_hw3 = stream(1, "another place").integers(0, 255, (240, 320, 3), dtype=np.uint8)
    assert np.isnan(tracked(even_contrast(image_hw3), even_contrast(noise_hw3), px_n2)).all(1).mean() > 0.9
    assert tracked(even_contrast(image_hw3), even_contrast(image_hw3), np.zeros((0, 2))).shape == (0, 2)


def test_depth_between_pixels_is_that_of_the_plane() -> None:
    y, x = np.mgrid[:20, :30] + 0.5
    inverse_hw = 0.5 + 0.01 * x - 0.004 * y
    px_n2 = stream(0, "pixels").uniform((3, 3), (26, 16), (50, 2))
    expected = 1 / (0.5 + 0.01 * px_n2[:, 0] - 0.004 * px_n2[:, 1])
    assert np.allclose(depth_at(1 / inverse_hw, px_n2), expected, rtol=1e-9)
    broken_hw = 1 / inverse_hw
    broken_hw[10, 10] = np.nan  # a hole
    broken_hw[:, 20:] *= 2  # an edge
    for at, known in (((10.5, 10.5), False), ((11.9, 10.5), False), ((20.1, 5.0), False), ((15.0, 5.0), True)):
        assert np.isfinite(depth_at(broken_hw, np.array([at]))[0]) == known
    assert np.isnan(depth_at(broken_hw, np.array([(0.2, 5.0), (29.9, 5.0), (5.0, 19.8)]))).all()
    assert len(depth_at(broken_hw, np.zeros((0, 2)))) == 0


def test_a_world_of_another_frame_or_unit_is_refused(world: World) -> None:
    with pytest.raises(TransposeError, match=r"lies \d+ m from where the run learned.*--world"):
        refined(Says(OFF, checkpoint(origin_3=ORIGIN)), world)
    with pytest.raises(TransposeError, match=r"unit of its own.*--unit"):
        refined(Says(OFF, checkpoint(unit=SceneUnit(False, 4.0, 0.4))), world)
    with pytest.raises(ValueError, match="positive"):
        RefineOptions(repeat_px=0.0)


def test_the_world_is_the_one_given_or_noted(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "says", lambda model, _: Says(OFF, model))
    model = replace(checkpoint(camera=LearnedCamera(CAMERA)), kind="says", network=None)
    runs.save_model(tmp_path, model)
    with pytest.raises(TransposeError, match=r"notes no world.*--world"):
        load(tmp_path, refine=True)
    there = save_world(world, tmp_path / "world")
    runs.save_model(tmp_path, replace(model, provenance=Provenance(world=str(there))))
    assert isinstance(load(tmp_path, refine=True), Refined)
    assert not isinstance(load(tmp_path), Refined)
    moved = there.rename(tmp_path / "moved")
    with pytest.raises(TransposeError, match=r"world.* is not there.*--world"):
        load(tmp_path, refine=True)
    assert isinstance(load(tmp_path, refine=True, world=moved), Refined)
    with pytest.raises(TransposeError, match="is not a world"):
        load(tmp_path, refine=True, world=tmp_path / "nothing")
