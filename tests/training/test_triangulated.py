"""Photos with poses and without depth: their map points, the landmarks of these, and leave-out calibration."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import looking_down
from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.geometry.poses import Pose, pose_error
from transpose.localization import load
from transpose.models.heads import HeadConfig
from transpose.models.xfeat import XFeatEncoder
from transpose.scenes.layout import open_section
from transpose.training.landmarks import Observations
from transpose.training.leave_out import LeaveOut
from transpose.training.request import Request
from transpose.training.sections import gather_frames, left_out_in_turn, sized
from transpose.training.start import train
from transpose.training.triangulated import Triangulated, triangulated
from transpose.training.views import training_view
from transpose.worlds.render_section import render_section
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, save_world

SETTINGS = {"steps": 60, "batch": 256, "views": 30, "head": HeadConfig(width=32, blocks=1, anchors=8)}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    """`sim` with depth; `photos` the same images and poses alone; `test` views between them."""
    folder = tmp_path_factory.mktemp("photos")
    world = save_world(box_world, folder / "world")
    camera = Camera.from_focal(320.0, 384, 288)
    for section, shift in (("sim", 0.0), ("test", 0.35)):
        poses = [looking_down(x + shift, y, 3.5, yaw=10.0 * x) for x in (-1.2, -0.4, 0.4, 1.2) for y in (-0.7, 0.7)]
        poses = poses[:3] if section == "test" else poses
        viewpoints = [Viewpoint(camera, pose) for pose in poses]
        render_section(world, viewpoints, (folder / "scene", section), {}, processes=1)
    for layer in ("rgb", "poses", "calibration"):
        shutil.copytree(folder / "scene" / "sim" / layer, folder / "scene" / "photos" / layer)
    return folder / "scene"


@pytest.fixture(scope="module")
def found(scene: Path) -> Triangulated:
    training, validation = gather_frames(scene, ["photos"], None, leave_out=True)
    assert len(training) == 8 and validation == []  # a tenth would tell nothing
    return triangulated(training, range(8), XFeatEncoder(), CPU, torch.float32, lambda items, _: items)


def test_map_points_lie_on_the_surface(scene: Path, found: Triangulated) -> None:
    errors = []
    for each, true in zip(found.frames, open_section(scene / "sim").frames, strict=True):
        assert each.shows is not None and len(each.shows.px_k2) > 30
        view = training_view([dataclasses.replace(each, frame=true, shows=None)], 0, np.random.default_rng(0), None)
        errors.append(np.linalg.norm(view.points(each.shows.px_k2) - each.shows.points_k3, axis=1))
    error = np.concatenate(errors)
    # A pixel is 11 mm across the rays, and some 5 cm along them where cameras are 0.8 m apart.
    assert np.nanmedian(error) < 0.06 and np.nanquantile(error, 0.9) < 0.2


def test_cells_between_map_points_have_labels(scene: Path, found: Triangulated) -> None:
    true = open_section(scene / "sim").frames
    each = found.frames[3]
    view = training_view([each], 0, np.random.default_rng(0), None)
    with_depth = training_view(
        [dataclasses.replace(each, frame=true[3], shows=None)], 0, np.random.default_rng(0), None
    )
    points, known = view.points(view.cell_px()), with_depth.points(view.cell_px())
    both = np.isfinite(points).all(1) & np.isfinite(known).all(1)
    assert np.isfinite(points).all(1).mean() > 0.4
    assert np.median(np.linalg.norm(points[both] - known[both], axis=1)) < 0.05


def test_a_keypoint_of_a_view_is_the_map_point_itself(found: Triangulated) -> None:
    each = found.frames[0]
    assert each.shows is not None
    view = training_view([each], 0, np.random.default_rng(0), None)
    points, number = view.map_points(each.shows.px_k2 + 0.3)
    assert (number >= 0).all() and np.isin(points, each.shows.points_k3).all()
    points, number = view.map_points(np.array([[-50.0, -50.0]]))
    assert number.tolist() == [-1] and np.isnan(points).all()


def test_training_and_localizing(scene: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train(Request(scene, ["photos"], tmp_path / "run"), settings=SETTINGS)
    assert "map points triangulated from 8 photos" in caplog.text
    assert "8 of 8 validation images are localized by landmarks" in caplog.text
    model = runs.load_model(tmp_path / "run")
    assert model.landmarks is not None and len(model.landmarks["points"]) > 50
    assert model.calibration.measured("landmarks") and model.calibration.min_score == np.inf
    localizer = load(tmp_path / "run")
    for frame in open_section(scene / "test").frames:
        estimate = localizer.localize(frame.image(), frame.camera)
        degrees, metres = pose_error(estimate.pose, frame.pose)
        assert degrees < 1 and metres < 0.05 and estimate.by == "landmarks"


def test_whole_networks_learn_from_map_points_as_well(scene: Path, tmp_path: Path) -> None:
    settings = {"tiny": True, "height": 96, "steps": 2, "mode": "model"}
    train(Request(scene, ["photos"], tmp_path / "run", "test"), "dsacstar", settings)
    assert runs.load_model(tmp_path / "run").progress.complete


def test_photos_with_depth_have_landmarks_at_map_points(scene: Path, tmp_path: Path) -> None:
    shutil.copytree(scene / "sim", tmp_path / "scene" / "rgbd")
    facts = json.loads((tmp_path / "scene" / "rgbd" / "section.json").read_text(encoding="utf-8"))
    facts["rendered"] = False
    (tmp_path / "scene" / "rgbd" / "section.json").write_text(json.dumps(facts), encoding="utf-8")
    train(Request(tmp_path / "scene", ["rgbd"], tmp_path / "run"), settings=SETTINGS)
    calibration = runs.load_model(tmp_path / "run").calibration
    assert calibration.measured("landmarks") and calibration.min_score is None  # depth taught the coordinates


def test_views_of_one_photo_are_left_out_together(scene: Path, tmp_path: Path) -> None:
    shutil.copytree(scene / "sim", tmp_path / "scene" / "cut")
    path = tmp_path / "scene" / "cut" / "section.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    stems = [frame.stem for frame in open_section(tmp_path / "scene" / "cut").frames]
    facts |= {"rendered": False, "cut_of": {stem: f"photo-{i // 3}" for i, stem in enumerate(stems)}}
    path.write_text(json.dumps(facts), encoding="utf-8")
    training, _ = gather_frames(tmp_path / "scene", ["cut"], None, leave_out=True)
    photos = left_out_in_turn(training)
    assert photos == [[0, 1, 2], [3, 4, 5], [6, 7]]
    blocks = LeaveOut(photos, Observations.joined([]), 10, None, np.zeros(3)).blocks()
    assert blocks == photos


def test_photos_of_nothing_in_common_are_refused(scene: Path, tmp_path: Path) -> None:
    training, _ = gather_frames(scene, ["photos"], None, leave_out=True)
    with pytest.raises(TransposeError, match="more photos of the same things"):
        triangulated(training[:1], [0], XFeatEncoder(), CPU, torch.float32, lambda items, _: items)


def test_a_run_is_not_replaced_by_one_that_cannot_begin(scene: Path, tmp_path: Path) -> None:
    for layer in ("rgb", "poses", "calibration"):
        (tmp_path / "scene" / "one" / layer).mkdir(parents=True)
        first = sorted((scene / "photos" / layer).iterdir())[0]
        shutil.copy(first, tmp_path / "scene" / "one" / layer)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").write_bytes(b"an older run")
    with pytest.raises(TransposeError, match="more photos of the same things"):
        train(Request(tmp_path / "scene", ["one"], tmp_path / "run", overwrite=True), settings=SETTINGS)
    assert (tmp_path / "run" / "model.pt").read_bytes() == b"an older run"
    with pytest.raises(TransposeError, match="more photos of the same things"):
        train(Request(tmp_path / "scene", ["one"], tmp_path / "new"), settings=SETTINGS)
    assert not (tmp_path / "new").exists()


def test_large_photos_are_shrunk_and_others_are_not(scene: Path) -> None:
    training, _ = gather_frames(scene, ["photos"], None, leave_out=True)
    assert {each.height for each in sized(training, None)} == {None}
    assert {each.height for each in sized(training, 200)} == {200}
    large = dataclasses.replace(training[0], frame=_Large())  # type: ignore[arg-type]
    (shrunk,) = sized([large], None)
    assert shrunk.height is not None and abs(shrunk.height**2 * 4 / 3 - 1e6) < 3e3


class _Large:
    camera = Camera.from_focal(3000.0, 4000, 3000)
    pose = Pose(np.eye(4))
