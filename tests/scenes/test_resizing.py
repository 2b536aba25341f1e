"""One resize: the camera stays that of the image, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transpose.geometry import Camera
from transpose.geometry.cameras import pixel_centers
from transpose.scenes.resizing import resized_to_height


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90))
def test_image_and_camera_stay_together(width: int, height: int, wanted: int) -> None:
    camera = Camera(width, height, 70.0, 71.0, 0.4 * width, 0.6 * height, 0.1)
    image_hw3, seen = resized_to_height(np.zeros((height, width, 3), np.uint8), camera, wanted)
    assert image_hw3.shape == (seen.height, seen.width, 3)
    assert seen.height == (height if max(8, wanted) == height else max(8, wanted))
    if seen != camera:
        assert seen.width == max(8, round(width * seen.height / height))
    # A point at the same fraction of the image is on the same ray.
    rays = [each.unproject(np.array([[0.3 * each.width, 0.7 * each.height]])) for each in (camera, seen)]
    np.testing.assert_allclose(*rays, atol=1e-9)


def test_what_fits_is_left_alone() -> None:
    camera, image_hw3 = Camera.from_focal(50.0, 40, 30), np.zeros((30, 40, 3), np.uint8)
    same_hw3, same = resized_to_height(image_hw3, camera, 30)
    assert same_hw3 is image_hw3 and same is camera


@pytest.mark.parametrize("wanted", [24, 96])
def test_what_is_seen_stays_where_its_camera_says(wanted: int) -> None:
    """A smooth ramp of columns and rows: each pixel of the result holds the place that it shows."""
    camera = Camera.from_focal(50.0, 64, 48)
    px_hw2 = pixel_centers(64, 48)
    image_hw3 = np.dstack([px_hw2[..., 0] * 3, px_hw2[..., 1] * 4, 0 * px_hw2[..., 0]]).round().astype(np.uint8)
    seen_hw3, seen = resized_to_height(image_hw3, camera, wanted)
    shown_hw2 = seen_hw3[..., :2] / (3, 4)
    expected_hw2 = pixel_centers(seen.width, seen.height) * (64 / seen.width, 48 / seen.height)
    inner = slice(4, -4)
    assert np.abs(shown_hw2 - expected_hw2)[inner, inner].max() < 0.3


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the image is 40 x 30, its camera 41 x 30"):
        resized_to_height(np.zeros((30, 40, 3), np.uint8), Camera.from_focal(50.0, 41, 30), 8)
