"""swisstopo's open geodata: which kilometre tiles an area needs, what they are called, and where they are.

Tiles are squares of the LV95 kilometre grid (EPSG:2056), named by the kilometres of their south-west corner. The year
of the survey is part of a name, so names come from swisstopo's catalogue (a STAC API) or from a list of addresses.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transpose.errors import MissingPackageError, TransposeError, first_few
from transpose.storage import read_json, read_text, replacing_file
from transpose.untrusted.packed import members_within
from transpose.untrusted.values import BAD_VALUES

_CATALOGUE = "https://data.geo.admin.ch/api/stac/v0.9/collections"
_EDGE_POINTS = 51
_CATALOGUE_PAGES = 100


@dataclass(frozen=True)
class Product:
    """One of swisstopo's data sets. `about_mb` is what a tile of an Alpine valley takes, to plan with."""

    key: str
    collection: str
    asset: re.Pattern[str]
    about_mb: int


PRODUCTS = {
    "dsm": Product(
        "dsm",
        "ch.swisstopo.swisssurface3d-raster",
        re.compile(r"swisssurface3d-raster_(\d{4})_(\d{4})-(\d{4})_0\.5_2056_5728\.tif$"),
        14,
    ),
    "ortho": Product(
        "ortho",
        "ch.swisstopo.swissimage-dop10",
        re.compile(r"swissimage-dop10_(\d{4})_(\d{4})-(\d{4})_0\.1_2056\.tif$"),
        70,
    ),
    "las": Product(
        "las",
        "ch.swisstopo.swisssurface3d",
        re.compile(r"swisssurface3d_(\d{4})_(\d{4})-(\d{4})_2056_5728\.las\.zip$"),
        220,
    ),
}


@dataclass(frozen=True)
class SwissTile:
    """One file: product, kilometres of the south-west corner, year, address; size and checksum where known."""

    product: str
    east_km: int
    north_km: int
    year: int | None = None
    url: str | None = None
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file's name, or `product EEEE-NNNN` while the year is not known."""
        return self.url.rsplit("/", 1)[-1] if self.url else f"{self.product} {self.east_km}-{self.north_km}"

    @property
    def about_bytes(self) -> int:
        """Its size, or what such tiles take."""
        return self.size if self.size is not None else PRODUCTS[self.product].about_mb * 1_000_000


Bounds = tuple[float, float, float, float]
Fetch = Callable[..., Any]


def map_bounds(longitude: tuple[float, float], latitude: tuple[float, float]) -> Bounds:
    """West, south, east and north in LV95 around an area in degrees, whose edges are bent on the map."""
    try:
        import pyproj
    except ImportError as error:
        raise MissingPackageError(f"pyproj ({error})", "geo", "for Swiss coordinates") from None
    to_map = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:2056", always_xy=True)
    west, south, east, north = to_map.transform_bounds(
        longitude[0], latitude[0], longitude[1], latitude[1], densify_pts=_EDGE_POINTS
    )
    return float(west), float(south), float(east), float(north)


def kilometre_tiles(bounds_m: Bounds, margin_m: float = 0.0) -> list[tuple[int, int]]:
    """Kilometres east and north of every tile that a rectangle in LV95, widened by a margin, has a part of."""
    west, south, east, north = bounds_m
    if not (2_480_000 <= west < east <= 2_840_000 and 1_070_000 <= south < north <= 1_300_000):
        raise TransposeError(f"the area is not in Switzerland (LV95 {west:.0f} {south:.0f} to {east:.0f} {north:.0f})")
    easts, norths = (
        range(int((low - margin_m) // 1000), -int(-(high + margin_m) // 1000))
        for low, high in ((west, east), (south, north))
    )
    return [(e, n) for e in easts for n in norths]


def tile_of_url(url: str) -> SwissTile | None:
    """What an address is, or None if it is none of the products."""
    for product in PRODUCTS.values():
        match = product.asset.search(url)
        if match and f"/{product.collection}/" in url:
            year, east, north = map(int, match.groups())
            return SwissTile(product.key, east, north, year, url)
    return None


def read_lists(source: Path) -> list[SwissTile]:
    """The tiles of swisstopo's address lists: a file, or all .csv and .txt files of a folder."""
    paths = sorted(p for p in source.iterdir() if p.suffix.lower() in (".csv", ".txt")) if source.is_dir() else [source]
    tiles = []
    for path in paths:
        tiles += [tile for tile in map(tile_of_url, read_text(path).split()) if tile is not None]
    if not tiles:
        raise TransposeError(f"{source} lists no swisstopo tiles; give the .csv lists of addresses, or leave it out")
    return tiles


def query_url(product: str, longitude: tuple[float, float], latitude: tuple[float, float]) -> str:
    """The catalogue's address for the tiles of an area in degrees."""
    box = f"{longitude[0]:.6f},{latitude[0]:.6f},{longitude[1]:.6f},{latitude[1]:.6f}"
    return f"{_CATALOGUE}/{PRODUCTS[product].collection}/items?bbox={box}&limit=100"


def read_catalogue(path: Path) -> tuple[list[SwissTile], str | None]:
    """Tiles of one page of the catalogue's answer, and the address of the next page."""
    try:
        answer = read_json(path)
        tiles = []
        for item in answer["features"]:
            for asset in item["assets"].values():
                tile = tile_of_url(asset["href"])
                if tile is not None:
                    size = asset.get("file:size")
                    tiles.append(SwissTile(**{**vars(tile), "size": size, "sha256": _sha256(asset)}))
        following = next((link["href"] for link in answer.get("links", []) if link.get("rel") == "next"), None)
    except BAD_VALUES as error:
        raise TransposeError(f"{path}: the catalogue's answer is not understood ({error!r})") from None
    return tiles, following


def _sha256(asset: dict[str, Any]) -> str | None:
    """The checksum of an asset; a multihash that begins with 12 20 is SHA-256."""
    multihash = str(asset.get("checksum:multihash") or asset.get("file:checksum") or "").lower()
    return multihash[4:] if re.fullmatch("1220[0-9a-f]{64}", multihash) else None


def ask_catalogue(
    fetch: Fetch, folder: Path, longitude: tuple[float, float], latitude: tuple[float, float]
) -> list[SwissTile]:
    """All tiles of an area in degrees, page by page; the answers stay in `folder`, each under its question's digest."""
    tiles: list[SwissTile] = []
    for product in PRODUCTS:
        url: str | None = query_url(product, longitude, latitude)
        for page in range(_CATALOGUE_PAGES):
            if url is None:
                break
            question = hashlib.sha256(url.encode()).hexdigest()[:12]  # another area must not get these answers
            path = folder / f"catalogue-{product}-{page}-{question}.json"
            fetch(url, path)
            more, url = read_catalogue(path)
            tiles += more
    return tiles


def wanted(kilometres: Sequence[tuple[int, int]], known: Iterable[SwissTile] | None) -> list[SwissTile]:
    """One tile of each product for every kilometre square, the newest that is known, or without a name.

    Of the points' product not all squares exist everywhere; heights and colours are needed.

    Raises:
        TransposeError: heights or colours of a square are not among those known.
    """
    if known is None:
        return [SwissTile(product, east, north) for product in PRODUCTS for east, north in kilometres]
    newest: dict[tuple[str, int, int], SwissTile] = {}
    for tile in known:
        key = (tile.product, tile.east_km, tile.north_km)
        if key not in newest or (tile.year or 0) > (newest[key].year or 0):
            newest[key] = tile
    missing = [f"{p} {e}-{n}" for p in ("dsm", "ortho") for e, n in kilometres if (p, e, n) not in newest]
    if missing:
        raise TransposeError(
            f"no tile is known for {first_few(missing)}; take a smaller margin or a list that covers the area"
        )
    return [newest[p, e, n] for p in PRODUCTS for e, n in kilometres if (p, e, n) in newest]


def unpacked(path: Path) -> Path:
    """The LAS file in one of swisstopo's archives, unpacked beside it once."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = members_within(archive, path.stat().st_size)
            names = [each.filename for each in members if each.filename.lower().endswith((".las", ".laz"))]
            if len(names) != 1:
                raise TransposeError(f"{path} holds {len(names)} LAS files; one is expected")
            target = path.with_name(Path(names[0]).name)
            if target.is_file() and target.stat().st_size == archive.getinfo(names[0]).file_size:
                return target
            with archive.open(names[0]) as source, replacing_file(target) as temporary, temporary.open("wb") as file:
                while block := source.read(1 << 22):
                    file.write(block)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, *BAD_VALUES) as error:
        raise TransposeError(f"{path} is no whole archive ({error}); delete it and download again") from None
    return target


def degrees_around(kilometres: Sequence[tuple[int, int]]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Longitudes and latitudes of a box around kilometre squares, drawn in a little so that it names no others."""
    try:
        import pyproj
    except ImportError as error:
        raise MissingPackageError(f"pyproj ({error})", "geo", "for Swiss coordinates") from None
    corners = np.array(kilometres) * 1000.0
    (west, south), (east, north) = corners.min(0) + 1, corners.max(0) + 999
    to_degrees = pyproj.Transformer.from_crs("EPSG:2056", "EPSG:4326", always_xy=True)
    lon0, lat0, lon1, lat1 = to_degrees.transform_bounds(west, south, east, north, densify_pts=_EDGE_POINTS)
    return (float(lon0), float(lon1)), (float(lat0), float(lat1))
