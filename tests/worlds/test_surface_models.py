"""Heights as other programs write them: scale, unit and what is no height."""

import logging
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.raster_files import WHOLE, edited, heights, interpreted, plain_files, refused, said, same_surface
from tests.worlds.surveys import HOUSE_M, ORIGIN, grid_points, write_dsm, write_raster
from transpose.worlds.mosaic import read_heights
from transpose.worlds.rasters import Window, survey_tiles
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


@pytest.mark.parametrize("cell_m", [0.25, 0.5, 1.0, 4.0])
@pytest.mark.parametrize(
    ("first", "second", "nodata"), [(-9999, 9999, -9999), (-32768, -9999, -32768), (9999, 0, None)]
)
def test_a_second_mark_in_a_coarse_tile_has_no_share_in_heights(
    tmp_path: Path, cell_m: float, first: float, second: float, nodata: float | None
) -> None:
    """Cells of 2 m: all heights nearer than that to a marked one are left out, or they would be towers and pits."""
    xy, rows, columns = grid_points(WHOLE, 2.0)
    stored = (ORIGIN[2] + 0.1 * xy[:, 0]).reshape(1, rows, columns).astype(np.float32)
    stored[0, 8:, 8:], stored[0, 4, 3] = first, second
    path = write_raster(tmp_path / "d.tif", stored, WHOLE, **({} if nodata is None else {"nodata": nodata}))
    tiles, crs = survey_tiles([path])
    window = Window.around(tiles[0].bounds_4, cell_m)
    height_hw = read_heights(tiles, crs, window)
    x_w, south_h = ((np.arange(count) + 0.5) * cell_m for count in (window.columns, window.rows))
    assert np.nanmax(np.abs(height_hw - ORIGIN[2] - 0.1 * x_w)) < 0.5
    near_hw = (np.abs(x_w - 7) < max(cell_m, 2.0)) & (np.abs(south_h - 9) < max(cell_m, 2.0))[:, None]
    marked_hw = (x_w > 16) & (south_h > 16)[:, None]
    np.testing.assert_array_equal(np.isnan(height_hw[~marked_hw]), near_hw[~marked_hw])


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


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint16])
def test_the_remedy_for_heights_taken_for_holes_works(
    tmp_path: Path, plain: tuple[Path, Path], dtype: type, caplog: pytest.LogCaptureFixture
) -> None:
    stored = heights()
    stored[0, 20:33, 24:38] = 0
    path = write_raster(tmp_path / "d.tif", stored.astype(dtype), WHOLE)
    build_terrain([path], [plain[1]])
    other = float(caplog.text.split("-a_nodata ")[1].split()[0])
    built = build_terrain([edited(path, nodata=other)], [plain[1]])
    assert (built.vertices_v3[:, 2] + built.origin_3[2]).min() == 0
