"""Recordings of the Record3D app: a `.r3d` file, or the folder that is unpacked of it.

An archive of `metadata` (JSON: size, intrinsics, poses) and `rgbd/N.jpg`, `rgbd/N.depth` (float32 metres) and
`rgbd/N.conf` (0, 1, 2), the last two packed with LZFSE. Poses are camera to world, OpenGL's axes, of the images as they
are stored, upright or across.
"""

from __future__ import annotations

import contextlib
import logging
import lzma
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose
from transpose.scenes.files import is_depth
from transpose.scenes.lzfse import unpacked_lzfse
from transpose.scenes.setup.handheld import (
    UP,
    apart,
    lidar_depth,
    pose_of_arkit,
    rotation_of_xyzw,
    size_of,
    stepped,
    unpacked_images,
)
from transpose.scenes.setup.photo_files import listed
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, write_posed_photos
from transpose.storage import parsed_json, replacing_file
from transpose.untrusted.packed import members_within
from transpose.untrusted.values import BAD_VALUES

log = logging.getLogger(__name__)
_METADATA = "metadata"
# What archives raise that are damaged, encrypted, or packed in ways that are not known here.
_UNREADABLE = (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError)
_LARGEST_BYTES = 1 << 28  # of one file in the archive; what is larger was made to fill the memory


class _Recording:
    """The files of a recording, by their names in the archive."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self._archive: zipfile.ZipFile | None = None
        if source.is_dir():
            self.names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
            return
        try:
            self._archive = zipfile.ZipFile(source)
            self.names = {member.filename for member in members_within(self._archive, source.stat().st_size)}
        except FileNotFoundError:
            raise TransposeError(f"{source} does not exist") from None
        except (*_UNREADABLE, *BAD_VALUES) as error:
            raise TransposeError(f"{source} is not a .r3d file, which is a zip archive ({error})") from None

    def close(self) -> None:
        """Lets go of the archive."""
        if self._archive is not None:
            self._archive.close()

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            TransposeError: it is not there, broken, or larger than such a file can be.
        """
        if name not in self.names:
            raise TransposeError(f"{self.source} holds no {name}; is it a recording of Record3D?")
        try:
            if self._archive is None:
                return (self.source / name).read_bytes()
            if self._archive.getinfo(name).file_size > _LARGEST_BYTES:
                raise TransposeError(f"{name} of {self.source} is larger than {_LARGEST_BYTES >> 20} MiB")
            return self._archive.read(name)
        except (*_UNREADABLE, *BAD_VALUES) as error:
            raise TransposeError(f"{name} of {self.source} cannot be read ({error})") from None


@dataclass(frozen=True)
class _Metadata:
    """What `metadata` says: a lens and a pose for each frame, and the size of depth images, width first."""

    lenses: list[Lens]
    poses: list[Pose]
    depth_size: tuple[int, int] | None


def setup_record3d(
    source: Path,
    out: Path,
    section: str = "train",
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
    every: int | None = None,
) -> list[Path]:
    """Sets up a section of a recording.

    Args:
        source: a `.r3d` file, or its folder.
        out: the scene folder.
        section: the section's name.
        list_file: the frames of the section, by number.
        progress: wraps the photos as they are worked through.
        every: each so manieth frame; without it and a list, those between which the camera has moved or turned.

    Raises:
        TransposeError: it is no such recording, or a file of it is broken.
        MissingPackageError: its depth is packed and lzfse is not installed.
    """
    plan = {"setup": "record3d", "source": str(source)}
    facts = {"source": f"record3d:{source.resolve().name}", "poses": "ARKit"}
    with contextlib.closing(_Recording(source)) as recording, unpacked_images(out, section, source) as folder:
        said = _metadata(recording)
        numbers: Sequence[int] = range(len(said.poses))
        if list_file is None and every is None:
            numbers = apart(said.poses)
        photos = [_photo(recording, said, number, folder) for number in numbers]
        photos = stepped(listed(photos, list_file), every)
        if bare := sum(photo.depth is None for photo in photos):
            log.warning("%d of %d frames of %s have no depth", bare, len(photos), section)
        for photo in photos:
            if not photo.image.exists():
                with replacing_file(photo.image) as temporary:
                    temporary.write_bytes(recording.read(f"rgbd/{int(photo.stem)}.jpg"))
        return [write_posed_photos(photos, out, section, plan, facts, progress, depth_as_png=True, up=UP)]


def _metadata(recording: _Recording) -> _Metadata:
    where = f"{_METADATA} of {recording.source}"
    content = parsed_json(recording.read(_METADATA).decode("utf-8", "replace"), where)
    try:
        width, height = int(content["w"]), int(content["h"])
        poses_n7 = np.array(content["poses"], np.float64).reshape(-1, 7)
        if not len(poses_n7):
            raise ValueError("it holds no poses; record with the LiDAR sensor")
        # Column by column.
        fx, _, _, _, fy, _, cx, cy, _ = np.array(content["K"], np.float64).reshape(9).tolist()
        own = content.get("perFrameIntrinsicCoeffs") or [[fx, fy, cx, cy]] * len(poses_n7)
        if len(own) != len(poses_n7):
            raise ValueError(f"it holds {len(poses_n7)} poses and intrinsics of {len(own)} frames")
        lenses = [Lens(width, height, *map(float, each[:4])) for each in own]
        poses = [pose_of_arkit(compose(rotation_of_xyzw(row[:4]), row[4:])) for row in poses_n7]
        return _Metadata(lenses, poses, _depth_size(content))
    except BAD_VALUES as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise TransposeError(f"{where} is not understood: {what}") from None


def _depth_size(content: dict[str, Any]) -> tuple[int, int] | None:
    return (int(content["dw"]), int(content["dh"])) if content.get("dw") and content.get("dh") else None


def _photo(recording: _Recording, said: _Metadata, number: int, folder: Path) -> PosedPhoto:
    name, lens = f"{number:06d}.jpg", said.lenses[number]
    photo = PosedPhoto(name, folder / name, lens, said.poses[number])
    if said.depth_size is None or f"rgbd/{number}.depth" not in recording.names:
        return photo
    return replace(photo, depth=partial(_depth, recording, number, said.depth_size, photo))


def _depth(recording: _Recording, number: int, size: tuple[int, int], photo: PosedPhoto) -> np.ndarray:
    depth_hw = _unpacked(recording, f"rgbd/{number}.depth", size, np.dtype("<f4"))
    sure = f"rgbd/{number}.conf"
    sure_hw = _unpacked(recording, sure, size, np.dtype(np.uint8)) if sure in recording.names else None
    depth_hw = np.where(is_depth(depth_hw), depth_hw, np.float32(np.nan))
    return lidar_depth(depth_hw, sure_hw, *size_of(photo.image, photo.lens))


def _unpacked(recording: _Recording, name: str, size: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    width, height = size
    try:
        data = unpacked_lzfse(recording.read(name), width * height * dtype.itemsize)
    except ValueError as error:
        raise TransposeError(f"{name} of {recording.source}: {error}") from None
    return np.frombuffer(data, dtype).reshape(height, width)
