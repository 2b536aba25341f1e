import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.geometry import Camera, cell_points, grid_shape
from transpose.geometry.cameras import pixel_centers

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


@pytest.mark.parametrize("values", [(0, 480, 500.0), (640, 480, -1.0), (640, 480, float("nan"))])
def test_impossible_intrinsics_are_refused(values: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Camera.from_focal(values[2], values[0], values[1])
