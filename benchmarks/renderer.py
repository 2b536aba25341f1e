"""CPU time of a 640x480 view with all layers, beside the bare cast in the same process; and how many views a second all
cores write to disk, and how busy they are meanwhile. Then a square kilometre at half a metre with a texture of 10 cm,
in views of 720x480 pixels from 100 to 200 m over it.

python benchmarks/renderer.py [--triangles 200000] [--views 200] [--terrain-m 1000]
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.scenes.writer import SectionWriter
from transpose.worlds.drape import Grid, Relief, draped
from transpose.worlds.render_section import RenderTask, render_and_write
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import HypercubeRanges, ViewCheck, Viewpoint, latin_hypercube, rotation_from_angles
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


def fractal(side: int, roughness: float, seed: int) -> np.ndarray:
    """(side, side) float32 of mean 0 and deviation 1 whose spectrum falls with the power `roughness`."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    waves = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) * frequency**-roughness, s=(side, side))
    return (waves / waves.std()).astype(np.float32)


def surveyed(extent_m: float) -> World:
    """Mountains with woods and houses, heights every half metre and colours every 10 cm."""
    side = round(extent_m / 0.5)
    height = 60 * fractal(side, 2.0, 1)
    wood = fractal(side, 1.6, 2) > 0
    height[wood] += np.clip(8 + 2 * fractal(side, 1.0, 3)[wood], 0, 25)
    rng = np.random.default_rng(0)
    for _ in range(side**2 // 27_000):
        (y, x), (a, b) = rng.integers(0, side - 40, 2), rng.integers(10, 35, 2)
        height[y : y + a, x : x + b] = height[y : y + a, x : x + b].mean() + 8
    rgb = [cv2.resize(120 + 45 * fractal(side, 0.9, 4 + c), None, fx=5, fy=5) for c in range(3)]
    picture = np.stack([np.clip(band, 0, 255).astype(np.uint8) for band in rgb], axis=-1)
    half = extent_m / 2
    relief = Relief(height, Grid(-half, half, 0.5), np.where(wood, 2, 1).astype(np.uint8))
    return draped("mountains", relief, picture, Grid(-half, half, 0.1), 0.05, class_names=("sky", "ground", "wood"))


def clock_terrain(renderer: Renderer, views: int) -> tuple[float, float, float, float]:
    """Median CPU milliseconds of the cast alone and with all layers, the worst of the latter, and the peak of memory
    in gigabytes."""
    camera = Camera.from_focal(480, 720, 480)
    ranges = HypercubeRanges(above_m=(100, 200), pitch_deg=(-90, -45))
    rows = []
    for viewpoint in latin_hypercube(renderer, camera, views + 1, 0, ranges, ViewCheck()):
        started = time.process_time()
        view = renderer.view(viewpoint.camera, viewpoint.pose)
        cast = time.process_time() - started
        _ = view.rgb_hw3, view.depth_hw, view.coordinates_hw3, view.normals_hw3, view.semantics_hw
        rows.append((1000 * cast, 1000 * (time.process_time() - started)))
    cast_n, all_n = np.array(rows[1:]).T  # the first prepares the colours
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return float(np.median(cast_n)), float(np.median(all_n)), float(all_n.max()), peak_gb


def report_terrain(extent_m: float) -> None:
    """Prints one line."""
    started = time.time()
    world = surveyed(extent_m)
    triangles, built = len(world.faces_f3), time.time() - started
    with tempfile.TemporaryDirectory() as folder:
        where = save_world(world, Path(folder) / "world")
        del world
        with Workers(where, 1) as alone:
            ((cast, everything, worst, peak_gb),) = alone.run(clock_terrain, [24])
    print(
        f"{extent_m:.0f} m of terrain, {triangles / 1e6:.1f} million triangles made in {built:.0f} s: "
        f"cast {cast:.0f} ms, all layers {everything:.0f} ms (at most {worst:.0f}), {peak_gb:.1f} GB a process"
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
    """Prints two lines a kind of world, and one for the terrain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triangles", type=int, default=200_000)
    parser.add_argument("--views", type=int, default=200, help="how many are written to disk")
    parser.add_argument("--terrain-m", type=float, default=1000.0, help="edge of the terrain in metres, 0 for none")
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
    if arguments.terrain_m:
        report_terrain(arguments.terrain_m)


if __name__ == "__main__":
    main()
