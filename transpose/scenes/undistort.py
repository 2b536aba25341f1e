"""Photos as a pinhole camera would have taken them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera, pixel_centers
from transpose.geometry.panorama import Panorama
from transpose.geometry.projection import Projection
from transpose.scenes import files

_SHAPE_TOLERANCE = 0.01
_STRAIGHT = np.eye(3)
_WRAPPED = 4  # columns of a panorama that the interpolation may ask for beside it
_LEAST_COSINE = 0.02  # nearer to the plane of a lens, depth along its axis says nothing of the distance


def read_photo(path: Path, lens: Projection) -> tuple[np.ndarray, bool]:
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


def undistorted(image_hw3: np.ndarray, lens: Projection, camera: Camera, R_lv: np.ndarray = _STRAIGHT) -> np.ndarray:
    """A lens's photo as `camera` sees it, from the same place.

    What the photo does not show is black; a smaller image is averaged, not sampled.

    Args:
        image_hw3: (height, width, 3) uint8, of the lens's shape; another resolution of it is brought to it.
        lens: that took it.
        camera: of the image that comes out; without distortion.
        R_lv: from its axes to the lens's; the same direction where it is not given.

    Raises:
        TransposeError: the image has another shape than the lens's.
    """
    height, width = image_hw3.shape[:2]
    if not _same_shape((width, height), lens):
        raise TransposeError(f"the image is {width} x {height}, its camera {lens.width} x {lens.height}: another shape")
    lens = lens.resized(width, height)
    shrink = camera.fx / lens.focal_px
    if shrink < 0.75:
        smaller = max(1, round(width * shrink)), max(1, round(height * shrink))
        image_hw3 = cv2.resize(image_hw3, smaller, interpolation=cv2.INTER_AREA)
        lens = lens.resized(*smaller)
    px_hw2 = px_in_photo(lens, camera, R_lv)
    inside_hw = _inside(px_hw2, lens)
    # OpenCV counts pixel centres at integers. Half a pixel at the border has neighbours on one side only.
    x_hw, y_hw = np.moveaxis((np.nan_to_num(px_hw2, nan=-1e4) - 0.5).astype(np.float32), -1, 0)
    if isinstance(lens, Panorama):  # beside its last column stands its first
        image_hw3 = cv2.copyMakeBorder(image_hw3, 0, 0, _WRAPPED, _WRAPPED, cv2.BORDER_WRAP)
        x_hw = x_hw + _WRAPPED
    seen_hw3 = np.asarray(cv2.remap(image_hw3, x_hw, y_hw, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    seen_hw3[~inside_hw] = 0
    return seen_hw3


def px_in_photo(lens: Projection, camera: Camera, R_lv: np.ndarray = _STRAIGHT) -> np.ndarray:
    """Where pixels of a camera lie in the photo of a lens at its place, (height, width, 2); NaN where nowhere."""
    return lens.px_of_directions(camera.unproject(pixel_centers(camera.width, camera.height)) @ R_lv.T)


def depth_in_view(depth_hw: np.ndarray, lens: Projection, camera: Camera, R_lv: np.ndarray = _STRAIGHT) -> np.ndarray:
    """Depth of a lens's photo along the z of a camera at the same place, float32; NaN where unknown and outside.

    Taken from the nearest pixel. Depth is along the lens's z, of a panorama, which has none, along the ray. A point
    keeps its distance, not its depth, where the camera is turned.

    Args:
        depth_hw: metres, of any resolution of the lens's image; what is no depth is unknown.
        lens: of the photo.
        camera: of the view.
        R_lv: from the view's axes to the lens's.
    """
    height, width = depth_hw.shape
    rays_hw3 = camera.unproject(pixel_centers(camera.width, camera.height)) @ R_lv.T
    with np.errstate(invalid="ignore"):
        px_hw2 = np.nan_to_num(lens.resized(width, height).px_of_directions(rays_hw3), nan=-1e4)
        column_hw, row_hw = np.moveaxis(np.floor(px_hw2).astype(np.int64), -1, 0)
    inside_hw = (column_hw >= 0) & (column_hw < width) & (row_hw >= 0) & (row_hw < height)
    values_hw = depth_hw[row_hw.clip(0, height - 1), column_hw.clip(0, width - 1)]
    measure_hw = np.linalg.norm(rays_hw3, axis=-1) if isinstance(lens, Panorama) else rays_hw3[..., 2]
    known_hw = inside_hw & files.is_depth(values_hw) & (measure_hw > _LEAST_COSINE)
    return np.where(known_hw, values_hw / np.where(known_hw, measure_hw, 1), np.nan).astype(np.float32)


def shown_fraction(lens: Projection, camera: Camera) -> float:
    """Which fraction of the camera's image comes from inside the lens's photo."""
    return float(_inside(px_in_photo(lens, camera), lens).mean())


def _inside(px_hw2: np.ndarray, lens: Projection) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.all((px_hw2 >= 0) & (px_hw2 <= (lens.width, lens.height)), axis=-1)


def _same_shape(size: tuple[int, int], lens: Projection) -> bool:
    aspect = size[0] / size[1]
    return abs(aspect - lens.width / lens.height) <= _SHAPE_TOLERANCE * aspect
