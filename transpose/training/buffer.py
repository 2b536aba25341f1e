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
from torch import Tensor, nn

from transpose.errors import TransposeError
from transpose.geometry.cameras import cell_points
from transpose.models.precision import autocast
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions, augment, fill_holes, warp
from transpose.scenes.labels import coordinates_at
from transpose.scenes.layout import Frame

_BYTES_PER_VECTOR = 12
_FILLINGS = 32


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


def fill_buffer(
    frames: Sequence[TrainingFrame],
    encoder: nn.Module,
    channels: int,
    origin_3: np.ndarray,
    *,
    passes: int,
    capacity_bytes: int,
    max_cells_per_view: int,
    options: AugmentOptions,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    progress: Callable[[Iterable[int], int], Iterable[int]] = lambda items, total: items,
) -> FeatureBuffer:
    """Passes over all frames, each time with another augmentation, and keeps random labelled cells of each.

    Args:
        frames: where to draw from.
        encoder: (1, 3, h, w) in 0..255 to (1, channels, rows, columns).
        channels: of the encoder.
        origin_3: subtracted from coordinates in float64 before they become float32.
        passes: augmented views of each frame.
        capacity_bytes: the memory that the buffer may take.
        max_cells_per_view: at most so many cells are kept of one view.
        options: of the augmentation.
        seed: the same seed fills the same buffer, whatever the number of threads.
        device: where the encoder runs; the buffer stays in main memory.
        dtype: arithmetic of the encoder.
        progress: wraps the views as they are done.
    """
    views = len(frames) * passes
    capacity = capacity_bytes // (2 * channels + _BYTES_PER_VECTOR)
    per_view = min(max_cells_per_view, max(1, capacity // views))
    features = torch.empty(views * per_view, channels, dtype=torch.bfloat16)
    coordinates = torch.empty(views * per_view, 3)
    counts = np.zeros(views, np.int64)

    def one_view(index: int) -> int:
        pass_, which = divmod(index, len(frames))
        rng = stream(seed, "buffer", str(pass_), str(which))
        features_nc, points_n3 = view_cells(frames, which, rng, options, encoder, device, dtype)
        keep = torch.from_numpy(rng.permutation(len(points_n3))[:per_view])
        start = index * per_view
        counts[index] = len(keep)
        features[start : start + len(keep)] = features_nc[keep]
        kept_n3 = points_n3[keep.numpy()]
        coordinates[start : start + len(keep)] = torch.from_numpy(kept_n3 - origin_3).float()
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
    if bool(filled_n.all()):
        return FeatureBuffer(features, coordinates)
    return FeatureBuffer(features[filled_n], coordinates[filled_n])


def view_cells(
    frames: Sequence[TrainingFrame],
    which: int,
    rng: np.random.Generator,
    options: AugmentOptions | None,
    encoder: nn.Module,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, np.ndarray]:
    """One frame as the encoder sees it, with holes of renders filled, augmented unless `options` is None.

    Returns:
        Features (n, channels) bfloat16 on the CPU and world points (n, 3) float64 of the cells whose point is known.
    """
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
    cells_n2 = cell_points(view.camera.width, view.camera.height).reshape(-1, 2)
    points_n3 = coordinates_at(frame, view.source_px(cells_n2), depth_hw)
    known = np.flatnonzero(np.isfinite(points_n3).all(1))
    features_nc = encode(encoder, view.image_hw3, device, dtype)
    return features_nc[torch.from_numpy(known).to(device)].to("cpu", torch.bfloat16), points_n3[known]


@lru_cache(maxsize=_FILLINGS)
def _filling(frame: Frame) -> np.ndarray:
    """What is put into the holes of renders: a frame of the same place, mirrored, so that no cell of it looks true."""
    return np.ascontiguousarray(frame.image()[:, ::-1])


@torch.no_grad()
def encode(encoder: nn.Module, image_hw3: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Features (cells, channels) of an RGB uint8 image, row by row."""
    image = torch.from_numpy(np.ascontiguousarray(image_hw3)).to(device)
    with autocast(device, dtype):
        return encoder(image.permute(2, 0, 1)[None].float())[0].flatten(1).T


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
