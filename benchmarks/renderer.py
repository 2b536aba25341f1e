"""CPU time of a 640x480 view with all layers, beside the bare cast in the same process.

python benchmarks/renderer.py [--triangles 200000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import rotation_from_angles
from transpose.worlds.world import World, vertex_colored_world


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


def main() -> None:
    """Prints one line a kind of world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triangles", type=int, default=200_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    camera = Camera.from_focal(525, 640, 480)
    pose = Pose(compose(rotation_from_angles(20, -60, 3), np.array([0.0, -4.0, 12.0])))
    for textured in (False, True):
        renderer = Renderer(terrain(arguments.triangles, textured))

        def all_layers(renderer: Renderer = renderer) -> None:
            view = renderer.view(camera, pose)
            _ = view.rgb_hw3, view.depth_hw, view.coordinates_hw3, view.normals_hw3, view.semantics_hw

        cast = cpu_ms(lambda renderer=renderer: renderer.view(camera, pose))
        everything = cpu_ms(all_layers)
        kind = "textured" if textured else "vertex colours"
        print(f"{kind}: cast {cast:.0f} ms, all layers {everything:.0f} ms, ratio {everything / cast:.2f}")


if __name__ == "__main__":
    main()
