from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.geometry import Camera, cell_points, grid_shape
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.distortion import Distortion, fold_radius2

cameras = st.builds(
    Camera,
    width=st.integers(16, 2000),
    height=st.integers(16, 2000),
    fx=st.floats(200, 3000),
    fy=st.floats(200, 3000),
    cx=st.floats(0, 1000),
    cy=st.floats(0, 1000),
    k1=st.floats(-0.02, 0.02),
    k2=st.floats(-0.002, 0.002),
)


@given(cameras, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 500)), min_size=1, max_size=9))
def test_project_undoes_unproject(camera: Camera, values: list[tuple[float, float, float]]) -> None:
    u, v, z = np.array(values).T
    # Within a field of view that real lenses of this model have.
    px_n2 = np.stack([camera.cx + (u - 0.5) * camera.fx, camera.cy + (v - 0.5) * camera.fy], -1)
    points_n3 = camera.unproject(px_n2) * z[:, None]
    assert np.allclose(points_n3[:, 2], z)
    assert np.allclose(camera.project(points_n3), px_n2, atol=1e-4)


def test_points_behind_the_camera_have_no_pixel() -> None:
    camera = Camera.from_focal(500, 640, 480)
    assert np.isnan(camera.project(np.array([[0, 0, -1.0], [0, 0, 0.0]]))).all()


@given(cameras, st.integers(1, 3))
def test_resizing_moves_pixels_in_proportion(camera: Camera, factor: int) -> None:
    point_3 = np.array([0.1, -0.2, 1.0])
    resized = camera.resized(camera.width * factor, camera.height * factor)
    assert np.allclose(resized.project(point_3), factor * camera.project(point_3))


def test_grids_follow_the_convention() -> None:
    assert pixel_centers(3, 2)[1, 2].tolist() == [2.5, 1.5]
    assert cell_points(640, 480).shape == (60, 80, 2)
    assert cell_points(640, 480)[2, 3].tolist() == [28, 20]
    assert grid_shape(641, 479) == (60, 81)


@pytest.mark.parametrize("k1, k2", [(-0.28, 0.07), (-0.4, 0.15), (-0.1, 0.0), (0.12, -0.05)])
def test_real_lenses_are_inverted_to_the_last_digits(k1: float, k2: float) -> None:
    camera = replace(Camera.from_focal(900, 1280, 720), k1=k1, k2=k2)
    px_n2 = pixel_centers(1280, 720)[::16, ::16].reshape(-1, 2)
    assert np.abs(camera.project(camera.unproject(px_n2)) - px_n2).max() < 1e-7


def test_nothing_is_seen_beyond_the_fold() -> None:
    """A barrel without k2 at a wide angle: a third of the image has no ray, and far aside no point has a pixel."""
    camera = replace(Camera.from_focal(384, 640, 480), k1=-0.35)
    px_hw2 = pixel_centers(640, 480)
    blind_hw = np.isnan(camera.unproject(px_hw2)[..., :2]).any(-1)
    radius_hw = np.linalg.norm(px_hw2 - (320, 240), axis=-1) / 384
    fold = (3 * 0.35) ** -0.5  # where r (1 - 0.35 r^2) is largest
    assert np.array_equal(blind_hw, radius_hw > fold * 2 / 3)
    assert 0.25 < blind_hw.mean() < 0.45
    assert np.abs(camera.project(camera.unproject(px_hw2[~blind_hw])) - px_hw2[~blind_hw]).max() < 1e-6
    beside_n3 = np.array([[0.99 * fold, 0, 1], [1.01 * fold, 0, 1], [-1.3, 1.3, 1]])
    assert np.isfinite(camera.project(beside_n3)).all(1).tolist() == [True, False, False]


@given(st.floats(-0.8, 0.8), st.floats(-0.6, 0.6), st.floats(-0.3, 0.3))
def test_every_ray_up_to_the_fold_is_found_again(k1: float, k2: float, k3: float) -> None:
    lens = Distortion(k1, k2, k3=k3, fold_r2=fold_radius2(k1, k2, k3))
    r_n = np.linspace(0, min(0.999 * lens.fold_r2**0.5, 1.5), 50)
    around_n = np.linspace(0, 6, 50)
    x_n, y_n = r_n * np.cos(around_n), r_n * np.sin(around_n)
    found_x_n, found_y_n, solved_n = lens.undistorted(*lens.distorted(x_n, y_n))
    assert solved_n.all()
    assert np.hypot(found_x_n - x_n, found_y_n - y_n).max() < 1e-7
    if lens.fold_r2 < 2:
        outermost, _ = lens.distorted(np.array([lens.fold_r2**0.5]), np.zeros(1))
        beyond_n = outermost * np.linspace(1.001, 3, 20)
        assert not lens.undistorted(beyond_n, 0 * beyond_n)[2].any()


@pytest.mark.parametrize(
    "wrong, word",
    [
        ([[500, 7, 320], [0, 500, 240], [0, 0, 1]], "skew"),
        ([[500, 0, 320], [3, 500, 240], [0, 0, 1]], "fx s cx"),
        ([[500, 0, 320], [0, 500, 240]], "3x3"),
        ([[500, 0, np.nan], [0, 500, 240], [0, 0, 1]], "finite"),
    ],
)
def test_matrices_that_no_pinhole_without_skew_has_are_refused(wrong: list[list[float]], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Camera.from_K(np.array(wrong), 640, 480)
    rounded_33 = np.array([[500, 1e-5, 320], [0, 500, 240], [0, 0, 1]])
    assert Camera.from_K(rounded_33, 640, 480) == Camera.from_focal(500, 640, 480)


@pytest.mark.parametrize("values", [(0, 480, 500.0), (640, 480, -1.0), (640, 480, float("nan"))])
def test_impossible_intrinsics_are_refused(values: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Camera.from_focal(values[2], values[0], values[1])
