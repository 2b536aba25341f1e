"""`transpose setup swiss`: the world of one of CrossLoc's areas from swisstopo's open geodata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transpose.scenes.setup.swiss import Bounds, Tile


def set_up_swiss(area: str, source: Path | None, out: Path, margin_m: float, download: bool) -> list[str]:
    """Lists the tiles of an area, and with `download` fetches them and builds `out/world`.

    Args:
        area: one of `worlds.areas.AREAS`.
        source: lists of addresses instead of swisstopo's catalogue.
        out: tiles go to `out/tiles`; what is there whole is not fetched again.
        margin_m: of land around the area, which oblique views see.
        download: without it nothing is fetched: names stay without their year unless `source` is given.

    Returns:
        Lines to print: a tile each, or the world's folder.
    """
    from transpose.app.console import tell
    from transpose.errors import TransposeError
    from transpose.scenes.setup import swiss
    from transpose.worlds.areas import AREAS

    if margin_m < 0:
        raise TransposeError(f"--margin is a distance around the area, not {margin_m}")
    place = AREAS[area]
    bounds_m = swiss.map_bounds(place.longitude, place.latitude)
    kilometres = swiss.kilometre_tiles(bounds_m, margin_m)
    known = swiss.read_lists(source) if source else None
    if not download:
        tiles = swiss.wanted(kilometres, known)
        total = sum(tile.about_bytes for tile in tiles)
        tell(f"{len(tiles)} tiles over {len(kilometres)} square kilometres, about {total / 1e9:.1f} GB")
        return [f"{tile.url or tile.name}\t{tile.about_bytes / 1e6:.0f} MB" for tile in tiles]
    from transpose.scenes.setup.download import fetch

    if known is None:
        known = swiss.ask_catalogue(fetch, out / "tiles", *swiss.degrees_around(kilometres))
    files = _fetched(fetch, swiss.wanted(kilometres, known), out / "tiles")
    return [str(_built(files, bounds_m, out / "world"))]


def _fetched(fetch: Callable[..., Any], tiles: list[Tile], folder: Path) -> dict[str, list[Path]]:
    from transpose.app.console import progress
    from transpose.scenes.setup.swiss import PRODUCTS, unpacked

    files: dict[str, list[Path]] = {product: [] for product in PRODUCTS}
    for tile in progress(tiles, "downloading"):
        path = folder / tile.name
        fetch(tile.url, path, size=tile.size, sha256=tile.sha256)
        files[tile.product].append(unpacked(path) if path.suffix == ".zip" else path)
    return files


def _built(files: dict[str, list[Path]], bounds_m: Bounds, folder: Path) -> Path:
    from transpose.worlds.terrain import TerrainOptions, build_terrain
    from transpose.worlds.world import save_world

    world = build_terrain(files["dsm"], files["ortho"], files["las"], TerrainOptions(detail_area=bounds_m))
    return save_world(world, folder)
