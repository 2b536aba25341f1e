"""Viewing rays of cameras, kept while the same camera looks again."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from transpose.geometry.cameras import Camera, cell_points

_MAX_BYTES = 64 << 20

_Rays = tuple[np.ndarray, np.ndarray]


class RayCache:
    """Rays of the cameras that looked last, of each at every stride it was asked for.

    The cameras that looked longest ago are forgotten as soon as all rays take more than `max_bytes`; the last one's
    stay, however large. May be used by several threads.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._rays: OrderedDict[Camera, dict[int, _Rays]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """What all rays kept take."""
        return sum(array.nbytes for strides in self._rays.values() for rays in strides.values() for array in rays)

    def __call__(self, camera: Camera, stride: int) -> _Rays:
        """Rays (rows, columns, 3) with z = 1 through the middles of stride x stride blocks, and their lengths, flat;
        both float32, read-only."""
        with self._lock:
            rays = self._rays.get(camera, {}).get(stride)
            if rays is not None:
                self._rays.move_to_end(camera)
                return rays
        rays_hw3 = camera.unproject(cell_points(camera.width, camera.height, stride)).astype(np.float32)
        rays = rays_hw3, np.linalg.norm(rays_hw3, axis=-1).reshape(-1)
        for array in rays:
            array.flags.writeable = False
        with self._lock:
            self._rays.setdefault(camera, {})[stride] = rays
            self._rays.move_to_end(camera)
            while self.bytes > self._max_bytes and len(self._rays) > 1:
                self._rays.popitem(last=False)
        return rays


view_rays = RayCache()
"""The cache of this process."""
