"""From the RGB-D frames of a section to a coloured mesh.

Open3D fuses depth into a truncated signed distance field; its surface is then coloured from the photos.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.scenes.facts import scene_up
from transpose.scenes.layout import Frame, Section
from transpose.worlds.optional_open3d import import_open3d
from transpose.worlds.recolor import Photo, recolored
from transpose.worlds.undistorted_frames import Undistorter
from transpose.worlds.world import World, vertex_colored_world

log = logging.getLogger(__name__)

_DEPTH_SCALE = 1.0  # metres are handed over as floats: millimetres in 16 bits would end at 65 m
_BLOCK_RESOLUTION = 8  # smaller blocks follow the surface closer than Open3D's 16: half as many voxels to update
_FIRST_BLOCKS = 10_000  # Open3D clears all of them at once, and doubles them as they fill
_EDGE_WINDOW_PX = 5
_READ_AHEAD = 4
_FAR_M = 2000.0  # from there on float32, in which surfaces are made, has steps of a tenth of a millimetre and more

Correct = Callable[[np.ndarray, Camera], np.ndarray]
"""A depth image and its camera to that image without the errors of its sensor."""


def as_measured(depth_hw: np.ndarray, _: Camera) -> np.ndarray:
    """No correction."""
    return depth_hw


@dataclass(frozen=True)
class FusionOptions:
    """How depth becomes a surface."""

    voxel_m: float = 0.008
    max_depth_m: float = 4.0  # consumer depth sensors are not to be trusted beyond
    min_weight: float = 2.0  # frames that must have seen a voxel
    max_step: float = 0.05  # depth that jumps by more than this fraction within two pixels is an edge, and not trusted
    every: int = 1  # take each n-th frame only

    def __post_init__(self) -> None:
        if min(self.voxel_m, self.max_depth_m, self.max_step) <= 0 or self.min_weight < 0 or self.every < 1:
            raise ValueError(f"voxel size and depth must be positive, got {self}")


def fuse_section(
    section: Section,
    options: FusionOptions | None = None,
    progress: Callable[[Sequence[Frame]], Iterable[Frame]] = iter,
    correct: Correct = as_measured,
) -> World:
    """Fuses all frames of a section that have depth.

    Args:
        section: an RGB-D section in metres.
        options: how depth becomes a surface.
        progress: wraps the frames as they are fused.
        correct: takes the errors of the sensor out of each depth image (`mapping.depth_error`).

    Raises:
        TransposeError: no frame has depth, or nothing was seen often enough for a surface.
        MissingPackageError: Open3D is not installed.
    """
    options = options or FusionOptions()
    if not section.facts.metric:
        raise TransposeError(
            f"{section.path} is not in metres, as voxels and depths are; set it up again with --unit METRES_PER_UNIT"
        )
    frames = [frame for frame in section.frames if frame.has("depth")][:: options.every]
    if not frames:
        raise TransposeError(f"{section.path} has no depth; fusion needs an RGB-D section (depth/*.png or *.npz)")
    undistorter = Undistorter()
    read = partial(_trusted_depth, options=options, undistorter=undistorter, correct=correct)
    origin_3 = _origin(frames)
    views = _read_ahead(progress(frames), lambda frame: _read_view(frame, read(frame), undistorter, origin_3))
    mesh, integrated = _surface(views, options)
    if mesh is None:
        raise TransposeError(
            f"{section.path}: no surface came out of {len(frames)} frames, {integrated} of them with depth up to "
            f"{options.max_depth_m:g} m; do the poses belong to the depth images, and is depth in metres?"
        )
    said_up_3 = scene_up(section.scene)
    vertices_v3, faces_f3 = _in_space_order(mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy())
    return vertex_colored_world(
        section.scene.name,
        vertices_v3,
        faces_f3,
        recolored(vertices_v3, faces_f3, frames, lambda frame: _photo(frame, read(frame), undistorter, origin_3)),
        origin_3=origin_3,
        up_3=_mean_up(frames) if said_up_3 is None else said_up_3,
        facts={
            "kind": "rgbd",
            "up_from": "as cameras were held" if said_up_3 is None else "the scene",
            "section": section.name,
            "frames": len(frames),
            "voxel_m": options.voxel_m,
            "max_depth_m": options.max_depth_m,
        },
    )


def _surface(views: Iterable[_DepthView], options: FusionOptions) -> tuple[Any | None, int]:
    """The mesh that views show often enough, None where there is none, and how many of them had depth."""
    o3d = import_open3d()
    grid = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"),
        (o3d.core.float32,) * 2,
        ((1,), (1,)),
        float(options.voxel_m),
        _BLOCK_RESOLUTION,
        _FIRST_BLOCKS,
        o3d.core.Device("CPU:0"),
    )
    integrated = 0
    for view in views:
        integrated += _integrate(o3d, grid, view, float(options.max_depth_m))
    mesh = grid.extract_triangle_mesh(float(options.min_weight)) if integrated else None
    if mesh is None or mesh.vertex.positions.shape[0] == 0 or mesh.triangle.indices.shape[0] == 0:
        return None, integrated
    return mesh, integrated


@dataclass(frozen=True)
class _DepthView:
    """What is fused of one frame: float32 metres (0 unknown, no edges), a pinhole's intrinsics as Open3D counts pixels,
    and the pose."""

    stem: str
    depth_hw: np.ndarray
    K_33: np.ndarray
    T_cw: np.ndarray


def _read_ahead(frames: Iterable[Frame], read: Callable[[Frame], _DepthView]) -> Iterator[_DepthView]:
    """Frames in order, decoded in a thread while Open3D is at work on those before."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[_DepthView]] = deque()
        for frame in frames:
            waiting.append(thread.submit(read, frame))
            if len(waiting) > _READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _origin(frames: Sequence[Frame]) -> np.ndarray:
    """Where the world's coordinates begin: at zero, or near the cameras where they are too far from it for float32."""
    middle_3 = np.mean([frame.pose.center for frame in frames], axis=0)
    return 100 * np.round(middle_3 / 100) if np.abs(middle_3).max() > _FAR_M else np.zeros(3)


def _moved(pose: Pose, origin_3: np.ndarray) -> Pose:
    """The pose in a frame that begins at a point of this one."""
    return Pose(compose(pose.R_wc, pose.center - origin_3))


def _read_view(frame: Frame, depth_hw: np.ndarray, undistorter: Undistorter, origin_3: np.ndarray) -> _DepthView:
    K_33 = undistorter.pinhole(frame.camera).K_33
    K_33[:2, 2] -= 0.5  # Open3D's intrinsics count pixel centres at integers
    return _DepthView(frame.stem, depth_hw, K_33, _moved(frame.pose, origin_3).T_cw)


def _photo(frame: Frame, depth_hw: np.ndarray, undistorter: Undistorter, origin_3: np.ndarray) -> Photo:
    camera = frame.camera
    rgb_hw3 = undistorter.image(frame.image(), camera)
    return Photo(rgb_hw3, depth_hw, undistorter.pinhole(camera), _moved(frame.pose, origin_3))


def _trusted_depth(frame: Frame, options: FusionOptions, undistorter: Undistorter, correct: Correct) -> np.ndarray:
    """Float32 metres in the image of the frame's pinhole camera; 0 where unknown, too far or at an edge."""
    depth_hw = _without_edges(correct(frame.depth(), frame.camera), options.max_step)
    depth_hw[depth_hw > options.max_depth_m] = 0
    return undistorter.depth(depth_hw, frame.camera)


def _without_edges(depth_hw: np.ndarray, max_step: float) -> np.ndarray:
    """Depth with 0 for unknown and near jumps, where sensors mix two surfaces and colours of one land on the other."""
    kernel = np.ones((_EDGE_WINDOW_PX, _EDGE_WINDOW_PX), np.uint8)
    depth_hw = depth_hw.astype(np.float32)
    known_hw = np.isfinite(depth_hw) & (depth_hw > 0)
    farthest = cv2.dilate(np.where(known_hw, depth_hw, 0), kernel)
    nearest = cv2.erode(np.where(known_hw, depth_hw, np.float32(np.inf)), kernel)
    return np.where(known_hw & (farthest / (1 + max_step) <= nearest), depth_hw, 0)


def _integrate(o3d: Any, grid: Any, view: _DepthView, max_depth_m: float) -> bool:
    """Adds a frame to the grid; False where there is nothing to add."""
    if not view.depth_hw.any():
        log.warning("%s adds nothing to the world: all its depth is unknown, at edges or over the limit", view.stem)
        return False
    depth = o3d.t.geometry.Image(o3d.core.Tensor(view.depth_hw))
    intrinsics, extrinsics = o3d.core.Tensor(view.K_33), o3d.core.Tensor(view.T_cw)
    try:
        blocks = grid.compute_unique_block_coordinates(depth, intrinsics, extrinsics, _DEPTH_SCALE, max_depth_m)
    except RuntimeError:  # Open3D looks at each fourth pixel of a row and column only, and may find no block
        log.warning("%s adds nothing to the world: hardly any of its depth is known", view.stem)
        return False
    grid.integrate(blocks, depth, intrinsics, extrinsics, _DEPTH_SCALE, max_depth_m)
    return True


def _in_space_order(vertices_v3: np.ndarray, faces_f3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same mesh with neighbours near each other in memory; Open3D leaves them in the order of a hash table.

    Vertices follow a Z curve through cells of a 1024th of the mesh's extent, faces their first vertex.
    """
    low_3 = vertices_v3.min(0)
    cell_v3 = ((vertices_v3 - low_3) * (1023 / max(float(np.ptp(vertices_v3, axis=0).max()), 1e-9))).astype(np.int64)
    code_v = np.zeros(len(vertices_v3), np.int64)
    for axis in range(3):
        bits_v = cell_v3[:, axis]
        for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
            bits_v = (bits_v | (bits_v << shift)) & mask  # moves ten bits three places apart
        code_v |= bits_v << axis
    order_v = np.argsort(code_v, kind="stable")
    place_v = np.empty(len(order_v), np.int32)
    place_v[order_v] = np.arange(len(order_v), dtype=np.int32)
    faces_f3 = place_v[faces_f3]
    return vertices_v3[order_v], faces_f3[np.argsort(faces_f3.min(1), kind="stable")]


def _mean_up(frames: list[Frame]) -> np.ndarray:
    """Up in the world as the mean of the cameras' up: people hold cameras upright on the whole."""
    up_3 = -np.mean([frame.pose.R_wc[:, 1] for frame in frames], axis=0)
    norm = float(np.linalg.norm(up_3))
    return up_3 / norm if norm > 0.1 else np.array([0.0, 0.0, 1.0])
