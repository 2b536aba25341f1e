"""An image as a network knows such images: at the scale that was learned, and the way back to the image as it came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import CELL_STRIDE, Camera
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import Query
from transpose.scenes.resizing import resized_to_height


@dataclass(frozen=True, eq=False)
class SeenImage:
    """A query's image at the learned scale.

    Attributes:
        image_hw3: RGB uint8.
        camera: of that image.
        query: the image and its camera, as given.
    """

    image_hw3: np.ndarray
    camera: Camera
    query: Query

    def given_px(self, px_n2: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of the seen image as pixels of the image that was given."""
        given = self.query.camera
        return px_n2 * (given.width / self.camera.width, given.height / self.camera.height)


def see(query: Query, learned: Camera, height: int | None, options: LocalizationOptions) -> SeenImage:
    """The image with as many rows as the network learned, or with about as long a focal length in pixels.

    What is seen at another scale than any training view looks like nothing that was learned.

    Args:
        query: the image and its camera, as given.
        learned: the camera of the training images.
        height: rows to which those were resized; None: they were learned as they are.
        options: how far the scale may differ, and how large an image may become.

    Raises:
        TransposeError: it is too small or too narrow to show a place.
    """
    if min(query.image_hw3.shape[:2]) < CELL_STRIDE:
        shape = f"{query.camera.width} x {query.camera.height}"
        raise TransposeError(f"an image of {shape} pixels is too small or too narrow to show a place")
    camera = query.camera
    if height is not None:
        # The learned height is that of the learned camera's images; others are brought to the same focal length.
        if not learned.has_shape_of(camera.width, camera.height):
            height = round(camera.height * height / learned.height * learned.fx / camera.fx)
    else:
        scale = learned.fx / camera.fx
        if 1 / options.same_scale < scale < options.same_scale:
            return SeenImage(query.image_hw3, camera, query)
        most = options.max_enlargement * learned.width * learned.height / (camera.width * camera.height)
        height = round(camera.height * min(scale, most**0.5))
    return SeenImage(*resized_to_height(query.image_hw3, camera, height), query)
