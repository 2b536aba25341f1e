"""The depth of frames as similarity needs it: of their labels, of what other frames show of the place, or none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.cameras import CELL_STRIDE, cell_points, grid_shape
from transpose.geometry.depth_views import DepthView, with_depth_of_points, with_usable_cells
from transpose.geometry.poses import transform
from transpose.parallel import worker_count
from transpose.scenes.labels import depth_at
from transpose.scenes.layout import Frame
from transpose.scenes.unit import cameras_extent
from transpose.selection import evenly_chosen

log = logging.getLogger(__name__)
Progress = Callable[[Iterable[DepthView], int], Iterable[DepthView]]
_MOST_POINTS = 400_000  # of other frames, by which one without depth is judged
_FARTHEST, _NEAREST = 1.0, 0.02  # depths of frusta, of the extent of the cameras, where nothing else is known
_DEPTH_QUANTILES = (0.02, 0.98)
_SPARSE = 0.2  # of the cells: where `init` knows fewer, they are points of a reconstruction


def view_of(frame: Frame, stride: int = CELL_STRIDE) -> DepthView:
    """A frame with the depth that its labels know, at the points of its cells; unknown where it has no labels.

    Of `depth`, which is read between its pixels; else of `init` or CrossLoc's depth, which are known at cells of 8
    pixels only.
    """
    empty = DepthView.without_depth(frame.camera, frame.pose, stride)
    px_n2 = cell_points(frame.camera.width, frame.camera.height, stride).reshape(-1, 2)
    if frame.has("depth"):
        depth_n, complete = depth_at(frame.depth(), px_n2), True
    elif frame.has("init") or frame.has("cell_depth"):
        layer = "init" if frame.has("init") else "cell_depth"
        map_hw = _depth_of_init(frame) if layer == "init" else frame.cell_depth()
        if map_hw.shape != (cells := grid_shape(frame.camera.width, frame.camera.height)):
            raise TransposeError(f"{frame.paths[layer]} has {map_hw.shape} cells; an image of this size has {cells}")
        row_n, column_n = (px_n2[:, ::-1] // CELL_STRIDE).astype(np.int64).T
        depth_n = map_hw[np.minimum(row_n, map_hw.shape[0] - 1), np.minimum(column_n, map_hw.shape[1] - 1)]
        complete = bool(np.isfinite(map_hw).mean() > _SPARSE)
    else:
        return empty
    depth_hw = depth_n.reshape(empty.depth_hw.shape).astype(np.float32)
    return with_usable_cells(replace(empty, depth_hw=depth_hw, complete=complete))


def _depth_of_init(frame: Frame) -> np.ndarray:
    map_3hw = frame.coordinates().astype(np.float64)
    depth_hw: np.ndarray = transform(frame.pose.T_cw, np.moveaxis(map_3hw, 0, -1))[..., 2]
    return depth_hw


def views_of(
    groups: Sequence[Sequence[Frame]], stride: int = CELL_STRIDE, progress: Progress | None = None
) -> list[list[DepthView]]:
    """Frames of one place, each with the best depth that is known.

    A frame without labels takes what frames with depth show of the place, where it is likely to show the same; if no
    frame has any, its frustum alone counts, as far as the cameras are apart.

    Args:
        groups: of frames, such as those of two sections.
        stride: pixels between the cells of all views.
        progress: wraps the views as they are read, and their number.
    """
    frames = [frame for group in groups for frame in group]
    with ThreadPoolExecutor(worker_count()) as pool:
        reading: Iterator[DepthView] = pool.map(lambda frame: view_of(frame, stride), frames)
        views = list(reading if progress is None else progress(reading, len(frames)))
    if not all(_has_depth(view) for view in views):
        views = _completed(views)
    ends = np.cumsum([len(group) for group in groups])
    return [views[end - len(group) : end] for group, end in zip(groups, ends, strict=True)]


def _has_depth(view: DepthView) -> bool:
    """Whether its depth is known, be it that it shows nothing, as a render beside the world."""
    return view.known or view.complete


def _completed(views: Sequence[DepthView]) -> list[DepthView]:
    """With depth for those that have none."""
    some = [view for view in views if view.known]
    if some:
        points_n3 = np.concatenate([view.points_n3 for view in (some[i] for i in evenly_chosen(len(some), 1000))])
        points_n3 = points_n3[evenly_chosen(len(points_n3), _MOST_POINTS)]
        views = [view if _has_depth(view) else with_depth_of_points(view, points_n3) for view in views]
    without = sum(not _has_depth(view) for view in views)
    if without == 0:
        return list(views)
    near, far = _likely_depths(views)
    log.info(
        "%d of %d views have no depth, nor do others show what they see: their frusta count, from %.3g to %.3g",
        without,
        len(views),
        near,
        far,
    )
    return [view if _has_depth(view) else replace(view, volume=(near, far)) for view in views]


def _likely_depths(views: Sequence[DepthView]) -> tuple[float, float]:
    """What depths to expect: those of the other views, else of things as far away as the cameras are apart."""
    known = [view.depth_hw[np.isfinite(view.depth_hw)] for view in views if view.known]
    if known:
        near, far = (float(each) for each in np.quantile(np.concatenate(known), _DEPTH_QUANTILES))
        return near, max(far, near * (1 + 1e-3))
    extent = cameras_extent(np.array([view.pose.center for view in views]))
    extent = extent if extent > 0 else 1.0  # of one place any depth tells the same
    return _NEAREST * extent, _FARTHEST * extent
