"""Renders a section of views in parallel processes, each frame written as soon as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.poses import exp_so3
from transpose.parallel import worker_count
from transpose.randomness import stream
from transpose.scenes.classes import table_of_names
from transpose.scenes.files import PNG_DEPTH_LIMIT_M
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.worlds.domain_randomization import Appearance, sun_direction
from transpose.worlds.renderer import Renderer
from transpose.worlds.sensor_simulation import relight, simulate_photo
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.workers import ClusterWorkers, Workers
from transpose.worlds.world import WorldMetadata, read_metadata

# Above what any real photo is stored at; a tenth of the time of a PNG, and a third of its size.
_JPEG_QUALITY = 95
_LEVEL = 1e-6  # sine of the angle between a world's up and z that is none


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
    view, world = renderer.view(viewpoint.camera, viewpoint.pose), renderer.world
    rgb_hw3 = view.rgb_hw3
    if appearance is not None:
        if rng is None:
            raise ValueError("an appearance needs a random generator for its noise")
        appearance = appearance.jittered(rng)
        lit_hw = np.zeros(view.shape, bool)
        level_33 = _level(world.up_3)
        lit_hw[view.seen_hw] = renderer.is_lit(
            view.local_points_hw3[view.seen_hw],
            view.world_normals_hw3[view.seen_hw],
            level_33.T @ sun_direction(appearance),
        )
        normals_hw3 = view.world_normals_hw3 @ level_33.T.astype(np.float32)
        rgb_hw3 = relight(rgb_hw3, normals_hw3, lit_hw, appearance)
        rgb_hw3 = simulate_photo(rgb_hw3, view.depth_hw, appearance, rng)
    cells = renderer.cells(viewpoint.camera, viewpoint.pose)
    normal_hw3 = np.where(cells.seen_hw[..., None], cells.normals_hw3, np.nan)
    labels = FrameLabels(
        depth_hw=view.depth_hw,
        coordinates_3hw=np.moveaxis(cells.coordinates_hw3, -1, 0),
        normal_3hw=np.moveaxis(normal_hw3, -1, 0),
        semantics_hw=table_of_names(world.class_names)[view.semantics_hw] if world.has_classes else None,
    )
    return RenderedFrame(rgb_hw3, labels)


def _level(up_3: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) from the world's frame to one whose z is up, the shortest; the identity where it is already."""
    axis_3 = np.cross(up_3, (0.0, 0.0, 1.0))
    sine, cosine = float(np.linalg.norm(axis_3)), float(up_3[2])
    if sine < _LEVEL:
        return np.eye(3) if cosine > 0 else np.diag([1.0, -1.0, -1.0])
    return np.asarray(exp_so3(axis_3 / sine * np.arctan2(sine, cosine)))


PARTS = ("train", "val", "test")


def split_viewpoints(viewpoints: Sequence[Viewpoint], shares: tuple[int, int, int], seed: int) -> list[list[Viewpoint]]:
    """Views for training, validation and test, per cent, drawn at random; each keeps its number as its name.

    Raises:
        TransposeError: a part would be empty.
    """
    named = [v if v.stem else replace(v, stem=f"view-{i:06d}") for i, v in enumerate(viewpoints)]
    ends = np.cumsum([0, *shares]) * len(named) / 100
    order = stream(seed, "split").permutation(len(named))
    parts = [sorted(order[round(a) : round(b)]) for a, b in pairwise(ends)]
    if empty := [name for name, part in zip(PARTS, parts, strict=True) if not part]:
        raise TransposeError(f"{len(named)} views are too few: none is left for {empty[0]}")
    return [[named[i] for i in part] for part in parts]


def draw_appearance(seed: int, strength: float) -> Appearance:
    """The light and weather of one flight."""
    return Appearance.draw(stream(seed, "appearance"), strength)


@dataclass(frozen=True)
class RenderTask:
    """One view to be rendered and written."""

    stem: str
    viewpoint: Viewpoint
    writer: SectionWriter
    appearance: Appearance | None
    seed: int


def render_and_write(renderer: Renderer, task: RenderTask) -> str:
    """Renders and writes one view; returns its stem."""
    rng = stream(task.seed, "appearance of", task.stem)
    frame = render_frame(renderer, task.viewpoint, task.appearance, rng)
    camera, pose = task.viewpoint.camera, task.viewpoint.pose
    task.writer.add(task.stem, frame.rgb_hw3, pose, camera, frame.labels, _JPEG_QUALITY)
    return task.stem


def render_section(
    world: Path | Workers | ClusterWorkers,
    viewpoints: Sequence[Viewpoint],
    out: tuple[Path, str],
    plan: dict[str, Any],
    *,
    appearance: Appearance | None = None,
    seed: int = 0,
    camera_assumed: bool = False,
    processes: int | None = None,
    progress: Callable[[Iterable[str], int, int], Iterable[str]] = lambda stems, done, total: stems,
) -> Path:
    """Renders viewpoints into `SCENE/SECTION`, with all labels.

    Args:
        world: the world's folder, or processes that were started with it already.
        viewpoints: one frame each.
        out: scene folder and section name.
        plan: what determines the views; a run that was cut off goes on only under an equal plan.
        appearance: photographs instead of plain renders, in this light and weather.
        seed: of the appearance's noise.
        camera_assumed: see `SectionFacts`.
        processes: how many to start where `world` is a folder, as many as there are cores by default.
        progress: wraps the stems as they are finished, given how many were done before and how many there are.

    Returns:
        The section's folder.
    """
    if isinstance(world, Path):
        with Workers(world, min(processes or worker_count(), max(1, len(viewpoints)))) as workers:
            return render_section(
                workers,
                viewpoints,
                out,
                plan,
                appearance=appearance,
                seed=seed,
                camera_assumed=camera_assumed,
                progress=progress,
            )
    metadata = read_metadata(world.world_folder)
    out = out[0].resolve(), out[1]  # other processes may stand in another folder
    writer = SectionWriter(*out, plan, depth_as_png=_farthest_m(metadata, viewpoints) < PNG_DEPTH_LIMIT_M)
    named = [(v.stem or f"view-{i:06d}", v) for i, v in enumerate(viewpoints)]
    todo = [RenderTask(stem, v, writer, appearance, seed) for stem, v in named if not writer.is_done(stem)]
    for _ in progress(world.run(render_and_write, todo), len(named) - len(todo), len(named)):
        pass
    facts = {"rendered_from": metadata.name, "world": metadata.facts, "plan": plan, "camera_assumed": camera_assumed}
    return writer.finish(facts, rendered=True, origin=metadata.origin_3.tolist())


def _farthest_m(metadata: WorldMetadata, viewpoints: Sequence[Viewpoint]) -> float:
    """No depth of these views can exceed this: the distance to the farthest corner of the world's box."""
    low, high = (corner + metadata.origin_3 for corner in metadata.bounds)
    centers_n3 = np.array([viewpoint.pose.center for viewpoint in viewpoints])
    return float(np.linalg.norm(np.maximum(np.abs(centers_n3 - low), np.abs(centers_n3 - high)), axis=1).max())
