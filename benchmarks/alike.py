"""Places that look alike: copies of a yard with a house and copies of a room, which nothing tells apart.

    python benchmarks/alike.py --out results/alike [--copies 3] [--views 60] [--queries 20] [--steps 800] [--seed 0]
        [--poster]

Builds a world of so many equal yards and rooms, renders views of each, trains `fast` on them and localizes other
renders, as a camera of another day takes them. With `--poster`, the first yard and the first room have a poster that
the others lack. Right is a pose that puts what the image shows within a twentieth of its diagonal of where it is
(`localization.confidence`). Prints, for yards and rooms, how many single poses were given, how many of these are wrong,
and of which share of the images that were answered the true pose is among the (at most three) stated ones.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from stages import machine, run

from transpose.evaluation.metrics import FrameResult
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.localization import Localizer, Query, load
from transpose.scenes.layout import Frame, open_section
from transpose.storage import write_json
from transpose.worlds.domain_randomization import Appearance
from transpose.worlds.render_section import draw_appearance, render_section
from transpose.worlds.renderer import Renderer
from transpose.worlds.viewpoints import ViewCheck, Viewpoint, rotation_from_angles
from transpose.worlds.world import World, save_world

CAMERA = Camera.from_focal(250.0, 320, 240)
APART_M = 40.0
_TEXELS = 256
_VALIDATION = 5  # views of each place
_CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
_TRIANGLES = ((0, 1, 2), (0, 2, 3))


@dataclass(frozen=True)
class Kind:
    """A place of which there are copies: metres of its walls and ground, and of boxes (low, high corner) in it."""

    size: tuple[float, float, float]
    boxes: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]
    y: float  # of the row in which the copies stand


KINDS = {
    "yards": Kind((16, 14, 3), (((5, 5, 0), (11, 9, 4)), ((1, 11, 0), (3, 13, 1.5))), 0.0),
    "rooms": Kind((6, 5, 3), (((2, 2, 0), (3.5, 3, 0.8)), ((0.2, 4.2, 0), (1.8, 4.8, 1.9))), 60.0),
}


def texture(rng: np.random.Generator) -> np.ndarray:
    """Blotches of two sizes and rectangles of one colour each, uint8."""
    noise = rng.normal(size=(2, _TEXELS, _TEXELS, 3))
    image = 128 + 900 * gaussian_filter(noise[0], (12, 12, 0)) + 60 * gaussian_filter(noise[1], (1.5, 1.5, 0))
    for _ in range(14):
        (x, y), (w, h) = rng.integers(0, _TEXELS - 70, 2), rng.integers(15, 70, 2)
        image[y : y + h, x : x + w] += rng.normal(0, 60, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


class Mesh:
    """Textured rectangles, as they are added."""

    def __init__(self) -> None:
        self.corners_q43: list[np.ndarray] = []
        self.textures_q: list[int] = []

    def rectangle(self, origin: Any, right: Any, up: Any, texture: int) -> None:
        """Seen from the side from which `right` points right and `up` up."""
        x, y = np.asarray(right, np.float64), np.asarray(up, np.float64)
        self.corners_q43.append(np.asarray(origin) + _CORNERS[:, :1] * x + _CORNERS[:, 1:] * y)
        self.textures_q.append(texture)

    def box(self, low: np.ndarray, high: np.ndarray, textures: list[int], inside: bool) -> None:
        """Four walls and a floor seen from inside, or four walls and a top seen from outside."""
        (x, y, _), size = low, high - low
        ring = [(x, y), (x + size[0], y), (x + size[0], y + size[1]), (x, y + size[1]), (x, y)]
        for texture, (a, b) in zip(textures, pairwise(ring), strict=False):
            start, end = (b, a) if inside else (a, b)
            right = (end[0] - start[0], end[1] - start[1], 0)
            self.rectangle((*start, low[2]), right, (0, 0, size[2]), texture)
        level = low[2] if inside else high[2]
        self.rectangle((x, y, level), (size[0], 0, 0), (0, size[1], 0), textures[4])

    def world(self, textures: tuple[np.ndarray, ...]) -> World:
        """Of all rectangles."""
        vertices_v3 = np.concatenate(self.corners_q43).astype(np.float32)
        quads = len(self.corners_q43)
        faces_f3 = (4 * np.arange(quads)[:, None, None] + np.array(_TRIANGLES)).reshape(-1, 3)
        uv_42 = np.stack([_CORNERS[:, 0], 1 - _CORNERS[:, 1]], 1)
        return World(
            "alike",
            vertices_v3,
            faces_f3.astype(np.int32),
            np.full_like(vertices_v3, 128, np.uint8),
            np.tile(uv_42[np.array(_TRIANGLES)], (quads, 1, 1)).astype(np.float32),
            np.repeat(self.textures_q, 2).astype(np.int32),
            textures,
        )


def built(copies: int, poster: bool, rng: np.random.Generator) -> World:
    """Rows of equal yards and of equal rooms."""
    mesh, textures = Mesh(), list[np.ndarray]()

    def new(count: int) -> list[int]:
        textures.extend(texture(rng) for _ in range(count))
        return list(range(len(textures) - count, len(textures)))

    for kind in KINDS.values():
        shell, inner = new(5), [new(5) for _ in kind.boxes]
        for k in range(copies):
            corner = np.array([k * APART_M, kind.y, 0.0])
            mesh.box(corner, corner + kind.size, shell, inside=True)
            for (low, high), own in zip(kind.boxes, inner, strict=True):
                mesh.box(corner + low, corner + high, own, inside=False)
        if poster:
            width, depth, height = kind.size
            for y, x, right in ((depth - 0.02, 0.3 * width, 0.3 * width), (0.02, 0.7 * width, -0.3 * width)):
                mesh.rectangle((x, kind.y + y, 0.3 * height), (right, 0, 0), (0, 0, 0.5 * height), new(1)[0])
    return mesh.world(tuple(textures))


def viewpoints(world: World, copies: int, each: int, rng: np.random.Generator) -> list[Viewpoint]:
    """So many views of each place, by people who stand in it; named after its kind and number.

    Copies are seen from the same places, so that the map knows as much of each: what tells them apart is not how well
    they were surveyed.
    """
    renderer, check, found = Renderer(world), ViewCheck(min_median_depth_m=1.0), list[Viewpoint]()
    for name, kind in KINDS.items():
        places = list[tuple[np.ndarray, np.ndarray]]()
        while len(places) < each:
            place_3 = rng.uniform((0.6, 0.6, 1.3), (kind.size[0] - 0.6, kind.size[1] - 0.6, 1.9))
            R_33 = rotation_from_angles(rng.uniform(0, 360), rng.uniform(-15, 8), rng.uniform(-6, 6))
            if check.accepts(renderer.glance(CAMERA, Pose(compose(R_33, place_3 + np.array([0.0, kind.y, 0.0]))))):
                places.append((R_33, place_3))
        for k in range(copies):
            offset_3 = np.array([k * APART_M, kind.y, 0.0])
            poses = (Pose(compose(R_33, place_3 + offset_3)) for R_33, place_3 in places)
            found += [Viewpoint(CAMERA, pose, f"{name}-{k}-{i:03d}") for i, pose in enumerate(poses)]
    return found


def rendered(out: Path, arguments: argparse.Namespace) -> None:
    """World and sections, where they are not yet there."""
    rng = np.random.default_rng(arguments.seed)
    world = built(arguments.copies, arguments.poster, rng)
    save_world(world, out / "world")
    photo: Appearance = draw_appearance(arguments.seed, 0.5)
    sections = (("train", arguments.views, None), ("val", _VALIDATION, None), ("query", arguments.queries, photo))
    for name, each, appearance in sections:
        views = viewpoints(world, arguments.copies, each, rng)
        plan = {"of": "benchmarks/alike.py", **{k: v for k, v in vars(arguments).items() if k != "out"}}
        render_section(
            out / "world", views, (out / "scene", name), plan, appearance=appearance, seed=arguments.seed, processes=1
        )


def localized(localizer: Localizer, frame: Frame) -> dict[str, Any]:
    """What is said of one image, and whether it is true."""
    started = time.perf_counter()
    estimate = localizer.localize_query(Query(frame.image(), frame.camera))
    result = FrameResult(frame.stem, frame.pose, estimate, time.perf_counter() - started)
    single = estimate.pose is not None
    return {
        "frame": frame.stem,
        "reason": estimate.reason,
        "by": estimate.by,
        "confidence": estimate.confidence,
        "weights": [each.weight for each in estimate.alternatives],
        "stated": len(estimate.alternatives) or int(single),
        "right_among": result.right_among or (single and result.right),
        "single": single,
        "single_right": single and result.right,
        "seconds": result.seconds,
    }


def print_table(records: list[dict[str, Any]]) -> None:
    """Markdown."""
    print(f"\n{machine()}\n\n| places | images | answered | true pose among those stated | single | single and wrong |")
    print("|---|---|---|---|---|---|")
    for name in KINDS:
        rows = [row for row in records if row["frame"].startswith(name)]
        answered = [row for row in rows if row["stated"]]
        right, single = sum(row["right_among"] for row in answered), [row for row in answered if row["single"]]
        wrong = sum(not row["single_right"] for row in single)
        share = f"{100 * right / max(1, len(answered)):.0f} %"
        print(f"| {name} | {len(rows)} | {len(answered)} | {share} | {len(single)} | {wrong} |")


def main() -> None:
    """Builds, renders, trains, localizes, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--views", type=int, default=60, help="of each place, to learn from")
    parser.add_argument("--queries", type=int, default=20, help="of each place, to localize")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--poster", action="store_true", help="something that only the first of each kind has")
    arguments = parser.parse_args()
    out, model = arguments.out, arguments.out / "run"
    if not (out / "scene" / "query" / "section.json").exists():
        rendered(out, arguments)
    if not (model / "model.pt").exists():
        words = [
            "--sections",
            "train",
            "--val",
            "val",
            "--out",
            model,
            "--steps",
            arguments.steps,
            "--seed",
            arguments.seed,
        ]
        run("train", out / "scene", *words)
    localizer = load(model)
    records = [localized(localizer, frame) for frame in open_section(out / "scene" / "query").frames]
    write_json(out / "alike.json", {"machine": machine(), "images": records})
    print_table(records)


if __name__ == "__main__":
    main()
