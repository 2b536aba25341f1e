"""Rasters on the map as other programs write them: the same place, plainly written, gives the same world."""

from pathlib import Path

import numpy as np
import pytest

from tests.worlds.raster_files import CELL_M, WHOLE, heights, picture, plain_files, refused, same_picture, same_surface
from tests.worlds.surveys import HOUSE_M, ORIGIN, write_dsm, write_ortho, write_raster
from transpose.errors import TransposeError
from transpose.worlds.georeference import _degrees, local_scale
from transpose.worlds.mosaic import read_colors, read_heights
from transpose.worlds.point_files import open_points
from transpose.worlds.rasters import Grid, Window, opened, survey_tiles
from transpose.worlds.terrain import build_terrain
from transpose.worlds.world import World

for package in ("rasterio", "pyproj"):
    pytest.importorskip(package, reason="the extra geo is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return plain_files(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def world(plain: tuple[Path, Path]) -> World:
    return build_terrain([plain[0]], [plain[1]])


@pytest.mark.parametrize("turn", ["south-up", "mirrored", "both", "90", "180", "30"])
def test_rows_may_run_any_way(tmp_path: Path, plain: tuple[Path, Path], world: World, turn: str) -> None:
    dsm, ortho = write_dsm(tmp_path / "d.tif", WHOLE), write_ortho(tmp_path / "o.tif", WHOLE)
    if turn == "30":  # a raster that is turned on the map, and covers the place
        for path, source, cell in ((dsm, plain[0], CELL_M), (ortho, plain[1], 0.1)):
            _turned(source, path, cell)
        built = build_terrain([dsm], [ortho])
        assert np.ptp(built.vertices_v3[:, :2], axis=0) == pytest.approx([20, 20], abs=1.1)
        assert np.quantile(built.vertices_v3[:, 2] + built.origin_3[2], 0.999) == pytest.approx(
            ORIGIN[2] + HOUSE_M, abs=0.1
        )
        return
    for path in (dsm, ortho):
        _rewritten(path, turn)
    built = build_terrain([dsm], [ortho])
    same_surface(built, world)
    same_picture(built, world)
    assert len(build_terrain([dsm], [plain[1]]).faces_f3) == len(build_terrain([plain[0]], [ortho]).faces_f3)


def _rewritten(path: Path, turn: str) -> None:
    """The same raster with its rows and columns in another order, and a geotransform that says so."""
    import rasterio
    from rasterio.transform import Affine

    with rasterio.open(path) as file:
        bands, profile, t = file.read(), file.profile, file.transform
    rows, columns = bands.shape[1:]
    end_x, end_y = t.c + columns * t.a, t.f + rows * t.e
    if turn == "south-up":
        bands, transform = bands[:, ::-1], Affine(t.a, 0, t.c, 0, -t.e, end_y)
    elif turn == "mirrored":
        bands, transform = bands[:, :, ::-1], Affine(-t.a, 0, end_x, 0, t.e, t.f)
    elif turn == "both" or turn == "180":
        bands, transform = bands[:, ::-1, ::-1], Affine(-t.a, 0, end_x, 0, -t.e, end_y)
    else:
        bands, transform = np.rot90(bands, axes=(1, 2)), Affine(0, -t.a, end_x, t.e, 0, t.f)
    with rasterio.open(path, "w", **{**profile, "transform": transform}) as file:
        file.write(np.ascontiguousarray(bands))


def _turned(source: Path, path: Path, cell_m: float) -> None:
    """A place in a grid that is turned by 30 degrees, with nothing outside of it."""
    import rasterio
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    along, across = cell_m * np.cos(np.pi / 6), cell_m * np.sin(np.pi / 6)
    transform = Affine(along, across, ORIGIN[0] - 6, across, -along, ORIGIN[1] + 16)
    side = round(30 / cell_m)
    with rasterio.open(source) as file:
        kind = file.dtypes[0]
        nodata = -9999 if kind == "float32" else 0
        bands = np.full((file.count, side, side), nodata, kind)
        reproject(file.read(), bands, src_transform=file.transform, src_crs=file.crs, dst_transform=transform,
                  dst_crs=file.crs, resampling=Resampling.bilinear, init_dest_nodata=False)  # fmt: skip
        profile = {**file.profile, "transform": transform, "width": side, "height": side, "nodata": nodata}
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)


@pytest.mark.parametrize("code", ["EPSG:3857", "EPSG:3395", "EPSG:4087", "ESRI:102100"])
def test_maps_whose_metre_is_none_are_refused_with_the_zone_to_take(
    tmp_path: Path, plain: tuple[Path, Path], code: str
) -> None:
    import pyproj

    x, y = pyproj.Transformer.from_crs("EPSG:2056", code, always_xy=True).transform(*ORIGIN[:2])
    edge = np.array([x, y] * 2) - ORIGIN[[0, 1, 0, 1]] + np.array([0, 0, 30, 30])
    dsm = write_raster(tmp_path / "d.tif", heights().astype(np.float32), tuple(edge), crs=code)
    said = refused(r"metre is 0\.(69|68)\d m", dsm, plain[1])
    assert f"gdalwarp -r bilinear -t_srs EPSG:32632 {dsm}" in said
    # On the heights' own map an orthophoto may come from any.
    ortho = write_raster(tmp_path / "o.tif", picture(), tuple(edge), crs=code)
    with pytest.raises(TransposeError, match="metre"):
        build_terrain([dsm], [ortho])


def test_a_folder_is_told_from_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match=r"is a folder; name the GeoTIFFs in it, as with .*\*.tif"):
        opened(tmp_path)
    with pytest.raises(TransposeError, match="does not exist"):
        opened(tmp_path / "dsm.tif")
    with pytest.raises(TransposeError, match="is a folder; name the cloud in it"):
        open_points(tmp_path)


def test_what_lies_nowhere_is_refused_with_the_command_that_places_it(tmp_path: Path, plain: tuple[Path, Path]) -> None:
    import rasterio
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC

    points = [GroundControlPoint(r, c, 7 + c * 1e-5, 46 - r * 1e-5) for r, c in ((0, 0), (0, 40), (40, 0), (40, 40))]
    ground = tmp_path / "g.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 40, "width": 40, "dtype": "float32"}
    with rasterio.open(ground, "w", **profile, gcps=points, crs="EPSG:4326") as file:
        file.write(heights().astype(np.float32))
    refused("gdalwarp -t_srs EPSG:32632", ground, plain[1])
    camera = tmp_path / "r.tif"
    with rasterio.open(camera, "w", **profile, rpcs=RPC(100.0, 1.0, 46.0, 1.0, [1.0] * 20, [1.0] * 20, 20, 20, 7.0, 1.0, [1.0] * 20, [1.0] * 20, 20, 20)) as file:  # fmt: skip # noqa: E501
        file.write(heights().astype(np.float32))
    refused("gdalwarp -rpc", camera, plain[1])
    site = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    refused(r"local system .*site.*-a_srs", write_dsm(tmp_path / "l.tif", WHOLE, crs=site), plain[1])
    (tmp_path / "n.asc").write_text("ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n")
    refused("gdal_translate -a_srs EPSG:CODE", tmp_path / "n.asc", plain[1])


def test_a_system_from_which_no_way_leads_has_no_degrees() -> None:
    """PROJ raises, of what a broken file says of its system."""
    pyproj = pytest.importorskip("pyproj")
    site = pyproj.CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    for shape in ((2,), (3,), (4, 2)):
        assert np.isnan(_degrees(pyproj, site, np.zeros(shape))).all()
    assert _degrees(pyproj, pyproj.CRS(32632), np.array([5e5, 5e6])) == pytest.approx((9.0, 45.1535), abs=1e-3)
    assert np.isnan(local_scale(site, np.zeros(2))).all()


def test_a_strip_without_end_is_refused_before_memory_is_taken(plain: tuple[Path, Path]) -> None:
    tiles, crs = survey_tiles([plain[1]])
    window = Window(Grid(0.0, 0.0, 0.1), 10, 2**32)
    with pytest.raises(TransposeError, match=f"{plain[1].name}: 10 x 4294967296 cells are too many"):
        read_colors(tiles, crs, window)
    with pytest.raises(TransposeError, match=f"{plain[1].name} and 1 others: 10 x 4294967296 cells"):
        read_heights(tiles * 2, crs, window)


def test_other_forms_of_rasters_are_read(tmp_path: Path, plain: tuple[Path, Path], world: World) -> None:
    """An ASCII grid with its .prj, a virtual raster, and pixels that are points."""
    import rasterio
    from rasterio.shutil import copy

    for name, driver in (("d.asc", "AAIGrid"), ("d.vrt", "VRT")):
        copy(plain[0], tmp_path / name, driver=driver)
        same_surface(build_terrain([tmp_path / name], [plain[1]]), world, 0.02)
    with rasterio.open(plain[0]) as file:
        profile, bands = file.profile, file.read()
    with rasterio.open(tmp_path / "p.tif", "w", **profile) as file:
        file.update_tags(AREA_OR_POINT="Point")
        file.write(bands)
    same_surface(build_terrain([tmp_path / "p.tif"], [plain[1]]), world)
