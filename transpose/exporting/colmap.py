"""COLMAP's sparse models, as text and as binary files (colmap.github.io/format.html).

Both count the first pixel's centre as (0.5, 0.5), as everything here does, and both keep world-to-camera poses. COLMAP
counts pixels as files store them, whatever EXIF says of up.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.exporting.estimates import PosedImage
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, quaternion_wxyz
from transpose.geometry.turning import turn, turned_camera
from transpose.scenes.image_files import read_header

_MODEL_IDS = {"PINHOLE": 1, "OPENCV": 4}
_GREY = 128  # points come without colour
_UNKNOWN_ERROR = -1.0
# By how many quarters `numpy.rot90` turns an upright photo to how it is stored, by EXIF's orientation; the others are
# mirrored.
_QUARTERS_TO_STORED = {1: 0, 3: 2, 6: 1, 8: 3}


def in_stored_pixels(images: Sequence[PosedImage]) -> list[PosedImage]:
    """The images with camera and pose of the pixels that their files store, where EXIF turns them.

    Mirrored ones are left out, since no pose describes them. Without its file an image stays as it is.

    Args:
        images: with poses; what comes back of a turned one is without covariance, which COLMAP has no place for.
    """
    stored = []
    for image in images:
        quarters = _QUARTERS_TO_STORED.get(_orientation(image.path))
        if quarters is None:
            continue
        if quarters:
            camera, pose = turned_camera(image.known_camera, quarters), Pose(image.pose.T_wc @ turn(quarters))
            image = replace(image, camera=camera, pose=pose, covariance_66=None)
        stored.append(image)
    return stored


def _orientation(path: Path) -> int:
    """EXIF's, 1 to 8; 1 of a photo that is not there, or cannot be read any more."""
    try:
        return read_header(path).orientation
    except TransposeError:
        return 1


def write_colmap_text(folder: Path, images: Sequence[PosedImage], points_n3: np.ndarray) -> None:
    """Writes `cameras.txt`, `images.txt` and `points3D.txt`.

    Args:
        folder: that exists.
        images: with poses.
        points_n3: of the map, in the frame of the poses; which image shows which is not known.
    """
    cameras = _numbered_cameras(images)
    lines = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"]
    for camera, number in cameras.items():
        model, parameters = _model(camera)
        lines.append(f"{number} {model} {camera.width} {camera.height} {_text(parameters)}")
    _write(folder / "cameras.txt", lines)
    lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of POINTS2D[] (none)"]
    for number, image in enumerate(images, 1):
        lines += [f"{number} {_text(_world_to_camera(image))} {cameras[image.known_camera]} {image.name}", ""]
    _write(folder / "images.txt", lines)
    lines = ["# POINT3D_ID X Y Z R G B ERROR TRACK[]"]
    lines += [f"{i} {_text(xyz)} {_GREY} {_GREY} {_GREY} {_UNKNOWN_ERROR:g}" for i, xyz in enumerate(points_n3, 1)]
    _write(folder / "points3D.txt", lines)


def write_colmap_binary(folder: Path, images: Sequence[PosedImage], points_n3: np.ndarray) -> None:
    """As `write_colmap_text`, `cameras.bin`, `images.bin` and `points3D.bin`."""
    cameras = _numbered_cameras(images)
    out = [struct.pack("<Q", len(cameras))]
    for camera, number in cameras.items():
        model, parameters = _model(camera)
        out.append(struct.pack("<iiQQ", number, _MODEL_IDS[model], camera.width, camera.height))
        out.append(np.array(parameters, "<f8").tobytes())
    (folder / "cameras.bin").write_bytes(b"".join(out))
    out = [struct.pack("<Q", len(images))]
    for number, image in enumerate(images, 1):
        out.append(struct.pack("<I7dI", number, *_world_to_camera(image), cameras[image.known_camera]))
        out.append(image.name.encode() + b"\0" + struct.pack("<Q", 0))
    (folder / "images.bin").write_bytes(b"".join(out))
    form = [("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("track", "<u8")]
    records = np.zeros(len(points_n3), form)
    records["id"], records["xyz"] = np.arange(1, len(points_n3) + 1), points_n3
    records["rgb"], records["error"] = _GREY, _UNKNOWN_ERROR
    (folder / "points3D.bin").write_bytes(struct.pack("<Q", len(records)) + records.tobytes())


def _numbered_cameras(images: Sequence[PosedImage]) -> dict[Camera, int]:
    cameras: dict[Camera, int] = {}
    for image in images:
        cameras.setdefault(image.known_camera, len(cameras) + 1)
    return cameras


def _model(camera: Camera) -> tuple[str, tuple[float, ...]]:
    """COLMAP's RADIAL has one focal length; OPENCV without tangential distortion is ours."""
    place = camera.fx, camera.fy, camera.cx, camera.cy
    if camera.k1 == 0 and camera.k2 == 0:
        return "PINHOLE", place
    return "OPENCV", (*place, camera.k1, camera.k2, 0.0, 0.0)


def _world_to_camera(image: PosedImage) -> np.ndarray:
    T_cw = image.pose.T_cw
    return np.concatenate([quaternion_wxyz(T_cw[:3, :3]), T_cw[:3, 3]])


def _text(values: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{float(value):.17g}" for value in values)


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
