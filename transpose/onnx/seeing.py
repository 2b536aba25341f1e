"""An image brought to the scale that was learned, in NumPy; as `transpose.localization.seeing` does with OpenCV."""

from __future__ import annotations

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import CELL_STRIDE, Camera
from transpose.onnx.place import ExportedPlace

_SHARPNESS = -0.75  # of the cubic kernel, OpenCV's


def seen(image_hw3: np.ndarray, camera: Camera, place: ExportedPlace) -> tuple[np.ndarray, Camera]:
    """The image at the learned scale and its camera.

    Raises:
        TransposeError: it is too small to show a place.
    """
    if min(image_hw3.shape[:2]) < CELL_STRIDE:
        raise TransposeError(f"an image of {camera.width} x {camera.height} pixels is too small to show a place")
    learned, settings = place.camera, place.settings
    height = place.height
    if height is not None:
        if not learned.has_shape_of(camera.width, camera.height):
            height = round(camera.height * height / learned.height * learned.fx / camera.fx)
    else:
        scale = learned.fx / camera.fx
        if 1 / settings.same_scale < scale < settings.same_scale:
            return image_hw3, camera
        most = settings.max_enlargement * learned.width * learned.height / (camera.width * camera.height)
        height = round(camera.height * min(scale, most**0.5))
    height = max(CELL_STRIDE, height)
    if height == camera.height:
        return image_hw3, camera
    width = max(CELL_STRIDE, round(camera.width * height / camera.height))
    return resized(image_hw3, width, height), camera.resized(width, height)


def resized(image_hw3: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image (height, width, 3) uint8 of another size; shrinking averages, enlarging interpolates by cubics."""
    rows = _weights(image_hw3.shape[0], height) @ image_hw3.reshape(image_hw3.shape[0], -1).astype(np.float32)
    rows_hw3 = rows.reshape(height, image_hw3.shape[1], 3)
    out_hw3 = np.einsum("wx,hxc->hwc", _weights(image_hw3.shape[1], width), rows_hw3, optimize=True)
    return np.clip(np.rint(out_hw3), 0, 255).astype(np.uint8)


def _weights(before: int, after: int) -> np.ndarray:
    """How much each pixel of a line of `before` counts for each of `after`, (after, before) float32."""
    scale = before / after
    if scale > 1:
        edges = np.arange(after + 1) * scale
        pixels = np.arange(before)
        covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return (np.maximum(covered, 0) / scale).astype(np.float32)
    at = (np.arange(after) + 0.5) * scale - 0.5
    weights = np.zeros((after, before), np.float32)
    for tap in range(-1, 3):
        index = np.floor(at).astype(int) + tap
        np.add.at(weights, (np.arange(after), index.clip(0, before - 1)), _cubic(np.abs(at - index)))
    return weights


def _cubic(x: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel (Keys, 1981)."""
    a = _SHARPNESS
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0)).astype(np.float32)
