"""Time and memory of the similarity of views, against one another.

    python benchmarks/similarity.py [--views 1000] [--area 300] [--measure frustum nso] [--stride 8]
    python benchmarks/similarity.py --views 10000 --area 3000       a survey: each place is in some ten views
    python benchmarks/similarity.py --section SCENE/SECTION          of a real scene, or of renders

Without a section, views look down on hills, from 60 to 100 m above them and up to 40 degrees from straight down, at
random places of a square whose side is --area metres; 640 x 480 pixels. Prints seconds on the clock and of all cores,
the memory of the process, and which share of all pairs overlaps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from stages import machine, peak_bytes

from transpose.geometry import Camera, Pose, cell_points
from transpose.geometry.depth_views import DepthView
from transpose.geometry.geodesy import camera_rotations_ned
from transpose.geometry.poses import compose
from transpose.inspection.similarity import SimilarityOptions
from transpose.inspection.view_depths import views_of
from transpose.parallel import use_threads
from transpose.randomness import stream
from transpose.scenes.layout import open_section

CAMERA = Camera.from_focal(525.0, 640, 480)
_STEPS = 12


def height(xy_n2: np.ndarray) -> np.ndarray:
    """Of the hills (n,), metres."""
    x_n, y_n = xy_n2.T
    return 8 * np.sin(x_n / 40) * np.sin(y_n / 55) + 2 * np.sin(x_n / 9 + 1) * np.sin(y_n / 11)


def survey(count: int, area_m: float, stride: int) -> Iterator[DepthView]:
    """Views of the hills."""
    rng = stream(0, "survey")
    rays_n3 = CAMERA.unproject(cell_points(CAMERA.width, CAMERA.height, stride).reshape(-1, 2))
    shape = cell_points(CAMERA.width, CAMERA.height, stride).shape[:2]
    for _ in range(count):
        xy_2, above = rng.uniform(0, area_m, 2), rng.uniform(60, 100)
        yaw, pitch = rng.uniform(0, 360), rng.uniform(-90, -50)
        R_wc = camera_rotations_ned(np.array([yaw, pitch, 0.0]))[[1, 0, 2]] * [[1.0], [1.0], [-1.0]]
        center_3 = np.array([*xy_2, float(height(xy_2[None])[0]) + above])
        way_n3 = rays_n3 @ R_wc.T
        # The ground under the point that was last found, again and again: hills are flat enough for it.
        depth_n = -above / way_n3[:, 2]
        for _ in range(_STEPS):
            ground_n = height(center_3[:2] + depth_n[:, None] * way_n3[:, :2])
            depth_n = 0.5 * depth_n + 0.5 * (ground_n - center_3[2]) / way_n3[:, 2]
        yield DepthView(CAMERA, Pose(compose(R_wc, center_3)), depth_n.reshape(shape).astype(np.float32), stride)


def told(items: Iterable[Any]) -> Iterator[Any]:
    """A line now and then."""
    last = time.monotonic()
    for i, each in enumerate(items):
        if time.monotonic() > last + 30:
            last = time.monotonic()
            print(f"  {i} views compared", flush=True)
        yield each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=1000)
    parser.add_argument("--area", type=float, default=300.0, help="metres along a side")
    parser.add_argument("--section", type=Path, help="SCENE/SECTION whose views are compared instead")
    parser.add_argument("--measure", nargs="+", choices=["frustum", "nso"], default=["frustum", "nso"])
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    use_threads(args.threads)
    if args.section:
        [views] = views_of([open_section(args.section).frames[: args.views]], args.stride)
    else:
        views = list(survey(args.views, args.area, args.stride))
    points = sum(int(np.isfinite(view.depth_hw).sum()) for view in views)
    print(f"{machine()}\n{len(views)} views, {points / len(views):.0f} points each; {peak_bytes() / 2**30:.2f} GiB")
    for measure in args.measure:
        options = SimilarityOptions(measure, args.stride, device=args.device)
        started, worked = time.monotonic(), time.process_time()
        found = options.measured(views, views, told)
        seconds, worked = time.monotonic() - started, time.process_time() - worked
        share = found.nnz / len(views) ** 2
        print(
            f"{measure}: {seconds:.1f} s, {worked:.1f} s of cores; {share:.1%} of the pairs overlap, "
            f"{found.sum() / len(views) ** 2:.1%} in the mean; process {peak_bytes() / 2**30:.2f} GiB at most",
            flush=True,
        )


if __name__ == "__main__":
    main()
