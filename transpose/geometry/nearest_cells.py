"""The nearest point of a view's depth map to others, exactly: mostly by a look at a few cells about each in the image.

A point p of a view and any point q, d apart, differ in the image at z = 1 by (d_xy - a d_z) / z, where a is p's ray and
z the depth of q: by no more than sqrt(1 + |a|^2) d / z. So once the cells of a window about q's place in the image have
been looked at, all other points are known to be farther than some length. Where the nearest one that was found is too,
a larger window is looked at, and at last all points, by a k-d tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import max_pool2d

from transpose.geometry.depth_views import DepthView
from transpose.geometry.distortion import Distortion, fold_radius2

_HALVES = (2, 3, 4, 6)  # cells, each way, of the windows that are looked at after that of 2 x 2 cells
_PAD = max(_HALVES)
_AT_ONCE = 131_072  # points of windows that are looked at at once
_MOST_POOLED = 12  # cells, each way, of the neighbourhood whose depths tell whether a larger window is worth a look
_NOWHERE = 1e15  # coordinates where no point is known: far away, and the square is finite
_SHARE, _CELLS = 1e-3, 0.01  # of lengths, of places in the image: many times what float32 may be wrong by
_LENS_MARGIN = 1.5  # of |a|^2 at the border: so far aside may a point be seen
_ASIDE = 1e6  # cells: as far as any point is


@dataclass(frozen=True, eq=False)
class NearestCells:
    """A view's points at the cells of its image, within a border of cells without any.

    Attributes:
        image: how its camera sees points.
        xyz_3c: float32 in the camera's frame, row by row; far away where none is known.
        pooled: cells, each way, about each, between whose `near_c` and `far_c` all depths there are.
    """

    image: _CellsOfImage
    xyz_3c: Tensor
    pooled: int
    near_c: Tensor
    far_c: Tensor

    @classmethod
    def of(
        cls, view: DepthView, points_n3: np.ndarray, cell_n: np.ndarray, radius: float, device: torch.device
    ) -> NearestCells:
        """Of points (n, 3) in the camera's frame, one at least, at some cells (n,).

        Args:
            radius: the largest one that is asked for.
        """
        image = _CellsOfImage.of(view, points_n3, device)
        xyz_3c = torch.from_numpy(image.padded(points_n3, cell_n, _NOWHERE)).to(device)
        reach = float(image.spread_21.max()) * radius / max(float(points_n3[:, 2].min()) - radius, 1e-9)
        pooled = int(np.clip(np.ceil(reach) + 1, 1, _MOST_POOLED))
        z_1hw = xyz_3c[2].view(1, -1, image.width)
        known_1hw = z_1hw < _NOWHERE
        near_c, far_c = (_pooled(torch.where(known_1hw, each, -torch.inf), pooled).ravel() for each in (-z_1hw, z_1hw))
        return cls(image, xyz_3c, pooled, -near_c, far_c)

    def nearest(self, points_3m: Tensor, radius_m: Tensor) -> Tensor:
        """The cell (m,) of the point nearest to each of some (3, m) in the camera's frame; -1 if none is in the radius.

        Args:
            points_3m, radius_m: float32.

        Returns:
            int32; cells are numbered as by `padded`.
        """
        seen = _Seen.of(self.image, points_3m)
        cell_m, limit_m = self._nearest_in_window(points_3m, seen.cell_m, radius_m, 1)
        left_k = (~(limit_m <= seen.beyond(1))).nonzero()[:, 0]
        left = _Left(left_k, points_3m.index_select(1, left_k), seen.some(left_k), limit_m.index_select(0, left_k))
        left = left.some(self._may_touch(left.seen, left.limit_m))
        for half in _HALVES:
            enough_m = left.limit_m <= left.seen.beyond(half)
            for some_k in enough_m.nonzero()[:, 0].split(max(1, _AT_ONCE // (2 * half) ** 2)):
                some = left.some(some_k)
                _put(cell_m, some, self._nearest_in_window(some.points_3m, some.seen.cell_m, some.limit_m, half)[0])
            left = left.some(~enough_m)
        if len(left.number_m):
            _put(cell_m, left, self._nearest_of_all(left.points_3m, left.limit_m))
        return cell_m

    def _nearest_in_window(
        self, points_3m: Tensor, around_m: Tensor, radius_m: Tensor, half: int
    ) -> tuple[Tensor, Tensor]:
        """Of the points of 2 half x 2 half cells, the cell (m,) of the nearest one within the radius, or -1.

        The other (m,) is its distance, or else the radius: only what is nearer matters from then on.
        """
        step_s = torch.arange(1 - half, half + 1, dtype=torch.int32, device=around_m.device)
        cell_wm = around_m + (step_s[:, None] * self.image.width + step_s).reshape(-1, 1)
        x_wm, y_wm, z_wm = (
            table_c.index_select(0, cell_wm.view(-1)).view(cell_wm.shape).sub_(own_m)
            for table_c, own_m in zip(self.xyz_3c, points_3m, strict=True)
        )
        squared_wm = x_wm.square_().addcmul_(y_wm, y_wm).addcmul_(z_wm, z_wm)
        least_m = squared_wm.amin(0)
        cell_m = torch.where(squared_wm == least_m, cell_wm, -1).amax(0)
        distance_m = least_m.sqrt_()
        return cell_m.masked_fill_(distance_m >= radius_m, -1), torch.minimum(distance_m, radius_m)

    def _may_touch(self, seen: _Seen, radius_m: Tensor) -> Tensor:
        """Which points have some of the view within the radius in depth, or are seen so near that it is not known."""
        near_m, far_m = (each.index_select(0, seen.cell_m) for each in (self.near_c, self.far_c))
        slack_m = radius_m * (1 + _SHARE)
        between_m = (seen.z_m > near_m - slack_m) & (seen.z_m < far_m + slack_m)
        return between_m | ~(radius_m <= seen.beyond(self.pooled))

    def _nearest_of_all(self, points_3m: Tensor, radius_m: Tensor) -> Tensor:
        """The cell (m,) of the nearest point within a radius, or -1."""
        tree, cell_n = self._tree
        distance_m, number_m = tree.query(points_3m.T.cpu().numpy(), distance_upper_bound=float(radius_m.max()))
        within_m = distance_m < radius_m.cpu().numpy()
        cell_m = np.where(within_m, cell_n[np.where(within_m, number_m, 0)], -1)
        return torch.from_numpy(cell_m.astype(np.int32)).to(points_3m.device)

    @cached_property
    def _tree(self) -> tuple[cKDTree, np.ndarray]:
        xyz_3c = self.xyz_3c.cpu().numpy()
        cell_n = np.flatnonzero(xyz_3c[2] < _NOWHERE)
        return cKDTree(xyz_3c[:, cell_n].T), cell_n


@dataclass(frozen=True, eq=False)
class _Left:
    """Points whose nearest one may not have been found yet.

    Attributes:
        number_m: their numbers.
        points_3m: in the camera's frame.
        seen: where they are seen.
        limit_m: distance of the nearest one so far, or the radius: farther ones do not matter.
    """

    number_m: Tensor
    points_3m: Tensor
    seen: _Seen
    limit_m: Tensor

    def some(self, which_k: Tensor) -> _Left:
        """Some of them: by a mask, or by numbers among them."""
        if which_k.dtype == torch.bool:
            which_k = which_k.nonzero()[:, 0]
        number_k, limit_k = self.number_m.index_select(0, which_k), self.limit_m.index_select(0, which_k)
        return _Left(number_k, self.points_3m.index_select(1, which_k), self.seen.some(which_k), limit_k)


def _put(cell_m: Tensor, points: _Left, found_k: Tensor) -> None:
    """Nearer cells, of those points for which one was found."""
    good_j = (found_k >= 0).nonzero()[:, 0]
    cell_m.index_copy_(0, points.number_m.index_select(0, good_j), found_k.index_select(0, good_j))


def _pooled(values_1hw: Tensor, cells: int) -> Tensor:
    """The largest value within some cells, each way."""
    side = 2 * cells + 1
    across_1hw = max_pool2d(values_1hw, (1, side), stride=1, padding=(0, cells))
    return max_pool2d(across_1hw, (side, 1), stride=1, padding=(cells, 0))


@dataclass(frozen=True, eq=False)
class _CellsOfImage:
    """How a view's camera sees points, in cells: whole numbers are where the cells' own points are seen.

    Attributes:
        view: whose camera it is.
        count_21: columns and rows.
        spread_21: a point of the view and one that is a length l away and z deep are seen at most so many cells times
            l / z apart, across and down.
        aside2: |a|^2 of the rays up to which that holds.
    """

    view: DepthView
    count_21: Tensor
    spread_21: Tensor
    aside2: float

    @classmethod
    def of(cls, view: DepthView, points_n3: np.ndarray, device: torch.device) -> _CellsOfImage:
        """Of a view and its points (n, 3) in the camera's frame."""
        camera = view.camera
        ray2_n2 = (points_n3[:, :2] / points_n3[:, 2:]) ** 2
        if camera.k1 or camera.k2:
            aside2 = _LENS_MARGIN * float(ray2_n2.sum(1).max())
            most_2 = np.full(2, ray2_n2.sum(1).max())
            stretch = _most_stretched(camera.k1, camera.k2, aside2)
        else:
            most_2, stretch, aside2 = ray2_n2.max(0), 1.0, np.inf
        spread_2 = np.array([camera.fx, camera.fy]) / view.stride * np.sqrt(1 + most_2) * stretch
        pairs = (view.depth_hw.shape[::-1], spread_2)
        count_21, spread_21 = (torch.tensor(pair, dtype=torch.float32, device=device)[:, None] for pair in pairs)
        return cls(view, count_21, spread_21, aside2)

    @property
    def width(self) -> int:
        """Of the padded map of cells."""
        return self.view.depth_hw.shape[1] + 2 * _PAD

    def padded(self, values_nk: np.ndarray, cell_n: np.ndarray, empty: float = 0.0) -> np.ndarray:
        """Values (k, cells) float32 of the image's cells and of the border about them, row by row."""
        rows, columns = self.view.depth_hw.shape
        padded_khw = np.full((values_nk.shape[1], rows + 2 * _PAD, self.width), empty, np.float32)
        row_n, column_n = np.divmod(cell_n, columns)
        padded_khw[:, row_n + _PAD, column_n + _PAD] = values_nk.T
        return padded_khw.reshape(len(padded_khw), -1)


def _most_stretched(k1: float, k2: float, aside2: float) -> float:
    """How much a lens stretches at most, in any direction, up to some squared radius s.

    Across the radius by 1 + k1 s + k2 s^2, along it by 1 + 3 k1 s + 5 k2 s^2.
    """
    most = 1.0
    for linear, square in ((k1, k2), (3 * k1, 5 * k2)):
        vertex = -linear / (2 * square) if square else 0.0
        for s in (aside2, min(max(vertex, 0.0), aside2)):
            most = max(most, abs(1 + linear * s + square * s * s))
    return most


@dataclass(frozen=True, eq=False)
class _Seen:
    """Where in the image some points are seen.

    Attributes:
        z_m: their depth; 0 of those of which nothing is known.
        place_2m: across and down, in cells.
        low_2m: column and row of the cell there whose point is seen left of and above each, or of the border's.
        cell_m: its number.
    """

    image: _CellsOfImage
    z_m: Tensor
    place_2m: Tensor
    low_2m: Tensor
    cell_m: Tensor

    @classmethod
    def of(cls, image: _CellsOfImage, points_3m: Tensor) -> _Seen:
        """Of points (3, m) in the camera's frame."""
        camera, stride, (x_m, y_m, z_m) = image.view.camera, image.view.stride, points_3m
        x_m, y_m = x_m / z_m, y_m / z_m
        if camera.k1 or camera.k2:
            z_m = z_m.masked_fill(~(x_m * x_m + y_m * y_m <= image.aside2), 0.0)
            lens = Distortion(camera.k1, camera.k2, fold_r2=fold_radius2(camera.k1, camera.k2))
            x_m, y_m = lens.distorted(x_m, y_m)
        across_m = (x_m * (camera.fx / stride)).add_(camera.cx / stride - 0.5)
        down_m = (y_m * (camera.fy / stride)).add_(camera.cy / stride - 0.5)
        place_2m = torch.stack([across_m, down_m]).nan_to_num_(0.0).clamp_(-_ASIDE, _ASIDE)
        low_2m = torch.minimum(place_2m.floor().clamp_min_(-1), image.count_21 - 1)
        cell_m = (low_2m[1] * image.width).add_(low_2m[0]).add_(_PAD * (image.width + 1)).int()
        return cls(image, z_m, place_2m, low_2m, cell_m)

    def some(self, number_k: Tensor) -> _Seen:
        """Of some of the points."""
        z_k, cell_k = self.z_m.index_select(0, number_k), self.cell_m.index_select(0, number_k)
        place_2k, low_2k = self.place_2m.index_select(1, number_k), self.low_2m.index_select(1, number_k)
        return _Seen(self.image, z_k, place_2k, low_2k, cell_k)

    def beyond(self, half: int) -> Tensor:
        """The length (m,) within which no point of the view is seen outside 2 half x 2 half cells."""
        within_2m = self.place_2m - self.low_2m
        # Where the window reaches the border, there is nothing beyond it.
        before_2m = (within_2m + half).add_((half - self.low_2m).clamp_min_(0), alpha=_ASIDE)
        past_2m = (self.low_2m - (self.image.count_21 - half - 2)).clamp_min_(0)
        after_2m = (half + 1 - within_2m).add_(past_2m, alpha=_ASIDE)
        room_2m = torch.minimum(before_2m, after_2m).sub_(_CELLS).div_(self.image.spread_21)
        return room_2m.amin(0).mul_(self.z_m).mul_(1 - _SHARE).clamp_min_(0.0)
