"""COLMAP's sparse models, text and binary: cameras, images, points."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError, first_few
from transpose.geometry.camera_models import MODELS, projection_of
from transpose.geometry.poses import Pose, compose, invert, rotation_from_quaternion
from transpose.geometry.projection import Projection
from transpose.scenes.setup.colmap_text import RawCamera, RawImage, RawModel, read_text_model
from transpose.scenes.setup.photo_files import plain_name
from transpose.storage import read_text, refuse_pointer

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

# Where models are in a project of COLMAP's, of Nerfstudio's and of gaussian splatting.
_PLACES = (
    "sparse",
    "colmap/sparse",
    "colmap",
    "dense/sparse",
    "dense/0/sparse",
    "distorted/sparse",
    "undistorted/sparse",
)
# Files of other programs, and what makes a model of them.
_OTHERS = {
    "transforms*.json": "for: transpose setup nerfstudio",
    "poses.json": "for: transpose setup photos",
    "database.db": "COLMAP's database, of matches alone; make a model of it: colmap mapper",
    "*.psx": "Metashape's project; export its cameras as COLMAP (File > Export > Export Cameras)",
    "cameras.xml": "of Metashape; export its cameras as COLMAP (File > Export > Export Cameras)",
    "*.rcproj": "RealityCapture's project; export its registration as COLMAP",
    "*.rsproj": "RealityScan's project; export its registration as COLMAP",
    "sfm_data.*": "of OpenMVG; convert it: openMVG_main_openMVG2Colmap",
    "reconstruction.json": "of OpenSfM; convert it: bin/opensfm export_colmap",
    "*.sfm": "of AliceVision; convert it: aliceVision_exportColmap",
    "*.nvm": "of VisualSFM; write a poses.json of it, for: transpose setup photos",
    "bundle*.out": "of Bundler; write a poses.json of it, for: transpose setup photos",
}
_LEAST_NORM = 0.5  # of a quaternion


@dataclass(frozen=True)
class ColmapImage:
    """A registered image: its pose (camera to world), its camera's id, and the ids of the points seen in it."""

    name: str
    camera_id: int
    pose: Pose
    point_ids_m: np.ndarray


@dataclass(frozen=True)
class ColmapModel:
    """A sparse model; `points_n3` in the order of `point_ids_n`, which ascend.

    `folder` holds its files; `cameras` are those that images use.
    """

    folder: Path
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
    """The sparse model in a folder (`find_model`); binary files where both kinds are there.

    Images without a pose are left out with a warning. Cameras that no image uses may be of any model.

    Raises:
        TransposeError: there is none, a file is truncated or broken, or a camera model is not supported.
    """
    folder = find_model(folder)
    binary = _ending(folder) == ".bin"
    points = folder / f"points3D{_ending(folder)}"
    if not points.is_file():
        log.warning("%s is not there: the photos get poses, but no points for labels", points)
    return _checked(folder, _binary(folder) if binary else read_text_model(folder))


def find_model(folder: Path) -> Path:
    """The folder of the sparse model in a project: itself, or one where COLMAP and its users put models.

    Of several (`sparse/0`, `sparse/1`, ...) it is the one with most images, and a warning says so.

    Raises:
        TransposeError: there is none.
    """
    if _ending(folder):
        return folder
    for place in (*_PLACES, ""):
        base = folder / place
        numbered = [each for each in base.iterdir() if each.name.isdigit() and _ending(each)] if base.is_dir() else []
        if numbered:
            return _largest(sorted(numbered, key=lambda each: int(each.name)))
        if _ending(base):
            return base
    raise TransposeError(
        f"{folder} holds no COLMAP model (cameras and images, .bin or .txt, also in sparse/0){_instead(folder)}"
    )


def _instead(folder: Path) -> str:
    """What to do about what a folder holds instead."""
    for pattern, remedy in _OTHERS.items():
        if found := next(iter(sorted(folder.glob(pattern))), None):
            return f"; {found.name} is {remedy}"
    return ""


def _largest(folders: list[Path]) -> Path:
    if len(folders) == 1:
        return folders[0]
    counts = {folder: _count(folder) for folder in folders}
    largest = max(folders, key=counts.__getitem__)
    others = ", ".join(f"{folder.name} with {counts[folder]}" for folder in folders if folder != largest)
    log.warning(
        "%s: the model with most images is taken, %s with %d; there are others too (%s): --source %s takes one of them",
        *(largest.parent, largest.name, counts[largest], others, largest.parent / "N"),
    )
    return largest


def _count(folder: Path) -> int:
    """How many images a model has, as far as its size says so."""
    if _ending(folder) == ".bin":
        with (folder / "images.bin").open("rb") as file:
            return int.from_bytes(file.read(8), "little")
    lines = read_text(folder / "images.txt", "replace").splitlines()
    return sum(not line.startswith("#") for line in lines) // 2


def _ending(folder: Path) -> str | None:
    """Of the files of the model in a folder; None where there is none."""
    files = ((ending, folder / f"cameras{ending}", folder / f"images{ending}") for ending in (".bin", ".txt"))
    return next((ending for ending, cameras, images in files if cameras.is_file() and images.is_file()), None)


def _lens(path: Path, model: str, parameters: list[float], width: int, height: int) -> Projection:
    try:
        return projection_of(model, parameters, width, height)
    except (ValueError, OverflowError) as error:
        hint = "; undistort with `colmap image_undistorter` first" if model not in MODELS else ""
        raise TransposeError(f"{path}: {error}{hint}") from None


class _Bytes:
    """A binary file read in order; little-endian, as COLMAP writes it."""

    def __init__(self, path: Path) -> None:
        refuse_pointer(path)
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


def _binary(folder: Path) -> RawModel:
    file = _Bytes(folder / "cameras.bin")
    cameras = {}
    for _ in range(int(file.take("Q")[0])):
        id_, model, width, height = (int(value) for value in file.take("iiQQ"))
        if model not in _BINARY_MODELS:
            raise TransposeError(
                f"{file.path} has a camera of the unknown model number {model}; "
                "undistort with `colmap image_undistorter` first"
            )
        name = _BINARY_MODELS[model]
        values = [float(v) for v in file.take(f"{len(MODELS[name])}d")]
        cameras[id_] = RawCamera(name, values, width, height)
    file = _Bytes(folder / "images.bin")
    images = []
    seen = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
    for _ in range(int(file.take("Q")[0])):
        _, *numbers, camera_id = file.take("i7di")
        name = file.name()
        ids_m = file.records(seen, int(file.take("Q")[0]))["point"].copy()
        images.append(RawImage(name, int(camera_id), np.array(numbers, np.float64), ids_m))
    ids, points = [], []
    if (folder / "points3D.bin").is_file():
        file = _Bytes(folder / "points3D.bin")
        track = np.dtype("<i4")
        for _ in range(int(file.take("Q")[0])):
            point = file.take("Q3d3Bd")
            file.records(track, 2 * int(file.take("Q")[0]))
            ids.append(int(point[0]))
            points.append(point[1:4])
    return RawModel(
        cameras, images, np.array(ids, np.uint64).astype(np.int64), np.array(points, np.float64).reshape(-1, 3)
    )


def _checked(folder: Path, raw: RawModel) -> ColmapModel:
    if not raw.images:
        raise TransposeError(f"the COLMAP model in {folder} has no registered images")
    posed = [(image, pose) for image in raw.images if (pose := _pose(image.quaternion_translation_7)) is not None]
    if not posed:
        raise TransposeError(f"{folder}: the poses of all images are none (NaN, or no quaternion)")
    if lost := {image.name for image in raw.images} - {image.name for image, _ in posed}:
        names = first_few(sorted(lost))
        log.warning("%s: %d of %d images have no pose and are left out: %s", folder, len(lost), len(raw.images), names)
    used = {image.camera_id for image, _ in posed}
    if lacking := sorted(used - raw.cameras.keys()):
        raise TransposeError(f"images of the COLMAP model in {folder} name the camera {lacking[0]}, which it lacks")
    path = folder / f"cameras{_ending(folder)}"
    cameras = {
        id_: _lens(path, c.model, c.parameters, c.width, c.height) for id_, c in raw.cameras.items() if id_ in used
    }
    images = [ColmapImage(plain_name(image.name), image.camera_id, pose, image.point_ids_m) for image, pose in posed]
    order = np.argsort(raw.point_ids_n, kind="stable")
    images.sort(key=lambda image: image.name)
    return ColmapModel(folder, cameras, images, raw.point_ids_n[order], raw.points_n3[order])


def _pose(quaternion_translation_7: np.ndarray) -> Pose | None:
    """Camera to world; None of an image that was not registered."""
    quaternion_4, translation_3 = quaternion_translation_7[:4], quaternion_translation_7[4:]
    if not np.isfinite(quaternion_translation_7).all() or np.linalg.norm(quaternion_4) < _LEAST_NORM:
        return None
    return Pose(invert(compose(rotation_from_quaternion(quaternion_4), translation_3)))
