"""What every method of localization offers: from an image and what is known of its camera to a pose, or to none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.photo import ExifFocal
from transpose.runs import Checkpoint
from transpose.solvers import PoseEstimate

CameraSource = Literal["calibrated", "exif", "guessed"]
_SAME_SHAPE = 0.01  # by which the ratios of width to height of two images of one camera may differ


@dataclass(frozen=True, eq=False)
class Query:
    """An image and what is known of how it was taken; checked once, here.

    Attributes:
        image_hw3: RGB uint8, upright as its camera was held.
        camera: its intrinsics.
        source: how they are known. "calibrated": somebody measured them, or they are the learned camera's own; "exif":
            the focal length is what the photo's metadata say; "guessed": the learned camera's, scaled to another size.
        focal_sigma: standard deviation of the focal length beyond that of a calibrated camera, relative.
        depth_hw: measured depth along z at the pixels, metres, NaN where unknown; None: not measured.
        prior: a pose near which the camera is thought to be, where landmarks are looked for as well.

    Raises:
        TransposeError: no RGB uint8 image; a camera or a depth of another size.
    """

    image_hw3: np.ndarray
    camera: Camera
    source: CameraSource = "calibrated"
    focal_sigma: float = 0.0
    depth_hw: np.ndarray | None = None
    prior: Pose | None = None

    def __post_init__(self) -> None:
        shape, dtype = self.image_hw3.shape, self.image_hw3.dtype
        if self.image_hw3.ndim != 3 or shape[2] != 3 or dtype != np.uint8:
            raise TransposeError(f"need an RGB image (height, width, 3) uint8, got {shape} {dtype}")
        if min(shape) == 0:
            raise TransposeError(f"the image is empty: {shape[1]} x {shape[0]} pixels")
        if shape[:2] != (self.camera.height, self.camera.width):
            raise TransposeError(
                f"the image is {shape[1]} x {shape[0]} pixels, its camera {self.camera.width} x {self.camera.height}; "
                "they must have one size: give the camera of this image (Camera.resized)"
            )
        if self.depth_hw is not None and self.depth_hw.shape != shape[:2]:
            raise TransposeError(f"depth {self.depth_hw.shape} and image {shape[:2]} must have one size")

    @classmethod
    def of(
        cls,
        learned: Camera,
        image_hw3: np.ndarray,
        camera: Camera | None = None,
        focal_px: float | None = None,
        exif: ExifFocal | None = None,
        depth_hw: np.ndarray | None = None,
        prior: Pose | None = None,
    ) -> Query:
        """A query by whatever is known of the camera, the most certain first.

        Args:
            learned: the camera of the images that a localizer learned from.
            image_hw3: the image.
            camera: its intrinsics.
            focal_px: or its focal length alone, with the principal point in the middle.
            exif: or what its metadata say. Where the learned camera, scaled to this image, agrees within EXIF's
                rounding, it is taken: it is known better, and with its principal point and distortion.
            depth_hw, prior: see the class.

        Raises:
            TransposeError: see the class; or nothing is known of the camera and the image has another shape than those
                learned from.
        """
        if image_hw3.ndim != 3:
            raise TransposeError(f"need an RGB image (height, width, 3) uint8, got {image_hw3.shape}")
        source: CameraSource = "calibrated"
        sigma = 0.0
        if camera is None:
            height, width = image_hw3.shape[:2]
            camera, source, sigma = _camera_of(learned, max(1, width), max(1, height), focal_px, exif)
        return cls(image_hw3, camera, source, sigma, depth_hw, prior)

    def with_prior(self, prior: Pose | None) -> Query:
        """The query with another pose near which the camera is thought to be."""
        return replace(self, prior=prior)


class Localizer(Protocol):
    """What testing, sequences, reports and commands need of a method.

    Attributes:
        camera: of the images that it learned from.
        checkpoint: where it comes from, and how it was calibrated.
    """

    camera: Camera
    checkpoint: Checkpoint

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        """The pose of an image, or the reason why there is none; `seed` is that of the search."""

    def localize(
        self, image_hw3: np.ndarray, camera: Camera | None = None, focal_px: float | None = None, seed: int = 0
    ) -> PoseEstimate:
        """The pose of an RGB uint8 image (height, width, 3); what is given of its camera goes into `Query.of`."""


@runtime_checkable
class PredictsCoordinates(Protocol):
    """The optional ability to predict which world point each cell of an image shows; ask for it with `isinstance`.

    Attributes:
        checkpoint: as of every `Localizer`.
    """

    checkpoint: Checkpoint

    def coordinates(self, image_hw3: np.ndarray, camera: Camera | None = None) -> CoordinateMap:
        """World points and their uncertainty of the cells of an RGB uint8 image."""


def _camera_of(
    learned: Camera, width: int, height: int, focal_px: float | None, exif: ExifFocal | None
) -> tuple[Camera, CameraSource, float]:
    """Camera, source and further uncertainty of the focal length of an image of which no camera is known."""
    if focal_px is not None:
        return Camera.from_focal(focal_px, width, height), "calibrated", 0.0
    same_shape = abs(width / height - learned.width / learned.height) <= _SAME_SHAPE * width / height
    own = learned.resized(width, height) if same_shape else None
    if exif is not None:
        if own is not None and abs(own.fx / exif.focal_px - 1) <= exif.rounding:
            return own, "calibrated", 0.0
        return Camera.from_focal(exif.focal_px, width, height), "exif", exif.sigma
    if own is None:
        raise TransposeError(
            f"the image is {width} x {height}, the training images {learned.width} x {learned.height}: "
            "another shape, so its focal length is unknown; give --focal in pixels"
        )
    same_size = (width, height) == (learned.width, learned.height)
    return own, "calibrated" if same_size else "guessed", 0.0
