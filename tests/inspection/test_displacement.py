"""Whether an image that was changed still shows everything where it was."""

import math

import cv2
import numpy as np
import pytest

from transpose.inspection.displacement import displacement


def textured(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """Rectangles one over the other, whose corners are anywhere."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.uint8)
    for _ in range(150):
        x, y, w, h = (int(value) for value in rng.integers(0, (width, height, 40, 40)))
        color = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.rectangle(image, (x, y), (x + 8 + w, y + 8 + h), color, -1)
    return image


def test_the_same_image_has_not_moved() -> None:
    told = displacement([(textured(0), textured(0)), (textured(1), textured(1))])
    assert (told.images, told.median_px, told.within_1px, told.moved) == (2, 0.0, 1.0, False)
    assert told.matches > 50 and told.shift_px == (0.0, 0.0)


def test_other_colours_are_no_movement() -> None:
    image = textured(2)
    told = displacement([(image, (255 * (image / 255.0) ** 0.6)[..., ::-1].astype(np.uint8))])
    assert not told.moved and told.within_1px > 0.8


@pytest.mark.parametrize("shift", [(3, 0), (0, -3)])
def test_a_shift_by_three_pixels_is_seen(shift: tuple[int, int]) -> None:
    image = textured(3)
    told = displacement([(image, np.roll(image, shift, axis=(1, 0)))])
    assert told.moved and told.within_1px < 0.3
    assert told.median_px == pytest.approx(3, abs=0.3) and told.shift_px == pytest.approx(shift, abs=0.3)


def test_of_nothing_nobody_knows() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    told = displacement([(grey, grey)])
    assert told.matches == 0 and math.isnan(told.median_px) and told.moved
    assert displacement([]).moved
