"""What images show of the world, as coarsely as the similarity of views needs it: depth at the cells of a map.

An image is compared by the points that its cells show, and judged by its depth: what lies behind is hidden in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from transpose.geometry.cameras import CELL_STRIDE, Camera, cell_points, grid_shape
from transpose.geometry.distortion import fold_radius2
from transpose.geometry.interpolation import InterpolatedDepth
from transpose.geometry.poses import Pose, transform

_VOLUME_STRIDE = 4  # cells between the rays of a volume
_VOLUME_DEPTHS = 8
_BORDER = 33  # points along a side of an image
_NEAREST = 1e-6  # of a view's depth: what is nearer counts as behind the camera
_VISIBLE = 1.2  # ratio of depths within a block of the image; farther points are hidden
_BLOCK_CELLS = 4


@dataclass(frozen=True, eq=False)
class DepthView:
    """A posed image and what is known of its depth.

    Attributes:
        camera, pose: of the image, any size; world lengths are those of `pose`.
        depth_hw: along z at the cells' points (`cell_points` with that stride), NaN where unknown.
        stride: pixels between the cells.
        complete: depth was measured or rendered, so that a cell without any shows nothing that is known. Of sparse
            depth, such as that of map points, unknown cells say nothing.
        volume: nearest and farthest depth that the image may show, where no cell has any: its frustum alone counts.
    """

    camera: Camera
    pose: Pose
    depth_hw: np.ndarray
    stride: int = CELL_STRIDE
    complete: bool = True
    volume: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        shape = grid_shape(self.camera.width, self.camera.height, self.stride)
        if self.depth_hw.shape != shape:
            raise ValueError(f"depth at the cells of this image must be {shape}, not {self.depth_hw.shape}")
        if self.volume is not None and not 0 < self.volume[0] < self.volume[1] < np.inf:
            raise ValueError(f"a volume lies between two depths in front of the camera, not {self.volume}")

    @classmethod
    def without_depth(cls, camera: Camera, pose: Pose, stride: int = CELL_STRIDE) -> DepthView:
        """An image of which no depth is known."""
        nothing_hw = np.full(grid_shape(camera.width, camera.height, stride), np.nan, np.float32)
        return cls(camera, pose, nothing_hw, stride, complete=False)

    @cached_property
    def known(self) -> bool:
        """Whether any cell has depth."""
        return bool(np.isfinite(self.depth_hw).any())

    @property
    def points_n3(self) -> np.ndarray:
        """World points (n, 3) float64 that it shows: of its cells, or spread over its volume."""
        if not self.known:
            return self._volume_points() if self.volume is not None else np.zeros((0, 3))
        known_n = np.isfinite(self.depth_hw).ravel()
        rays_n3 = _cell_rays(self.camera, self.stride)[known_n]
        return transform(self.pose.T_wc, rays_n3 * self.depth_hw.ravel()[known_n, None].astype(np.float64))

    @property
    def near_far(self) -> tuple[float, float]:
        """Depths between which lies all that it can show; of sparse depth, from the camera on without an end."""
        if self.complete and self.known:
            return float(np.nanmin(self.depth_hw)), float(np.nanmax(self.depth_hw))
        return (0.0, np.inf) if self.volume is None or self.known else self.volume

    def _volume_points(self) -> np.ndarray:
        """Points at depths that grow by a constant factor: as many at each scale."""
        assert self.volume is not None
        rays_n3 = _cell_rays(self.camera, self.stride * _VOLUME_STRIDE)
        rays_n3 = rays_n3[np.isfinite(rays_n3).all(1)]
        # The middles of equal steps, so that none lies on the volume's own border.
        step_k = (np.arange(_VOLUME_DEPTHS) + 0.5) / _VOLUME_DEPTHS
        depth_k = self.volume[0] * (self.volume[1] / self.volume[0]) ** step_k
        return transform(self.pose.T_wc, (depth_k[:, None, None] * rays_n3).reshape(-1, 3))


@lru_cache(maxsize=64)
def _cell_rays(camera: Camera, stride: int) -> np.ndarray:
    """Rays (cells, 3) with z = 1; NaN of cells outside the image, or that no ray reaches."""
    px_n2 = cell_points(camera.width, camera.height, stride).reshape(-1, 2)
    rays_n3 = camera.unproject(px_n2)
    rays_n3[(px_n2 >= (camera.width, camera.height)).any(1)] = np.nan
    return rays_n3


def with_usable_cells(view: DepthView) -> DepthView:
    """The view without depth at cells that have no ray, nor depth that is not positive."""
    rays_hw3 = _cell_rays(view.camera, view.stride).reshape(*view.depth_hw.shape, 3)
    with np.errstate(invalid="ignore"):
        usable_hw = np.isfinite(rays_hw3).all(2) & (view.depth_hw > 0) & np.isfinite(view.depth_hw)
    return replace(view, depth_hw=np.where(usable_hw, view.depth_hw, np.nan).astype(np.float32))


def with_depth_of_points(view: DepthView, points_n3: np.ndarray) -> DepthView:
    """The view with depth between those of some world points (n, 3) that it is likely to show.

    Of points in the same block of the image, those much farther than the nearest are taken to be hidden. What comes out
    is sparse: where no points lie about a cell, or they are of two surfaces, its depth stays unknown.
    """
    camera_n3 = transform(view.pose.T_cw, points_n3)
    px_n2 = view.camera.project(camera_n3)
    with np.errstate(invalid="ignore"):
        inside_n = ((px_n2 >= 0) & (px_n2 < (view.camera.width, view.camera.height))).all(1)
    px_n2, z_n = px_n2[inside_n], camera_n3[inside_n, 2]
    block_n2 = (px_n2 // (_BLOCK_CELLS * view.stride)).astype(np.int64)
    block_n = block_n2[:, 1] * grid_shape(view.camera.width, 1, _BLOCK_CELLS * view.stride)[1] + block_n2[:, 0]
    nearest_b = np.full(block_n.max(initial=0) + 1, np.inf)
    np.minimum.at(nearest_b, block_n, z_n)
    visible_n = z_n < _VISIBLE * nearest_b[block_n]
    cells_n2 = cell_points(view.camera.width, view.camera.height, view.stride).reshape(-1, 2)
    depth_n = InterpolatedDepth(px_n2[visible_n], z_n[visible_n]).at(cells_n2)
    filled = replace(view, depth_hw=depth_n.reshape(view.depth_hw.shape).astype(np.float32), complete=False)
    return with_usable_cells(filled)


def frustum_planes(view: DepthView, slack: float = 0.0) -> np.ndarray:
    """The planes (6, 4) about all that a view can show, in the world.

    Unit normals n and offsets d; a point x may be shown only where n.x + d >= 0 for all of them. Of a distorted image,
    they stand about its whole border. An end that is infinitely far away becomes a plane that holds nowhere.

    Args:
        view: of an image.
        slack: length by which near and far planes are moved outwards.
    """
    low_2, high_2 = _ray_bounds(view.camera)
    near, far = view.near_far
    near = max(near - slack, _NEAREST * max(near, 1.0))
    planes_64 = np.array(
        [
            [1.0, 0.0, -low_2[0], 0.0],
            [-1.0, 0.0, high_2[0], 0.0],
            [0.0, 1.0, -low_2[1], 0.0],
            [0.0, -1.0, high_2[1], 0.0],
            [0.0, 0.0, 1.0, -near],
            [0.0, 0.0, -1.0, far + slack] if np.isfinite(far) else [0.0, 0.0, 0.0, 1.0],
        ]
    )
    planes_64[:4] /= np.linalg.norm(planes_64[:4, :3], axis=1, keepdims=True)
    # Of a camera's point T_cw x, a plane p says p . (T_cw x) = (p T_cw) . x.
    return planes_64 @ view.pose.T_cw


@lru_cache(maxsize=1024)
def _ray_bounds(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest x, y at z = 1 of an image's border; what no ray reaches takes the lens's own end."""
    along_n = np.linspace(0.0, 1.0, _BORDER)
    sides = [np.stack([along_n, np.full(_BORDER, end)], 1) for end in (0.0, 1.0)]
    unit_n2 = np.concatenate([*sides, *(side[:, ::-1] for side in sides)])
    xy_n2 = camera.unproject(unit_n2 * (camera.width, camera.height))[:, :2]
    if camera.k1 or camera.k2:  # between the points that were looked at, the border may bulge a little
        pad_2 = np.array([camera.width / camera.fx, camera.height / camera.fy]) / _BORDER
        if not np.isfinite(xy_n2).all():
            reach = fold_radius2(camera.k1, camera.k2) ** 0.5
            xy_n2 = np.concatenate([xy_n2, np.array([[-reach, -reach], [reach, reach]])])
        return np.nanmin(xy_n2, axis=0) - pad_2, np.nanmax(xy_n2, axis=0) + pad_2
    return xy_n2.min(0), xy_n2.max(0)
