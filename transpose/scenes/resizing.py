"""The one way in which an image and its camera are brought to the number of rows that a network learns and sees."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.geometry.cameras import CELL_STRIDE, Camera

# A network's map has a cell for each block of this many pixels; a smaller image would have none.
_LEAST_PX = CELL_STRIDE


def fitted_height(camera: Camera, most_pixels: int) -> int | None:
    """Rows to which an image of more pixels is shrunk to have so many; None: it has no more, and stays as it is."""
    pixels = camera.width * camera.height
    return None if pixels <= most_pixels else max(_LEAST_PX, round(camera.height * (most_pixels / pixels) ** 0.5))


def size_at_height(camera: Camera, height: int | None) -> tuple[int, int]:
    """Width and height of a camera's images at so many rows; None: as they are. No side is less than a map's cell."""
    if height is None:
        return camera.width, camera.height
    height = max(_LEAST_PX, height)
    if height == camera.height:
        return camera.width, height
    return max(_LEAST_PX, round(camera.width * height / camera.height)), height


def resized_to_height(image_hw3: np.ndarray, camera: Camera, height: int) -> tuple[np.ndarray, Camera]:
    """An image of `height` rows with the camera that goes with it.

    The width follows the image's shape, rounded to whole pixels, so the camera's two focal lengths scale by ratios that
    may differ a little. Neither side becomes less than one cell of a map. Shrinking averages; enlarging interpolates.

    Args:
        image_hw3: (height, width, 3) uint8.
        camera: intrinsics at the image's size.
        height: rows wanted, in pixels.

    Returns:
        The image and its camera; the very objects given where the image has that many rows already.

    Raises:
        ValueError: the camera is of another size than the image.
    """
    if image_hw3.shape[:2] != (camera.height, camera.width):
        raise ValueError(
            f"the image is {image_hw3.shape[1]} x {image_hw3.shape[0]}, its camera {camera.width} x {camera.height}"
        )
    width, height = size_at_height(camera, height)
    if height == camera.height:
        return image_hw3, camera
    how = cv2.INTER_AREA if height < camera.height else cv2.INTER_CUBIC
    return cv2.resize(image_hw3, (width, height), interpolation=how), camera.resized(width, height)


def cut_square(image_hw3: np.ndarray, side: int, at: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """A square (side, side, 3) out of an image whose shorter side was brought to that length.

    Args:
        image_hw3: (height, width, 3) uint8.
        side: pixels.
        at: where of what is left over it is cut, across and down: 0 at the left and the top, 0.5 in the middle.
    """
    height, width = image_hw3.shape[:2]
    scale = side / min(height, width)
    if scale != 1:
        size = max(side, round(width * scale)), max(side, round(height * scale))
        image_hw3 = cv2.resize(image_hw3, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (round(share * (length - side)) for share, length in zip(at, image_hw3.shape[1::-1], strict=True))
    return np.ascontiguousarray(image_hw3[top : top + side, left : left + side])
