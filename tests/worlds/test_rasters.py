"""Rasters as other programs write them: what they mean is what the same place gives, plainly written."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.surveys import HOUSE_M, ORIGIN, colors, grid_points, surface, write_dsm, write_ortho, write_raster
from transpose.errors import TransposeError
from transpose.worlds.terrain import TerrainOptions, build_terrain
from transpose.worlds.world import World

for package in ("rasterio", "pyproj"):
    pytest.importorskip(package, reason="the extra geo is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")

WHOLE = (0.0, 0.0, 20.0, 20.0)
CELL_M = 0.5


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("plain")
    return write_dsm(folder / "d.tif", WHOLE), write_ortho(folder / "o.tif", WHOLE)


@pytest.fixture(scope="module")
def world(plain: tuple[Path, Path]) -> World:
    return build_terrain([plain[0]], [plain[1]])


def heights(offset_m: float = ORIGIN[2]) -> np.ndarray:
    """(1, 40, 40) float64, metres."""
    xy, rows, columns = grid_points(WHOLE, CELL_M)
    return (surface(xy) + offset_m).reshape(1, rows, columns)


def picture() -> np.ndarray:
    """(3, 200, 200) uint8."""
    xy, rows, columns = grid_points(WHOLE, 0.1)
    return np.moveaxis(colors(xy).astype(np.uint8).reshape(rows, columns, 3), -1, 0)


def edited(path: Path, **fields: Any) -> Path:
    """A raster whose tags are set afterwards: scales, offsets, units, descriptions, crs, transform, nodata."""
    import rasterio

    with rasterio.open(path, "r+") as file:
        for name, value in fields.items():
            setattr(file, name, value)
    return path


def interpreted(path: Path, bands: np.ndarray, meanings: list[str], **more: Any) -> Path:
    """An orthophoto that calls its bands by their meanings."""
    import rasterio
    from rasterio.enums import ColorInterp

    with rasterio.open(write_raster(path, bands, WHOLE, photometric="MINISBLACK", alpha="unspecified", **more)) as file:
        profile = file.profile
    with rasterio.open(path, "w", **profile) as file:
        file.colorinterp = [ColorInterp[meaning] for meaning in meanings]
        file.write(bands)
    return path


def same_surface(a: World, b: World, within_m: float = 2e-3) -> None:
    for pick in (np.min, np.max):
        low_a, low_b = (pick(w.vertices_v3 + w.origin_3, axis=0) for w in (a, b))
        assert np.allclose(low_a, low_b, atol=within_m), (low_a, low_b)


def same_picture(a: World, b: World, within: float = 1.0) -> None:
    assert a.textures[0].shape == b.textures[0].shape
    assert np.abs(a.textures[0].astype(float) - b.textures[0].astype(float)).mean() <= within


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What this package has warned of, not GDAL."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("transpose")]


def refused(match: str, dsm: Path, ortho: Path, **options: Any) -> str:
    with pytest.raises(TransposeError, match=match) as caught:
        build_terrain([dsm], [ortho], options=TerrainOptions(**options))
    return str(caught.value)


@pytest.mark.parametrize(
    ("scale", "offset", "dtype", "nodata"),
    [
        (0.1, 0.0, np.int16, -32768),
        (0.01, 50.0, np.int32, None),
        (0.01, 1000.0, np.uint16, 0),
        (0.001, 0.0, np.int32, -9999),
    ],
)
def test_scale_and_offset_of_a_band_count(
    tmp_path: Path, plain: tuple[Path, Path], world: World, scale: float, offset: float, dtype: type, nodata: int | None
) -> None:
    stored = np.rint((heights() - offset) / scale).astype(dtype)
    path = write_raster(tmp_path / "d.tif", stored, WHOLE, **({} if nodata is None else {"nodata": nodata}))
    same_surface(build_terrain([edited(path, scales=[scale], offsets=[offset])], [plain[1]]), world, scale)


@pytest.mark.parametrize(
    ("unit", "metres"),
    [("metre", 1.0), ("m", 1.0), ("ft", 0.3048), ("US survey foot", 1200 / 3937), ("cm", 0.01), ("Foot", 0.3048)],
)
def test_the_unit_of_a_band_counts(
    tmp_path: Path, plain: tuple[Path, Path], world: World, caplog: pytest.LogCaptureFixture, unit: str, metres: float
) -> None:
    path = edited(write_raster(tmp_path / "d.tif", (heights() / metres).astype(np.float32), WHOLE), units=[unit])
    with caplog.at_level(logging.WARNING):
        same_surface(build_terrain([path], [plain[1]]), world, 0.03)
    assert ("converted from" in caplog.text) == (metres != 1)


def test_a_vertical_system_in_feet_counts_and_an_unknown_unit_is_refused(
    tmp_path: Path, plain: tuple[Path, Path], world: World, caplog: pytest.LogCaptureFixture
) -> None:
    feet = (heights() * 3937 / 1200).astype(np.float32)
    path = write_raster(tmp_path / "d.tif", feet, WHOLE, crs="EPSG:2056+6360")
    with caplog.at_level(logging.WARNING):
        built = build_terrain([path], [plain[1]])
    same_surface(built, world, 0.03)
    assert built.facts["crs"] == "EPSG:2056"
    assert "converted from" in caplog.text
    refused("degC, is not known.*gdal_edit", edited(write_dsm(tmp_path / "c.tif", WHOLE), units=["degC"]), plain[1])


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


@pytest.mark.parametrize("mark", [3.4028234663852886e38, -3.4028234663852886e38, 9999, -9999, -32768, -32767, 1e20, 0, -999, 99999])  # fmt: skip # noqa: E501
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_numbers_that_are_no_heights_are_left_out_with_a_word(
    tmp_path: Path, plain: tuple[Path, Path], caplog: pytest.LogCaptureFixture, mark: float, dtype: type
) -> None:
    if dtype == np.int16 and abs(mark) > 32768:
        pytest.skip("the number does not fit")
    stored = heights()
    stored[0, 20:33, 24:38] = mark
    path = write_raster(tmp_path / "d.tif", stored.astype(dtype), WHOLE)
    with caplog.at_level(logging.WARNING):
        built = build_terrain([path], [plain[1]])
    z_v = built.vertices_v3[:, 2] + built.origin_3[2]
    assert z_v.min() > ORIGIN[2] - 2
    assert z_v.max() < ORIGIN[2] + HOUSE_M + 0.1
    assert len([r for r in caplog.records if "left out" in r.message or "holes" in r.message]) == 1


def test_several_marks_leave_no_spikes(
    tmp_path: Path, plain: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    stored = heights(100.0)
    stored[0, 20:30, 24:34], stored[0, 5:15, 2:9], stored[0, 33:38, 2:9] = 9999, 0, -3.4e38
    built = build_terrain(
        [write_raster(tmp_path / "d.tif", stored.astype(np.float32), WHOLE, nodata=-9999)], [plain[1]]
    )
    z_v = built.vertices_v3[:, 2] + built.origin_3[2]
    assert z_v.min() == 0  # it is a height where the file names another number for holes
    assert "exactly 0 lie 20 m and more from all others and are taken for heights" in caplog.text
    assert z_v.max() < 100 + HOUSE_M + 0.1


def test_the_sea_stays(tmp_path: Path, plain: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    coast = np.maximum(heights(0.0) * 30, 0)  # from the water up to 150 m
    polder = heights(-3.0)
    polder[0, :, :5] = 0
    quay = np.where(heights(0.0) > 0.4, 3.0, 0.0)
    with caplog.at_level(logging.WARNING):
        for number, stored in enumerate((coast, polder, quay)):
            built = build_terrain(
                [write_raster(tmp_path / f"{number}.tif", stored.astype(np.float32), WHOLE)], [plain[1]]
            )
            z_v = built.vertices_v3[:, 2] + built.origin_3[2]
            assert z_v.min() == pytest.approx(stored.min(), abs=0.01)
            assert np.ptp(built.vertices_v3[:, :2], axis=0) == pytest.approx([19.5, 19.5])
    assert not said(caplog)


def test_heights_in_another_unit_than_said_are_refused(tmp_path: Path, plain: tuple[Path, Path]) -> None:
    path = write_raster(tmp_path / "d.tif", (heights() * 100).astype(np.int32), WHOLE)
    assert "gdal_edit.py -units cm" in refused("no heights of land", path, plain[1])


def test_masks_and_alpha_bands_tell_holes(
    tmp_path: Path, plain: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    import rasterio

    hole = np.ones((40, 40), bool)
    hole[20:33, 24:38] = False
    stored = np.where(hole, heights(), 0).astype(np.float32)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        masked = write_raster(tmp_path / "m.tif", stored, WHOLE)
        with rasterio.open(masked, "r+") as file:
            file.write_mask(hole)
    alpha = interpreted(
        tmp_path / "a.tif", np.concatenate([stored, hole[None] * 255.0]).astype(np.float32), ["gray", "alpha"]
    )
    with caplog.at_level(logging.WARNING):
        for path in (masked, alpha):
            built = build_terrain([path], [plain[1]])
            assert (built.vertices_v3[:, 2] + built.origin_3[2]).min() > ORIGIN[2] - 2
    assert not said(caplog)


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


def test_an_orthophoto_in_any_projection_is_warped(tmp_path: Path, plain: tuple[Path, Path], world: World) -> None:
    import rasterio
    from rasterio.warp import calculate_default_transform, reproject

    for code in ("EPSG:3857", "EPSG:4326"):
        with rasterio.open(plain[1]) as file:
            transform, width, height = calculate_default_transform(
                file.crs, code, file.width, file.height, *file.bounds
            )
            bands = np.zeros((3, height, width), np.uint8)
            reproject(file.read(), bands, src_transform=file.transform, src_crs=file.crs, dst_transform=transform,
                      dst_crs=code)  # fmt: skip
            profile = {
                **file.profile,
                "crs": code,
                "transform": transform,
                "width": width,
                "height": height,
                "nodata": 0,
            }
        with rasterio.open(tmp_path / "o.tif", "w", **profile) as file:
            file.write(bands)
        built = build_terrain([plain[0]], [tmp_path / "o.tif"])
        assert built.facts["pixel_m"] == pytest.approx(0.1, rel=0.6)
        colored = np.abs(
            built.vertex_rgb_v3.astype(float) - colors((built.vertices_v3 + built.origin_3 - ORIGIN)[:, :2])
        )
        assert np.median(colored.max(1)) < 6


def _called(meanings: list[str], order: list[int], extra: list[np.ndarray] = []) -> Callable[[Path], Path]:  # noqa: B006
    return lambda path: interpreted(path, np.stack([*picture(), *extra])[order], meanings)


FULL = np.full((200, 200), 255, np.uint8)
SOFT = np.tile(np.linspace(10, 250, 200).astype(np.uint8), (200, 1))


@pytest.mark.parametrize(
    "write",
    [
        _called(["blue", "green", "red"], [2, 1, 0]),
        _called(["alpha", "red", "green", "blue"], [3, 0, 1, 2], [FULL]),
        _called(["nir", "red", "green", "blue"], [3, 0, 1, 2], [SOFT]),
        _called(["red", "green", "blue", "nir", "alpha"], [0, 1, 2, 3, 4], [SOFT, FULL]),
        lambda path: edited(_called(["undefined"] * 3, [2, 1, 0])(path), descriptions=["Blue", "Green", "Red"]),
        lambda path: edited(
            _called(["red", "green", "blue", "undefined", "undefined"], [2, 1, 0, 3, 3], [SOFT])(path),
            descriptions=["Blue", "Green", "Red", "Red edge", "NIR"],
        ),
    ],
)
def test_bands_are_what_the_file_calls_them(
    tmp_path: Path,
    plain: tuple[Path, Path],
    world: World,
    write: Callable[[Path], Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        same_picture(build_terrain([plain[0]], [write(tmp_path / "o.tif")]), world)
    assert not said(caplog)


def test_alpha_first_tells_holes(tmp_path: Path, plain: tuple[Path, Path]) -> None:
    half = FULL.copy()
    half[:, 100:] = 0
    path = _called(["alpha", "blue", "green", "red"], [3, 2, 1, 0], [half])(tmp_path / "o.tif")
    built = build_terrain([plain[0]], [path])
    assert np.ptp(built.vertices_v3[:, 0]) < 11
    xy = (built.vertices_v3 + built.origin_3 - ORIGIN)[:, :2]
    assert np.abs(built.vertex_rgb_v3 - colors(xy).astype(float))[xy[:, 0] < 9].max(1).mean() < 10


def test_bands_that_say_nothing_are_said_or_refused(
    tmp_path: Path, plain: tuple[Path, Path], world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        same_picture(build_terrain([plain[0]], [_called(["undefined"] * 3, [0, 1, 2])(tmp_path / "3.tif")]), world)
    assert "does not say what its bands are" in caplog.text
    five = _called(["undefined"] * 5, [2, 1, 0, 3, 3], [SOFT])(tmp_path / "5.tif")
    refused("--bands", plain[0], five)
    same_picture(build_terrain([plain[0]], [five], options=TerrainOptions(bands=(3, 2, 1))), world)
    refused("has 5 bands", plain[0], five, bands=(6, 2, 1))
    infrared = edited(write_raster(tmp_path / "i.tif", picture(), WHOLE), descriptions=["NIR", "Red", "Green"])
    refused("natural colours", plain[0], infrared)
    build_terrain([plain[0]], [infrared], options=TerrainOptions(bands=(1, 2, 3)))
    refused(
        "natural colours", plain[0], _called(["cyan", "magenta", "yellow", "black"], [0, 1, 2, 0])(tmp_path / "k.tif")
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        grey = build_terrain([plain[0]], [_called(["gray", "undefined"], [0, 1])(tmp_path / "2.tif")])
    assert "grey" in caplog.text
    assert "band 2" in caplog.text
    assert (grey.textures[0] == grey.textures[0][..., :1]).all()
    refused("is a picture", plain[1], plain[1])


def test_an_alpha_band_that_is_a_picture_is_said(
    tmp_path: Path, plain: tuple[Path, Path], world: World, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_raster(tmp_path / "o.tif", np.stack([*picture(), SOFT]), WHOLE)  # GDAL calls the fourth band alpha
    with caplog.at_level(logging.WARNING):
        same_picture(build_terrain([plain[0]], [path]), world)
    assert "infrared" in caplog.text


@pytest.mark.parametrize("edge", [0, 255])
def test_an_edge_without_a_picture_is_said(
    tmp_path: Path, plain: tuple[Path, Path], edge: int, caplog: pytest.LogCaptureFixture
) -> None:
    cut = picture()
    cut[:, :, 100:] = edge
    with caplog.at_level(logging.WARNING):
        built = build_terrain([plain[0]], [write_raster(tmp_path / "o.tif", cut, WHOLE)])
    assert f"its edge is {'white' if edge else 'black'}" in caplog.text
    assert (np.ptp(built.vertices_v3[:, 0]) < 11) == (edge == 0)
    caplog.clear()
    build_terrain([plain[0]], [write_raster(tmp_path / "n.tif", cut, WHOLE, nodata=255 - edge)])
    assert not [line for line in said(caplog) if "edge" in line]


@pytest.mark.parametrize(
    ("dtype", "white", "said"),
    [
        (np.uint16, 255, True),
        (np.uint16, 65535, True),
        (np.float32, 1.0, True),
        (np.float32, 255.0, True),
        (np.int16, 255, True),
    ],
)
def test_colours_of_other_depth_are_converted(
    tmp_path: Path,
    plain: tuple[Path, Path],
    world: World,
    caplog: pytest.LogCaptureFixture,
    dtype: type,
    white: float,
    said: bool,
) -> None:
    deep = (picture() * (white / 255.0)).astype(dtype)
    path = write_raster(tmp_path / "o.tif", deep, WHOLE, photometric="RGB")
    with caplog.at_level(logging.WARNING):
        same_picture(build_terrain([plain[0]], [path]), world)
    assert f"to {white:g}, white" in caplog.text


def test_a_depth_that_nothing_tells_is_refused_with_the_number_to_give(
    tmp_path: Path, plain: tuple[Path, Path], world: World
) -> None:
    path = write_raster(tmp_path / "o.tif", picture().astype(np.uint16) * 12, WHOLE, photometric="RGB")
    said = refused("--color-range 0 3", plain[0], path)
    assert "gdal_translate -ot Byte -scale 0" in said
    same_picture(build_terrain([plain[0]], [path], options=TerrainOptions(color_range=(0, 12 * 255))), world)
    twelve = write_raster(tmp_path / "n.tif", picture().astype(np.uint16) * 16, WHOLE, photometric="RGB", nbits=12)
    same_picture(build_terrain([plain[0]], [twelve]), world)
    scaled = edited(
        write_raster(tmp_path / "s.tif", picture().astype(np.uint16) * 39, WHOLE, photometric="RGB"), scales=[1e-4] * 3
    )
    same_picture(build_terrain([plain[0]], [scaled]), world, 2.0)
    with pytest.raises(TransposeError):
        TerrainOptions(color_range=(3, 3))


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
