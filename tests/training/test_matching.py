"""From a section to a database, and from that to the poses of other views."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from tests.conftest import looking_down
from transpose import runs
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, pose_error
from transpose.localization import Query, load
from transpose.localization.matching.localizer import MatchingLocalizer
from transpose.localization.matching.matches import Places
from transpose.models.keypoints import Keypoints
from transpose.randomness import stream
from transpose.scenes.layout import open_section
from transpose.training.request import Request
from transpose.training.start import train
from transpose.worlds.render_section import render_section
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, save_world

CAMERA = Camera.from_focal(320.0, 384, 288)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    """`sim` with depth; `photos` the same images and poses alone; `test` views between them."""
    folder = tmp_path_factory.mktemp("matching")
    world = save_world(box_world, folder / "world")
    for section, shift in (("sim", 0.0), ("test", 0.35)):
        poses = [looking_down(x + shift, y, 3.5, yaw=10.0 * x) for x in (-1.2, -0.4, 0.4, 1.2) for y in (-0.7, 0.7)]
        poses = poses[:3] if section == "test" else poses
        render_section(world, [Viewpoint(CAMERA, pose) for pose in poses], (folder / "scene", section), {}, processes=1)
    for layer in ("rgb", "poses", "calibration"):
        shutil.copytree(folder / "scene" / "sim" / layer, folder / "scene" / "photos" / layer)
    return folder / "scene"


@pytest.fixture(scope="module")
def run(scene: Path) -> Path:
    return train(Request(scene, ["sim"], scene / "run", validation="test"), "matching", {"keypoints": 400}).parent


def errors(localizer: MatchingLocalizer, scene: Path) -> np.ndarray:
    found = [localizer.localize(each.image(), each.camera) for each in open_section(scene / "test").frames]
    assert all(each.pose is not None and each.by == "matches" for each in found)
    true = [each.pose for each in open_section(scene / "test").frames]
    return np.array([pose_error(each.pose, pose) for each, pose in zip(found, true, strict=True) if each.pose])


def test_renders_localize_views_between_them(scene: Path, run: Path) -> None:
    localizer = load(run)
    degrees, metres = errors(localizer, scene).max(0)
    assert metres < 0.05 and degrees < 0.6  # a pixel is 11 mm
    assert json.loads((run / "config.json").read_text())["features"] == "xfeat"
    database = runs.load_model(run).database
    assert database is not None and database["descriptors_nc"].dtype == torch.int8
    assert len(database["images"]) == 8 and len(database["points_n3"]) <= 8 * 400


def test_photos_without_depth_are_triangulated_by_the_features(scene: Path) -> None:
    """SIFT's own keypoints, and photos left out in turn for the calibration."""
    model = train(Request(scene, ["photos"], scene / "run-photos"), "matching", {"features": "sift"})
    degrees, metres = np.median(errors(load(model), scene), axis=0)
    assert metres < 0.05 and degrees < 0.8
    assert runs.load_model(model).calibration.measured("matches")
    database = runs.load_model(model).database
    assert database is not None
    covariances_n33 = database["covariances_n33"]
    assert len(covariances_n33) == len(database["points_n3"])
    assert (torch.linalg.eigvalsh(covariances_n33.double()) > 0).all()


def test_a_run_without_covariances_of_its_points_weights_them_alike(run: Path) -> None:
    localizer = load(run)
    assert isinstance(localizer, MatchingLocalizer)
    assert localizer.database.covariances(torch.arange(3)) is None
    assert "covariances_n33" not in localizer.database.state()


def test_a_focal_length_that_is_not_known_is_estimated(scene: Path, run: Path) -> None:
    frame = open_section(scene / "test").frames[1]
    wrong = dataclasses.replace(CAMERA, fx=1.1 * CAMERA.fx, fy=1.1 * CAMERA.fy)
    found = load(run).localize_query(Query(frame.image(), wrong, "training", focal_sigma=0.15))
    assert found.pose is not None and found.camera is not None and found.focal_sigma is not None
    # From above, a flat place tells it hardly better than what is known beforehand, and that is said.
    assert abs(found.camera.fx / CAMERA.fx - 1) < 2 * found.focal_sigma < 0.4


def test_a_prior_pose_adds_the_images_near_it(scene: Path, run: Path) -> None:
    localizer = load(run)
    assert isinstance(localizer, MatchingLocalizer)
    localizer._retrieved = 1
    frame = open_section(scene / "test").frames[0]
    alone = localizer.match(Query(frame.image(), frame.camera)).images_v
    with_prior = localizer.match(Query(frame.image(), frame.camera, prior=frame.pose)).images_v
    assert len(alone) == 1 and len(with_prior) > 2 and with_prior[0] == alone[0]
    assert len(set(with_prior.tolist())) == len(with_prior)


def test_another_place_is_refused(run: Path) -> None:
    localizer = load(run)
    noise = stream(0, "another place").integers(0, 255, (36, 48, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    for image in (noise, np.zeros((288, 384, 3), np.uint8)):
        found = localizer.localize(image, CAMERA)
        assert found.pose is None and found.reason and found.covariance_66 is None


def test_a_pose_is_as_sure_as_what_agrees_and_is_refused_by_the_risk(scene: Path, run: Path) -> None:
    frame = open_section(scene / "test").frames[0]
    query = Query(frame.image(), frame.camera)
    found = load(run).localize_query(query)
    assert found.pose is not None and found.confidence is not None and found.confidence > 0.99
    assert load(run, risk=1e-7).localize_query(query).reason == "low_score"
    bold = load(run).localize_query(dataclasses.replace(query, risk=0.5))
    assert bold.pose is not None and bold.confidence == found.confidence


def test_a_pose_of_few_matches_is_not_worth_judging(scene: Path, run: Path) -> None:
    localizer = load(run)
    assert isinstance(localizer, MatchingLocalizer)
    frame = open_section(scene / "test").frames[0]
    matched = localizer.match(Query(frame.image(), frame.camera))
    assert localizer.posed(matched).pose is not None
    localizer.options = dataclasses.replace(localizer.options, min_landmarks=10_000)
    refused = localizer.posed(matched)
    assert refused.pose is None and refused.estimate.reason == "low_score"
    assert localizer.answer(matched).confidence == 0


def test_no_method_of_this_kind_has_landmarks_to_choose(run: Path) -> None:
    with pytest.raises(TransposeError, match=r"'matching' has no landmarks"):
        load(run, use="landmarks")


def test_a_run_without_its_database_says_so(run: Path) -> None:
    with pytest.raises(TransposeError, match="has no database"):
        MatchingLocalizer(dataclasses.replace(runs.load_model(run), database=None))


def test_too_few_photos_are_refused_before_a_run_is_replaced(scene: Path, run: Path, tmp_path: Path) -> None:
    for layer in ("rgb", "poses", "calibration"):
        (tmp_path / "lonely" / "one" / layer).mkdir(parents=True)
        first = sorted((scene / "photos" / layer).iterdir())[0]
        shutil.copy(first, tmp_path / "lonely" / "one" / layer)
    out = shutil.copytree(run, tmp_path / "run")
    with pytest.raises(TransposeError, match=r"no depth, and only 0 points could be triangulated"):
        train(Request(tmp_path / "lonely", ["one"], out, overwrite=True), "matching")
    assert load(out).checkpoint.database is not None  # what was there still is


def test_the_command_refuses_what_the_preset_has_not(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(scene), "--sections", "sim", "--out", str(tmp_path / "run"), "--preset", "matching"]
    assert main([*words, "--steps", "10"]) == 1
    assert "the preset matching has no --steps" in capsys.readouterr().err
    assert main([*words, "--features", "sift", "--matcher", "lightglue"]) == 1
    assert "no weights of LightGlue for sift" in capsys.readouterr().err
    assert main([*words, "--retrieved", "0"]) == 1
    assert "must be 1 or more, not 1000, 0," in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_depth_that_changes_nothing_is_refused(
    run: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main(["test", str(run), str(scene), "--section", "test", "--out", str(out), "--mode", "2"]) == 1
    assert "--mode 2 goes with predicted coordinates" in capsys.readouterr().err and not out.exists()
    frame = open_section(scene / "test").frames[0]
    assert main(["localize", str(run), str(frame.paths["rgb"]), "--depth", str(frame.paths["rgb"])]) == 1
    assert "--depth goes with predicted coordinates" in capsys.readouterr().err


def test_lighterglue_matches_as_well(scene: Path) -> None:
    settings = {"matcher": "lightglue", "keypoints": 300, "retrieved": 3}
    model = train(Request(scene, ["sim"], scene / "run-lightglue", validation="test"), "matching", settings)
    localizer = load(model)
    frame = open_section(scene / "test").frames[0]
    found = localizer.localize(frame.image(), frame.camera)
    assert found.pose is not None and pose_error(found.pose, frame.pose)[1] < 0.05


def test_a_pose_of_a_thing_that_stands_twice_gives_way_to_the_right_one(scene: Path, run: Path) -> None:
    """The wrong pose has more matches; what else it puts into the image is not there."""
    localizer = load(run)
    assert isinstance(localizer, MatchingLocalizer)
    frame = open_section(scene / "test").frames[0]
    image = localizer.match(Query(frame.image(), frame.camera))
    wrong = looking_down(-1.0, 0.5, 3.2, yaw=80.0)
    right_n3 = localizer.posed(image).inlier_points_m3
    shown_m3 = image.places.points_m3.double().numpy() + localizer.checkpoint.origin_3
    right_m = torch.from_numpy(np.flatnonzero(cKDTree(right_n3).query(shown_m3)[0] < 0.02)[:60])
    points_n3 = localizer.database.points_n3.double().numpy() + localizer.checkpoint.origin_3
    px_n2 = frame.camera.project((points_n3 - wrong.center) @ wrong.R_wc)
    corner_n = ((px_n2 > 20) & (px_n2 < 120)).all(1)  # the thing that stands twice
    rows_k = torch.from_numpy(stream(1, "some").permutation(np.flatnonzero(corner_n))[:80])
    assert len(rows_k) == 80
    keypoints = Keypoints(
        torch.cat([image.keypoints.px_n2, torch.from_numpy(px_n2).float()[rows_k]]),
        torch.cat([image.keypoints.descriptors_nc, localizer.database.descriptors(rows_k)]),
    )
    places = Places(
        torch.cat([image.places.keypoint_m[right_m], len(image.keypoints) + torch.arange(80)]),
        torch.cat([image.places.points_m3[right_m], localizer.database.points_n3[rows_k]]),
        torch.cat([image.places.row_m[right_m], rows_k]),
    )
    crowded = dataclasses.replace(image, keypoints=keypoints, places=places)
    found = localizer.posed(crowded)
    assert found.pose is not None and pose_error(found.pose, frame.pose)[1] < 0.05
    fooled = next(localizer.tried(crowded))
    assert fooled.pose is not None and pose_error(fooled.pose, wrong)[1] < 0.05
    assert fooled.unguided_support > found.unguided_support
    assert fooled.confirmed is not None and found.confirmed is not None and fooled.confirmed < found.confirmed / 2


def test_a_photo_is_not_taken_from_below_what_the_images_saw_from_above(scene: Path, run: Path) -> None:
    """Matches of a mirrored image of a flat place, should it look the same, agree with a camera below the ground."""
    localizer = load(run)
    assert isinstance(localizer, MatchingLocalizer)
    frame = open_section(scene / "test").frames[0]
    image = localizer.match(Query(frame.image(), frame.camera))
    points_m3 = image.places.points_m3.double().numpy() + localizer.checkpoint.origin_3
    at_m2 = 2 * frame.camera.width * np.ones((len(points_m3), 2))
    mirrored = Pose(frame.pose.T_wc @ np.diag([1.0, -1.0, -1.0, 1.0]))
    mirrored = Pose(compose(mirrored.R_wc, frame.pose.center * (1, 1, -1)))  # the ground is at a height of 0
    seen_m2 = frame.camera.project((points_m3 - mirrored.center) @ mirrored.R_wc)
    flat_m = np.abs(points_m3[:, 2]) < 0.05
    at_m2[flat_m] = seen_m2[flat_m]
    px_n2 = image.keypoints.px_n2.clone()
    px_n2[image.places.keypoint_m] = torch.from_numpy(at_m2).float()
    fooled = dataclasses.replace(image, keypoints=dataclasses.replace(image.keypoints, px_n2=px_n2))
    assert flat_m.sum() > 60 and localizer.posed(fooled).pose is None
    localizer._toward_n3 = torch.zeros_like(localizer._toward_n3)
    found = localizer.posed(fooled)
    assert found.pose is not None and pose_error(found.pose, mirrored)[1] < 0.05
