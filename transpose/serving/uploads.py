"""From what a client sent to a query; all of it in memory, and refused by its header before it is decoded."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.poses import Pose, homogeneous, project_to_rotation, rigid_defect
from transpose.localization.query import FocalPx, Query
from transpose.runs import LearnedCamera
from transpose.scenes.decoding import decoded
from transpose.scenes.exif import ExifFocal, focal_of_header
from transpose.scenes.files import depth_of_png
from transpose.scenes.image_files import header_of
from transpose.serving.limits import MEGA, Limits

_LONGEST_NAME = 200


@dataclass(frozen=True, eq=False)
class Upload:
    """A photo with what was said of it.

    Attributes:
        name: under which it was sent; it names no file here.
        image_hw3: RGB uint8, upright.
        exif: focal length of its metadata.
        focal_px: that the client gave; None: nothing.
        depth_hw: measured depth, metres.
        prior: a pose near which the camera is thought to be.
        risk: that is taken with this photo; None: the run's.
    """

    name: str
    image_hw3: np.ndarray
    exif: ExifFocal | None = None
    focal_px: FocalPx | None = None
    depth_hw: np.ndarray | None = None
    prior: Pose | None = None
    risk: float | None = None

    def query(self, learned: LearnedCamera) -> Query:
        """For a localizer that learned from images of this camera."""
        return Query.of(learned, self.image_hw3, None, self.focal_px, self.exif, self.depth_hw, self.prior, self.risk)


def read_upload(
    name: str, data: bytes, limits: Limits, focal: str = "", depth: bytes = b"", prior: str = "", risk: str = ""
) -> Upload:
    """Decodes a photo and what came with it.

    Args:
        name: of the file at the client's.
        data: the bytes of an image file.
        limits: of the service.
        focal: pixels, "auto" or nothing.
        depth: a 16-bit PNG in millimetres, or nothing.
        prior: JSON of a 4x4 pose, camera to world, or nothing.
        risk: a probability, or nothing.

    Raises:
        TransposeError: any of these cannot be read; the message says which and why.
    """
    shown = PurePath(PurePath(name.replace("\\", "/")).name[-_LONGEST_NAME:] or "photo")
    header = header_of(data)
    if header is not None and header.width * header.height > limits.megapixels * MEGA:
        raise TransposeError(
            f"{shown} has {header.width} x {header.height} pixels, over the {limits.megapixels:g} megapixels that this "
            "service takes; send it smaller"
        )
    image_hw3 = decoded(shown, data, upright=True)
    exif = None if header is None else focal_of_header(header)
    depth_hw = _depth_of(shown, depth, limits) if depth else None
    return Upload(str(shown), image_hw3, exif, _focal_of(focal), depth_hw, _prior_of(prior), _risk_of(risk))


def _depth_of(shown: PurePath, data: bytes, limits: Limits) -> np.ndarray:
    header = header_of(data)
    if header is not None and header.width * header.height > limits.megapixels * MEGA:
        raise TransposeError(f"the depth of {shown} has over {limits.megapixels:g} megapixels")
    return depth_of_png(PurePath(f"the depth of {shown}"), data)


def _focal_of(said: str) -> FocalPx | None:
    said = said.strip()
    if said in ("", "auto"):
        return "auto" if said else None
    try:
        focal_px = float(said)
    except ValueError:
        focal_px = math.nan
    if not 1 < focal_px < 1e6:
        raise TransposeError(f'focal is a number of pixels above 1 or "auto", not {said[:40]!r}')
    return focal_px


def _prior_of(said: str) -> Pose | None:
    if not said.strip():
        return None
    try:
        value: Any = json.loads(said)
        T_wc = homogeneous(np.array(value, np.float64))
    except (ValueError, TypeError, RecursionError):
        raise TransposeError("prior is a pose, camera to world: JSON of four rows of four numbers") from None
    defect = rigid_defect(T_wc) if np.isfinite(T_wc).all() else "NaN or infinite numbers"
    if defect is not None:
        raise TransposeError(f"prior is not a rigid pose: {defect}")
    T_wc[:3, :3] = project_to_rotation(T_wc[:3, :3])
    return Pose(T_wc)


def _risk_of(said: str) -> float | None:
    said = said.strip()
    if not said:
        return None
    try:
        risk = float(said)
    except ValueError:
        risk = math.nan
    if not 0 < risk < 1:
        raise TransposeError(f"risk is a probability between 0 and 1, such as 0.01, not {said[:40]!r}")
    return risk
