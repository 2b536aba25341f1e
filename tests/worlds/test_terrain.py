import logging
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import looking_down
from tests.worlds.surveys import (
    HOUSE_M,
    ORIGIN,
    colors,
    grid_points,
    on_house,
    surface,
    survey_points,
    write_dsm,
    write_las,
    write_ortho,
    write_raster,
)
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.scenes.classes import UNKNOWN_CLASS
from transpose.worlds.renderer import Renderer
from transpose.worlds.terrain import TerrainOptions, build_terrain
from transpose.worlds.world import World

for package in ("rasterio", "pyproj", "laspy"):
    pytest.importorskip(package, reason="the extra geo is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

WHOLE = (0.0, 0.0, 20.0, 20.0)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """Heights in two tiles of different resolution, colours in two that are cut elsewhere."""
    folder = tmp_path_factory.mktemp("tiles")
    west, east = write_dsm(folder / "w.tif", (0, 0, 10, 20), 0.25), write_dsm(folder / "e.tif", (10, 0, 20, 20), 0.5)
    south, north = write_ortho(folder / "s.tif", (0, 0, 20, 10)), write_ortho(folder / "n.tif", (0, 10, 20, 20))
    return [west, east], [south, north]


@pytest.fixture(scope="module")
def world(tiles: tuple[list[Path], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> World:
    xyz, _, classes = survey_points(0.4)
    las = write_las(tmp_path_factory.mktemp("las") / "c.laz", xyz + ORIGIN, None, classes)
    return build_terrain(*tiles, [las])


def over(x: float, y: float, height: float) -> Pose:
    pose = looking_down(x, y, height, 0, -90)
    pose.T_wc[:3, 3] += ORIGIN
    return pose


def test_suffixes_in_capitals_are_read(tmp_path: Path) -> None:
    dsm = write_dsm(tmp_path / "d.tif", WHOLE, 0.5).rename(tmp_path / "d.TIF")
    ortho = write_ortho(tmp_path / "o.tif", WHOLE).rename(tmp_path / "o.TIF")
    xyz, _, classes = survey_points(0.4)
    las = write_las(tmp_path / "c.laz", xyz + ORIGIN, None, classes).rename(tmp_path / "c.LAZ")
    assert build_terrain([dsm], [ortho], [las]).has_classes


def test_heights_colours_and_places_are_those_of_the_files(world: World) -> None:
    view = Renderer(world).view(Camera.from_focal(170, 160, 120), over(10, 9, 18))
    assert view.seen_hw.mean() > 0.999  # the renderer lets a ray in a million slip through an edge
    local = (view.coordinates_hw3 - ORIGIN)[view.seen_hw]
    xy = local[:, :2]
    aside = np.array([0.6, -0.6])
    near_wall = (on_house(xy + 0.6) != on_house(xy - 0.6)) | (on_house(xy + aside) != on_house(xy - aside))
    # Bilinear resampling bends the heights by some centimetres where tiles of two resolutions meet.
    assert np.quantile(np.abs(local[:, 2] - surface(xy))[~near_wall], 0.98) < 0.06
    assert (np.abs(18 - HOUSE_M - view.depth_hw) < 0.01).mean() > 0.1
    assert np.abs(view.rgb_hw3[view.seen_hw] - colors(xy).astype(float))[~near_wall].mean() < 3
    assert world.facts["crs"] == "EPSG:2056"


def test_classes_come_from_the_nearest_points(world: World) -> None:
    view = Renderer(world).view(Camera.from_focal(170, 160, 120), over(10, 9, 18))
    xy = (view.coordinates_hw3 - ORIGIN).reshape(-1, 3)[:, :2]
    expected = np.where(on_house(xy), 3, np.where(xy[:, 0] > 15, 2, 1))
    assert (view.semantics_hw.reshape(-1) == expected).mean() > 0.93


def test_no_class_is_known_far_from_any_point(tiles: tuple[list[Path], list[Path]], tmp_path: Path) -> None:
    xyz, _, classes = survey_points(0.4)
    west = xyz[:, 0] < 8
    world = build_terrain(*tiles, [write_las(tmp_path / "w.las", xyz[west] + ORIGIN, None, classes[west])])
    renderer = Renderer(world)
    for x, known in ((4, True), (16, False)):
        seen = renderer.view(Camera.from_focal(100, 32, 32), over(x, 3, 10)).semantics_hw
        assert ((seen == UNKNOWN_CLASS) != known).all()


def test_tiles_give_what_one_file_gives(tmp_path: Path) -> None:
    whole = write_dsm(tmp_path / "all.tif", WHOLE)
    ortho = [write_ortho(tmp_path / "o.tif", WHOLE)]
    parts = [write_dsm(tmp_path / f"{i}.tif", (10.0 * i, 0, 10.0 * i + 10, 20)) for i in range(2)]
    one, two = build_terrain([whole], ortho), build_terrain(parts, ortho)
    assert np.array_equal(one.vertices_v3, two.vertices_v3)
    assert np.array_equal(one.faces_f3, two.faces_f3)


def test_small_nodata_is_closed_and_large_stays_open(tmp_path: Path) -> None:
    xy, rows, columns = grid_points(WHOLE, 0.5)
    height = (surface(xy) + ORIGIN[2]).astype(np.float32).reshape(rows, columns)
    height[2:4, 2:4] = -9999
    height[25:38, 25:38] = -9999
    path = write_raster(tmp_path / "holes.tif", height[None], WHOLE, nodata=-9999)
    renderer = Renderer(build_terrain([path], [write_ortho(tmp_path / "o.tif", WHOLE)]))
    places = np.array([[1.5, 18.5], [15.5, 4.0]]) + ORIGIN[:2] - renderer.world.origin_3[:2]
    small, large = renderer.surface_height(places)
    assert small + renderer.world.origin_3[2] - ORIGIN[2] == pytest.approx(0.15 - 0.925, abs=0.1)
    assert np.isnan(large)


def test_another_projection_of_the_orthophoto_is_warped(tmp_path: Path) -> None:
    import rasterio
    from rasterio.warp import calculate_default_transform, reproject

    source = write_ortho(tmp_path / "o.tif", WHOLE)
    with rasterio.open(source) as file:
        transform, width, height = calculate_default_transform(
            file.crs, "EPSG:32632", file.width, file.height, *file.bounds
        )
        bands = np.zeros((3, height, width), np.uint8)
        reproject(file.read(), bands, src_transform=file.transform, src_crs=file.crs,
                  dst_transform=transform, dst_crs="EPSG:32632")  # fmt: skip
        profile = {**file.profile, "crs": "EPSG:32632", "transform": transform, "width": width, "height": height}
    with rasterio.open(tmp_path / "utm.tif", "w", **{**profile, "nodata": 0}) as file:
        file.write(bands)
    world = build_terrain([write_dsm(tmp_path / "d.tif", WHOLE)], [tmp_path / "utm.tif"])
    view = Renderer(world).view(Camera.from_focal(170, 80, 60), over(16, 4, 18))
    xy = (view.coordinates_hw3 - ORIGIN)[view.seen_hw][:, :2]
    assert view.seen_hw.mean() > 0.95
    assert np.abs(view.rgb_hw3[view.seen_hw] - colors(xy).astype(float)).mean() < 4


def test_detail_falls_off_with_the_distance_from_the_cameras(tmp_path: Path) -> None:
    wide = (0.0, 0.0, 400.0, 400.0)
    rng = np.random.default_rng(0)
    height = (1400 + rng.normal(size=(1, 200, 200)) * 0.3).astype(np.float32)
    dsm = write_raster(tmp_path / "d.tif", height, wide)
    ortho = write_ortho(tmp_path / "o.tif", wide, 2.0)
    area = (ORIGIN[0], ORIGIN[1], ORIGIN[0] + 50, ORIGIN[1] + 50)
    near = build_terrain([dsm], [ortho], options=TerrainOptions(detail_area=area))
    everywhere = build_terrain([dsm], [ortho])
    assert len(near.faces_f3) < 0.8 * len(everywhere.faces_f3)
    low, high = np.array(near.facts["area_m"]) + near.origin_3[:2]
    assert np.allclose([*low, *high], area)
    fewer = build_terrain([dsm], [ortho], options=TerrainOptions(max_triangles=20_000))
    assert len(fewer.faces_f3) <= 20_000
    assert fewer.facts["tolerance_m"] > everywhere.facts["tolerance_m"]


def test_wrong_places_and_systems_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dsm, ortho = write_dsm(tmp_path / "d.tif", WHOLE), write_ortho(tmp_path / "o.tif", WHOLE)

    def fails(match: str, *files: list[Path]) -> None:
        with pytest.raises(TransposeError, match=match):
            build_terrain(*files)

    fails("gdal_edit", [write_dsm(tmp_path / "no.tif", WHOLE, crs=None)], [ortho])
    geographic = write_raster(tmp_path / "deg.tif", np.ones((1, 9, 9), np.float32), (-2.57e6 + 7, -1.135e6 + 46, -2.57e6 + 7.1, -1.135e6 + 46.1), crs="EPSG:4326")  # fmt: skip # noqa: E501
    fails("degrees.*EPSG:32632", [geographic], [ortho])
    island = write_dsm(tmp_path / "island.tif", (500, 500, 520, 520))
    fails("does not touch", [dsm, island], [ortho])
    fails("different areas", [dsm], [write_ortho(tmp_path / "far.tif", (500, 500, 520, 520))])
    with caplog.at_level(logging.WARNING):
        half = build_terrain([dsm], [write_ortho(tmp_path / "half.tif", (0, 0, 10, 20))])
    assert "covers 5" in caplog.text
    assert np.ptp(half.vertices_v3[:, 0]) < 11
    xyz, _, classes = survey_points(0.5)
    outside = write_las(tmp_path / "out.las", xyz + ORIGIN + np.array([900, 0, 0]), None, classes)
    fails("lies outside", [dsm], [ortho], [outside])
    other = write_las(tmp_path / "utm.las", xyz + ORIGIN, None, classes, crs="EPSG:32632")
    fails("another projection", [dsm], [ortho], [other])
    fails("not classified", [dsm], [ortho], [write_las(tmp_path / "u.las", xyz + ORIGIN, None, classes * 0)])


def test_broken_files_are_named(tmp_path: Path) -> None:
    dsm, ortho = write_dsm(tmp_path / "d.tif", WHOLE), write_ortho(tmp_path / "o.tif", WHOLE)
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes(ortho.read_bytes()[:20_000])
    deep = write_raster(tmp_path / "deep.tif", np.full((3, 20, 20), 3000, np.uint16), WHOLE)
    nothing = write_raster(tmp_path / "nothing.tif", np.full((1, 20, 20), -9999, np.float32), WHOLE, nodata=-9999)
    for files, match in (
        (([tmp_path / "missing.tif"], [ortho]), "missing.tif does not exist"),
        (([tmp_path / "empty.tif"], [ortho]), "empty.tif is no readable"),
        (([dsm], [tmp_path / "cut.tif"]), "cut.tif is"),
        (([dsm], [deep]), "deep.tif has uint16 colours"),
        (([nothing], [ortho]), "nothing.tif has no heights"),
    ):
        with pytest.raises(TransposeError, match=match):
            build_terrain(*files)
    for bad in ({"cell_m": 0.0}, {"detail_area": (1, 0, 0, 1)}, {"max_triangles": 3}):
        with pytest.raises(TransposeError):
            TerrainOptions(**bad)  # type: ignore[arg-type]
