"""What TOPO-DataGen writes: renders of a place with the ECEF point of every pixel, and their poses.

A sequence is a folder with `NAME_poses.npy`, rows of ECEF x, y, z and yaw, pitch, roll in degrees, and for each row, in
order, `*_img.png`, `*_pc.npy` (height, width, 3; -1: nothing there) and perhaps `*_semantics.npy` (LAS classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from transpose.errors import TransposeError
from transpose.geometry.cameras import CELL_STRIDE, Camera, pixel_centers
from transpose.geometry.geodesy import camera_rotations, geodetic_from_ecef
from transpose.geometry.poses import Pose, compose, transform
from transpose.scenes.writer import FrameLabels

FOCAL_PX_AT_WIDTH = 480.0 / 720.0  # a horizontal field of view of 73.74 degrees
_NODATA = -1.0
_NEIGHBOURS = 16
_UNKNOWN_CLASS = 255
# LAS ids (sky, unclassified, ground, low vegetation, building, water, bridge) to CrossLoc's six classes.
_CLASS_OF_LAS = {0: 0, 1: 1, 2: 1, 3: 2, 6: 3, 9: 4, 17: 5}


@dataclass(frozen=True)
class TopoFrame:
    """One render: its files, and its pose in ECEF less the scene's origin."""

    stem: str
    image: Path
    points: Path
    semantics: Path | None
    pose: Pose


def read_sequence(folder: Path, origin_ecef_3: np.ndarray, prefix: str = "") -> list[TopoFrame]:
    """The frames of a sequence, poses about an origin; `prefix` begins their stems.

    Raises:
        TransposeError: there are not as many poses as images and points, or they are none.
    """
    found = sorted(folder.glob("*_poses.npy"))
    if len(found) != 1:
        raise TransposeError(f"{folder} has {len(found)} files *_poses.npy; a TOPO-DataGen sequence has one")
    poses_n6 = _load(found[0])
    images, points = sorted(folder.glob("*_img.png")), sorted(folder.glob("*_pc.npy"))
    semantics = sorted(folder.glob("*_semantics.npy"))
    if poses_n6.ndim != 2 or poses_n6.shape[1] != 6 or not np.isfinite(poses_n6).all():
        raise TransposeError(f"{found[0]} has shape {poses_n6.shape}; rows of x, y, z, yaw, pitch, roll are expected")
    counts = {"poses": len(poses_n6), "images": len(images), "points": len(points)}
    if len(set(counts.values())) != 1 or len(semantics) not in (0, len(images)):
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        raise TransposeError(f"{folder} has {told} and {len(semantics)} semantics; they are matched by order")
    lonlath_n3 = geodetic_from_ecef(poses_n6[:, :3])
    R_n33 = camera_rotations(lonlath_n3[:, :2], poses_n6[:, 3:])
    return [
        TopoFrame(
            prefix + _stem(images[i]),
            images[i],
            points[i],
            semantics[i] if semantics else None,
            Pose(compose(R_n33[i], poses_n6[i, :3] - origin_ecef_3)),
        )
        for i in range(len(images))
    ]


def _stem(image: Path) -> str:
    return image.name.removesuffix("_img.png").removesuffix("_pic")


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
    las_hw = np.squeeze(_load(path))
    if las_hw.shape != shape:
        raise TransposeError(f"{path} has shape {las_hw.shape}, its image {shape}")
    classes_hw = np.full(shape, _UNKNOWN_CLASS, np.uint8)
    for las, crossloc in _CLASS_OF_LAS.items():
        classes_hw[las_hw == las] = crossloc
    return classes_hw


def _load(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise TransposeError(f"{path} cannot be read ({error}); copy it again") from None
