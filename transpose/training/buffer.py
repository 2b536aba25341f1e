"""A bounded buffer of encoder features with their world points, drawn from augmented views of many frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.cameras import cell_points
from transpose.models.keypoints import keypoints_of
from transpose.models.precision import autocast
from transpose.models.xfeat import CHANNELS, XFeatEncoder, XFeatMaps
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions, augment, fill_holes, warp
from transpose.scenes.labels import coordinates_at
from transpose.scenes.layout import Frame
from transpose.training.config import FastConfig
from transpose.training.landmarks import Observations

_BYTES_PER_VECTOR = 12
_FILLINGS = 32
_MOST_OBSERVATIONS = 1_000_000


@dataclass(frozen=True)
class TrainingFrame:
    """A frame and whether it is a render, whose holes show nothing that is real."""

    frame: Frame
    rendered: bool


@dataclass(frozen=True)
class FeatureBuffer:
    """Cells of many views.

    `features_nc` bfloat16; `coordinates_n3` float32 world points relative to the run's origin, metres.
    """

    features_nc: Tensor
    coordinates_n3: Tensor

    def __len__(self) -> int:
        return len(self.features_nc)


@dataclass(frozen=True)
class Filled:
    """What a pass over the frames leaves: cells for the head, and key-points for landmarks."""

    cells: FeatureBuffer
    observations: Observations


def fill_buffer(
    frames: Sequence[TrainingFrame],
    encoder: XFeatEncoder,
    origin_3: np.ndarray,
    config: FastConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    progress: Callable[[Iterable[int], int], Iterable[int]] = lambda items, total: items,
) -> Filled:
    """Passes over all frames, each time with another augmentation, and keeps random labelled cells of each.

    Args:
        frames: where to draw from.
        encoder: of the features.
        origin_3: subtracted from coordinates in float64 before they become float32.
        config: how many views, how many cells and key-points of each, the memory they may take and the augmentation.
            The same seed fills the same buffer, whatever the number of threads.
        device: where the encoder runs; the buffer stays in main memory.
        dtype: arithmetic of the encoder.
        progress: wraps the views as they are done.
    """
    views = len(frames) * config.passes
    capacity = config.buffer_megabytes * 2**20 // (2 * CHANNELS + _BYTES_PER_VECTOR)
    per_view = min(config.max_cells_per_view, max(1, capacity // views))
    features = torch.empty(views * per_view, CHANNELS, dtype=torch.bfloat16)
    coordinates = torch.empty(views * per_view, 3)
    counts = np.zeros(views, np.int64)
    observed: list[Observations | None] = [None] * views
    most_keypoints = min(config.keypoints_per_view, _MOST_OBSERVATIONS // views)

    def one_view(index: int) -> int:
        pass_, which = divmod(index, len(frames))
        rng = stream(config.seed, "buffer", str(pass_), str(which))
        seen = look(frames, which, rng, config.augment)
        maps = encode(encoder, seen.image_hw3, device, dtype)
        features_nc, points_n3 = seen.cells(maps)
        keep = torch.from_numpy(rng.permutation(len(points_n3))[:per_view])
        start = index * per_view
        counts[index] = len(keep)
        features[start : start + len(keep)] = features_nc[keep]
        coordinates[start : start + len(keep)] = torch.from_numpy(points_n3[keep.numpy()] - origin_3).float()
        observed[index] = seen.observations(maps, most_keypoints, origin_3)
        return len(keep)

    with one_thread_each(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        done = _unordered_enough(pool, one_view, views)
        for _ in progress(done, views):
            pass
    if counts.sum() == 0:
        raise TransposeError(
            "no cell of any training frame has a world coordinate; is the depth (or init) all unknown?"
        )
    filled_n = torch.from_numpy((np.arange(per_view)[None] < counts[:, None]).reshape(-1))
    observations = Observations.joined([part for part in observed if part is not None])
    if bool(filled_n.all()):
        return Filled(FeatureBuffer(features, coordinates), observations)
    return Filled(FeatureBuffer(features[filled_n], coordinates[filled_n]), observations)


@dataclass(frozen=True)
class SeenView:
    """A frame as the encoder sees it, with what its labels say."""

    image_hw3: np.ndarray
    frame: Frame
    rendered: bool
    depth_hw: np.ndarray | None
    source_px: Callable[[np.ndarray], np.ndarray]

    def points(self, px_n2: np.ndarray) -> np.ndarray:
        """World points (n, 3) float64 that pixels (n, 2) of the image show, NaN where unknown."""
        return coordinates_at(self.frame, self.source_px(px_n2), self.depth_hw)

    def cells(self, maps: XFeatMaps) -> tuple[Tensor, np.ndarray]:
        """Features (n, channels) bfloat16 on the CPU and points (n, 3) of the cells whose point is known."""
        height, width = self.image_hw3.shape[:2]
        points_n3 = self.points(cell_points(width, height).reshape(-1, 2))
        known = np.flatnonzero(np.isfinite(points_n3).all(1))
        features_nc = maps.features_bchw[0].flatten(1).T
        return features_nc[torch.from_numpy(known).to(features_nc.device)].to("cpu", torch.bfloat16), points_n3[known]

    def observations(self, maps: XFeatMaps, most: int, origin_3: np.ndarray) -> Observations | None:
        """Key-points whose point is known; None where labels are too coarse for them (`init` alone)."""
        if self.depth_hw is None or most == 0:
            return None
        keypoints = keypoints_of(maps, (self.image_hw3.shape[0], self.image_hw3.shape[1]), most)
        points_n3 = self.points(keypoints.px_n2.double().cpu().numpy())
        known = np.flatnonzero(np.isfinite(points_n3).all(1))
        distance_n = np.linalg.norm(points_n3[known] - self.frame.pose.center, axis=1)
        return Observations(
            torch.from_numpy(points_n3[known] - origin_3).float(),
            keypoints.descriptors_nc[torch.from_numpy(known).to(keypoints.descriptors_nc.device)].to("cpu", torch.half),
            torch.from_numpy(distance_n / self.frame.camera.fx).float(),
            torch.full((len(known),), not self.rendered),
        )


def look(
    frames: Sequence[TrainingFrame], which: int, rng: np.random.Generator, options: AugmentOptions | None
) -> SeenView:
    """One frame with the holes of renders filled, augmented unless `options` is None."""
    frame, rendered = frames[which].frame, frames[which].rendered
    image_hw3 = frame.image()
    depth_hw = frame.depth() if frame.has("depth") else None
    if rendered and depth_hw is not None:
        filling_hw3 = _filling(frames[int(rng.integers(min(_FILLINGS, len(frames))))].frame)
        image_hw3 = fill_holes(image_hw3, ~np.isfinite(depth_hw), filling_hw3)
    if options is None:
        view = warp(image_hw3, frame.camera, frame.pose, 0.0, 1.0)
    else:
        view = augment(image_hw3, frame.camera, frame.pose, rng, options)
    return SeenView(view.image_hw3, frame, rendered, depth_hw, view.source_px)


@lru_cache(maxsize=_FILLINGS)
def _filling(frame: Frame) -> np.ndarray:
    """What is put into the holes of renders: a frame of the same place, mirrored, so that no cell of it looks true."""
    return np.ascontiguousarray(frame.image()[:, ::-1])


@torch.no_grad()
def encode(encoder: XFeatEncoder, image_hw3: np.ndarray, device: torch.device, dtype: torch.dtype) -> XFeatMaps:
    """The encoder's maps of an RGB uint8 image."""
    image = torch.from_numpy(np.ascontiguousarray(image_hw3)).to(device)
    with autocast(device, dtype):
        return encoder.maps(image.permute(2, 0, 1)[None].float())


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Views in parallel keep cores busier than threads within a view; the thread counts come back afterwards."""
    torch_threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv_threads)


def _unordered_enough(pool: ThreadPoolExecutor, work: Callable[[int], int], count: int) -> Iterator[int]:
    """Results in order, with an interrupt or an error cancelling what has not begun."""
    futures = [pool.submit(work, index) for index in range(count)]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
