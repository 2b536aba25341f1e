"""Focal lengths as cameras and phones write them into EXIF."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from transpose.scenes.exif import focal_from_exif

FOCAL, F35, ZOOM, X_RESOLUTION, UNIT, WIDTH, HEIGHT = 0x920A, 0xA405, 0xA404, 0xA20E, 0xA210, 0xA002, 0xA003
DIAGONAL = np.hypot(36, 24)


def photo(path: Path, size: tuple[int, int] = (400, 300), make: str = "", *, tags: dict[int, Any]) -> Path:
    exif = Image.Exif()
    exif[0x010F] = make or "Maker"  # without any tag of the first directory, Pillow writes none at all
    exif.get_ifd(0x8769).update(tags)
    if path.suffix == ".tif":
        directory = ImageFileDirectory_v2()
        directory[0x8769] = tags
        Image.new("RGB", size).save(path, tiffinfo=directory)
    else:
        Image.new("RGB", size).save(path, exif=exif)
    return path


def focal_px(path: Path, tags: dict[int, Any], size: tuple[int, int] = (400, 300), make: str = "") -> float | None:
    found = focal_from_exif(photo(path, size, make, tags=tags))
    return None if found is None else found.focal_px


PLANE = {FOCAL: 10.0, X_RESOLUTION: 2032.0, UNIT: 2, WIDTH: 640, HEIGHT: 480}  # 80 px a millimetre, 8 mm wide


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_the_focal_plane_says_it_where_the_35_mm_value_is_missing(tmp_path: Path, ending: str) -> None:
    assert focal_px(tmp_path / f"a.{ending}", PLANE, (640, 480)) == pytest.approx(800.0)


@pytest.mark.parametrize("resolution, unit", [(800.0, 3), (80.0, 4), (0.08, 5)])
def test_units_of_the_focal_plane(tmp_path: Path, resolution: float, unit: int) -> None:
    tags = {**PLANE, X_RESOLUTION: resolution, UNIT: unit}
    assert focal_px(tmp_path / "a.jpg", tags, (640, 480)) == pytest.approx(800.0)


@pytest.mark.parametrize(
    "size, expected",
    [
        ((320, 240), 400.0),  # made smaller since
        ((480, 640), 800.0),  # turned by a program
        ((640, 360), 800.0),  # cropped to 16:9
        ((300, 300), None),  # cropped, and perhaps made smaller: nothing says by how much
    ],
)
def test_the_focal_plane_is_that_of_the_photo_as_it_was_taken(
    tmp_path: Path, size: tuple[int, int], expected: float | None
) -> None:
    found = focal_px(tmp_path / "a.jpg", PLANE, size)
    assert found is None if expected is None else found == pytest.approx(expected)
    equivalent = focal_px(tmp_path / "b.jpg", {F35: 43, WIDTH: 640, HEIGHT: 480}, size)
    assert equivalent is None if expected is None else equivalent == pytest.approx(expected * 43 / DIAGONAL, rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {X_RESOLUTION: 72.0},  # a printer's resolution: a sensor of 20 cm
        {X_RESOLUTION: 2032.0, UNIT: 4},  # a unit that cannot be: 0.3 mm
        {X_RESOLUTION: IFDRational(0, 0)},
        {FOCAL: IFDRational(0, 0)},
        {FOCAL: 0.0},
        {WIDTH: 0, HEIGHT: 0},  # made smaller or not, nothing says so
        {UNIT: 9},
    ],
)
def test_what_cannot_be_is_not_believed(tmp_path: Path, wrong: dict[int, Any]) -> None:
    assert focal_px(tmp_path / "a.jpg", {**PLANE, **wrong}, (640, 480)) is None


def test_a_35_mm_value_that_contradicts_the_lens_is_not_believed(tmp_path: Path) -> None:
    """177 mm of a 4 mm lens, as some phones write for small photos: a sensor of a millimetre."""
    assert focal_px(tmp_path / "a.jpg", {F35: 177, FOCAL: 3.99}) is None
    assert focal_px(tmp_path / "a.jpg", {F35: 28, FOCAL: 3.99}) == pytest.approx(28 * 500 / DIAGONAL)


def test_digital_zoom(tmp_path: Path) -> None:
    """Apple counts it into the 35 mm value, of others some do: then both are held possible, and that is said."""
    zoomed = {F35: 55, FOCAL: 3.99, ZOOM: 2.0}
    assert focal_px(tmp_path / "a.jpg", zoomed, make="Apple") == pytest.approx(55 * 500 / DIAGONAL)
    found = focal_from_exif(photo(tmp_path / "a.jpg", make="Maker", tags=zoomed))
    assert found is not None and found.rounding > 0.4 and found.ambiguous
    for meaning in (1.0, 2.0):
        assert abs(55 * meaning * 500 / DIAGONAL / found.focal_px - 1) <= found.rounding + 1e-9
    assert focal_px(tmp_path / "b.jpg", {**PLANE, ZOOM: 2.0}, (640, 480)) == pytest.approx(1600.0)


@pytest.mark.parametrize(
    "size, most", [((1600, 900), 1.09), ((900, 1600), 1.09), ((1000, 1000), 1.18), ((2000, 900), 1.15)]
)
def test_what_is_cut_from_a_sensor_says_its_own_focal_length_or_that_of_the_sensor(
    tmp_path: Path, size: tuple[int, int], most: float
) -> None:
    """Telephones and drones write the sensor's 35 mm equivalent for 16:9 and squares as well, others the photo's."""
    found = focal_from_exif(photo(tmp_path / "a.jpg", size, tags={F35: 26}))
    assert found is not None and found.ambiguous and 1 < (1 + found.rounding) ** 2 < most + 0.05
    of_photo = 26 * np.hypot(*size) / DIAGONAL
    long, short = max(size), min(size)
    sensor = np.hypot(long, 0.75 * long) if long > short * 4 / 3 else np.hypot(short * 4 / 3, short)
    for diagonal in (np.hypot(*size), sensor):
        for rounded in (25.5, 26.5):
            assert abs(rounded * diagonal / DIAGONAL / found.focal_px - 1) <= found.rounding + 1e-9
    assert of_photo < found.focal_px < of_photo * most


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (600, 400)])
def test_of_a_sensor_s_own_shape_it_is_the_photo_s(tmp_path: Path, size: tuple[int, int]) -> None:
    found = focal_from_exif(photo(tmp_path / "a.jpg", size, tags={F35: 26}))
    assert found is not None and not found.ambiguous
    assert found.focal_px == pytest.approx(26 * np.hypot(*size) / DIAGONAL)
