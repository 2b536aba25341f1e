"""The world of an area from swisstopo's open geodata: which tiles it needs, fetching them, and building it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from transpose.errors import TransposeError
from transpose.scenes.setup import swiss
from transpose.scenes.setup.download import fetch
from transpose.scenes.setup.swiss import Bounds, SwissTile

# Longitudes and latitudes of an area.
Degrees = tuple[tuple[float, float], tuple[float, float]]
# From files by product, the area's bounds in LV95 and a folder to the world's folder.
WorldBuilder = Callable[[dict[str, list[Path]], Bounds, Path], Path]
Progress = Callable[[Sequence[Any], str], Iterable[Any]]
_WIDEST_M = 400_000  # of a margin: more than the country is long


def set_up_swiss(
    area: Degrees,
    source: Path | None,
    out: Path,
    margin_m: float,
    build: WorldBuilder | None,
    progress: Progress = lambda tiles, _: tiles,
    tell: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Lists the tiles of an area, or fetches them and builds `out/world`.

    Args:
        area: in degrees.
        source: lists of addresses instead of swisstopo's catalogue.
        out: tiles go to `out/tiles`; what is there whole is not fetched again.
        margin_m: of land around the area, which oblique views see.
        build: makes a world of tiles; None: nothing is fetched, and names stay without their year unless `source` is
            given.
        progress: wraps tiles as they are fetched.
        tell: says how many there are, and how large.

    Returns:
        Lines to print: a tile each, or the world's folder.

    Raises:
        TransposeError: the margin is no distance, a tile is not known, or it cannot be fetched.
    """
    if not 0 <= margin_m < _WIDEST_M:
        raise TransposeError(f"--margin is a distance around the area, not {margin_m}")
    bounds_m = swiss.map_bounds(*area)
    kilometres = swiss.kilometre_tiles(bounds_m, margin_m)
    known = swiss.read_lists(source) if source else None
    if build is None:
        tiles = swiss.wanted(kilometres, known)
        total = sum(tile.about_bytes for tile in tiles)
        tell(f"{len(tiles)} tiles over {len(kilometres)} square kilometres, about {total / 1e9:.1f} GB")
        return [f"{tile.url or tile.name}\t{tile.about_bytes / 1e6:.0f} MB" for tile in tiles]
    if known is None:
        known = swiss.ask_catalogue(fetch, out / "tiles", *swiss.degrees_around(kilometres))
    files = _fetched(swiss.wanted(kilometres, known), out / "tiles", progress)
    return [str(build(files, bounds_m, out / "world"))]


def _fetched(tiles: list[SwissTile], folder: Path, progress: Progress) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {product: [] for product in swiss.PRODUCTS}
    for tile in progress(tiles, "downloading"):
        path = folder / tile.name
        fetch(tile.url, path, size=tile.size, sha256=tile.sha256)
        files[tile.product].append(swiss.unpacked(path) if path.suffix == ".zip" else path)
    return files
