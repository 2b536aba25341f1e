"""COLMAP's sparse models, text and binary: cameras, images, points."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.camera_models import MODELS, projection_of
from transpose.geometry.poses import Pose, compose, invert, rotation_from_quaternion
from transpose.geometry.projection import Projection

log = logging.getLogger(__name__)

# COLMAP's ids of camera models; each has as many parameters as it has names in `MODELS`.
_BINARY_MODELS = {
    0: "SIMPLE_PINHOLE",
    1: "PINHOLE",
    2: "SIMPLE_RADIAL",
    3: "RADIAL",
    4: "OPENCV",
    5: "OPENCV_FISHEYE",
    6: "FULL_OPENCV",
    7: "FOV",
    8: "SIMPLE_RADIAL_FISHEYE",
    9: "RADIAL_FISHEYE",
    10: "THIN_PRISM_FISHEYE",
    11: "RAD_TAN_THIN_PRISM_FISHEYE",
    12: "SIMPLE_DIVISION",
    13: "DIVISION",
}


@dataclass(frozen=True)
class ColmapImage:
    """A registered image: its pose (camera to world), its camera's id, and the ids of the points seen in it."""

    name: str
    camera_id: int
    pose: Pose
    point_ids_m: np.ndarray


@dataclass(frozen=True)
class ColmapModel:
    """A sparse model; `points_n3` in the order of `point_ids_n`, which ascend."""

    cameras: dict[int, Projection]
    images: list[ColmapImage]
    point_ids_n: np.ndarray
    points_n3: np.ndarray

    def seen_in(self, image: ColmapImage) -> np.ndarray:
        """World points (m, 3) that the model says an image shows."""
        wanted_m = image.point_ids_m[image.point_ids_m >= 0]
        place_m = np.searchsorted(self.point_ids_n, wanted_m).clip(0, max(0, len(self.point_ids_n) - 1))
        if len(self.point_ids_n) == 0:
            return np.zeros((0, 3))
        return self.points_n3[place_m[self.point_ids_n[place_m] == wanted_m]]


def read_model(folder: Path) -> ColmapModel:
    """The sparse model in a folder, or in its `sparse/0`, `sparse` or `0`; binary files where both kinds are there.

    Raises:
        TransposeError: there is none, a file is truncated or broken, or a camera model is not supported.
    """
    for each in (folder, folder / "sparse" / "0", folder / "sparse", folder / "0"):
        for ending, read in ((".bin", _binary), (".txt", _text)):
            if (each / f"cameras{ending}").is_file() and (each / f"images{ending}").is_file():
                if each.name == "0" and (others := sorted(p.name for p in each.parent.glob("[1-9]*") if p.is_dir())):
                    some = ", ".join(others)
                    log.warning("%s holds other models too (%s); give its folder to set one up", each.parent, some)
                return read(each)
    raise TransposeError(f"{folder} holds no COLMAP model (cameras and images, .bin or .txt, also in sparse/0)")


def _lens(path: Path, model: str, parameters: list[float], width: int, height: int) -> Projection:
    try:
        return projection_of(model, parameters, width, height)
    except ValueError as error:
        hint = "; undistort with `colmap image_undistorter` first" if model not in MODELS else ""
        raise TransposeError(f"{path}: {error}{hint}") from None


def _pose(path: Path, name: str, quaternion_4: list[float], translation_3: list[float]) -> Pose:
    values = np.array([*quaternion_4, *translation_3])
    if not np.isfinite(values).all() or np.linalg.norm(values[:4]) < 0.5:
        raise TransposeError(f"{path}: the pose of {name} is none (NaN, or no quaternion)")
    return Pose(invert(compose(rotation_from_quaternion(values[:4]), values[4:])))


def _text(folder: Path) -> ColmapModel:
    cameras, images = {}, []
    path = folder / "cameras.txt"
    for number, line in _lines(path, keep_empty=False):
        words = line.split()
        try:
            values = [float(word) for word in words[4:]]
            cameras[int(words[0])] = _lens(path, words[1], values, int(words[2]), int(words[3]))
        except (ValueError, IndexError):
            raise TransposeError(f"{path}, line {number}: expected `id model width height parameters...`") from None
    path = folder / "images.txt"
    lines = _lines(path, keep_empty=True)
    for number, line in lines:
        if not (words := line.split()):
            continue  # only the second line of an image may be empty and mean something: that nothing is seen in it
        _, seen = next(lines, (0, ""))
        try:
            numbers = [float(word) for word in words[1:8]]
            camera_id, name = int(words[8]), " ".join(words[9:])
            ids_m = np.array([int(word) for word in seen.split()[2::3]], np.int64)
            if not name or len(numbers) < 7:
                raise ValueError
        except (ValueError, IndexError):
            raise TransposeError(f"{path}, line {number}: expected `id qw qx qy qz tx ty tz camera name`") from None
        images.append(ColmapImage(name, camera_id, _pose(path, name, numbers[:4], numbers[4:]), ids_m))
    ids, points = [], []
    path = folder / "points3D.txt"
    for number, line in _lines(path, keep_empty=False) if path.is_file() else []:
        words = line.split()
        try:
            ids.append(int(words[0]))
            points.append([float(word) for word in words[1:4]])
        except (ValueError, IndexError):
            raise TransposeError(f"{path}, line {number}: expected `id x y z r g b error track...`") from None
    return _joined(folder, cameras, images, np.array(ids, np.int64), np.array(points, np.float64).reshape(-1, 3))


def _lines(path: Path, keep_empty: bool) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.startswith("#") and (keep_empty or line.strip()):
            yield number, line


class _Bytes:
    """A binary file read in order; little-endian, as COLMAP writes it."""

    def __init__(self, path: Path) -> None:
        self.path, self._data, self._at = path, path.read_bytes(), 0

    def take(self, form: str) -> tuple[int | float, ...]:
        size = struct.calcsize("<" + form)
        self._need(size)
        values = struct.unpack_from("<" + form, self._data, self._at)
        self._at += size
        return values

    def records(self, dtype: np.dtype, count: int) -> np.ndarray:
        self._need(dtype.itemsize * count)
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += dtype.itemsize * count
        return values

    def name(self) -> str:
        end = self._data.find(b"\0", self._at)
        self._need((end if end >= 0 else len(self._data) + 1) - self._at)
        text = self._data[self._at : end].decode(errors="replace")
        self._at = end + 1
        return text

    def _need(self, size: int) -> None:
        if size < 0 or self._at + size > len(self._data):
            raise TransposeError(f"{self.path} is truncated or no COLMAP file")


def _binary(folder: Path) -> ColmapModel:
    file = _Bytes(folder / "cameras.bin")
    cameras = {}
    for _ in range(int(file.take("Q")[0])):
        id_, model, width, height = (int(value) for value in file.take("iiQQ"))
        if model not in _BINARY_MODELS:
            raise TransposeError(f"{file.path} has a camera of the unknown model number {model}")
        name = _BINARY_MODELS[model]
        values = [float(v) for v in file.take(f"{len(MODELS[name])}d")]
        cameras[id_] = _lens(file.path, name, values, width, height)
    file = _Bytes(folder / "images.bin")
    images = []
    seen = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
    for _ in range(int(file.take("Q")[0])):
        _, *numbers, camera_id = file.take("i7di")
        name = file.name()
        ids_m = file.records(seen, int(file.take("Q")[0]))["point"].copy()
        values = [float(value) for value in numbers]
        images.append(ColmapImage(name, int(camera_id), _pose(file.path, name, values[:4], values[4:]), ids_m))
    ids, points = [], []
    if (folder / "points3D.bin").is_file():
        file = _Bytes(folder / "points3D.bin")
        track = np.dtype("<i4")
        for _ in range(int(file.take("Q")[0])):
            point = file.take("Q3d3Bd")
            file.records(track, 2 * int(file.take("Q")[0]))
            ids.append(int(point[0]))
            points.append(point[1:4])
    return _joined(folder, cameras, images, np.array(ids, np.int64), np.array(points, np.float64).reshape(-1, 3))


def _joined(
    folder: Path, cameras: dict[int, Projection], images: list[ColmapImage], ids_n: np.ndarray, points_n3: np.ndarray
) -> ColmapModel:
    if not images:
        raise TransposeError(f"the COLMAP model in {folder} has no registered images")
    if lost := sorted({image.camera_id for image in images} - cameras.keys()):
        raise TransposeError(f"images of the COLMAP model in {folder} name the camera {lost[0]}, which it lacks")
    order = np.argsort(ids_n, kind="stable")
    return ColmapModel(cameras, sorted(images, key=lambda image: image.name), ids_n[order], points_n3[order])
