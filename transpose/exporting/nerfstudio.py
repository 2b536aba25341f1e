"""Nerfstudio's `transforms.json`: camera-to-world poses with OpenGL axes, and the photos beside it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from transpose.exporting.estimates import PosedImage
from transpose.scenes.files import is_turned
from transpose.storage import write_json

_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # x right, y up, z back
_QUALITY = 95  # of a JPEG that had to be turned
_FAR = 1e4  # from the origin: float32, in which others train, then has a millimetre no more


def write_nerfstudio(folder: Path, images: Sequence[PosedImage]) -> int:
    """Writes `transforms.json` and copies the photos into `images/`; returns how many photos are not there.

    A place far from the origin, such as on a map, is moved near it, as `applied_transform` says (what it maps is
    undone by who wants the map's coordinates; `transpose setup nerfstudio` does).

    Args:
        folder: that exists.
        images: with poses.
    """
    centers_n3 = np.stack([image.pose.center for image in images])
    applied_44 = np.eye(4)
    if np.abs(centers_n3).max() > _FAR:
        applied_44[:3, 3] = -np.round(centers_n3.mean(0))
    (folder / "images").mkdir()
    frames, missing = [], 0
    for image in images:
        frames.append(_frame(image, applied_44))
        if image.path.is_file():
            _copy_upright(image.path, folder / "images" / image.name)
        else:
            missing += 1
    content: dict[str, Any] = {"camera_model": "OPENCV", "frames": frames}
    if applied_44[:3, 3].any():
        content["applied_transform"] = applied_44[:3].tolist()
    write_json(folder / "transforms.json", content)
    return missing


def _copy_upright(photo: Path, copy: Path) -> None:
    """A photo as its pose is told, upright: Nerfstudio does not turn photos by their EXIF."""
    if not is_turned(photo):
        shutil.copy2(photo, copy)
        return
    with Image.open(photo) as image:
        ImageOps.exif_transpose(image).save(copy, quality=_QUALITY, icc_profile=image.info.get("icc_profile"))


def _frame(image: PosedImage, applied_44: np.ndarray) -> dict[str, Any]:
    camera = image.known_camera
    return {
        "file_path": f"images/{image.name}",
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "k1": camera.k1,
        "k2": camera.k2,
        "p1": 0.0,
        "p2": 0.0,
        "transform_matrix": (applied_44 @ image.pose.T_wc @ _OPENGL).tolist(),
    }
