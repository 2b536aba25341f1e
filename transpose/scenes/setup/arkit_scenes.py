"""The layout of ARKitScenes (Baruch et al., NeurIPS Datasets and Benchmarks 2021), as its DATA.md describes it.

`lowres_wide.traj` holds lines `seconds`, three numbers of axis and angle (radians) and three of translation (metres),
world to camera with OpenCV's camera axes, in a world whose z points up. `lowres_wide/VIDEO_SECONDS.png` are images,
`lowres_wide_intrinsics/*.pincam` their cameras (`width height fx fy cx cy`), and `lowres_depth` (millimetres) and
`confidence` (0, 1, 2) what the LiDAR saw. `vga_wide` and `wide` are larger images of the same camera.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose
from transpose.scenes import files
from transpose.scenes.image_kinds import is_image
from transpose.scenes.setup.handheld import depth_reader
from transpose.scenes.setup.posed_photos import PosedPhoto
from transpose.scenes.setup.trajectories import paired
from transpose.untrusted.values import BAD_VALUES

log = logging.getLogger(__name__)
LICENCE = "ARKitScenes: Apple, CC BY-NC-SA 4.0, non-commercial"
_COLORS = ("wide", "vga_wide", "lowres_wide")  # the largest first
# What is of one moment is written with time stamps that differ by a millisecond; frames are 17 milliseconds apart.
_SAME_MOMENT_S = 0.005


def photos_of(folder: Path) -> list[PosedPhoto]:
    """The images that have a pose, as they were taken; poses are told of about each sixth image.

    Raises:
        TransposeError: there are none, or a file is broken.
    """
    path = folder / "lowres_wide.traj"
    posed_m, poses = _trajectory(path)
    images = _images(folder)
    seconds_n = np.array([_seconds(image) for image in images])
    order_n = np.argsort(seconds_n, kind="stable")
    images, seconds_n = [images[i] for i in order_n], seconds_n[order_n]
    partner_n = paired(seconds_n, posed_m, _SAME_MOMENT_S)
    known_n = partner_n >= 0
    if not known_n.any():
        taken = f"they were taken from {seconds_n[0]:.3f} to {seconds_n[-1]:.3f} s"
        runs = f"{path} runs from {posed_m[0]:.3f} to {posed_m[-1]:.3f} s"
        raise TransposeError(f"no image of {folder} has a pose: {taken}, and {runs}")
    cameras = _beside(folder / f"{images[0].parent.name}_intrinsics", ".pincam", seconds_n)
    depths = _beside(folder / "lowres_depth", ".png", seconds_n)
    return [_photo(images[i], poses[partner_n[i]], cameras[i], depths[i]) for i in np.flatnonzero(known_n)]


def _trajectory(path: Path) -> tuple[np.ndarray, list[Pose]]:
    """Rising times (m,) and the camera's poses at them."""
    from scipy.spatial.transform import Rotation

    values_n7 = files.read_numbers(path)
    if values_n7.shape[1:] != (7,) or not np.isfinite(values_n7).all():
        raise TransposeError(f"{path} is not a trajectory of ARKitScenes, lines of 7 numbers")
    _, order = np.unique(values_n7[:, 0], return_index=True)
    values_n7 = values_n7[order]
    R_wc = Rotation.from_rotvec(values_n7[:, 1:4]).inv()
    T_n44 = compose(R_wc.as_matrix(), -R_wc.apply(values_n7[:, 4:]))
    return values_n7[:, 0], [Pose(T_44) for T_44 in T_n44]


def _images(folder: Path) -> list[Path]:
    """The largest images that have intrinsics."""
    for name in _COLORS:
        found = [path for path in (folder / name).glob("*") if is_image(path)]
        if found and (folder / f"{name}_intrinsics").is_dir():
            return found
    names = " or ".join(f"{name}/ with {name}_intrinsics/" for name in _COLORS)
    raise TransposeError(f"{folder} holds no {names}; download these assets of the scan, and unpack them")


def _seconds(path: Path) -> float:
    try:
        return float(path.stem.rpartition("_")[2])
    except ValueError:
        raise TransposeError(f"{path} is not named VIDEO_SECONDS as files of ARKitScenes are") from None


def _beside(folder: Path, ending: str, seconds_n: np.ndarray) -> list[Path | None]:
    """The file of a folder that is of each moment; None where there is none."""
    by_time = {_seconds(path): path for path in folder.glob(f"*{ending}") if not path.name.startswith(".")}
    rising_m = np.array(sorted(by_time))
    partner_n = paired(seconds_n, rising_m, _SAME_MOMENT_S).tolist()
    return [by_time[rising_m[i]] if i >= 0 else None for i in partner_n]


def _photo(image: Path, pose: Pose, camera: Path | None, depth: Path | None) -> PosedPhoto:
    if camera is None:
        raise TransposeError(f"{image} has no file of its moment in {image.parent}_intrinsics; unpack that asset again")
    lens = _lens(camera)
    reader = None
    if depth is not None:
        reader = depth_reader(depth, depth.parent.with_name("confidence") / depth.name, image, lens)
    return PosedPhoto(image.name, image, lens, pose, depth=reader)


def _lens(path: Path) -> Lens:
    values = files.read_numbers(path).ravel()
    try:
        width, height, fx, fy, cx, cy = values.tolist()
        return Lens(int(width), int(height), fx, fy, cx, cy)
    except BAD_VALUES as error:
        raise TransposeError(f"{path} is not a camera, `width height fx fy cx cy`: {error}") from None
