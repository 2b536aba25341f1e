"""A localizer, a section and results that are made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.localization.checkpoints import checkpoint
from transpose import runs
from transpose.evaluation.maps import save_maps
from transpose.evaluation.metrics import FrameResult
from transpose.geometry.cameras import Camera, cell_points
from transpose.geometry.poses import Pose, compose
from transpose.localization import CoordinateMap, Query
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.runs import LearnedCamera
from transpose.scenes.layout import Section, open_section
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.solvers import PoseEstimate

EVIL = "<img src=x onerror=alert(1)>&\"'"


CAMERA = Camera.from_focal(60.0, 64, 48)


class Plain:
    """A method that has a camera and localizes, and no more: each of `make_section`'s images by its brightness.

    Args:
        raises: indices of frames on which it fails as a program does.
        refused: indices of frames to which it gives no pose.
        interrupted: index of the frame at which a person stops it.
    """

    def __init__(
        self, raises: tuple[int, ...] = (), refused: tuple[int, ...] = (3,), interrupted: int | None = None
    ) -> None:
        self.camera = CAMERA
        self.checkpoint = replace(checkpoint(), camera=LearnedCamera(CAMERA, "rendered"))
        self.asked = 0
        self._raises, self._refused, self._interrupted = raises, refused, interrupted

    def localize(
        self, image_hw3: np.ndarray, camera: Camera | None = None, focal_px: float | None = None, seed: int = 0
    ) -> PoseEstimate:
        return self.localize_query(Query.of(self.checkpoint.camera, image_hw3, camera, focal_px), seed)

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        self.asked += 1
        index = round(float(query.image_hw3.mean()) / 40)
        if index in self._raises:
            raise IndexError(f"index {index} is out of bounds\nfor dimension 0")
        if index == self._interrupted:
            raise KeyboardInterrupt
        if index in self._refused:
            return PoseEstimate(None, "no_consensus", np.zeros(30, bool))
        return make_results(index + 1, ())[index].estimate


class Stub(Plain):
    """Says also of every image that it shows a wall two metres ahead of the world's origin."""

    def coordinates(self, image_hw3: np.ndarray, camera: Camera | None = None) -> CoordinateMap:
        camera = camera or CAMERA.resized(image_hw3.shape[1], image_hw3.shape[0])
        points_hw3 = 2 * camera.unproject(cell_points(camera.width, camera.height))
        uncertainty = PredictedUncertainty(Uncertainty("isotropic", "laplace"))
        return CoordinateMap(points_hw3 + 0.03, np.full((*points_hw3.shape[:2], 1), np.log(0.01)), uncertainty, camera)


def truth(index: int) -> Pose:
    return Pose(compose(np.eye(3), np.array([0.1 * index, 0.0, 0.02 * index])))


def make_section(scene: Path, name: str, frames: int = 5, depth: bool = True) -> Section:
    writer = SectionWriter(scene, name, {})
    for i in range(frames):
        image_hw3 = np.full((48, 64, 3), 40 * i, np.uint8)
        labels = FrameLabels(depth_hw=np.full((48, 64), 2, np.float32) if depth else None)
        writer.add(f"frame-{i}", image_hw3, truth(i), CAMERA, labels)
    writer.finish({"source": "made up"})
    return open_section(scene / name)


def make_results(count: int = 5, refused: tuple[int, ...] = (3,)) -> list[FrameResult]:
    results = []
    for i in range(count):
        pose = Pose(compose(np.eye(3), truth(i).center + np.array([0.0, 0.0, 0.01 * (i + 1)])))
        estimate = PoseEstimate(pose, "ok", np.ones(30, bool), 0.7, 10, np.diag([1e-4] * 6))
        if i in refused:
            estimate = PoseEstimate(None, "no_consensus", np.zeros(30, bool))
        results.append(FrameResult(f"frame-{i}", truth(i), estimate, 0.05))
    return results


def save_run(folder: Path, scene: Path, complete: bool = True, licence: str | None = None) -> Path:
    """A run folder, as far as evaluation and pages read it."""
    folder.mkdir(exist_ok=True)
    provenance = runs.Provenance("fast", {"steps": 1000}, str(scene), ("train_x",), frames=77, licence=licence)
    runs.save_model(folder, checkpoint(provenance=provenance, progress=runs.Progress(500, complete, 64.0)))
    return folder


def saved_folder_in(tmp_path: Path) -> Path:
    """A test's folder with saved maps."""
    section = make_section(tmp_path / "scene", "test")
    save_maps(Stub(), section, make_results(), tmp_path / "run" / "test" / "maps")
    return tmp_path / "run" / "test"
