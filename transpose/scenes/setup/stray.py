"""Recordings of the Stray Scanner app (iPhone and iPad with LiDAR): a video, poses by frame, depth and confidence.

`rgb.mp4`, `odometry.csv`, `camera_matrix.csv`, `depth/NNNNNN.png` in millimetres and `confidence/NNNNNN.png`. Poses are
camera to world with OpenCV's camera axes, in metres; the world's y points up.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose
from transpose.scenes import files
from transpose.scenes.setup.handheld import (
    UP,
    apart,
    lidar_depth,
    read_confidence,
    rotation_of_xyzw,
    stepped,
    unpacked_images,
)
from transpose.scenes.setup.photo_files import listed
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.scenes.setup.upright import upright
from transpose.scenes.video import VideoFacts, video_facts, video_frames
from transpose.storage import read_text
from transpose.untrusted.values import BAD_VALUES

log = logging.getLogger(__name__)
_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
_LENS = ("fx", "fy", "cx", "cy")
_JPEG_QUALITY = 95
_MOST_FRAMES = 10_000_000  # two days at 60 a second


@dataclass(frozen=True)
class _Row:
    """A frame of odometry.csv: its number in the video, and its own intrinsics where the app wrote them."""

    number: int
    pose: Pose
    lens: tuple[float, ...] | None

    @property
    def name(self) -> str:
        return f"{self.number:06d}.jpg"

    @property
    def image(self) -> Path:
        return Path(self.name)


def setup_stray(
    source: Path,
    out: Path,
    section: str = "train",
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
    every: int | None = None,
) -> list[Path]:
    """Sets up a section of a recording.

    Args:
        source: its folder.
        out: the scene folder.
        section: the section's name.
        list_file: the frames of the section, such as `000012`.
        progress: wraps the photos as they are worked through.
        every: each so manieth frame; without it and a list, those between which the camera has moved or turned.

    Raises:
        TransposeError: a file is missing or broken.
    """
    if not source.is_dir():
        raise TransposeError(f"{source} is not a folder; unpack the recording first")
    rows = _odometry(source / "odometry.csv")
    if list_file is not None:
        rows = sorted(listed(rows, list_file), key=lambda row: row.number)
    elif every is None:
        rows = [rows[i] for i in apart([row.pose for row in rows])]
    rows = stepped(rows, every)
    facts = video_facts(source / "rgb.mp4")
    lens = _lens(source / "camera_matrix.csv", facts)
    plan = {"setup": "stray", "source": str(source)}
    said = {"source": f"stray:{source.resolve().name}", "poses": "ARKit"}
    with unpacked_images(out, section, source / "rgb.mp4") as folder:
        rows = _with_images(source / "rgb.mp4", rows, folder)
        photos = [_photo(source, row, lens, folder) for row in rows]
        if bare := sum(photo.depth is None for photo in photos):
            log.warning("%d of %d frames of %s have no depth image", bare, len(photos), section)
        photos = upright(photos, folder)
        return [write_posed_photos(photos, out, section, plan, said, progress, depth_as_png=True, up=UP)]


def _odometry(path: Path) -> list[_Row]:
    """The frames, rising; by the names in the first line, or x y z qx qy qz qw without one, as early versions wrote."""
    table = [[word.strip() for word in line.split(",")] for line in read_text(path).splitlines() if line.strip()]
    names = list(_POSE)
    if table and not _is_number(table[0][0]):
        names = table.pop(0)
    if lacking := [name for name in _POSE if name not in names]:
        raise TransposeError(f"{path} lacks the columns {', '.join(lacking)}; is it the odometry of Stray Scanner?")
    rows = {}
    for index, words in enumerate(table):
        try:
            values = dict(zip(names, map(float, words), strict=True))
            pose_7 = np.array([values[name] for name in _POSE])
            pose = Pose(compose(rotation_of_xyzw(pose_7[3:]), pose_7[:3]))
            number = int(values.get("frame", index))
            if not 0 <= number < _MOST_FRAMES:
                raise ValueError(f"its number is {number}")
        except BAD_VALUES as error:
            raise TransposeError(f"{path}, frame {index}: {error}") from None
        lens = tuple(values[name] for name in _LENS) if set(_LENS) <= values.keys() else None
        rows[number] = _Row(number, pose, lens)
    if not rows:
        raise TransposeError(f"{path} holds no frames")
    return [rows[number] for number in sorted(rows)]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _lens(path: Path, facts: VideoFacts) -> Lens:
    """The camera of all frames; its principal point is continuous, counted from the corner of the image."""
    K_33 = files.read_numbers(path)
    try:
        if K_33.shape != (3, 3):
            raise ValueError(f"it has {K_33.shape[0]} rows of {K_33.shape[1]} numbers, not 3 of 3")
        return Lens(facts.width, facts.height, K_33[0, 0], K_33[1, 1], K_33[0, 2], K_33[1, 2])
    except ValueError as error:
        raise TransposeError(f"{path} is not a camera matrix: {error}") from None


def _with_images(video: Path, rows: list[_Row], folder: Path) -> list[_Row]:
    """The rows whose images are in the video, which are written to the folder."""
    lacking = [row.number for row in rows if not (folder / row.name).exists()]
    for number, image_hw3 in video_frames(video, lacking):
        files.write_image(folder / f"{number:06d}.jpg", image_hw3, _JPEG_QUALITY)
    found = [row for row in rows if (folder / row.name).exists()]
    if not found:
        raise TransposeError(f"{video} holds none of the frames of odometry.csv; is it whole?")
    if missing := len(rows) - len(found):
        log.warning("%s ends early: %d of %d frames are not in it and are left out", video, missing, len(rows))
    return found


def _photo(source: Path, row: _Row, lens: Lens, folder: Path) -> PosedPhoto:
    if row.lens is not None:
        lens = Lens(lens.width, lens.height, *row.lens)
    stem = f"{row.number:06d}"
    path = next((path for e in (".png", ".npy") if (path := source / "depth" / f"{stem}{e}").is_file()), None)
    confidence = source / "confidence" / f"{stem}.png"
    depth = None if path is None else partial(_depth, path, confidence if confidence.is_file() else None, lens)
    return PosedPhoto(row.name, folder / row.name, lens, row.pose, depth=depth)


def _depth(path: Path, confidence: Path | None, lens: Lens) -> np.ndarray:
    if path.suffix == ".npy":
        depth_hw = files.read_array(path) / np.float32(1000)
        depth_hw = np.where(files.is_depth(depth_hw), depth_hw, np.float32(np.nan))
    else:
        depth_hw = files.read_depth(path)
    try:
        return lidar_depth(
            depth_hw, None if confidence is None else read_confidence(confidence), lens.width, lens.height
        )
    except ValueError as error:
        raise TransposeError(f"{path}: {error}") from None
