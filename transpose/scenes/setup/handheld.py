"""What recordings of phones have in common: ARKit's axes, many frames of one place, small depth images."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.poses import Pose, compose, pose_error, project_to_rotation, rigid_defect
from transpose.geometry.projection import Projection
from transpose.ownership import sole_writer
from transpose.scenes import files
from transpose.scenes.labels import depth_at
from transpose.untrusted.images import MOST_PIXELS

T = TypeVar("T")
# ARKit's world has y up, against gravity.
UP = (0.0, 1.0, 0.0)
# ARKit's cameras look along -z with y up, as OpenGL's.
_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
# A frame is worth keeping where the camera has moved or turned by so much since the last one.
APART_M, APART_DEG = 0.05, 5.0
_STRIP = 256  # rows of a photo whose depth is found at once


def pose_of_arkit(T_wc: np.ndarray) -> Pose:
    """The pose of a camera whose transform (4, 4) is ARKit's: camera to world, x right, y up, z backwards, metres.

    Raises:
        ValueError: it is not rigid.
    """
    if (defect := rigid_defect(T_wc)) is not None:
        raise ValueError(f"its pose is not rigid: {defect}")
    T_wc = T_wc @ _OPENGL
    return Pose(compose(project_to_rotation(T_wc[:3, :3]), T_wc[:3, 3]))


def rotation_of_xyzw(quaternion_4: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) of a quaternion x, y, z, w.

    Raises:
        ValueError: its length is not about 1.
    """
    from scipy.spatial.transform import Rotation

    if not abs(np.linalg.norm(quaternion_4) - 1) < 0.05:
        raise ValueError(f"{quaternion_4.tolist()} is not the quaternion of a rotation")
    return Rotation.from_quat(quaternion_4).as_matrix()


def stepped(frames: Sequence[T], every: int | None) -> list[T]:
    """Each `every`-th frame, from the first on; None: all.

    Raises:
        TransposeError: `every` is no number of frames.
    """
    if every is not None and every < 1:
        raise TransposeError(f"--every is a number of frames, 1 or more, not {every}")
    return list(frames[:: every or 1])


def apart(poses: Sequence[Pose]) -> list[int]:
    """Which frames of a recording show something new: those between which the camera has moved or turned.

    Phones record up to 60 frames a second, of which neighbours show the same.
    """
    kept: list[int] = []
    for number, pose in enumerate(poses):
        turned_deg, moved_m = pose_error(pose, poses[kept[-1]]) if kept else (np.inf, np.inf)
        if turned_deg >= APART_DEG or moved_m >= APART_M:
            kept.append(number)
    return kept


def lidar_depth(depth_hw: np.ndarray, confidence_hw: np.ndarray | None, width: int, height: int) -> np.ndarray:
    """Depth at the resolution of the photo, (height, width) float32 metres, NaN where unknown.

    ARKit's depth image shows what the photo shows at a seventh of its resolution. Between its pixels depth is
    interpolated where neighbours are of one surface, and unknown elsewhere.

    Args:
        depth_hw: metres along z, NaN unknown.
        confidence_hw: 0 where the phone itself holds depth for unreliable, which is left out; None: nothing is said.
        width, height: of the photo.

    Raises:
        ValueError: confidence is of another size than depth, or the photo of a size that none has.
    """
    if not 0 < width * height <= MOST_PIXELS:
        raise ValueError(f"its photo is said to have {width} x {height} pixels")
    if confidence_hw is not None:
        if confidence_hw.shape != depth_hw.shape:
            sizes = " and ".join(f"{a.shape[1]} x {a.shape[0]}" for a in (confidence_hw, depth_hw))
            raise ValueError(f"confidence and depth are of two sizes, {sizes}")
        depth_hw = np.where(confidence_hw > 0, depth_hw, np.nan)
    scale_2 = np.array([depth_hw.shape[1] / width, depth_hw.shape[0] / height])
    px_hw2 = pixel_centers(width, height) * scale_2
    strips = [depth_at(depth_hw, px_hw2[row : row + _STRIP].reshape(-1, 2)) for row in range(0, height, _STRIP)]
    return np.concatenate(strips).reshape(height, width).astype(np.float32)


def size_of(image: Path, lens: Projection) -> tuple[int, int]:
    """Width and height of a photo in its file, across or upright as its lens is, whose own size is not believed."""
    width, height = files.stored_size(image)
    return (width, height) if (width < height) == (lens.width < lens.height) else (height, width)


def read_confidence(path: Path) -> np.ndarray:
    """An 8-bit grey image (height, width).

    Raises:
        TransposeError: it is none.
    """
    image = files.decoded_grey(path)
    if image is None or image.ndim != 2:
        raise TransposeError(f"{path} is not a grey image (empty, truncated or another format)")
    return np.asarray(image)


def depth_reader(path: Path, confidence: Path, image: Path, lens: Projection) -> Callable[[], np.ndarray] | None:
    """What reads the depth of a photo at its resolution, as `lidar_depth`; None where there is no such image.

    Args:
        path: depth in millimetres.
        confidence: 0 where depth is unreliable, where the file is there; apps write 0, 1, 2 or 0, 127, 255.
        image: the photo.
        lens: its camera.
    """
    return partial(_depth, path, confidence, image, lens) if path.is_file() else None


def _depth(path: Path, confidence: Path, image: Path, lens: Projection) -> np.ndarray:
    sure_hw = read_confidence(confidence) if confidence.is_file() else None
    try:
        return lidar_depth(files.read_depth(path), sure_hw, *size_of(image, lens))
    except ValueError as error:
        raise TransposeError(f"{path}: {error}") from None


@contextlib.contextmanager
def unpacked_images(out: Path, section: str, recording: Path) -> Iterator[Path]:
    """A hidden folder in the scene for the images of a file on their way from it into a section.

    It goes when the section is there or the recording turns out broken; a set-up of the same file that was cut off
    finds it again.

    Raises:
        TransposeError: another process is writing the section.
    """
    stat = recording.stat()
    known_by = hashlib.sha256(f"{recording.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]
    folder, fresh = out / f".{section}.images-{known_by}", not out.exists()
    try:
        with sole_writer(out / section):
            for other in out.glob(f".{glob.escape(section)}.images-*"):
                if other != folder:
                    shutil.rmtree(other)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                yield folder
            except TransposeError:
                shutil.rmtree(folder)
                raise
            shutil.rmtree(folder)
    finally:
        if fresh:
            with contextlib.suppress(OSError):  # something is in it
                out.rmdir()
