"""Renders a section of views in parallel processes, each frame written as soon as it is done."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from transpose.randomness import stream
from transpose.scenes.files import PNG_DEPTH_LIMIT_M
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.worlds.appearance import Appearance, photograph, relight, sun_direction
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, load_world

# Above what any real photo is stored at; a tenth of the time of a PNG, and a third of its size.
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class RenderedFrame:
    """Everything that is written of one view."""

    rgb_hw3: np.ndarray
    labels: FrameLabels


def render_frame(
    renderer: Renderer,
    viewpoint: Viewpoint,
    appearance: Appearance | None = None,
    rng: np.random.Generator | None = None,
) -> RenderedFrame:
    """Colour and labels of one view, in the `appearance` of a later day where one is given."""
    view = renderer.view(viewpoint.camera, viewpoint.pose)
    rgb_hw3 = view.rgb_hw3
    if appearance is not None:
        if rng is None:
            raise ValueError("an appearance needs a random generator for its noise")
        appearance = appearance.jittered(rng)
        lit_hw = np.zeros(view.shape, bool)
        sun_3 = sun_direction(appearance)
        lit_hw[view.seen_hw] = renderer.is_lit(
            view.local_points_hw3[view.seen_hw], view.world_normals_hw3[view.seen_hw], sun_3
        )
        rgb_hw3 = relight(rgb_hw3, view.world_normals_hw3, lit_hw, appearance)
        rgb_hw3 = photograph(rgb_hw3, view.depth_hw, appearance, rng)
    cells = renderer.cells(viewpoint.camera, viewpoint.pose)
    normal_hw3 = np.where(cells.seen_hw[..., None], cells.normals_hw3, np.nan)
    labels = FrameLabels(
        depth_hw=view.depth_hw,
        coordinates_3hw=np.moveaxis(cells.coordinates_hw3, -1, 0),
        normal_3hw=np.moveaxis(normal_hw3, -1, 0),
        semantics_hw=view.semantics_hw if renderer.world.has_classes else None,
    )
    return RenderedFrame(rgb_hw3, labels)


def draw_appearance(seed: int, strength: float) -> Appearance:
    """The light and weather of one flight."""
    return Appearance.draw(stream(seed, "appearance"), strength)


class _Worker:
    """What one process keeps between its views."""

    renderer: Renderer
    writer: SectionWriter
    appearance: Appearance | None
    seed: int


def _start_worker(world_folder: Path, writer: SectionWriter, appearance: Appearance | None, seed: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer; it ends its workers
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    _Worker.renderer = Renderer(load_world(world_folder))
    _Worker.writer, _Worker.appearance, _Worker.seed = writer, appearance, seed


def _render_and_write(item: tuple[str, Viewpoint]) -> str:
    stem, viewpoint = item
    rng = stream(_Worker.seed, "appearance of", stem)
    frame = render_frame(_Worker.renderer, viewpoint, _Worker.appearance, rng)
    _Worker.writer.add(stem, frame.rgb_hw3, viewpoint.pose, viewpoint.camera, frame.labels, _JPEG_QUALITY)
    return stem


def render_section(
    world_folder: Path,
    viewpoints: Sequence[Viewpoint],
    out: tuple[Path, str],
    plan: dict[str, Any],
    *,
    appearance: Appearance | None = None,
    seed: int = 0,
    processes: int | None = None,
    progress: Callable[[Iterable[str], int, int], Iterable[str]] = lambda stems, done, total: stems,
) -> Path:
    """Renders viewpoints into `SCENE/SECTION`, with all labels.

    Args:
        world_folder: the world; each process loads its own copy.
        viewpoints: one frame each.
        out: scene folder and section name.
        plan: what determines the views; a run that was cut off goes on only under an equal plan.
        appearance: photographs instead of plain renders, in this light and weather.
        seed: of the appearance's noise.
        processes: as many as there are cores by default.
        progress: wraps the stems as they are finished, given how many were done before and how many there are.

    Returns:
        The section's folder.
    """
    scene, section = out
    world = load_world(world_folder)
    as_png = _farthest_m(world, viewpoints) < PNG_DEPTH_LIMIT_M
    writer = SectionWriter(scene, section, plan, depth_as_png=as_png)
    named = [(v.stem or f"view-{i:06d}", v) for i, v in enumerate(viewpoints)]
    todo = [(stem, v) for stem, v in named if not writer.is_done(stem)]
    done = _in_processes(world_folder, writer, appearance, seed, todo, processes or os.cpu_count() or 1)
    for _ in progress(done, len(named) - len(todo), len(named)):
        pass
    facts = {"rendered_from": world.name, "world": world.facts, "plan": plan}
    return writer.finish(facts, origin=world.origin_3.tolist())


def _in_processes(
    world_folder: Path,
    writer: SectionWriter,
    appearance: Appearance | None,
    seed: int,
    todo: list[tuple[str, Viewpoint]],
    processes: int,
) -> Iterator[str]:
    if not todo:
        return
    # Spawned, not forked: the parent may hold threads (PyTorch, OpenCV) that a fork would leave broken.
    context = multiprocessing.get_context("spawn")
    arguments = (world_folder, writer, appearance, seed)
    with _one_blas_thread():
        pool = context.Pool(min(processes, len(todo)), initializer=_start_worker, initargs=arguments)
    with pool:
        yield from pool.imap_unordered(_render_and_write, todo, chunksize=2)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Processes started inside use one thread for linear algebra: BLAS reads these variables when it is loaded."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _farthest_m(world: World, viewpoints: Sequence[Viewpoint]) -> float:
    """No depth of these views can exceed this: the distance to the farthest corner of the world's box."""
    low, high = (corner + world.origin_3 for corner in world.bounds)
    centers_n3 = np.array([viewpoint.pose.center for viewpoint in viewpoints])
    return float(np.linalg.norm(np.maximum(np.abs(centers_n3 - low), np.abs(centers_n3 - high)), axis=1).max())
