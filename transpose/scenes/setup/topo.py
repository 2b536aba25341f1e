"""What TOPO-DataGen writes: renders of a place with the ECEF point of every pixel, and their poses.

A sequence is a folder with `NAME_poses.npy`, rows of ECEF x, y, z and yaw, pitch, roll in degrees, and for each render
`NAME_NNNNN[_PHOTO]_img.png`, `..._pc.npy` (height, width, 3; -1: nothing there) and perhaps `..._semantics.npy` (LAS
ids). NNNNN is the row of its pose: renders that were thrown away leave gaps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from transpose.errors import TransposeError
from transpose.geometry.cameras import CELL_STRIDE, Camera, pixel_centers
from transpose.geometry.geodesy import camera_rotations, geodetic_from_ecef
from transpose.geometry.poses import Pose, compose, transform
from transpose.scenes import files
from transpose.scenes.classes import classes_of_topo
from transpose.scenes.writer import FrameLabels
from transpose.untrusted.arrays import load_array

FOCAL_PX_AT_WIDTH = 480.0 / 720.0  # a horizontal field of view of 73.74 degrees
_NODATA = -1.0
_NEIGHBOURS = 16
_FARTHEST_M = 30_000.0  # from the origin; CrossLoc's two places are 40 km apart
_NUMBER = re.compile(r".+?_(\d{5,})(?:_.+)?_(?:img\.png|pc\.npy|semantics\.npy)")


@dataclass(frozen=True)
class TopoFrame:
    """One render: its files, and its pose in ECEF less the scene's origin."""

    stem: str
    image: Path
    points: Path
    semantics: Path | None
    pose: Pose


def read_sequence(folder: Path, origin_ecef_3: np.ndarray) -> list[TopoFrame]:
    """The frames of a sequence in the order of their names, poses about an origin.

    Files belong together by the number in their names; where some have none, by their order.

    Raises:
        TransposeError: files are missing, poses are not of this place, or neither names nor counts say which files
            belong together.
    """
    found = sorted(folder.glob("[!.]*_poses.npy"))
    if len(found) != 1:
        raise TransposeError(f"{folder} has {len(found)} files *_poses.npy; a TOPO-DataGen sequence has one")
    poses_n6 = _load(found[0])
    if poses_n6.ndim != 2 or poses_n6.shape[1] != 6 or not np.isfinite(poses_n6).all():
        raise TransposeError(f"{found[0]} has shape {poses_n6.shape}; rows of x, y, z, yaw, pitch, roll are expected")
    images, points = sorted(folder.glob("[!.]*_img.png")), sorted(folder.glob("[!.]*_pc.npy"))
    semantics = sorted(folder.glob("[!.]*_semantics.npy"))
    if not images:
        raise TransposeError(f"{folder} has poses but no renders (*_img.png)")
    by_number = [_numbered(paths) for paths in (images, points, semantics)]
    if all(numbers is not None for numbers in by_number):
        rows, points, semantics = _matched(folder, len(poses_n6), *[numbers or {} for numbers in by_number])
    else:
        rows = _in_order(folder, len(poses_n6), len(images), len(points), len(semantics))
    poses_n6 = poses_n6[rows].astype(np.float64)
    far_m = float(np.linalg.norm(poses_n6[:, :3] - origin_ecef_3, axis=1).max())
    if far_m > _FARTHEST_M:
        raise TransposeError(
            f"{found[0]}: poses lie up to {far_m / 1000:.0f} km from the origin; "
            "is it the other place, epfl or comballaz?"
        )
    R_n33 = camera_rotations(geodetic_from_ecef(poses_n6[:, :3])[:, :2], poses_n6[:, 3:])
    T_n44 = compose(R_n33, poses_n6[:, :3] - origin_ecef_3)
    labels: Sequence[Path | None] = semantics or [None] * len(images)
    return [
        TopoFrame(image.name.removesuffix("_img.png"), image, point, label, Pose(T_44))
        for image, point, label, T_44 in zip(images, points, labels, T_n44, strict=True)
    ]


def _numbered(paths: Sequence[Path]) -> dict[int, Path] | None:
    """Files by the number in their names; None where one has none or two have the same."""
    matches = [(_NUMBER.fullmatch(path.name), path) for path in paths]
    found = {int(match[1]): path for match, path in matches if match}
    return found if len(found) == len(paths) else None


def _matched(
    folder: Path, poses: int, images: dict[int, Path], points: dict[int, Path], semantics: dict[int, Path]
) -> tuple[list[int], list[Path], list[Path]]:
    """Rows of the poses, points and semantics of each image, by number."""
    for what, have in (("points (_pc.npy)", points), ("semantics (_semantics.npy)", semantics)):
        lacking = sorted(images.keys() - have.keys())
        if lacking and (have or have is points):
            raise TransposeError(
                f"{folder} lacks the {what} of {len(lacking)} renders, such as {images[lacking[0]].name}"
            )
    if (last := max(images)) >= poses:
        raise TransposeError(f"{folder} has {poses} poses, numbered from 0, and the render {images[last].name}")
    rows = list(images)
    return rows, [points[row] for row in rows], [semantics[row] for row in rows] if semantics else []


def _in_order(folder: Path, poses: int, images: int, points: int, semantics: int) -> list[int]:
    if not poses == images == points or semantics not in (0, images):
        raise TransposeError(
            f"{folder} has {poses} poses, {images} images, {points} points and {semantics} semantics; names without "
            "numbers are matched by order, so there must be as many of each"
        )
    return list(range(poses))


@dataclass(frozen=True)
class TopoLabels:
    """What a frame's points say; `reprojection_px` is the median distance of pixels from where their points project."""

    camera: Camera
    labels: FrameLabels
    known: float
    reprojection_px: float


def read_labels(frame: TopoFrame, origin_ecef_3: np.ndarray) -> TopoLabels:
    """Depth of all pixels; coordinates and normals at the cells' points; CrossLoc's classes.

    Points are stored as float32 ECEF, so depth is good to a quarter or half a metre and no better.

    Raises:
        TransposeError: a file is broken or has another shape.
    """
    points_hw3 = _load(frame.points)
    if points_hw3.ndim != 3 or points_hw3.shape[2] != 3:
        raise TransposeError(f"{frame.points} has shape {points_hw3.shape}; (height, width, 3) is expected")
    height, width = points_hw3.shape[:2]
    if files.image_size(frame.image) != (width, height):
        told = " x ".join(map(str, files.image_size(frame.image)))
        raise TransposeError(f"{frame.image} has {told} pixels, {frame.points.name} {width} x {height}")
    camera = Camera.from_focal(FOCAL_PX_AT_WIDTH * width, width, height)
    unknown_hw = (points_hw3 == _NODATA).any(-1) | ~np.isfinite(points_hw3).all(-1)
    world_hw3 = points_hw3.astype(np.float64) - origin_ecef_3
    world_hw3[unknown_hw] = np.nan
    camera_hw3 = transform(frame.pose.T_cw, world_hw3.reshape(-1, 3)).reshape(height, width, 3)
    behind_hw = ~(camera_hw3[..., 2] > 0)
    world_hw3[behind_hw] = np.nan
    depth_hw = np.where(behind_hw, np.nan, camera_hw3[..., 2]).astype(np.float32)
    off_n = np.linalg.norm(camera.project(camera_hw3) - pixel_centers(width, height), axis=-1)
    known = float(np.isfinite(off_n).mean())
    half = CELL_STRIDE // 2
    cells_hw3 = world_hw3[half::CELL_STRIDE, half::CELL_STRIDE]
    labels = FrameLabels(
        depth_hw=depth_hw,
        coordinates_3hw=np.moveaxis(cells_hw3, -1, 0),
        normal_3hw=np.moveaxis(cell_normals(cells_hw3, frame.pose), -1, 0),
        semantics_hw=None if frame.semantics is None else _classes(frame.semantics, (height, width)),
    )
    return TopoLabels(camera, labels, known, float(np.nanmedian(off_n)) if known else np.inf)


def cell_normals(cells_hw3: np.ndarray, pose: Pose) -> np.ndarray:
    """Unit normals (rows, columns, 3) in the camera's frame, towards the camera; NaN where unknown.

    The direction in which a cell's 16 nearest points spread least (principal component analysis).
    """
    normals_hw3 = np.full(cells_hw3.shape, np.nan)
    known_hw = np.isfinite(cells_hw3).all(-1)
    points_n3 = cells_hw3[known_hw]
    if len(points_n3) < _NEIGHBOURS:
        return normals_hw3
    _, near_nk = cKDTree(points_n3).query(points_n3, k=_NEIGHBOURS)
    around_nk3 = points_n3[near_nk]
    around_nk3 = around_nk3 - around_nk3.mean(1, keepdims=True)
    _, axes_n33 = np.linalg.eigh(np.swapaxes(around_nk3, 1, 2) @ around_nk3)
    normals_n3 = axes_n33[:, :, 0] @ pose.R_wc
    towards_n = ((points_n3 - pose.center) @ pose.R_wc * normals_n3).sum(1) < 0
    normals_hw3[known_hw] = np.where(towards_n[:, None], normals_n3, -normals_n3)
    return normals_hw3


def _classes(path: Path, shape: tuple[int, int]) -> np.ndarray:
    ids_hw = np.squeeze(_load(path))
    if ids_hw.shape != shape:
        raise TransposeError(f"{path} has shape {ids_hw.shape}, its image {shape}")
    return classes_of_topo(ids_hw)


def _load(path: Path) -> np.ndarray:
    try:
        return load_array(path)
    except (OSError, ValueError) as error:
        raise TransposeError(f"{path} cannot be read ({error}); copy it again") from None
