import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import SHARED
from transpose.app.services.setting_up import services
from transpose.errors import TransposeError
from transpose.scenes.setup import swiss_world
from transpose.scenes.setup.registry import set_up
from transpose.scenes.setup.request import SetupRequest
from transpose.scenes.setup.swiss import (
    SwissTile,
    ask_catalogue,
    degrees_around,
    kilometre_tiles,
    map_bounds,
    query_url,
    read_catalogue,
    read_lists,
    tile_of_url,
    unpacked,
    wanted,
)

pyproj = pytest.importorskip("pyproj", reason="the extra geo is not installed")

BASE = "https://data.geo.admin.ch"
COMBALLAZ = ((7.065, 7.077), (46.3705, 46.3825))


def address(product: str, east: int, north: int, year: int = 2019) -> str:
    collection, ending = {
        "dsm": ("swisssurface3d-raster", "0.5_2056_5728.tif"),
        "ortho": ("swissimage-dop10", "0.1_2056.tif"),
        "las": ("swisssurface3d", "2056_5728.las.zip"),
    }[product]
    name = f"{collection}_{year}_{east}-{north}"
    return f"{BASE}/ch.swisstopo.{collection}/{name}/{name}_{ending}"


def approximate_lv95(longitude: float, latitude: float) -> tuple[float, float]:
    """swisstopo's published approximation formula, good to about a metre: an independent reference."""
    phi, lam = (latitude * 3600 - 169028.66) / 10000, (longitude * 3600 - 26782.5) / 10000
    east = 2600072.37 + 211455.93 * lam - 10938.51 * lam * phi - 0.36 * lam * phi**2 - 44.54 * lam**3
    north = 1200147.07 + 308807.95 * phi + 3745.25 * lam**2 + 76.63 * phi**2 - 194.56 * lam**2 * phi + 119.79 * phi**3
    return east, north


def test_bounds_contain_the_area_and_no_more() -> None:
    west, south, east, north = map_bounds(*COMBALLAZ)
    edge = np.linspace(0, 1, 200)
    lon, lat = (low + edge * (high - low) for low, high in COMBALLAZ)
    rim = [approximate_lv95(x, y) for x in lon for y in (lat[0], lat[-1])]
    rim += [approximate_lv95(x, y) for x in (lon[0], lon[-1]) for y in lat]
    low, high = np.min(rim, axis=0), np.max(rim, axis=0)
    assert np.allclose([west, south, east, north], [*low, *high], atol=1.5)


def test_tiles_of_the_areas() -> None:
    assert kilometre_tiles(map_bounds(*COMBALLAZ)) == [(e, n) for e in (2571, 2572) for n in (1135, 1136)]
    epfl = map_bounds((6.561020, 6.577407), (46.518102, 46.521380))
    assert kilometre_tiles(epfl) == [(2532, 1152), (2533, 1152)]
    assert len(kilometre_tiles(epfl, 1000)) == 4 * 3


@given(st.floats(2_500_000, 2_800_000), st.floats(1_100_000, 1_250_000), st.floats(1, 5000), st.floats(0, 2000))
def test_tiles_cover_the_rectangle_exactly(west: float, south: float, extent: float, margin: float) -> None:
    tiles = kilometre_tiles((west, south, west + extent, south + extent), margin)
    easts, norths = {e for e, _ in tiles}, {n for _, n in tiles}
    assert len(tiles) == len(easts) * len(norths)
    for kilometres, low in ((easts, west), (norths, south)):
        assert min(kilometres) * 1000 <= low - margin < min(kilometres) * 1000 + 1000
        assert max(kilometres) * 1000 < low + extent + margin <= max(kilometres) * 1000 + 1000


def test_a_box_in_degrees_names_its_own_tiles_again() -> None:
    kilometres = [(e, n) for e in range(2570, 2574) for n in range(1134, 1138)]
    longitude, latitude = degrees_around(kilometres)
    assert set(kilometres) <= set(kilometre_tiles(map_bounds(longitude, latitude)))


@pytest.mark.parametrize("product", ["dsm", "ortho", "las"])
def test_addresses_are_understood(product: str) -> None:
    url = address(product, 2571, 1135, 2021)
    assert tile_of_url(url) == SwissTile(product, 2571, 1135, 2021, url)
    assert tile_of_url(url.replace("geo.admin", "geo").replace("ch.swisstopo", "com")) is None
    assert tile_of_url(url + ".aux") is None


def test_the_newest_of_each_square_is_taken() -> None:
    known = [
        SwissTile(p, 2571, 1135, y, address(p, 2571, 1135, y))
        for p in ("dsm", "ortho", "las")
        for y in (2017, 2020, 2018)
    ]
    assert [tile.year for tile in wanted([(2571, 1135)], known)] == [2020] * 3
    without_points = [tile for tile in known if tile.product != "las"]
    assert len(wanted([(2571, 1135)], without_points)) == 2
    with pytest.raises(TransposeError, match="dsm 2572-1135"):
        wanted([(2571, 1135), (2572, 1135)], known)
    assert wanted([(2571, 1135)], None)[0].name == "dsm 2571-1135"


def page(tiles: list[str], following: str | None = None, sha: str | None = None) -> str:
    features = [
        {"assets": {"a": {"href": url, **({"checksum:multihash": "1220" + sha} if sha else {})}}} for url in tiles
    ]
    links = [{"rel": "self", "href": "x"}] + ([{"rel": "next", "href": following}] if following else [])
    return json.dumps({"features": features, "links": links})


def test_the_catalogue_is_read(tmp_path: Path) -> None:
    assert query_url("ortho", *COMBALLAZ).endswith(
        "ch.swisstopo.swissimage-dop10/items?bbox=7.065000,46.370500,7.077000,46.382500&limit=100"
    )
    sha = "ab" * 32
    (tmp_path / "a.json").write_text(page([address("dsm", 2571, 1135), f"{BASE}/thumbnail.png"], "next page", sha))
    (tile,), following = read_catalogue(tmp_path / "a.json")
    assert (tile.sha256, following) == (sha, "next page")
    for broken in ("", "[]", '{"features": [{}]}'):
        (tmp_path / "b.json").write_text(broken)
        with pytest.raises(TransposeError, match=r"b\.json"):
            read_catalogue(tmp_path / "b.json")


def test_another_area_gets_tiles_of_its_own(tmp_path: Path) -> None:
    """In one folder, with what was asked before kept in it."""
    asked = []

    def fetch(url: str, path: Path) -> None:
        if path.exists():
            return
        asked.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        place = (2571, 1135) if "bbox=7.06" in url else (2580, 1140)
        second = f"{url}&page=2" if "page" not in url else None
        path.write_text(page([address("dsm", place[0] + bool(second), place[1])], second), encoding="utf-8")

    here = ask_catalogue(fetch, tmp_path, *COMBALLAZ)
    there = ask_catalogue(fetch, tmp_path, (7.19, 7.20), (46.41, 46.42))
    assert {tile.east_km for tile in here} == {2571, 2572} and {tile.east_km for tile in there} == {2580, 2581}
    assert len(asked) == 3 * 2 * 2
    assert ask_catalogue(fetch, tmp_path, *COMBALLAZ) == here and len(asked) == 3 * 2 * 2


def test_areas_outside_and_empty_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match="not in Switzerland"):
        kilometre_tiles((400_000, 1_100_000, 401_000, 1_101_000))
    (tmp_path / "list.csv").write_text("https://example.org/a.tif\n")
    with pytest.raises(TransposeError, match="lists no swisstopo tiles"):
        read_lists(tmp_path)
    with pytest.raises(TransposeError, match=r"missing\.csv does not exist"):
        read_lists(tmp_path / "missing.csv")


def test_archives_are_unpacked_once(tmp_path: Path) -> None:
    archive = tmp_path / "t.las.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inner/2571_1135.las", b"points" * 1000)
    target = unpacked(archive)
    assert target == tmp_path / "2571_1135.las"
    before = target.stat().st_mtime_ns
    assert unpacked(archive).stat().st_mtime_ns == before
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(TransposeError, match="no whole archive"):
        unpacked(archive)


def test_listing_needs_no_network(tmp_path: Path) -> None:
    lines = set_up(SetupRequest("swiss", tmp_path, area="comballaz", margin_m=0.0), services())
    assert len(lines) == 3 * 4
    assert lines[0].startswith("dsm 2571-1135\t")
    for margin_m in (-5.0, float("nan"), float("inf")):
        with pytest.raises(TransposeError, match="margin"):
            set_up(SetupRequest("swiss", tmp_path, area="comballaz", margin_m=margin_m), services())


def test_downloading_asks_the_catalogue_and_builds_the_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the network that serves small tiles."""
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    pytest.importorskip("laspy", reason="the extra geo is not installed")
    from tests.worlds.surveys import ORIGIN, write_las, write_raster
    from transpose.worlds.world import load_world

    asked = []

    def fetch(url: str, path: Path, size: int | None = None, sha256: str | None = None) -> None:
        asked.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        tile = tile_of_url(url)
        if tile is None:
            product = next(
                p for p in ("swisssurface3d-raster", "swissimage-dop10", "swisssurface3d") if f".{p}/" in url
            )
            key = {"swisssurface3d-raster": "dsm", "swissimage-dop10": "ortho", "swisssurface3d": "las"}[product]
            path.write_text(page([address(key, e, n) for e in (2571, 2572) for n in (1135, 1136)]))
            return
        corner = np.array([tile.east_km, tile.north_km]) * 1000.0
        west, south = corner - ORIGIN[:2]
        box = (west, south, west + 1000, south + 1000)
        if tile.product == "dsm":
            write_raster(path, np.full((1, 50, 50), 1400, np.float32), box)
        elif tile.product == "ortho":
            write_raster(path, np.full((3, 100, 100), tile.north_km % 256, np.uint8), box)
        else:
            xyz = np.column_stack(
                [np.random.default_rng(0).uniform(0, 1000, (3000, 2)) + corner, np.full(3000, 1400.0)]
            )
            las = write_las(tmp_path / f"{path.stem}", xyz, None, np.full(3000, 3, np.uint8))
            with zipfile.ZipFile(path, "w") as file:
                file.write(las, las.name)

    monkeypatch.setattr(swiss_world, "fetch", fetch)
    request = SetupRequest("swiss", tmp_path / "out", area="comballaz", margin_m=0.0, download=True)
    (line,) = set_up(request, services())
    assert len(asked) == 3 + 12
    world = load_world(Path(line))
    assert world.facts["crs"] == "EPSG:2056"
    low, high = np.array(world.facts["area_m"]) + world.origin_3[:2]
    assert np.allclose([*low, *high], map_bounds(*COMBALLAZ))
    assert 2 in world.face_class_f


def test_the_published_lists_cover_the_areas() -> None:
    folder = SHARED / "swiss" / "tiles"
    if not folder.is_dir():
        pytest.skip(f"the Swiss lists are not at {folder}")
    known = read_lists(folder)
    tiles = wanted(kilometre_tiles(map_bounds(*COMBALLAZ), 1000), known)
    assert len([t for t in tiles if t.product == "dsm"]) == 4 * 4
