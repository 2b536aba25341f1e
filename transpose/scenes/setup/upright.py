"""Photos of a phone that was held upright: its sensor lies across, and so do the images that apps store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose
from transpose.scenes import files
from transpose.scenes.setup.posed_photos import PosedPhoto

log = logging.getLogger(__name__)
_JPEG_QUALITY = 95
_PLAIN = 0.3  # of a camera's up that is seen in its image, in the mean; who looks at the floor holds it in any way
# From the axes of a camera whose image was turned clockwise by a quarter to those before: its x was -y, its y was x.
_QUARTER = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def upright(photos: Sequence[PosedPhoto], folder: Path, up_axis: int = 1) -> list[PosedPhoto]:
    """The photos turned by as many quarters as bring up what is up in the world, in most of them.

    Args:
        photos: of pinhole cameras.
        folder: where turned images are written; what is there already is taken over.
        up_axis: which axis of the world points up: y, as ARKit's.

    Raises:
        TransposeError: a photo cannot be read.
    """
    quarters = quarters_to_upright([photo.pose for photo in photos], up_axis)
    if not quarters:
        return list(photos)
    log.info("images lie across, and are turned by %d degrees", 90 * quarters)
    return [_turned(photo, quarters, folder) for photo in photos]


def quarters_to_upright(poses: Sequence[Pose], up_axis: int = 1) -> int:
    """By how many quarters, 0 to 3, images are turned clockwise to show what is up; 0 where none is plain."""
    up_3 = np.mean([pose.R_wc[up_axis] for pose in poses], axis=0)  # in the cameras' axes
    if np.linalg.norm(up_3[:2]) < _PLAIN:
        return 0
    return round(float(np.arctan2(-up_3[0], -up_3[1])) / (np.pi / 2)) % 4


def _turned(photo: PosedPhoto, quarters: int, folder: Path) -> PosedPhoto:
    path = folder / f"turned-{photo.stem}.jpg"
    if not path.exists():
        image_hw3 = files.read_image(photo.image, upright=False)
        files.write_image(path, np.ascontiguousarray(np.rot90(image_hw3, -quarters)), _JPEG_QUALITY)
    assert isinstance(photo.lens, Lens)
    lens, R_33 = photo.lens, np.eye(3)
    for _ in range(quarters):
        lens = Lens(lens.height, lens.width, lens.fy, lens.fx, lens.height - lens.cy, lens.cx)
        R_33 = R_33 @ _QUARTER
    pose = Pose(photo.pose.T_wc @ compose(R_33, np.zeros(3)))
    depth = None if photo.depth is None else partial(_turned_depth, photo.depth, quarters)
    return replace(photo, image=path, lens=lens, pose=pose, depth=depth)


def _turned_depth(depth: Callable[[], np.ndarray], quarters: int) -> np.ndarray:
    return np.rot90(depth(), -quarters)
