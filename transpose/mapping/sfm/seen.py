"""Keypoints of photos, in the pixels of the photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import torch

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.lens import Lens
from transpose.models.keypoints import Keypoints, keypoints_of
from transpose.models.xfeat import DESCRIPTOR_CHANNELS, XFeatEncoder
from transpose.scenes.setup.unposed_photos import SharedCamera, UnposedPhoto
from transpose.scenes.undistort import read_photo

_LONGER_SIDE_PX = 1600
_LEAST_SIDE_PX = 32
_KEYPOINTS = 2000


def keypoints_of_photos(
    photos: Sequence[UnposedPhoto],
    cameras: Sequence[SharedCamera],
    progress: Callable[[Sequence[UnposedPhoto]], Iterable[UnposedPhoto]],
) -> tuple[list[Keypoints], dict[str, str]]:
    """The keypoints of each photo, and what is wrong with those that cannot be read, by name; these have none."""
    encoder, found, broken = XFeatEncoder(), [], {}
    for photo in progress(photos):
        try:
            found.append(_keypoints(photo, cameras[photo.camera], encoder))
        except TransposeError as error:
            broken[photo.name] = f"it cannot be read ({error})"
            found.append(Keypoints(torch.zeros(0, 2), torch.zeros(0, DESCRIPTOR_CHANNELS)))
    return found, broken


@torch.inference_mode()
def _keypoints(photo: UnposedPhoto, camera: SharedCamera, encoder: XFeatEncoder) -> Keypoints:
    image_hw3, _ = read_photo(photo.image, _any_lens(camera))
    height, width = image_hw3.shape[:2]
    scale = min(1.0, _LONGER_SIDE_PX / max(height, width))
    size = tuple(max(_LEAST_SIDE_PX, round(scale * side)) for side in (width, height))
    if size != (width, height):
        image_hw3 = np.asarray(cv2.resize(image_hw3, size, interpolation=cv2.INTER_AREA))
    maps = encoder.maps(torch.from_numpy(np.ascontiguousarray(image_hw3)).permute(2, 0, 1)[None].float())
    seen = keypoints_of(maps, (size[1], size[0]), _KEYPOINTS)
    return Keypoints(seen.px_n2 * torch.tensor([width / size[0], height / size[1]]), seen.descriptors_nc)


def _any_lens(camera: SharedCamera) -> Lens:
    """One of the camera's size, by which its photos are turned as they will be when they are written."""
    middle = Camera.from_focal(float(camera.width), camera.width, camera.height)
    return Lens(middle.width, middle.height, middle.fx, middle.fy, middle.cx, middle.cy)
