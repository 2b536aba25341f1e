"""CPU time of a 640x480 view with all layers, beside the bare cast in the same process; and how many views a second all
cores write to disk, and how busy they are meanwhile.

python benchmarks/renderer.py [--triangles 200000] [--views 200]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.scenes.writer import SectionWriter
from transpose.worlds.renderer import Renderer
from transpose.worlds.stage import RenderTask, render_and_write
from transpose.worlds.viewpoints import Viewpoint, rotation_from_angles
from transpose.worlds.workers import Workers
from transpose.worlds.world import World, save_world, vertex_colored_world


def terrain(triangles: int, textured: bool) -> World:
    """Hills of 40 x 40 m with about that many triangles."""
    n = round((triangles / 2) ** 0.5) + 1
    x, y = np.meshgrid(np.linspace(-20, 20, n), np.linspace(-20, 20, n))
    z = np.sin(x) + np.cos(1.3 * y)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    vertices = np.stack([x, y, z], -1).reshape(-1, 3)
    rng = np.random.default_rng(0)
    world = vertex_colored_world("hills", vertices, faces, rng.integers(0, 256, (n * n, 3)))
    if not textured:
        return world
    uv = (vertices[:, :2] / 40 + 0.5).astype(np.float32)[faces]
    texture = rng.integers(0, 256, (4096, 4096, 3), np.uint8)
    zeros = np.zeros(len(faces), np.int32)
    return World(
        "hills",
        world.vertices_v3,
        world.faces_f3,
        world.vertex_rgb_v3,
        uv,
        zeros,
        (texture,),
        zeros.astype(np.uint8),
        ("sky",),
    )


def cpu_ms(work: Callable[[], object], rounds: int = 15) -> float:
    """Median CPU milliseconds."""
    times = []
    for _ in range(rounds + 2):
        started = time.process_time()
        work()
        times.append(1000 * (time.process_time() - started))
    return float(np.median(times[2:]))


def render_and_clock(renderer: Renderer, task: RenderTask) -> tuple[int, float, float, float]:
    """Process, its CPU seconds before and after, and the wall clock when the view was begun."""
    began, cpu = time.time(), time.process_time()
    render_and_write(renderer, task)
    return os.getpid(), cpu, time.process_time(), began


def clock_layers(renderer: Renderer, view_from: tuple[Camera, Pose]) -> tuple[float, float]:
    """CPU milliseconds of the cast alone, and with all layers."""

    def all_layers() -> None:
        view = renderer.view(*view_from)
        _ = view.rgb_hw3, view.depth_hw, view.coordinates_hw3, view.normals_hw3, view.semantics_hw

    return cpu_ms(lambda: renderer.view(*view_from)), cpu_ms(all_layers)


def throughput(workers: Workers, camera: Camera, pose: Pose, views: int) -> str:
    """Rendering and writing in all cores, from the first view begun to the last written."""
    with tempfile.TemporaryDirectory() as folder:
        writer = SectionWriter(Path(folder), "views", {})
        tasks = [RenderTask(f"{i:05d}", Viewpoint(camera, pose), writer, None, 0) for i in range(views)]
        rows = list(workers.run(render_and_clock, tasks))
        ended = time.time()
    # What a process prepares at its first view is part of it.
    began = min(row[3] for row in rows)
    cores = len({row[0] for row in rows})
    busy = sum(
        max(r[2] for r in rows if r[0] == process) - min(r[1] for r in rows if r[0] == process)
        for process in {row[0] for row in rows}
    )
    wall = ended - began
    return (
        f"{views} views written by {cores} processes in {wall:.1f} s: {1000 * busy / views:.0f} CPU ms a view, "
        f"{busy / (cores * wall):.0%} of the cores used"
    )


def main() -> None:
    """Prints two lines a kind of world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triangles", type=int, default=200_000)
    parser.add_argument("--views", type=int, default=200, help="how many are written to disk")
    arguments = parser.parse_args()
    camera = Camera.from_focal(525, 640, 480)
    pose = Pose(compose(rotation_from_angles(20, -60, 3), np.array([0.0, -4.0, 12.0])))
    for textured in (False, True):
        kind = "textured" if textured else "vertex colours"
        world = terrain(arguments.triangles, textured)
        with tempfile.TemporaryDirectory() as folder:
            where = save_world(world, Path(folder) / "world")
            with Workers(where, 1) as alone:  # such a process has one thread for everything
                ((cast, everything),) = alone.run(clock_layers, [(camera, pose)])
            print(f"{kind}: cast {cast:.0f} ms, all layers {everything:.0f} ms, ratio {everything / cast:.2f}")
            with Workers(where) as workers:
                print(f"{kind}: {throughput(workers, camera, pose, arguments.views)}")


if __name__ == "__main__":
    main()
