"""COLMAP's sparse models, as text and as binary files (colmap.github.io/format.html).

Both count the first pixel's centre as (0.5, 0.5), as everything here does, and both keep world-to-camera poses.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transpose.exporting.estimates import PosedImage
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import quaternion_wxyz

_MODEL_IDS = {"PINHOLE": 1, "OPENCV": 4}
_GREY = 128  # points come without colour
_UNKNOWN_ERROR = -1.0


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
