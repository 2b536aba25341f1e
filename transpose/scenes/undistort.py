"""Photos as a pinhole camera would have taken them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera, pixel_centers
from transpose.geometry.lens import Lens
from transpose.scenes import files

_SHAPE_TOLERANCE = 0.01


def read_photo(path: Path, lens: Lens) -> tuple[np.ndarray, bool]:
    """A photo in the pixel grid that its lens counts in, (height, width, 3) uint8, and whether the file shows the same.

    Structure from motion counts pixels as they are stored, whatever EXIF says of up; a photo is turned upright only
    where its lens has the shape of the upright one. It may be of another resolution than the lens.

    Raises:
        TransposeError: the file is unreadable, or of another shape than the lens.
    """
    stored, upright = files.stored_size(path), files.image_size(path)
    for size in (stored, upright):
        if _same_shape(size, lens):
            image_hw3 = files.read_image(path, upright=size != stored)
            return image_hw3, size == upright and not files.is_turned(path)
    raise TransposeError(
        f"{path} is {stored[0]} x {stored[1]}, its camera {lens.width} x {lens.height}: another shape; "
        "was the photo turned or cropped?"
    )


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
    if not _same_shape((width, height), lens):
        raise TransposeError(f"the image is {width} x {height}, its camera {lens.width} x {lens.height}: another shape")
    lens = lens.resized(width, height)
    shrink = camera.fx / lens.fx
    if shrink < 0.75:
        smaller = max(1, round(width * shrink)), max(1, round(height * shrink))
        image_hw3 = cv2.resize(image_hw3, smaller, interpolation=cv2.INTER_AREA)
        lens = lens.resized(*smaller)
    px_hw2 = lens.px_of_rays(camera.unproject(pixel_centers(camera.width, camera.height))[..., :2])
    # OpenCV counts pixel centres at integers. Half a pixel at the border has neighbours on one side only.
    x_hw, y_hw = np.moveaxis((px_hw2 - 0.5).astype(np.float32), -1, 0)
    seen_hw3 = np.asarray(cv2.remap(image_hw3, x_hw, y_hw, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    seen_hw3[~_inside(px_hw2, lens)] = 0
    return seen_hw3


def shown_fraction(lens: Lens, camera: Camera) -> float:
    """Which fraction of the camera's image comes from inside the lens's photo."""
    rays_hw2 = camera.unproject(pixel_centers(camera.width, camera.height))[..., :2]
    return float(_inside(lens.px_of_rays(rays_hw2), lens).mean())


def _inside(px_hw2: np.ndarray, lens: Lens) -> np.ndarray:
    return np.all((px_hw2 >= 0) & (px_hw2 <= (lens.width, lens.height)), axis=-1)


def _same_shape(size: tuple[int, int], lens: Lens) -> bool:
    aspect = size[0] / size[1]
    return abs(aspect - lens.width / lens.height) <= _SHAPE_TOLERANCE * aspect
