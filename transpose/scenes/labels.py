"""Scene coordinates of chosen pixels of a frame, from its depth or its coordinate map."""

from __future__ import annotations

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import CELL_STRIDE, Camera, grid_shape
from transpose.geometry.interpolation import InterpolatedDepth
from transpose.geometry.poses import transform
from transpose.scenes.classes import CLASS_NAMES, UNKNOWN_CLASS
from transpose.scenes.layout import Frame

# Neighbouring depths further apart than this fraction of their mean are of two surfaces; a label between would float.
_EDGE_FRACTION = 0.03


def coordinates_at(frame: Frame, px_n2: np.ndarray, depth_hw: np.ndarray | None = None) -> np.ndarray:
    """World points (n, 3) float64 that pixels (n, 2) of the frame show; NaN where unknown, at edges and outside.

    From depth where there is some (exact between the pixels), else from the nearest cell of the `init` map. A caller
    that has read the frame's depth already hands it over.
    """
    if frame.has("depth"):
        depth_n = depth_at(frame.depth() if depth_hw is None else depth_hw, px_n2)
        return transform(frame.pose.T_wc, frame.camera.unproject(px_n2) * depth_n[:, None])
    if frame.has("init"):
        return _nearest_cells(frame.coordinates(), frame.camera, px_n2, str(frame.paths["init"]))
    raise TransposeError(
        f"{frame.paths['rgb'].parent.parent} has neither depth nor init for frame {frame.stem}, so there is nothing to "
        "learn coordinates from; render a section (transpose render) or set up one with depth"
    )


def given_points(frame: Frame) -> np.ndarray:
    """World points (n, 3) float64 that a frame is known to show, from its `init` map; none where it has no such map."""
    if not frame.has("init"):
        return np.zeros((0, 3))
    points_n3 = frame.coordinates().reshape(3, -1).T.astype(np.float64)
    return points_n3[np.isfinite(points_n3).all(1)]


def interpolated_coordinates_at(frame: Frame, px_n2: np.ndarray) -> np.ndarray:
    """World points (n, 3) float64 of pixels (n, 2) of a frame with `init`, each by where its points are seen exactly.

    A cell's point lies anywhere in the cell, 3 pixels from its middle in the median; what the middle shows lies between
    the points about it. NaN outside these and between surfaces.
    """
    camera_m3 = transform(frame.pose.T_cw, given_points(frame))
    px_m2 = frame.camera.project(camera_m3)
    seen_m = np.isfinite(px_m2).all(1)
    depth = InterpolatedDepth(px_m2[seen_m], camera_m3[seen_m, 2])
    return transform(frame.pose.T_wc, frame.camera.unproject(px_n2) * depth.at(px_n2)[:, None])


def normals_at(frame: Frame, px_n2: np.ndarray) -> np.ndarray:
    """Unit normals (n, 3) float64 in the frame's camera of what pixels (n, 2) show, of the nearest cell; NaN: unknown.

    Of a frame without normals all are unknown.
    """
    if not frame.has("normal"):
        return np.full((len(px_n2), 3), np.nan)
    normals_n3 = _nearest_cells(frame.normals(), frame.camera, px_n2, str(frame.paths["normal"]))
    with np.errstate(divide="ignore", invalid="ignore"):  # a length of zero is no direction
        return normals_n3 / np.linalg.norm(normals_n3, axis=1, keepdims=True)


def classes_at(frame: Frame, px_n2: np.ndarray) -> np.ndarray:
    """Classes (n,) uint8 of what pixels (n, 2) show, `UNKNOWN_CLASS` where unknown; all are of a frame without any.

    Raises:
        TransposeError: the classes are of another size than the image.
    """
    classes_n = np.full(len(px_n2), UNKNOWN_CLASS, np.uint8)
    if not frame.has("semantics"):
        return classes_n
    classes_hw = frame.semantics()
    if classes_hw.shape != (frame.camera.height, frame.camera.width):
        raise TransposeError(
            f"{frame.paths['semantics']} is {classes_hw.shape[1]} x {classes_hw.shape[0]} pixels, "
            f"its image {frame.camera.width} x {frame.camera.height}; they must have one size"
        )
    at_n2 = np.floor(px_n2).astype(np.int64)
    inside_n = (at_n2 >= 0).all(1) & (at_n2[:, 0] < frame.camera.width) & (at_n2[:, 1] < frame.camera.height)
    classes_n[inside_n] = classes_hw[at_n2[inside_n, 1], at_n2[inside_n, 0]]
    classes_n[classes_n >= len(CLASS_NAMES)] = UNKNOWN_CLASS
    return classes_n


def depth_at(depth_hw: np.ndarray, px_n2: np.ndarray) -> np.ndarray:
    """Depth (n,) float64 between pixel centres, NaN at edges and outside.

    Inverse depth is interpolated: on a plane it is linear in the image, depth is not.
    """
    height, width = depth_hw.shape
    xy_n2 = np.nan_to_num(px_n2, nan=-1.0, posinf=-1.0, neginf=-1.0) - 0.5  # behind the camera: outside
    corner_n2 = np.floor(xy_n2).astype(np.int64)
    # A point on the last half pixel of the border takes the border's depth.
    inside_n = (px_n2 >= 0).all(1) & (px_n2[:, 0] <= width) & (px_n2[:, 1] <= height)
    x0_n, y0_n = (corner_n2[:, i].clip(0, size - 1) for i, size in enumerate((width, height)))
    x1_n, y1_n = (corner_n2[:, i].clip(-1, size - 2) + 1 for i, size in enumerate((width, height)))
    blend_n2 = np.clip(xy_n2 - corner_n2, 0, 1)
    a, b = blend_n2[:, 0], blend_n2[:, 1]
    depth_4n = np.stack([depth_hw[y0_n, x0_n], depth_hw[y0_n, x1_n], depth_hw[y1_n, x0_n], depth_hw[y1_n, x1_n]])
    depth_4n = depth_4n.astype(np.float64)
    weights_4n = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    with np.errstate(divide="ignore", invalid="ignore"):
        out_n = 1 / (weights_4n / depth_4n).sum(0)
        smooth_n = depth_4n.max(0) - depth_4n.min(0) < _EDGE_FRACTION * depth_4n.mean(0)
    return np.where(inside_n & smooth_n & (depth_4n > 0).all(0), out_n, np.nan)


def _nearest_cells(map_3hw: np.ndarray, camera: Camera, px_n2: np.ndarray, name: str) -> np.ndarray:
    rows, columns = map_3hw.shape[1:]
    if (rows, columns) != grid_shape(camera.width, camera.height):
        raise TransposeError(
            f"{name} has {rows} x {columns} cells; an image of {camera.width} x {camera.height} pixels "
            f"needs {' x '.join(map(str, grid_shape(camera.width, camera.height)))}"
        )
    cell_n2 = np.floor(px_n2 / CELL_STRIDE).astype(np.int64)
    inside_n = (cell_n2 >= 0).all(1) & (cell_n2[:, 0] < columns) & (cell_n2[:, 1] < rows)
    cell_n2 = np.where(inside_n[:, None], cell_n2, 0)
    points_n3 = map_3hw[:, cell_n2[:, 1], cell_n2[:, 0]].T.astype(np.float64)
    points_n3[~inside_n] = np.nan
    return points_n3
