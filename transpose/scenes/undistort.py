"""Photos as a pinhole camera would have taken them."""

from __future__ import annotations

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera, pixel_centers
from transpose.geometry.lens import Lens


def undistorted(image_hw3: np.ndarray, lens: Lens, camera: Camera) -> np.ndarray:
    """A lens's photo as `camera` sees it, from the same place and in the same direction.

    What the photo does not show is black; a smaller image is averaged, not sampled.

    Args:
        image_hw3: (height, width, 3) uint8, of the lens's shape; another resolution of it is brought to it.
        lens: that took it.
        camera: of the image that comes out; without distortion.

    Raises:
        TransposeError: the image has another shape than the lens's.
    """
    height, width = image_hw3.shape[:2]
    if abs(width / height - lens.width / lens.height) > 0.01 * width / height:
        raise TransposeError(f"the image is {width} x {height}, its camera {lens.width} x {lens.height}: another shape")
    lens = lens.resized(width, height)
    shrink = camera.fx / lens.fx
    if shrink < 0.75:
        smaller = max(1, round(width * shrink)), max(1, round(height * shrink))
        image_hw3 = cv2.resize(image_hw3, smaller, interpolation=cv2.INTER_AREA)
        lens = lens.resized(*smaller)
    rays_hw2 = camera.unproject(pixel_centers(camera.width, camera.height))[..., :2]
    # OpenCV counts pixel centres at integers.
    x_hw, y_hw = np.moveaxis((lens.px_of_rays(rays_hw2) - 0.5).astype(np.float32), -1, 0)
    return np.asarray(cv2.remap(image_hw3, x_hw, y_hw, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT))
