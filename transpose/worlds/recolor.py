"""Colours of a fused surface, as sharp as its photos: broad tones from all frames, detail from the best few.

The mean over all frames blurs: poses are off by millimetres, frames are blurred by motion, most look from far away. The
best frame alone shows a seam wherever exposure changed. So each frame is split into a blurred image and the detail that
this takes away; a vertex gets the mean of the one and, of the other, what the frames that see it closest, squarest and
sharpest show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose

_TONE_PX = 15  # detail is what a box of this width takes away
_PARTS = 2  # frames are shared out to as many threads; fixed, since the order of sums shows in their last digits
_NEAR_M = 0.1
_FOLD = 1024
_PATCH = 256
_UNLIKELY = 1e-6
_FRAME = TypeVar("_FRAME")


@dataclass(frozen=True)
class Photo:
    """One frame: colour, metres along z (0 where unknown or not to be trusted), a pinhole camera and its pose."""

    rgb_hw3: np.ndarray
    depth_hw: np.ndarray
    camera: Camera
    pose: Pose

    def __post_init__(self) -> None:
        if self.camera.k1 or self.camera.k2:
            raise ValueError(f"a photo must be undistorted before it colours a surface, its camera is {self.camera}")


@dataclass(frozen=True)
class RecolorOptions:
    """Which frames see a vertex."""

    max_error_m: float = 0.015  # between a vertex and the depth measured in its pixel, at 1 m; grows with depth
    max_unlikely_m: float = 0.08  # a vertex that nobody sees better takes colours this far off
    detail_power: float = 4.0  # of what is seen, a frame that is twice as good tells 16 times as much detail

    def __post_init__(self) -> None:
        if not 0 < self.max_error_m <= self.max_unlikely_m or self.detail_power <= 0:
            raise ValueError(f"need 0 < max_error_m <= max_unlikely_m and a positive power, got {self}")


def recolored(
    vertices_v3: np.ndarray,
    faces_f3: np.ndarray,
    frames: Sequence[_FRAME],
    read: Callable[[_FRAME], Photo],
    options: RecolorOptions | None = None,
) -> np.ndarray:
    """Colours (vertices, 3) uint8 from photos of a surface; grey where no photo sees a vertex.

    Args:
        vertices_v3: metres in the frame of the photos' poses; quicker where neighbours stand near each other.
        faces_f3: vertex indices.
        frames: whatever `read` turns into photos, each once, in threads.
        read: the photo of a frame.
        options: which frames see a vertex.
    """
    surface = _Surface.of(np.ascontiguousarray(vertices_v3, np.float32), faces_f3)

    def part(first: int) -> tuple[np.ndarray, np.ndarray]:
        return _sums(surface, (read(frame) for frame in frames[first::_PARTS]), options or RecolorOptions())

    with ThreadPoolExecutor(_PARTS) as threads:
        (tone_v4, detail_v4), *others = threads.map(part, range(_PARTS))
    for more_tone_v4, more_detail_v4 in others:
        tone_v4 += more_tone_v4
        detail_v4 += more_detail_v4
    rgb_v3 = _mean(tone_v4, 128) + _mean(detail_v4, 0)
    return np.clip(np.rint(rgb_v3), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Surface:
    """Vertices and their normals; each `_PATCH` of them lie within a sphere (center, radius)."""

    vertices_v3: np.ndarray
    normals_v3: np.ndarray
    centers_p3: np.ndarray
    radius_p: np.ndarray

    @classmethod
    def of(cls, vertices_v3: np.ndarray, faces_f3: np.ndarray) -> _Surface:
        starts_p = np.arange(0, len(vertices_v3), _PATCH)
        low_p3, high_p3 = np.minimum.reduceat(vertices_v3, starts_p), np.maximum.reduceat(vertices_v3, starts_p)
        radius_p = np.linalg.norm(high_p3 - low_p3, axis=1) / 2
        return cls(vertices_v3, _vertex_normals(vertices_v3, faces_f3), (low_p3 + high_p3) / 2, radius_p)

    def near_view(self, camera: Camera, T_cw: np.ndarray) -> np.ndarray:
        """Indices of the vertices in patches that may be seen, rising."""
        right, bottom = (camera.width - camera.cx) / camera.fx, (camera.height - camera.cy) / camera.fy
        left, top = camera.cx / camera.fx, camera.cy / camera.fy
        inward_43 = np.array([[-1, 0, right], [1, 0, left], [0, -1, bottom], [0, 1, top]])
        inward_43 /= np.linalg.norm(inward_43, axis=1, keepdims=True)
        centers_p3 = self.centers_p3 @ T_cw[:3, :3].T + T_cw[:3, 3]
        seen_p = np.flatnonzero((centers_p3 @ inward_43.T).min(1) > -self.radius_p)
        index_v = (seen_p[:, None] * _PATCH + np.arange(_PATCH)).reshape(-1)
        return index_v[index_v < len(self.vertices_v3)]


def _sums(surface: _Surface, photos: Iterable[Photo], options: RecolorOptions) -> tuple[np.ndarray, np.ndarray]:
    """Sums of weighted tones and of weighted details, each (vertices, 4) with the sum of the weights last."""
    tone_v4 = np.zeros((len(surface.vertices_v3), 4), np.float32)
    detail_v4 = np.zeros_like(tone_v4)
    for photo in photos:
        seen_n, xy_n2, weight_n = _seen(surface, photo, options)
        if len(seen_n) == 0:
            continue
        blurred_hw3 = cv2.blur(photo.rgb_hw3, (_TONE_PX, _TONE_PX))
        tone_n3, full_n3 = _sampled(blurred_hw3, xy_n2), _sampled(photo.rgb_hw3, xy_n2)
        _add(tone_v4, seen_n, tone_n3, weight_n)
        _add(detail_v4, seen_n, full_n3 - tone_n3, (weight_n * _sharpness(photo.rgb_hw3)) ** options.detail_power)
    return tone_v4, detail_v4


def _seen(surface: _Surface, photo: Photo, options: RecolorOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices (n,) of the vertices in view, their pixels (n, 2), and weights: cosine / depth, near 0 where unlikely."""
    camera, T_cw = photo.camera, photo.pose.T_cw.astype(np.float32)
    index_v = surface.near_view(camera, T_cw)
    points_v3 = surface.vertices_v3[index_v] @ T_cw[:3, :3].T
    points_v3 += T_cw[:3, 3]
    depth_v = np.maximum(points_v3[:, 2], _NEAR_M)
    x_v = points_v3[:, 0] / depth_v
    x_v *= np.float32(camera.fx)
    x_v += np.float32(camera.cx)
    y_v = points_v3[:, 1] / depth_v
    y_v *= np.float32(camera.fy)
    y_v += np.float32(camera.cy)
    inside_v = (x_v >= 0) & (x_v < camera.width) & (y_v >= 0) & (y_v < camera.height) & (points_v3[:, 2] > _NEAR_M)
    inside_n = np.flatnonzero(inside_v)
    x_n, y_n, depth_n = x_v[inside_n], y_v[inside_n], depth_v[inside_n]
    measured_n = photo.depth_hw[y_n.astype(np.int32), x_n.astype(np.int32)]
    error_n = np.abs(measured_n - depth_n)
    kept_n = np.flatnonzero((measured_n > 0) & (error_n < options.max_unlikely_m))
    seen_n, depth_n, error_n = index_v[inside_n[kept_n]], depth_n[kept_n], error_n[kept_n]
    xy_n2 = np.stack([x_n[kept_n], y_n[kept_n]], axis=1)
    rays_n3 = points_v3[inside_n[kept_n]]
    normals_n3 = surface.normals_v3[seen_n] @ T_cw[:3, :3].T
    ones_3 = np.ones(3, np.float32)
    facing_n = -((rays_n3 * normals_n3) @ ones_3) / np.sqrt((rays_n3 * rays_n3) @ ones_3)
    weight_n = np.maximum(facing_n, 0.05) / depth_n
    # The error of consumer depth grows with the square of depth.
    weight_n[error_n > options.max_error_m * np.maximum(1, depth_n) ** 2] *= _UNLIKELY ** (1 / options.detail_power)
    return seen_n, xy_n2, weight_n


def _sampled(image_hw3: np.ndarray, xy_n2: np.ndarray) -> np.ndarray:
    """Bilinear colours (n, 3) float32 at continuous pixels."""
    padded_n2 = np.zeros((-(-len(xy_n2) // _FOLD) * _FOLD, 2), np.float32)
    np.subtract(xy_n2, 0.5, out=padded_n2[: len(xy_n2)])
    out = cv2.remap(image_hw3, padded_n2.reshape(-1, _FOLD, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return out.reshape(-1, 3)[: len(xy_n2)].astype(np.float32)


def _add(sums_v4: np.ndarray, index_n: np.ndarray, rgb_n3: np.ndarray, weight_n: np.ndarray) -> None:
    rows_n4 = np.empty((len(index_n), 4), np.float32)
    for c in range(3):
        np.multiply(rgb_n3[:, c], weight_n, out=rows_n4[:, c])
    rows_n4[:, 3] = weight_n
    sums_v4[index_n] += rows_n4  # no vertex is twice in one photo


def _mean(sums_v4: np.ndarray, otherwise: float) -> np.ndarray:
    known_v1 = sums_v4[:, 3:] > 0
    return np.where(known_v1, sums_v4[:, :3] / np.where(known_v1, sums_v4[:, 3:], 1), otherwise)


def _sharpness(rgb_hw3: np.ndarray) -> float:
    """Root mean square of the Laplacian, which motion blur lowers, as a fraction of 256."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(rgb_hw3[:, :, 1], cv2.CV_16S))
    return float(deviation[0, 0]) / 256 + 1e-3


def _vertex_normals(vertices_v3: np.ndarray, faces_f3: np.ndarray) -> np.ndarray:
    """Unit normals (vertices, 3) float32, the mean over a vertex's faces by area."""
    from scipy.sparse import csr_array

    corners_f33 = vertices_v3[faces_f3]
    normals_f3 = np.cross(corners_f33[:, 1] - corners_f33[:, 0], corners_f33[:, 2] - corners_f33[:, 0])
    ones_n, starts_f = np.ones(faces_f3.size, np.float32), np.arange(0, faces_f3.size + 1, 3)
    faces_of_corners = csr_array((ones_n, faces_f3.reshape(-1), starts_f), shape=(len(faces_f3), len(vertices_v3))).T
    normals_v3 = faces_of_corners @ normals_f3
    return normals_v3 / np.maximum(np.linalg.norm(normals_v3, axis=1, keepdims=True), 1e-12)
