"""Orthophotos as other programs write them: which band is red, and which number is white."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.raster_files import WHOLE, edited, interpreted, picture, plain_files, refused, said, same_picture
from tests.worlds.surveys import ORIGIN, colors, write_raster
from transpose.errors import TransposeError
from transpose.worlds.terrain import TerrainOptions, build_terrain
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
    sentinel = edited(write_raster(tmp_path / "s.tif", picture(), WHOLE), descriptions=["B02", "B03", "B04"])
    with caplog.at_level(logging.WARNING):
        build_terrain([plain[0]], [sentinel])
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


def test_hardly_less_than_all_is_not_said_to_be_all(
    tmp_path: Path, plain: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    bands = picture()
    bands[:, :16, :16] = 0
    build_terrain([plain[0]], [write_raster(tmp_path / "o.tif", bands, WHOLE, nodata=0)])
    (line,) = [each for each in said(caplog) if "orthophoto covers" in each]
    assert "covers 99." in line
