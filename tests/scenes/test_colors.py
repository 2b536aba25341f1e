"""Colours of phones and cameras are sRGB once they are read, in every format and mode."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from transpose.localization.image_input import as_image
from transpose.scenes import files

# Chromaticities of the primaries in XYZ, adapted to D50, of Display P3 (as Apple's profile has them).
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))


def matrix_profile(primaries: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """A colour profile of three primaries and a power curve, version 2."""

    def fixed(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, "big", signed=True)

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    curve = b"curv\0\0\0\0\0\0\0\1" + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    tags = [(b"wtpt", xyz((0.9642, 1.0, 0.8249)))]
    tags += [(name, xyz(each)) for name, each in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    tags += [(b"desc", b"desc\0\0\0\0\0\0\0\5wide\0" + bytes(79)), (b"cprt", b"text\0\0\0\0none\0\0\0\0")]
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        data += bytes(-len(data) % 4)
        table += name + (at + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    size = at + len(body)
    header = size.to_bytes(4, "big") + b"\0\0\0\0\x02\x20\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return header + bytes(128 - len(header)) + len(tags).to_bytes(4, "big") + table + body


def flat(color: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (32, 24), color)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_wide_colours_become_srgb(tmp_path: Path, ending: str) -> None:
    """A saturated red of Display P3 is more red in sRGB; grey stays grey."""
    profile = matrix_profile(P3, 2.2)
    options = {"quality": 100, "subsampling": 0} if ending == "jpg" else {"lossless": True} if ending == "webp" else {}
    for color, expected in (((180, 60, 60), (197, 43, 51)), ((120, 120, 120), (120, 120, 120))):
        path = tmp_path / f"a.{ending}"
        flat(color).save(path, icc_profile=profile, **options)
        assert np.abs(files.read_image(path)[0, 0].astype(int) - expected).max() <= 3
        with Image.open(path) as image:
            assert np.abs(as_image(image)[0, 0].astype(int) - expected).max() <= 3


def test_srgb_under_any_name_stays_to_the_digit(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image_hw3 = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(image_hw3).save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_array_equal(files.read_image(tmp_path / "a.png"), image_hw3)


def test_cameras_say_adobe_rgb_without_a_profile(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    flat((100, 150, 100)).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    red, green, blue = files.read_image(tmp_path / "a.jpg")[0, 0].astype(int)
    assert red < 75 and abs(green - 150) <= 3 and 90 < blue < 102


def test_a_broken_profile_is_said_and_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat((100, 150, 100)).save(tmp_path / "a.png", icc_profile=b"rubbish" * 30)
    assert tuple(files.read_image(tmp_path / "a.png")[0, 0]) == (100, 150, 100)
    assert "a.png: its colour profile cannot be used" in caplog.text


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((24, 32), 150 * 257, np.uint16))
    else:
        image = flat((150, 150, 150) if mode != "1" else (255, 255, 255)).convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path, **({"quality": 95} if mode == "CMYK" else {}))
    read_hw3 = files.read_image(path)
    assert read_hw3.shape == (24, 32, 3) and read_hw3.dtype == np.uint8
    expected = 255 if mode == "1" else 150
    assert np.abs(read_hw3[4:20, 4:28].astype(float).mean((0, 1)) - expected).max() <= 4


def test_grey_with_a_profile_and_cmyk_in_a_file_object() -> None:
    buffer = io.BytesIO()
    flat((90, 90, 90)).convert("CMYK").save(buffer, "TIFF")
    buffer.seek(0)
    with Image.open(buffer) as image:
        assert np.abs(as_image(image)[0, 0].astype(int) - 90).max() <= 2
