"""Lenses: against OpenCV, and the pinhole cameras that stand in for them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.geometry import Camera
from transpose.geometry.camera_models import projection_of
from transpose.geometry.lens import Lens
from transpose.geometry.pinhole_views import pinhole_for
from transpose.scenes.undistort import shown_fraction, undistorted

DRONE = Lens(5472, 3648, 3646.75, 3646.75, 2717.7, 1841.4, -0.265, 0.105, 0.00019, 0.00055, -0.028)
small = st.floats(-0.05, 0.05)


@given(small, small, st.floats(-0.003, 0.003), st.floats(-0.003, 0.003), small)
def test_points_land_where_opencv_puts_them(k1: float, k2: float, p1: float, p2: float, k3: float) -> None:
    lens = Lens(640, 480, 500.0, 510.0, 300.0, 250.0, k1, k2, p1, p2, k3)
    rays_n2 = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
    points_n3 = np.concatenate([rays_n2, np.ones((50, 1))], 1)
    expected_n12, _ = cv2.projectPoints(
        points_n3, np.zeros(3), np.zeros(3), lens.camera.K_33, np.array([k1, k2, p1, p2, k3])
    )
    assert np.allclose(lens.px_of_rays(rays_n2), expected_n12[:, 0], atol=1e-9)


@given(small, small, st.floats(-0.003, 0.003), st.floats(-0.003, 0.003), small)
def test_there_and_back(k1: float, k2: float, p1: float, p2: float, k3: float) -> None:
    lens = Lens(640, 480, 500.0, 510.0, 300.0, 250.0, k1, k2, p1, p2, k3)
    px_n2 = np.random.default_rng(0).uniform(0, (640, 480), (50, 2))
    assert np.allclose(lens.px_of_rays(lens.rays_of_px(px_n2)), px_n2, atol=1e-6)


@pytest.mark.parametrize(
    "lens", [DRONE, Lens(640, 480, 560.0, 560.0, 320.0, 240.0, -0.28), Lens(64, 48, 50, 50, 32, 24)]
)
def test_a_strong_lens_is_inverted_up_to_its_corners(lens: Lens) -> None:
    along = np.linspace(0, 1, 9)
    px_n2 = np.stack(np.meshgrid(along, along), -1).reshape(-1, 2) * (lens.width, lens.height)
    assert np.allclose(lens.px_of_rays(lens.rays_of_px(px_n2)), px_n2, atol=1e-5)


@given(st.floats(-0.3, 0.3), st.floats(-0.1, 0.1))
def test_the_inverse_is_that_of_the_camera(k1: float, k2: float) -> None:
    """`Camera` knows two of the coefficients."""
    lens = Lens(640, 480, 700.0, 700.0, 320.0, 240.0, k1, k2)
    camera = replace(lens.camera, k1=k1, k2=k2)
    px_n2 = np.random.default_rng(0).uniform((100, 100), (540, 380), (50, 2))
    assert np.allclose(lens.rays_of_px(px_n2), camera.unproject(px_n2)[:, :2], atol=1e-7)


def test_no_ray_ends_where_the_polynomial_has_turned_back() -> None:
    lens = Lens(640, 480, 300.0, 300.0, 320.0, 240.0, -0.4)
    rays_n2 = lens.rays_of_px(np.array([[0.0, 0.0], [320.0, 250.0]]))
    assert np.isnan(rays_n2[0]).all()
    assert np.isfinite(rays_n2[1]).all()


@pytest.mark.parametrize("k1", [0.05, 0.0, -0.1, -0.3])
def test_every_pixel_of_the_pinhole_image_comes_from_the_photo(k1: float) -> None:
    lens = Lens(640, 480, 500.0, 500.0, 325.0, 236.0, k1)
    camera = pinhole_for(lens)
    white = np.full((480, 640, 3), 255, np.uint8)
    assert undistorted(white, lens, camera).min() == 255
    assert shown_fraction(lens, camera) == 1
    if camera.fx > lens.fx:  # and no more was cut off than need be: a little less zoom would show the outside
        wider = Camera.from_focal(camera.fx * 0.995, 640, 480)
        assert undistorted(white, lens, wider).min() == 0
        assert 0.9 < shown_fraction(lens, wider) < 1


def test_a_drone_photo_becomes_crosslocs_camera() -> None:
    camera = pinhole_for(DRONE, 720, 480)
    assert (camera.width, camera.height) == (720, 480)
    assert camera.fx == pytest.approx(479.8, abs=0.1)
    assert (camera.cx, camera.cy) == (360.0, 240.0)


def test_what_stands_at_a_pixel_is_what_its_ray_meets() -> None:
    """A disc drawn at the distorted place of a ray is found at that ray's pixel of the pinhole image."""
    lens = Lens(640, 480, 500.0, 500.0, 318.0, 243.0, -0.2, 0.03, 0.001, -0.001)
    camera = pinhole_for(lens, 320, 240)
    ray_2 = np.array([0.21, -0.13])
    x, y = lens.px_of_rays(ray_2)
    image_hw3 = np.zeros((480, 640, 3), np.uint8)
    columns, rows = np.meshgrid(np.arange(640) + 0.5, np.arange(480) + 0.5)
    image_hw3[(columns - x) ** 2 + (rows - y) ** 2 < 36] = 255
    seen_hw = undistorted(image_hw3, lens, camera)[..., 0].astype(float)
    rows, columns = np.mgrid[:240, :320] + 0.5
    found = (seen_hw * columns).sum() / seen_hw.sum(), (seen_hw * rows).sum() / seen_hw.sum()
    expected = camera.project(np.array([*ray_2, 1.0]))
    assert np.allclose(found, expected, atol=0.15)


def test_lenses_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="EUCM is not one of"):
        projection_of("EUCM", [1] * 6, 10, 10)
    with pytest.raises(ValueError, match=r"8 parameters .*, got 4"):
        projection_of("OPENCV", [1, 1, 1, 1], 10, 10)
    assert projection_of("FULL_OPENCV", [9, 9, 5, 5, 0.1, 0, 0, 0, 0, 0, 0, 0], 10, 10) == Lens(10, 10, 9, 9, 5, 5, 0.1)
    with pytest.raises(ValueError, match="folds"):
        pinhole_for(Lens(640, 480, 300.0, 300.0, 320.0, 240.0, -3.0))
