"""A place that is known as surveys have it, heights on a grid and an orthophoto, and photos of what stands there.

    python benchmarks/terrain.py --out results/terrain [--seed 5] [--cell 0.5] [--views 480] [FLAGS OF TRAIN]

A procedural village is measured from straight above: the topmost height of each cell, and a picture without
perspective. From both, as GeoTIFFs in Swiss coordinates, a terrain is built, which has no walls and no eaves. `fast`
learns from its renders. Photos are renders of the village itself, of another season and day, in a flight over it at 30
to 45 m. What then comes of `transpose test` is in `OUT/test`, and `OUT/run` is a run for `coverage.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from stages import machine, run, tested

from transpose.app.console import progress
from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, compose
from transpose.worlds.renderer import Renderer
from transpose.worlds.world import World, load_world, save_world

ORIGIN_3 = np.array([2_600_000.0, 1_200_000.0, 500.0])
CRS = "EPSG:2056"
SIDE_M = 300.0  # of what is surveyed, about the middle of the village
FLOWN_M = 120.0  # over the middle of it
FLIGHT = ("--above", 30, 45, "--yaw", -15, 15, "--pitch", -90, -65)
TILE_PX, ABOVE_M = 500, 5_000.0  # of a picture: so far above that a house leans by its height times 0.7 %


def village(folder: Path, seed: int, season: str) -> World:
    """The village of a seed on the Swiss map."""
    run("build", "village", "--seed", seed, "--season", season, "--out", folder.with_name(f"{folder.name}-plain"))
    world = load_world(folder.with_name(f"{folder.name}-plain"))
    placed = dataclasses.replace(world, origin_3=world.origin_3 + ORIGIN_3)
    save_world(placed, folder)
    return placed


def survey(world: World, cell_m: float, pixel_m: float, out: Path) -> tuple[Path, Path]:
    """Heights and picture of the middle of a world, as GeoTIFFs."""
    renderer = Renderer(world)
    low_2 = (np.asarray(world.bounds[0][:2]) + world.bounds[1][:2]) / 2 - SIDE_M / 2
    count = round(SIDE_M / cell_m)
    rows = low_2[1] + SIDE_M - (np.arange(count) + 0.5) * cell_m
    columns = low_2[0] + (np.arange(count) + 0.5) * cell_m
    height_hw = np.stack([renderer.surface_height(np.stack([columns, np.full(count, y)], 1)) for y in rows])
    dsm = _write(out / "dsm.tif", (height_hw + world.origin_3[2])[None].astype(np.float32), low_2 + world.origin_3[:2])
    pixels = round(SIDE_M / pixel_m)
    rgb_hw3 = np.zeros((pixels, pixels, 3), np.uint8)
    camera = Camera.from_focal(ABOVE_M / pixel_m, TILE_PX, TILE_PX)
    level = float(np.nanmedian(height_hw))
    starts = range(0, pixels, TILE_PX)
    for row, column in progress([(row, column) for row in starts for column in starts], "ortho"):
        x, y = low_2 + pixel_m * np.array([column + TILE_PX / 2, pixels - row - TILE_PX / 2])
        eye_3 = world.origin_3 + np.array([x, y, level + ABOVE_M])
        view = renderer.view(camera, Pose(compose(np.diag([1.0, -1.0, -1.0]), eye_3)))
        rgb_hw3[row : row + TILE_PX, column : column + TILE_PX] = view.rgb_hw3
    return dsm, _write(out / "ortho.tif", np.moveaxis(rgb_hw3, -1, 0), low_2 + world.origin_3[:2])


def over_the_middle(world: Path) -> tuple[object, ...]:
    """Flags of `render` for views over the same square of the village and of its terrain."""
    low_3, high_3 = load_world(world).bounds
    return (*FLIGHT, "--margin", round(float(1 - FLOWN_M / (high_3 - low_3)[:2].max()) / 2, 4))


def _write(path: Path, bands_bhw: np.ndarray, low_2: np.ndarray) -> Path:
    import rasterio
    from rasterio.transform import from_bounds

    count, height, width = bands_bhw.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands_bhw.dtype.name}
    where = from_bounds(*low_2, *(low_2 + SIDE_M), width, height)
    with rasterio.open(path, "w", crs=CRS, transform=where, **profile) as file:
        file.write(bands_bhw)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--cell", type=float, default=0.5, help="of the grid of heights, m")
    parser.add_argument("--pixel", type=float, default=0.1, help="of the orthophoto, m")
    parser.add_argument("--views", type=int, default=480)
    parser.add_argument("--photos", type=int, default=60)
    args, flags = parser.parse_known_args()
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    dsm, ortho = survey(village(out / "village", args.seed, "summer"), args.cell, args.pixel, out)
    village(out / "later", args.seed, "autumn")
    run("build", "terrain", dsm, "--ortho", ortho, "--out", out / "terrain")
    scene = out / "scene"
    run(
        "render",
        out / "terrain",
        "--out",
        scene / "train_sim",
        "--views",
        args.views,
        *over_the_middle(out / "terrain"),
    )
    words = ["--views", args.photos, "--viewpoints", "flight", "--appearance", "photo", "--seed", 1]
    run("render", out / "later", "--out", scene / "test", *words, *over_the_middle(out / "later"))
    run("train", scene, "--sections", "train_sim", "--out", out / "run", *flags)
    results = tested(out / "run", scene, "test", out / "test")
    print(machine())
    refused = f"{results['failed']} of {results['frames']} refused"
    print(f"{results['median_m']:.3f} m, {results['median_deg']:.2f} deg; {refused}")


if __name__ == "__main__":
    main()
