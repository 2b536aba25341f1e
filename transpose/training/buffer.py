"""A bounded buffer of encoder features with their cells, drawn from augmented views of many frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.losses.cells import Cells
from transpose.models.keypoints import features_at, keypoints_of
from transpose.models.network import Encoder, ImageMaps
from transpose.models.precision import autocast
from transpose.parallel import in_order, one_thread_each, worker_count
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions
from transpose.selection import evenly_chosen
from transpose.training.landmarks import Observations
from transpose.training.ranks import ALONE, Ranks
from transpose.training.view_table import ViewTable, pinhole_px
from transpose.training.views import TrainingFrame, TrainingView, training_view

BYTES_BESIDE_FEATURES = 24  # point, pixel and view of a cell
_SURFACE = 4  # normal and class of a cell, in half precision: an angle to 0.05 deg
_MOST_OBSERVATIONS = 1_000_000


@dataclass(frozen=True)
class CellBuffer:
    """Cells of many views.

    `features_nc` bfloat16; `points_n3` float32 world points relative to the run's origin, metres, NaN where unknown;
    `px_n2` where they were seen; `view_n` which of `views` saw them; `surface_n4` float16 the unit normal in the view's
    camera and the class of what they show (`TrainingView.surface`), None where the filling did not ask for it.
    """

    features_nc: Tensor
    points_n3: Tensor
    px_n2: Tensor
    view_n: Tensor
    views: ViewTable
    surface_n4: Tensor | None = None

    def __len__(self) -> int:
        return len(self.features_nc)

    def cells(self, index_n: Tensor | slice) -> Cells:
        """Some cells without their features."""
        return self.views.cells(self.points_n3[index_n], self.px_n2[index_n], self.view_n[index_n])


@dataclass(frozen=True)
class Filled:
    """What a pass over the frames leaves: cells for the head, and keypoints for landmarks."""

    cells: CellBuffer
    observations: Observations


@dataclass(frozen=True)
class Filling:
    """How a buffer is filled.

    Attributes:
        views: how many; frames are taken in turn, each time with another augmentation, some of them where there are
            fewer views.
        cells_per_view: random ones that are kept of each, at most.
        megabytes: of the buffer, at most.
        labelled: keep only cells whose world point is known.
        keypoints_per_view: from which landmarks are made; 0: none.
        augment: None for views as they are.
        seed: the same one fills the same buffer, whatever the number of threads and ranks.
        keypoint_features: keep all features of the keypoints, for an adapter to learn from.
        surface: keep the normal and the class of each cell as well.
    """

    views: int
    cells_per_view: int
    megabytes: int
    labelled: bool
    keypoints_per_view: int
    augment: AugmentOptions | None
    seed: int
    keypoint_features: bool = False
    surface: bool = False

    def frames(self, count: int) -> list[int]:
        """Which of so many frames each view is of."""
        among = evenly_chosen(count, self.views)  # all frames, but where there are to be fewer views
        return [among[view % len(among)] for view in range(self.views)]


def fill_buffer(
    frames: Sequence[TrainingFrame],
    encoder: Encoder,
    origin_3: np.ndarray,
    filling: Filling,
    *,
    device: torch.device,
    dtype: torch.dtype,
    ranks: Ranks = ALONE,
    progress: Callable[[Iterable[int], int], Iterable[int]] = lambda items, total: items,
) -> Filled:
    """Passes views through the frozen encoder and keeps random cells of each; each rank does its block of views.

    Args:
        frames: where to draw from.
        encoder: of the features, and of keypoints where it has them.
        origin_3: subtracted from coordinates in float64 before they become float32.
        filling: how.
        device: where the encoder runs; the buffer stays in main memory.
        dtype: arithmetic of the encoder.
        ranks: the processes of this training; all get the whole buffer.
        progress: wraps the views as they are done.

    Raises:
        TransposeError: no cell of any frame can be used.
    """
    rows = _Rows.empty(filling, feature_channels(encoder, device))
    observed: dict[int, Observations] = {}
    wanted = min(filling.keypoints_per_view, _MOST_OBSERVATIONS // filling.views), filling.keypoint_features
    of_view = filling.frames(len(frames))
    among = len(set(of_view))

    def one_view(index: int) -> int:
        pass_, which = index // among, of_view[index]
        rng = stream(filling.seed, "buffer", str(pass_), str(which))
        seen = training_view(frames, which, rng, filling.augment)
        maps = encode(encoder, seen.image_hw3, device, dtype)
        usable = usable_cells(seen, maps, filling.labelled)
        kept = rows.put(index, seen, usable, origin_3, rng)
        if encoder.has_keypoints and (seen_here := _observations(seen, which, maps, wanted, origin_3)):
            observed[index] = seen_here
        return kept

    block = ranks.block(filling.views)
    with one_thread_each(), ThreadPoolExecutor(worker_count()) as pool:
        for _ in progress(in_order(pool, one_view, block), len(block)):
            pass
    rows.broadcast(ranks)
    if rows.count_v.sum() == 0:
        raise TransposeError(
            "no cell of any training frame has a world coordinate; is the depth (or init) all unknown?"
        )
    observations = Observations.joined([part[i] for part in ranks.gathered(observed) for i in sorted(part)])
    return Filled(rows.buffer(), observations)


@dataclass(frozen=True)
class _Rows:
    """Room for the cells of all views, `per_view` each, of which `count_v` are taken."""

    features_nc: Tensor
    points_n3: Tensor
    px_n2: Tensor
    views: ViewTable
    count_v: Tensor
    per_view: int
    surface_n4: Tensor | None

    @classmethod
    def empty(cls, filling: Filling, channels: int) -> _Rows:
        beside = BYTES_BESIDE_FEATURES + 2 * _SURFACE * filling.surface
        capacity = filling.megabytes * 2**20 // (2 * channels + beside)
        per_view = min(filling.cells_per_view, max(1, capacity // filling.views))
        n = filling.views * per_view
        features_nc = torch.empty(n, channels, dtype=torch.bfloat16)
        count_v = torch.zeros(filling.views, dtype=torch.int64)
        surface_n4 = torch.empty(n, _SURFACE, dtype=torch.half) if filling.surface else None
        views = ViewTable.empty(filling.views)
        return cls(features_nc, torch.empty(n, 3), torch.empty(n, 2), views, count_v, per_view, surface_n4)

    def put(
        self,
        view: int,
        seen: TrainingView,
        usable: UsableCells,
        origin_3: np.ndarray,
        rng: np.random.Generator,
    ) -> int:
        """Random ones of a view's usable cells; returns how many."""
        keep = rng.permutation(len(usable.points_n3))[: self.per_view]
        place = slice(view * self.per_view, view * self.per_view + len(keep))
        self.count_v[view] = len(keep)
        self.features_nc[place] = usable.features_nc[torch.from_numpy(keep)]
        self.points_n3[place] = torch.from_numpy(usable.points_n3[keep] - origin_3).float()
        self.px_n2[place] = torch.from_numpy(usable.px_n2[keep]).float()
        if self.surface_n4 is not None:
            self.surface_n4[place] = torch.from_numpy(seen.surface(usable.image_px_n2[keep])).half()
        self.views.put(view, seen.pose, seen.camera, origin_3)
        return len(keep)

    def broadcast(self, ranks: Ranks) -> None:
        """What each rank has filled goes to all."""
        for tensor in self._of_cells:
            ranks.broadcast_blocks(tensor, len(self.count_v), self.per_view)
        for tensor in (self.count_v, *self.views.tensors):
            ranks.broadcast_blocks(tensor, len(self.count_v), 1)

    def buffer(self) -> CellBuffer:
        """The rows that are taken."""
        view_n = torch.arange(len(self.count_v), dtype=torch.int32).repeat_interleave(self.per_view)
        taken_n = (torch.arange(self.per_view) < self.count_v[:, None]).flatten()
        if bool(taken_n.all()):
            return CellBuffer(self.features_nc, self.points_n3, self.px_n2, view_n, self.views, self.surface_n4)
        features_nc, points_n3, px_n2, *surface = (each[taken_n] for each in self._of_cells)
        return CellBuffer(features_nc, points_n3, px_n2, view_n[taken_n], self.views, *surface)

    @property
    def _of_cells(self) -> list[Tensor]:
        """What has a row a cell."""
        surface = [] if self.surface_n4 is None else [self.surface_n4]
        return [self.features_nc, self.points_n3, self.px_n2, *surface]


def feature_channels(encoder: Encoder, device: torch.device) -> int:
    """Of the encoder's features: what comes out for a tiny image."""
    with torch.no_grad():
        return int(encoder(torch.zeros(1, 3, 64, 64, device=device)).shape[1])


class UsableCells(NamedTuple):
    """Of a view: features (n, channels) bfloat16 on the CPU, points, pinhole pixels, and those of the image itself."""

    features_nc: Tensor
    points_n3: np.ndarray
    px_n2: np.ndarray
    image_px_n2: np.ndarray


def usable_cells(seen: TrainingView, maps: ImageMaps, labelled: bool) -> UsableCells:
    """The cells of a view that can be learned from.

    `labelled` keeps those whose point is known, else all that show the scene are kept.
    """
    px_n2 = seen.cell_px()
    points_n3 = seen.points(px_n2)
    usable_n = np.isfinite(points_n3).all(1) if labelled else seen.visible(px_n2)
    pinhole_n2 = pinhole_px(seen.camera, px_n2)
    usable = np.flatnonzero(usable_n & np.isfinite(pinhole_n2).all(1))  # strong distortion leaves cells without a ray
    features_nc = maps.features_bchw[0].flatten(1).T
    picked_nc = features_nc[torch.from_numpy(usable).to(features_nc.device)].to("cpu", torch.bfloat16)
    return UsableCells(picked_nc, points_n3[usable], pinhole_n2[usable], px_n2[usable])


def _observations(
    seen: TrainingView, frame: int, maps: ImageMaps, wanted: tuple[int, bool], origin_3: np.ndarray
) -> Observations | None:
    """Keypoints whose point is known; None where labels are too coarse for them (`init` alone).

    `wanted`: how many at most, and whether with all features.
    """
    most, with_features = wanted
    if most == 0 or (seen.depth_hw is None and seen.of.shows is None):
        return None
    keypoints = keypoints_of(maps, (seen.image_hw3.shape[0], seen.image_hw3.shape[1]), most)
    px_n2 = keypoints.px_n2.double().cpu().numpy()
    points_n3, number_n = seen.map_points(px_n2)
    if seen.depth_hw is not None:
        points_n3 = np.where(number_n[:, None] >= 0, points_n3, seen.points(px_n2))
    known = np.flatnonzero(np.isfinite(points_n3).all(1))
    ray_n3 = seen.pose.center - points_n3[known]
    distance_n = np.linalg.norm(ray_n3, axis=1)
    kept = torch.from_numpy(known).to(keypoints.px_n2.device)
    return Observations(
        torch.from_numpy(points_n3[known] - origin_3).float(),
        keypoints.descriptors_nc[kept].to("cpu", torch.half),
        torch.from_numpy(distance_n / seen.camera.fx).float(),  # of the view as it is resized and zoomed
        torch.from_numpy(ray_n3 / distance_n[:, None]).half(),
        torch.full((len(known),), not seen.of.rendered),
        torch.full((len(known),), frame),
        torch.from_numpy(number_n[known]),
        features_at(maps, keypoints.px_n2[kept]).to("cpu", torch.half) if with_features else None,
    )


@torch.no_grad()
def encode(encoder: Encoder, image_hw3: np.ndarray, device: torch.device, dtype: torch.dtype) -> ImageMaps:
    """The encoder's maps of an RGB uint8 image, a batch of one."""
    image = torch.from_numpy(np.ascontiguousarray(image_hw3)).to(device).permute(2, 0, 1)[None].float()
    with autocast(device, dtype):
        return encoder.maps(image)
