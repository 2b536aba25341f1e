from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose, cell_points
from transpose.geometry.poses import exp_se3, transform
from transpose.randomness import stream
from transpose.scenes import open_section
from transpose.scenes.augment import AugmentOptions, augment, fill_holes, repaint, warp
from transpose.scenes.classes import UNKNOWN_CLASS
from transpose.scenes.labels import classes_at, coordinates_at, depth_at, normals_at
from transpose.scenes.writer import FrameLabels, SectionWriter

CAMERA = Camera(128, 96, 90, 88, 60, 50, k1=0.01)
POSE = Pose(exp_se3(np.array([0.3, -0.2, 0.1, 1, 2, 3])))


@given(st.floats(-1, 1), st.floats(0.6, 1.6), st.integers(0, 1000))
def test_image_intrinsics_and_pose_stay_in_agreement(angle: float, scale: float, seed: int) -> None:
    """A world point seen in the source is seen by the augmented camera at the pixel that maps back to the source."""
    rng = np.random.default_rng(seed)
    view = warp(np.zeros((96, 128, 3), np.uint8), CAMERA, POSE, angle, scale)
    px_n2 = rng.uniform((0, 0), (128, 96), (20, 2))
    points_n3 = transform(POSE.T_wc, CAMERA.unproject(view.source_px(px_n2)) * rng.uniform(1, 5, (20, 1)))
    assert np.allclose(view.camera.project(transform(view.pose.T_cw, points_n3)), px_n2, atol=1e-3)


def test_the_image_moves_as_the_map_says() -> None:
    x, y = np.meshgrid(np.arange(128) + 0.5, np.arange(96) + 0.5)
    image = np.stack([x, y, 0 * x], -1).astype(np.uint8)  # a pixel's colour is where it is
    view = warp(image, CAMERA, POSE, 0.4, 1.2)
    px_n2 = np.array([[64.5, 48.5], [50.5, 60.5], [80.5, 40.5]])
    colors = np.array([view.image_hw3[int(v), int(u), :2] for u, v in px_n2])
    assert np.allclose(colors + 0.5, view.source_px(px_n2), atol=1.0)


def test_augmentation_is_determined_by_its_stream() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    a, b, c = (augment(image, CAMERA, POSE, stream(seed, "x"), AugmentOptions()) for seed in (1, 1, 2))
    assert np.array_equal(a.image_hw3, b.image_hw3)
    assert not np.array_equal(a.image_hw3, c.image_hw3)
    assert a.image_hw3.dtype == np.uint8
    assert a.image_hw3.shape == image.shape


def test_compression_costs_blue_more_than_red_as_in_a_camera() -> None:
    """JPEG keeps red better than blue, by its weights of the colour channels."""
    noise = np.random.default_rng(0).normal(128, 25, (96, 128, 3)).clip(0, 255).astype(np.uint8)
    only_jpeg = AugmentOptions(max_gamma=1, max_gain=1, max_blur_px=0, max_sharpen=0, max_noise=0, min_jpeg_quality=60)
    for seed in range(5):
        error_hw3 = repaint(noise, stream(seed, "x"), only_jpeg).astype(float) - noise
        red, green, blue = np.sqrt((error_hw3**2).mean((0, 1)))
        assert green < red < 0.9 * blue


def test_holes_are_filled_and_nothing_else() -> None:
    image, filling = np.full((4, 6, 3), 9, np.uint8), np.full((2, 3, 3), 200, np.uint8)
    hole = np.zeros((4, 6), bool)
    hole[1, 2] = True
    out = fill_holes(image, hole, filling)
    assert (out[hole] == 200).all()
    assert (out[~hole] == 9).all()
    assert (image == 9).all()


def test_depth_between_pixels_is_exact_on_a_plane() -> None:
    camera = replace(CAMERA, k1=0.0)
    from transpose.geometry.cameras import pixel_centers

    normal_3 = np.array([0.2, -0.1, 1.0])
    depth_hw = 2 / (camera.unproject(pixel_centers(128, 96)) @ normal_3)
    px_n2 = np.random.default_rng(0).uniform((1, 1), (127, 95), (200, 2))
    assert np.allclose(depth_at(depth_hw, px_n2), 2 / (camera.unproject(px_n2) @ normal_3), rtol=1e-9)


def test_depth_is_unknown_at_edges_outside_and_near_holes() -> None:
    depth_hw = np.ones((4, 4))
    depth_hw[:, 2:] = 2
    depth_hw[3, 0] = np.nan
    px_n2 = np.array([[2.0, 1.5], [1.0, 1.5], [3.0, 1.5], [0.6, 3.2], [-1, 1], [5, 1], [0.1, 0.1]])
    assert np.array_equal(np.isfinite(depth_at(depth_hw, px_n2)), [False, True, True, False, False, False, True])


@given(st.sampled_from([0.0, -1.0, np.inf, -np.inf, np.nan]), st.floats(0, 6), st.floats(0, 5))
def test_depth_is_unknown_wherever_a_neighbour_is(unknown: float, x: float, y: float) -> None:
    """Whatever the mark of what is unknown, and wherever between the pixels; never a number made of it."""
    depth_hw = np.full((5, 6), 2.0)
    depth_hw[2, 3] = unknown
    (found,) = depth_at(depth_hw, np.array([[x, y]]))
    touches = abs(x - 3.5) < 1 and abs(y - 2.5) < 1
    assert np.isnan(found) if touches else np.isnan(found) or found == pytest.approx(2.0)
    assert np.isfinite(found) or (abs(x - 3.5) <= 1 and abs(y - 2.5) <= 1)
    assert np.isnan(depth_at(np.full((5, 6), unknown), np.array([[x, y]]))).all()


@pytest.mark.parametrize("layer", ["depth", "init"])
def test_coordinates_project_back_to_their_cells(tmp_path: Path, layer: str) -> None:
    camera = replace(CAMERA, k1=0.0)
    cells = cell_points(128, 96)
    rays = camera.unproject(cells)
    points = transform(POSE.T_wc, (rays * 2.0).reshape(-1, 3)).reshape(*rays.shape)
    labels = FrameLabels(depth_hw=np.full((96, 128), 2.0, np.float32))
    if layer == "init":
        labels = FrameLabels(coordinates_3hw=np.moveaxis(points, -1, 0))
    writer = SectionWriter(tmp_path / "scene", "train", {})
    writer.add("a", np.zeros((96, 128, 3), np.uint8), POSE, camera, labels)
    frame = open_section(writer.finish({})).frames[0]
    found = coordinates_at(frame, cells.reshape(-1, 2))
    assert np.allclose(camera.project(transform(POSE.T_cw, found)), cells.reshape(-1, 2), atol=1e-3)


def test_normals_and_classes_are_those_of_the_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    normal_3hw = rng.standard_normal((3, 12, 16)).astype(np.float32)
    normal_3hw /= np.linalg.norm(normal_3hw, axis=0)
    normal_3hw[:, 2, 3] = np.nan
    classes_hw = rng.integers(0, 6, (96, 128)).astype(np.uint8)
    classes_hw[10, 20] = UNKNOWN_CLASS
    writer = SectionWriter(tmp_path, "sim", {})
    image = np.zeros((96, 128, 3), np.uint8)
    writer.add("a", image, POSE, CAMERA, FrameLabels(normal_3hw=normal_3hw, semantics_hw=classes_hw))
    writer.add("b", image, POSE, CAMERA, FrameLabels())
    writer.finish({"source": "made up"})
    labelled, bare = open_section(tmp_path / "sim").frames
    px_n2 = np.concatenate([rng.uniform(-20, 150, (300, 2)), [[20.5, 10.5], [28.0, 20.0], [128.0, 96.0]]])
    normals_n3, classes_n = normals_at(labelled, px_n2), classes_at(labelled, px_n2)
    for (x, y), normal_3, label in zip(px_n2, normals_n3, classes_n, strict=True):
        inside = 0 <= x < 128 and 0 <= y < 96
        expected_3 = normal_3hw[:, int(y // 8), int(x // 8)] if inside else np.full(3, np.nan)
        assert np.allclose(normal_3, expected_3, atol=1e-6, equal_nan=True)
        assert label == (classes_hw[int(y), int(x)] if inside else UNKNOWN_CLASS)
    assert np.isnan(normals_at(bare, px_n2)).all() and (classes_at(bare, px_n2) == UNKNOWN_CLASS).all()


def test_classes_of_another_size_are_refused(tmp_path: Path) -> None:
    writer = SectionWriter(tmp_path, "sim", {})
    labels = FrameLabels(semantics_hw=np.zeros((12, 16), np.uint8))
    writer.add("a", np.zeros((96, 128, 3), np.uint8), POSE, CAMERA, labels)
    writer.finish({"source": "made up"})
    with pytest.raises(TransposeError, match=r"a\.npy is 16 x 12 pixels, its image 128 x 96"):
        classes_at(open_section(tmp_path / "sim").frames[0], np.zeros((1, 2)))
