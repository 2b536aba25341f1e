"""Scenes that are not in metres: one unit for all that is used together, and the same training at any scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.geometry.poses import Pose, compose
from transpose.localization import CoordinateMap, Query, SceneCoordinateLocalizer, load
from transpose.localization.rescaled import in_scene_unit
from transpose.localization.sampling import SampledPoses, sample_poses
from transpose.models.heads import HeadConfig
from transpose.runs import Calibration, Checkpoint
from transpose.scenes.layout import Frame, open_section
from transpose.scenes.unit import LEARNED_EXTENT_M, cameras_extent
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.solvers import PosteriorOptions
from transpose.training.request import Request
from transpose.training.start import train
from transpose.worlds.render_section import render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, latin_hypercube
from transpose.worlds.world import World, save_world

SETTINGS = {"steps": 450, "batch": 512, "passes": 2, "head": HeadConfig(width=64, blocks=1, anchors=16)}
SMALL, LARGE = 2.0**-10, 2.0**10


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> tuple[Frame, ...]:
    """Renders of a world, with depth."""
    folder = tmp_path_factory.mktemp("world")
    ranges = HypercubeRanges((2, 3), (0, 360), (-90, -70), (-5, 5), margin=0.2)
    viewpoints = latin_hypercube(Renderer(box_world), Camera.from_focal(90.0, 128, 96), 40, 0, ranges, ViewCheck())
    render_section(save_world(box_world, folder / "world"), viewpoints, (folder / "scene", "sim"), {}, processes=1)
    return open_section(folder / "scene" / "sim").frames


def scene_of(views: tuple[Frame, ...], folder: Path, factor: float, metric: bool = False, name: str = "train") -> Path:
    """The views as a section whose lengths are multiplied by a factor."""
    writer = SectionWriter(folder, name, {}, depth_as_png=False)
    for frame in views:
        labels = FrameLabels(depth_hw=frame.depth() * np.float32(factor))
        writer.add(frame.stem, frame.image(), frame.pose.scaled(factor), frame.camera, labels)
    writer.finish({"source": "renders"}, metric=metric)
    return folder


def trained(views: tuple[Frame, ...], folder: Path, factor: float) -> tuple[Checkpoint, Path]:
    scene = scene_of(views, folder / "scene", factor)
    scene_of(views[::3], scene, factor, name="val")
    train(Request(scene, ["train"], folder / "run", "val"), settings=SETTINGS)
    return runs.load_model(folder / "run"), folder / "run"


@pytest.fixture(scope="module")
def made(views: tuple[Frame, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[float, tuple[Checkpoint, Path]]:
    """Powers of two change no digit of any number."""
    folder = tmp_path_factory.mktemp("made")
    return {factor: trained(views, folder / str(factor), factor) for factor in (SMALL, LARGE)}


def test_the_scale_of_a_scene_makes_no_difference(
    views: tuple[Frame, ...], made: dict[float, tuple[Checkpoint, Path]]
) -> None:
    """What is learned is the same to the last bit."""
    (small, small_run), (large, large_run) = made[SMALL], made[LARGE]
    assert large.unit.extent == LARGE / SMALL * small.unit.extent
    assert not small.unit.metric and not large.unit.metric
    assert small.calibration == large.calibration
    for name, value in small.network.weights.items():
        assert torch.equal(value, large.network.weights[name]), name
    assert torch.equal(small.landmarks["points"], large.landmarks["points"])
    logs = [{k: v for k, v in runs.read_log(run)[-1].items() if "seconds" not in k} for run in (small_run, large_run)]
    assert logs[0] == logs[1]
    assert "val_median_percent" in logs[0] and not any(name.endswith("_m") for name in logs[0])


def test_answers_are_in_the_unit_of_the_scene(
    views: tuple[Frame, ...], made: dict[float, tuple[Checkpoint, Path]]
) -> None:
    image_hw3, camera, factor = views[3].image(), views[3].camera, LARGE / SMALL
    small, large = (load(made[scale][1]) for scale in (SMALL, LARGE))
    map_: CoordinateMap = small.coordinates(image_hw3, camera)
    found: CoordinateMap = large.coordinates(image_hw3, camera)
    assert np.allclose(found.points_hw3, factor * map_.points_hw3, rtol=1e-9)
    assert np.allclose(found.sigma_hw(), factor * map_.sigma_hw(), rtol=1e-9)
    estimate, scaled = small.localize(image_hw3, camera), large.localize(image_hw3, camera)
    assert estimate.pose is not None and estimate.covariance_66 is not None
    assert np.linalg.norm(estimate.pose.center / SMALL - views[3].pose.center) < 0.5
    assert np.allclose(scaled.pose.T_wc, estimate.pose.scaled(factor).T_wc, rtol=1e-9)
    scale_6 = np.array([1, 1, 1, factor, factor, factor])
    assert np.allclose(scaled.covariance_66, estimate.covariance_66 * np.outer(scale_6, scale_6), rtol=1e-6)


def test_priors_depth_and_samples_are_in_the_unit_of_the_scene(
    views: tuple[Frame, ...], made: dict[float, tuple[Checkpoint, Path]]
) -> None:
    checkpoint, _ = made[LARGE]
    checkpoint = replace(checkpoint, calibration=Calibration())  # a toy's validation asks for more than depth gives
    localizer, frame = in_scene_unit(SceneCoordinateLocalizer(checkpoint)), views[9]
    depth_hw = frame.depth() * np.float32(LARGE)
    estimate = localizer.localize_query(Query(frame.image(), frame.camera, depth_hw=depth_hw))
    assert estimate.pose is not None
    assert np.linalg.norm(estimate.pose.center / LARGE - frame.pose.center) < 0.5
    near = localizer.localize_query(Query(frame.image(), frame.camera, prior=frame.pose.scaled(LARGE)))
    assert near.pose is not None
    found = sample_poses(localizer, Query(frame.image(), frame.camera), PosteriorOptions(samples=8))
    assert isinstance(found, SampledPoses)
    assert (
        np.linalg.norm(found.T_wc_m44[:, :3, 3] / LARGE - frame.pose.center, axis=1).max() < 3
    )  # a toy, but of the right unit
    assert np.allclose(found.modes[0].T_wc[:3, 3] / LARGE, frame.pose.center, atol=2)


def test_metres_are_learned_as_they_are(views: tuple[Frame, ...], tmp_path: Path) -> None:
    scene = scene_of(views, tmp_path / "scene", 1.0, metric=True)
    train(Request(scene, ["train"], tmp_path / "run"), settings=SETTINGS | {"steps": 5, "passes": 1})
    unit = runs.load_model(tmp_path / "run").unit
    assert unit.metric and unit.learned == 1
    assert unit.extent == pytest.approx(cameras_extent(np.array([frame.pose.center for frame in views])))
    assert "train_median_m" in runs.read_log(tmp_path / "run")[-1]


def test_sections_of_different_units_do_not_go_together(views: tuple[Frame, ...], tmp_path: Path) -> None:
    scene = scene_of(views, tmp_path / "scene", 1.0)
    scene_of(views, tmp_path / "scene", 1.0, metric=True, name="sim")
    for sections, val in ((["train", "sim"], None), (["sim"], "train")):
        with pytest.raises(
            TransposeError, match=r"sim is in metres and .*train in a unit of its own.*--unit METRES_PER"
        ):
            train(Request(scene, sections, tmp_path / "run", val), settings=SETTINGS)
    assert not (tmp_path / "run").exists()


def test_cameras_in_one_place_have_no_size(views: tuple[Frame, ...], tmp_path: Path) -> None:
    still = tuple(replace(frame) for frame in views)
    for frame in still:
        frame.__dict__["pose"] = Pose(compose(frame.pose.R_wc, np.array([1.0, 2.0, 3.0])))
    scene = scene_of(still, tmp_path / "scene", 1.0)
    with pytest.raises(TransposeError, match=r"all cameras stand in one place.*--unit"):
        train(Request(scene, ["train"], tmp_path / "run"), settings=SETTINGS)


def test_frames_are_read_in_learned_lengths(views: tuple[Frame, ...]) -> None:
    unit = cameras_extent(np.array([frame.pose.center for frame in views])) / LEARNED_EXTENT_M
    frames = [replace(frame, unit=unit) for frame in views]
    assert cameras_extent(np.array([frame.pose.center for frame in frames])) == pytest.approx(LEARNED_EXTENT_M)
    assert np.nanmedian(frames[0].depth()) == pytest.approx(np.nanmedian(views[0].depth()) / unit)
    assert np.allclose(frames[0].pose.R_wc, views[0].pose.R_wc)
