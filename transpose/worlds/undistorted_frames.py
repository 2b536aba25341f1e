"""Depth and colour of a camera with radial distortion as a pinhole camera sees them, with nothing cut off.

Open3D integrates depth of pinhole cameras alone. Depth is measured along z, so that a ray keeps it whatever the lens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from transpose.geometry.cameras import Camera, pixel_centers
from transpose.geometry.distortion import fold_radius2
from transpose.geometry.lens import Lens

_BORDER_POINTS = 128  # a side
_WIDEST = 2.0  # no side of the pinhole image lies farther from its axis than so many times the photo's


@dataclass(frozen=True)
class _PinholeMap:
    """The pinhole camera, where its pixels lie in the photo as OpenCV counts, and which lie in it at all."""

    camera: Camera
    pinhole: Camera
    x_hw: np.ndarray
    y_hw: np.ndarray
    shown_hw: np.ndarray


class Undistorter:
    """Undistorts images and depth; keeps the map of the last camera only. Threads may share it."""

    def __init__(self) -> None:
        self._last: _PinholeMap | None = None

    def pinhole(self, camera: Camera) -> Camera:
        """The camera of what comes out: the same without distortion, on an image as large as its rays need."""
        return self._map(camera).pinhole if camera.k1 or camera.k2 else camera

    def depth(self, depth_hw: np.ndarray, camera: Camera) -> np.ndarray:
        """Metres along z, 0 where unknown, of the same in `camera`; unknown beside unknown pixels and the border.

        Planes stay planes: what is linear in the image is inverse depth.
        """
        if not (camera.k1 or camera.k2):
            return depth_hw
        to = self._map(camera)
        with np.errstate(divide="ignore"):
            given_hw = np.where(depth_hw > 0, 1 / depth_hw, np.float32(np.nan)).astype(np.float32)
        inverse_hw = cv2.remap(
            given_hw, to.x_hw, to.y_hw, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan
        )
        known_hw = to.shown_hw & np.isfinite(inverse_hw)
        return np.where(known_hw, 1 / np.where(known_hw, inverse_hw, 1), 0).astype(np.float32)

    def image(self, rgb_hw3: np.ndarray, camera: Camera) -> np.ndarray:
        """Colours (height, width, 3) uint8; beside the photo those of its border."""
        if not (camera.k1 or camera.k2):
            return rgb_hw3
        to = self._map(camera)
        return np.asarray(cv2.remap(rgb_hw3, to.x_hw, to.y_hw, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def _map(self, camera: Camera) -> _PinholeMap:
        last = self._last
        if last is None or last.camera != camera:
            last = self._last = _pinhole_map(camera)
        return last


def _pinhole_map(camera: Camera) -> _PinholeMap:
    lens = Lens(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy, camera.k1, camera.k2)
    fold = fold_radius2(camera.k1, camera.k2) ** 0.5
    pinhole = _covering(camera, lens, fold)
    rays_hw2 = pinhole.unproject(pixel_centers(pinhole.width, pinhole.height))[..., :2]
    radius_hw = np.linalg.norm(rays_hw2, axis=-1)
    # Beyond the fold the lens's polynomial would turn back into the photo.
    px_hw2 = lens.px_of_rays(rays_hw2 * np.minimum(1, fold / np.maximum(radius_hw, 1e-12))[..., None])
    inside_hw = np.all((px_hw2 >= 0) & (px_hw2 <= (camera.width, camera.height)), axis=-1)
    x_hw, y_hw = np.moveaxis((px_hw2 - 0.5).astype(np.float32), -1, 0)
    return _PinholeMap(
        camera, pinhole, np.ascontiguousarray(x_hw), np.ascontiguousarray(y_hw), inside_hw & (radius_hw < fold)
    )


def _covering(camera: Camera, lens: Lens, fold: float) -> Camera:
    """A pinhole camera of the same focal lengths whose image holds every ray of the photo, within reason."""
    along = np.linspace(0, 1, _BORDER_POINTS)
    zero = np.zeros_like(along)
    sides = ((along, zero), (along, zero + 1), (zero, along), (zero + 1, along))
    border_n2 = np.concatenate([np.stack(side, -1) for side in sides]) * (camera.width, camera.height)
    straight_n2 = replace(camera, k1=0.0, k2=0.0).unproject(border_n2)[:, :2]
    rays_n2 = lens.rays_of_px(border_n2)
    # Where no ray ends, the last one that does lies at the fold.
    lost_n = ~np.isfinite(rays_n2).all(1)
    direction_n2 = straight_n2[lost_n] / np.maximum(np.linalg.norm(straight_n2[lost_n], axis=1, keepdims=True), 1e-12)
    rays_n2[lost_n] = direction_n2 * min(fold, 1e3)
    low_2 = np.maximum(rays_n2.min(0), _WIDEST * straight_n2.min(0))
    high_2 = np.minimum(rays_n2.max(0), _WIDEST * straight_n2.max(0))
    focal_2 = np.array([camera.fx, camera.fy])
    width, height = np.maximum(np.ceil((high_2 - low_2) * focal_2), 1).astype(int)
    cx, cy = -low_2 * focal_2
    return Camera(int(width), int(height), camera.fx, camera.fy, float(cx), float(cy))
