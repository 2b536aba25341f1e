"""Images are seen at the scale that was learned, and pixels find their way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.localization.checkpoints import CAMERA
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.localization import LocalizationOptions, Query
from transpose.localization.seeing import see

OPTIONS = LocalizationOptions()


def query(camera: Camera) -> Query:
    return Query(np.zeros((camera.height, camera.width, 3), np.uint8), camera)


@pytest.mark.parametrize(
    "width, focal_px, expected",
    [
        (128, 90.0, 128),
        (128, 100.0, 128),  # about the same: as it is
        (256, 180.0, 128),  # a larger photo of the same view
        (64, 45.0, 128),  # a smaller one
        (128, 180.0, 64),  # a longer lens
        (640, 9.0, 248),  # a lens so wide that its image would become enormous
    ],
)
def test_images_are_seen_at_the_scale_that_was_learned(width: int, focal_px: float, expected: int) -> None:
    given_camera = Camera.from_focal(focal_px, width, width * 3 // 4)
    seen = see(query(given_camera), CAMERA, None, OPTIONS)
    assert seen.image_hw3.shape[:2] == (seen.camera.height, seen.camera.width)
    assert seen.camera.width == pytest.approx(expected, rel=0.05)
    assert seen.camera.fx / seen.camera.width == pytest.approx(focal_px / width)  # the same view


def test_a_learned_height_goes_before_the_focal_length() -> None:
    seen = see(query(Camera.from_focal(500.0, 640, 480)), CAMERA, 240, OPTIONS)
    assert (seen.camera.width, seen.camera.height) == (320, 240)


@given(st.integers(40, 700), st.integers(40, 500), st.floats(30.0, 900.0), st.sampled_from([None, 96, 240]))
def test_pixels_come_back_to_where_the_same_ray_was(
    width: int, height: int, focal_px: float, learned: int | None
) -> None:
    camera = Camera(width, height, focal_px, 1.1 * focal_px, 0.4 * width, 0.6 * height, 0.01)
    seen = see(query(camera), CAMERA, learned, OPTIONS)
    px_n2 = np.array([[0.0, 0.0], [seen.camera.width, seen.camera.height], [3.5, 7.25]])
    back_n2 = seen.given_px(px_n2)
    assert np.allclose(back_n2[:2], [(0, 0), (width, height)])
    assert np.allclose(seen.camera.unproject(px_n2), camera.unproject(back_n2), atol=1e-6)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (640, 1), (1, 480), (640, 7)])
def test_a_line_of_pixels_shows_no_place(width: int, height: int) -> None:
    thin = query(Camera.from_focal(max(2.0, 0.8 * width), width, height))
    for rows in (480, None):
        with pytest.raises(TransposeError, match=f"{width} x {height} pixels is too small or too narrow"):
            see(thin, Camera.from_focal(525.0, 640, 480), rows, OPTIONS)
