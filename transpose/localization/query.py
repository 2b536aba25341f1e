"""An image and what is known of how it was taken, and which camera is taken for it where nobody says."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, rigid_defect
from transpose.localization.image_input import ImageLike, as_image, exif_of_image
from transpose.runs import LearnedCamera
from transpose.scenes.exif import ExifFocal

CameraSource = Literal["calibration", "option", "exif", "training", "estimated"]
FocalPx = float | Literal["auto"]  # "auto": estimated from the image, whatever else is said of it
# Standard deviation, relative, of a focal length of which nothing is known but that the image has the shape of the
# training images: it covers the wide lens of one phone against that of another, and common cuts of films.
GUESSED_FOCAL = 0.15
UNKNOWN_FOCAL = 0.4  # the same where nothing at all is known: within a factor of two


@dataclass(frozen=True, eq=False)
class Query:
    """An image and what is known of how it was taken; checked once, here.

    Attributes:
        image_hw3: RGB uint8, upright as its camera was held.
        camera: its intrinsics.
        source: where they come from. "calibration": given whole; "option": the focal length alone was given; "exif":
            the photo's metadata say it; "training": they are those of the training images, scaled to this image;
            "estimated": nothing tells, and the training images' field of view is where the estimation starts.
        focal_sigma: standard deviation of the focal length beyond that of a calibrated camera, relative. Of the
            training images' camera that of EXIF's rounding where EXIF agrees with it, `GUESSED_FOCAL` where nothing but
            the image's shape tells, `UNKNOWN_FOCAL` where nothing does.
        center_sigma: the same of the principal point, in focal lengths.
        depth_hw: measured depth along z at the pixels, metres, NaN where unknown; None: not measured.
        prior: a pose near which the camera is thought to be, where landmarks are looked for as well; a `Pose`.
        risk: that is taken with this image, by methods that say how sure they are (`check_states_confidence`), which
            refuse what is wrong with a higher probability; None: the localizer's own.

    Raises:
        TransposeError: no RGB uint8 image; no camera; a camera or a depth of another size; a depth of whole numbers,
            which would be millimetres; a prior that is no rigid pose; a risk that is none.
    """

    image_hw3: np.ndarray
    camera: Camera
    source: CameraSource = "calibration"
    focal_sigma: float = 0.0
    depth_hw: np.ndarray | None = None
    prior: Pose | None = None
    risk: float | None = None
    center_sigma: float = 0.0

    def __post_init__(self) -> None:
        shape, dtype = self.image_hw3.shape, self.image_hw3.dtype
        if self.image_hw3.ndim != 3 or shape[2] != 3 or dtype != np.uint8:
            raise TransposeError(f"need an RGB image (height, width, 3) uint8, got {shape} {dtype}")
        if min(shape) == 0:
            raise TransposeError(f"the image is empty: {shape[1]} x {shape[0]} pixels")
        if not isinstance(self.camera, Camera):
            raise TransposeError(
                f"camera is a transpose.geometry.Camera, not {type(self.camera).__name__}; where its focal length "
                "alone is known: Query.of(localizer.checkpoint.camera, image, focal_px=525.5)"
            )
        if shape[:2] != (self.camera.height, self.camera.width):
            raise TransposeError(
                f"the image is {shape[1]} x {shape[0]} pixels, its camera {self.camera.width} x {self.camera.height}; "
                "they must have one size: give the camera of this image (Camera.resized)"
            )
        if self.depth_hw is not None and self.depth_hw.shape != shape[:2]:
            raise TransposeError(f"depth {self.depth_hw.shape} and image {shape[:2]} must have one size")
        if self.depth_hw is not None and not np.issubdtype(self.depth_hw.dtype, np.floating):
            whole = self.depth_hw.dtype
            raise TransposeError(f"depth is floating point, in metres, not {whole}: divide millimetres by 1000")
        if self.prior is not None:
            if not isinstance(self.prior, Pose):
                raise TransposeError(f"prior is a Pose, such as Pose(T_wc), not {type(self.prior).__name__}")
            if defect := rigid_defect(self.prior.T_wc):
                raise TransposeError(f"prior is not a rigid pose: {defect}")
        if self.risk is not None and not 0 < self.risk < 1:
            raise TransposeError(f"risk is a probability between 0 and 1, such as 0.01, not {self.risk}")

    @classmethod
    def of(
        cls,
        learned: Camera | LearnedCamera,
        image_hw3: ImageLike,
        camera: Camera | None = None,
        focal_px: FocalPx | None = None,
        exif: ExifFocal | None = None,
        depth_hw: np.ndarray | None = None,
        prior: Pose | None = None,
        risk: float | None = None,
    ) -> Query:
        """A query by whatever is known of the camera, the most certain first.

        Args:
            learned: the camera of the images that a localizer learned from (`checkpoint.camera`, which says how it is
                known; a `Camera` alone is taken for one that photos come from).
            image_hw3: the image, as `as_image` takes it.
            camera: its intrinsics.
            focal_px: or its focal length alone, with the principal point in the middle; or "auto".
            exif: or what its metadata say; of an image given by its path they are read. Where the learned camera,
                scaled to this image, agrees within EXIF's rounding, it is taken, with its principal point and
                distortion: it is likely the one, and how far off it may be else, EXIF says. A camera that was
                merely assumed says nothing.
            depth_hw, prior, risk: see the class.

        Raises:
            TransposeError: see the class; a focal length that is none; or something else than the learned camera.
        """
        if not isinstance(learned, Camera | LearnedCamera):
            raise TransposeError(
                "begin with the camera that a localizer learned from, localizer.checkpoint.camera, "
                f"not {type(learned).__name__}"
            )
        exif = exif_of_image(image_hw3) if camera is None and focal_px is None and exif is None else exif
        image_hw3 = as_image(image_hw3)
        source: CameraSource = "calibration"
        sigma = 0.0
        if camera is None:
            height, width = image_hw3.shape[:2]
            learned = learned if isinstance(learned, LearnedCamera) else LearnedCamera(learned, "given")
            camera, source, sigma = _camera_of(learned, max(1, width), max(1, height), focal_px, exif)
        return cls(image_hw3, camera, source, sigma, depth_hw, prior, risk)

    @property
    def is_calibrated(self) -> bool:
        """Whether somebody measured this camera, principal point and all."""
        return self.source == "calibration" or (self.source == "training" and self.focal_sigma == 0)

    def with_prior(self, prior: Pose | None) -> Query:
        """The query with another pose near which the camera is thought to be."""
        return replace(self, prior=prior)


def _camera_of(
    of: LearnedCamera, width: int, height: int, focal_px: FocalPx | None, exif: ExifFocal | None
) -> tuple[Camera, CameraSource, float]:
    """Camera, source and further uncertainty of the focal length of an image of which no camera is known."""
    learned = of.camera
    same_shape = learned.has_shape_of(width, height)
    own = learned.resized(width, height) if same_shape else None
    if focal_px == "auto":
        return own or _as_wide_as(learned, width, height), "estimated", UNKNOWN_FOCAL
    if focal_px is not None:
        if not isinstance(focal_px, int | float | np.number):
            raise TransposeError(f"a focal length is a number of pixels, or 'auto', not {focal_px!r}")
        if not 1 < focal_px < 1e6:
            raise TransposeError(f"a focal length is a number of pixels, not {focal_px}")
        return Camera.from_focal(focal_px, width, height), "option", 0.0
    if exif is not None:
        off = math.inf if own is None else abs(own.fx / exif.focal_px - 1)
        if own is not None and of.tells_of_photos and off <= min(exif.rounding, GUESSED_FOCAL):
            return own, "training", math.hypot(off, exif.sigma)
        source: CameraSource = "estimated" if exif.ambiguous else "exif"
        return Camera.from_focal(exif.focal_px, width, height), source, exif.sigma
    if own is None or not of.tells_of_photos:
        return own or _as_wide_as(learned, width, height), "estimated", UNKNOWN_FOCAL
    return own, "training", GUESSED_FOCAL


def _as_wide_as(learned: Camera, width: int, height: int) -> Camera:
    """Of an image of another shape, with the field of view of the training images along its diagonal."""
    diagonals = math.hypot(width, height) / math.hypot(learned.width, learned.height)
    return Camera.from_focal(math.sqrt(learned.fx * learned.fy) * diagonals, width, height)
