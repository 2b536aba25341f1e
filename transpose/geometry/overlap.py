"""How much of what one view shows lies in another: CamNet's bilateral frustum overlap, with what hides things.

Ding et al., CamNet: Coarse-to-Fine Retrieval for Camera Re-Localization, ICCV 2019: the points of a view are projected
into another one, and those count that land in its image. Here they must also lie in front of that camera, and be what
its depth shows there: a room behind a wall is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from transpose.geometry.depth_views import DepthView
from transpose.geometry.distortion import Distortion, fold_radius2
from transpose.geometry.visible_points import PointsOfViews, compared

Progress = Callable[[range], Iterator[int]]


@dataclass(frozen=True)
class OverlapOptions:
    """When a point is what a view shows.

    Attributes:
        absolute, relative: how far its depth may be from the view's there: a length, or a share of its depth where that
            is more. It is compared with the cell in which it lies, so that a share must allow for surfaces seen aslant.
        least: smaller overlaps are left out.
    """

    absolute: float = 0.0
    relative: float = 0.05
    least: float = 0.0

    def __post_init__(self) -> None:
        if self.absolute < 0 or not 0 <= self.relative < 1 or max(self.absolute, self.relative) == 0:
            raise ValueError(f"depths need a tolerance, of a share below 1, got {self}")
        if not 0 <= self.least <= 1:
            raise ValueError(f"an overlap lies in 0..1, got {self.least}")


def frustum_overlap(
    sources: Sequence[DepthView],
    targets: Sequence[DepthView],
    options: OverlapOptions | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = iter,
) -> sparse.csr_array:
    """The share of each source's points that each target shows, (sources, targets) float32 in 0..1.

    A point counts that is in front of the target's camera, inside its image, and as far away as the target's depth in
    that cell. Where depth is complete and the cell has none, it does not; where depth is sparse or unknown, it does.

    Args:
        sources, targets: views of one world.
        options: the defaults without.
        device: where it is computed.
        progress: wraps the targets' numbers.
    """
    options = options or OverlapOptions()
    device = torch.device(device)
    origin_3 = np.mean([view.pose.center for view in [*sources, *targets]] or [np.zeros(3)], axis=0)
    relative = ((view.points_n3 - origin_3).astype(np.float32) for view in sources)
    points = PointsOfViews.of(relative, origin_3, device)
    # What is nearer or farther than all depths of a target may still be within their tolerance.
    far_t = np.array([view.near_far[1] if view.known and view.complete else 0.0 for view in targets])
    slack_t = np.maximum(options.absolute, options.relative / (1 - options.relative) * far_t)

    def seen(target: int, planes_64: np.ndarray, chunks: Iterable[Tensor]) -> np.ndarray:
        looking, T_cw = _Looking.of(targets[target], options, device), targets[target].pose.T_cw
        count_v = np.zeros(len(points.count_v), np.int64)
        for chunk in chunks:
            number_m = points.inside(planes_64, chunk)
            shown_m = looking.shows(points.in_camera(T_cw, number_m))
            count_v += points.counted(number_m[shown_m])
        return count_v / np.maximum(points.count_v, 1)

    return compared(points, targets, seen, slack_t, 0.0, options.least, progress)


@dataclass(frozen=True, eq=False)
class _Looking:
    """A target, ready to be asked what it shows."""

    view: DepthView
    options: OverlapOptions
    depth_n: Tensor

    @classmethod
    def of(cls, view: DepthView, options: OverlapOptions, device: torch.device) -> _Looking:
        return cls(view, options, torch.from_numpy(view.depth_hw.astype(np.float32)).ravel().to(device))

    def shows(self, points_3m: Tensor) -> Tensor:
        """Which points (3, m) of the camera's frame it shows."""
        cell_m, inside_m = cells_of(self.view, points_3m)
        z_m, depth_m = points_3m[2], self.depth_n.index_select(0, cell_m)
        tolerance_m = (self.options.relative * z_m).clamp_min(self.options.absolute)
        near_m = (z_m - depth_m).abs() < tolerance_m
        return inside_m & (near_m if self.view.complete else near_m | depth_m.isnan())


def cells_of(view: DepthView, points_3m: Tensor) -> tuple[Tensor, Tensor]:
    """The cell of a view in which each point (3, m) of its camera's frame lies, and whether that is in its image.

    Points that are not take the nearest cell of the image's border; those that are behind the camera, any.
    """
    camera, (x_m, y_m, z_m) = view.camera, points_3m
    ahead_m = z_m > 0
    x_m, y_m = x_m / z_m, y_m / z_m
    if camera.k1 or camera.k2:
        lens = Distortion(camera.k1, camera.k2, fold_r2=fold_radius2(camera.k1, camera.k2))
        ahead_m = ahead_m & lens.before_fold(x_m, y_m)
        x_m, y_m = lens.distorted(x_m, y_m)
    px_m, py_m = x_m * camera.fx + camera.cx, y_m * camera.fy + camera.cy
    inside_m = ahead_m & (px_m >= 0) & (px_m < camera.width) & (py_m >= 0) & (py_m < camera.height)
    rows, columns = view.depth_hw.shape
    column_m = (px_m / view.stride).nan_to_num(0.0).clamp(0, columns - 1).long()
    row_m = (py_m / view.stride).nan_to_num(0.0).clamp(0, rows - 1).long()
    return row_m * columns + column_m, inside_m
