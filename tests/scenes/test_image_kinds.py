"""Files that are no image to be read here are named, with what to do about it."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transpose.errors import TransposeError
from transpose.scenes import files, image_kinds
from transpose.scenes.image_kinds import photos_in


def media(brand: bytes) -> bytes:
    return struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(200)


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("a.heic", media(b"heic"), "HEIC image, which is read where pillow-heif is installed"),
        ("renamed.jpg", media(b"mif1"), "HEIC image"),
        ("a.jpg", media(b"isom"), "a film, not a photo"),
        ("a.mov", media(b"qt  "), "a film, not a photo"),
        ("a.avi", b"RIFF\0\0\1\0AVI LIST", "a film, not a photo"),
        ("a.cr3", media(b"crx "), r"a raw file of a camera \(CR3\); develop it to JPEG"),
        ("a.nef", b"MM\0*\0\0\0\x08" + bytes(100), r"a raw file of a camera \(NEF\)"),
        ("a.tif", b"II*\0\x10\0\0\0CR\2\0" + bytes(100), r"a raw file of a camera \(CR2\)"),
        ("a.orf", b"IIRO\x08\0\0\0" + bytes(100), r"a raw file of a camera \(ORF\)"),
        ("a.jxl", b"\xff\x0a" + bytes(50), "JPEG XL image, which is not read here; convert it"),
        ("a.psd", b"8BPS\0\1", "Photoshop"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS.*git lfs pull"),
        ("a.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "a page of text, not an image"),
        ("a.jpg", b"", "empty; copy it again"),
        ("a.png", b"some words", "not a readable image"),
    ],
)
def test_what_a_file_is_instead(
    tmp_path: Path, name: str, data: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_kinds, "can_read_heif", lambda: False)
    (tmp_path / name).write_bytes(data)
    for read in (files.read_image, files.image_size):
        with pytest.raises(TransposeError, match=f"{name} is .*{words}"):
            read(tmp_path / name)  # type: ignore[operator]


def test_a_dng_is_not_read_as_its_preview(tmp_path: Path) -> None:
    """Raw files are TIFF, whose first picture is the size of a stamp."""
    Image.new("RGB", (64, 48)).save(tmp_path / "a.tif", tiffinfo={0xC612: b"\1\4\0\0"})
    with pytest.raises(TransposeError, match=r"raw file of a camera \(DNG\)"):
        files.read_image(tmp_path / "a.tif")


def test_of_a_folder_it_is_said_what_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_kinds, "can_read_heif", lambda: False)
    kept = ["A.jpg", "B.TIF", "C.webp", "D.bmp", "E.jfif"]
    for name in (*kept, "F.HEIC", "G.heic", "H.mp4", "notes.txt", "._A.jpg"):
        (tmp_path / name).write_bytes(b"x")
    photos, left_out = photos_in(tmp_path)
    assert [path.name for path in photos] == kept
    assert "F.HEIC and 1 more left out: a HEIC image" in left_out
    assert "H.mp4 left out: a film" in left_out and "notes.txt left out: no images" in left_out
    assert "\n" not in left_out and "._A" not in left_out


@pytest.mark.parametrize("ending", ["gif", "avif", "jp2", "bmp", "ppm"])
def test_other_formats_are_read(tmp_path: Path, ending: str) -> None:
    if ending == "avif" and not image_kinds.can_read_avif():
        pytest.skip("this Pillow reads no AVIF")
    Image.new("RGB", (64, 48), (200, 60, 60)).save(tmp_path / f"a.{ending}")
    path = tmp_path / f"a.{ending}"
    assert files.image_size(path) == (64, 48)
    assert np.abs(files.read_image(path)[10, 10].astype(int) - (200, 60, 60)).max() <= 4


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_avif_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    if not image_kinds.can_read_avif():
        pytest.skip("this Pillow reads no AVIF")
    image_hw3 = np.zeros((48, 64, 3), np.uint8)
    image_hw3[:24, :32] = 250
    for name in ("a.avif", "a.png"):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(image_hw3).save(tmp_path / name, exif=exif)
    seen_hw3, expected_hw3 = (files.read_image(tmp_path / name).astype(int) for name in ("a.avif", "a.png"))
    assert seen_hw3.shape == expected_hw3.shape and np.abs(seen_hw3 - expected_hw3).mean() < 8
    assert files.image_size(tmp_path / "a.avif") == files.image_size(tmp_path / "a.png")


def test_a_photo_of_two_hundred_megapixels_has_a_size(tmp_path: Path) -> None:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 12240, 16320, 1) + b"\1\x11\0"
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + frame + b"\xff\xd9")
    assert files.image_size(tmp_path / "a.jpg") == (16320, 12240)


def test_folders_in_it_and_links_to_nothing_are_told(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / "c.jpg").symlink_to(tmp_path / "gone.jpg")
    photos, left_out = photos_in(tmp_path)
    assert [path.name for path in photos] == ["a.png"]
    assert "sub/ not looked into" in left_out and "c.jpg left out: a link to what is not there" in left_out
