"""Predicted coordinates beside the labels of a frame, at whatever scale the network saw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from transpose.geometry import Camera, Pose, cell_points
from transpose.geometry.poses import exp_se3, transform
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.labelled_maps import (
    LabelledMap,
    correlation_of,
    frame_px,
    labelled,
    labelled_map,
    true_coordinates,
)
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.scenes import open_section
from transpose.scenes.layout import Frame
from transpose.scenes.writer import FrameLabels, SectionWriter

CAMERA = Camera(128, 96, 90.0, 88.0, 60.0, 50.0)
SEEN = CAMERA.resized(64, 48)  # the network saw the image at half its size
POSE = Pose(exp_se3(np.array([0.3, -0.2, 0.1, 1, 2, 3])))


def frame(folder: Path, labels: FrameLabels) -> Frame:
    writer = SectionWriter(folder / "scene", "train", {})
    writer.add("a", np.zeros((96, 128, 3), np.uint8), POSE, CAMERA, labels)
    return open_section(writer.finish({})).frames[0]


def predicted(points_hw3: np.ndarray, kind: str = "diagonal", sigma: float = 0.1) -> CoordinateMap:
    uncertainty = PredictedUncertainty(Uncertainty(kind))  # type: ignore[arg-type]
    raw_hwk = np.full((6, 8, uncertainty.of.channels), np.log(sigma))
    return CoordinateMap(points_hw3, raw_hwk, uncertainty, SEEN)


def on_the_plane() -> np.ndarray:
    rays_hw3 = SEEN.unproject(cell_points(64, 48)) * 2.0
    return transform(POSE.T_wc, rays_hw3.reshape(-1, 3)).reshape(6, 8, 3)


def test_truth_is_read_where_the_cells_are_in_the_file(tmp_path: Path) -> None:
    depth_hw = np.full((96, 128), 2.0, np.float32)
    depth_hw[:24, :40] = np.nan
    given = frame(tmp_path, FrameLabels(depth_hw=depth_hw))
    np.testing.assert_allclose(frame_px(SEEN, given)[3, 5], (2 * 44, 2 * 28))
    truth_hw3 = true_coordinates(SEEN, given)
    unknown_hw = np.isnan(truth_hw3).all(-1)
    assert 2 <= unknown_hw.sum() <= 6 and unknown_hw[0, 0] and not unknown_hw[3:].any()
    np.testing.assert_allclose(truth_hw3[~unknown_hw], on_the_plane()[~unknown_hw], atol=1e-5)

    both = labelled(predicted(on_the_plane() + np.array([0.1, 0.0, -0.2])), given)
    np.testing.assert_allclose(
        both.error_hw3[~unknown_hw], np.broadcast_to((0.1, 0.0, -0.2), (48, 3))[: (~unknown_hw).sum()], atol=1e-5
    )
    assert np.isnan(both.error_hw3[unknown_hw]).all()
    errors_n3, covariances_n33 = both.flat()
    assert errors_n3.shape == ((~unknown_hw).sum(), 3) and covariances_n33 is not None
    np.testing.assert_allclose(covariances_n33, np.broadcast_to(0.01 * np.eye(3), covariances_n33.shape), atol=1e-12)
    bare = labelled(predicted(on_the_plane(), "none"), given)
    assert bare.covariances_hw33 is None and bare.flat()[1] is None

    class Predicts:
        def coordinates(self, image_hw3: np.ndarray, camera: Camera | None = None) -> CoordinateMap:
            assert image_hw3.shape == (96, 128, 3) and camera == CAMERA
            return predicted(on_the_plane())

    assert np.nanmax(np.abs(labelled_map(Predicts(), given).error_hw3)) < 1e-5  # type: ignore[arg-type]


def test_covariances_along_rays_turn_with_the_true_pose(tmp_path: Path) -> None:
    given = frame(tmp_path, FrameLabels(depth_hw=np.full((96, 128), 2.0, np.float32)))
    map_ = predicted(on_the_plane())
    map_.raw_hwk[..., 2] = np.log(0.5)  # along the ray
    found = labelled(map_, given)
    assert found.covariances_hw33 is not None
    ray_3 = SEEN.unproject(np.array([28.0, 20.0])) @ POSE.R_wc.T
    ray_3 /= np.linalg.norm(ray_3)
    assert ray_3 @ found.covariances_hw33[2, 3] @ ray_3 == pytest.approx(0.25)


def test_errors_are_correlated_as_far_as_they_are_shared() -> None:
    """In units of their covariances; maps of another size, or without covariances, have no say."""
    rng = np.random.default_rng(0)

    def some(share: int, rows: int = 24, columns: int = 32, kind: str = "isotropic") -> LabelledMap:
        noise_hw3 = rng.normal(size=(rows // share, columns // share, 3)).repeat(share, 0).repeat(share, 1)
        sigma_hw1 = rng.uniform(0.01, 1.0, (rows, columns, 1))
        uncertainty = PredictedUncertainty(Uncertainty(kind))  # type: ignore[arg-type]
        raw_hwk = np.log(sigma_hw1) if kind != "none" else np.zeros((rows, columns, 0))
        map_ = CoordinateMap(
            sigma_hw1 * noise_hw3, raw_hwk, uncertainty, Camera.from_focal(200.0, 8 * columns, 8 * rows)
        )
        covariances = map_.covariances(None) if kind != "none" else None
        return LabelledMap(map_, np.zeros((rows, columns, 3)), covariances)

    alone, shared = (correlation_of([some(share) for _ in range(6)]) for share in (1, 4))
    assert alone is not None and shared is not None
    assert alone.square_px == pytest.approx(8, rel=0.2) and shared.square_px == pytest.approx(32, rel=0.3)
    first = some(4)
    mixed = correlation_of([first, some(1, 16, 16), some(1, kind="none")])
    only = correlation_of([first])
    assert mixed is not None and only is not None and mixed.area_px2 == only.area_px2
    assert correlation_of([]) is None and correlation_of([some(1, kind="none")]) is None
    unknown = replace(first, truth_hw3=np.full((24, 32, 3), np.nan))
    assert correlation_of([unknown]) is None
