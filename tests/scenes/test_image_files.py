"""Photos as cameras and programs leave them: held in eight ways, with things appended, or cut off."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from transpose.errors import TransposeError
from transpose.scenes import files
from transpose.scenes.image_files import as_stored, header_of
from transpose.scenes.image_kinds import is_image
from transpose.scenes.whole_images import whole_image


def is_truncated(data: bytes) -> bool:
    return whole_image(data) is None


FORMATS = ["png", "webp", "tif", "jpg"]
# For each orientation: which quarter of the upright photo shows what is stored in the top left quarter (TIFF 6.0).
TOP_LEFT = {
    1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left",
    5: "top left", 6: "top right", 7: "bottom right", 8: "bottom left",
}  # fmt: skip
# ... and what is stored in the top right quarter.
TOP_RIGHT = {
    1: "top right", 2: "top left", 3: "bottom left", 4: "bottom right",
    5: "bottom left", 6: "bottom right", 7: "top right", 8: "top left",
}  # fmt: skip


def stored_image() -> np.ndarray:
    image_hw3 = np.full((48, 64, 3), 40, np.uint8)
    image_hw3[:24, :32] = (250, 40, 40)
    image_hw3[:24, 32:] = (40, 250, 40)
    return image_hw3


def quarter(image_hw3: np.ndarray, channel: int) -> str:
    """Where a channel is bright."""
    rows, columns = np.nonzero(image_hw3[..., channel] > 150)
    height, width = image_hw3.shape[:2]
    return f"{'top' if rows.mean() < height / 2 else 'bottom'} {'left' if columns.mean() < width / 2 else 'right'}"


def write_held(path: Path, orientation: int, image_hw3: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image_hw3).save(path, exif=exif, **({"quality": 95} if path.suffix != ".tif" else {}))


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_readers_agree_on_what_is_up(tmp_path: Path, ending: str, orientation: int) -> None:
    path = tmp_path / f"photo.{ending}"
    write_held(path, orientation, stored_image())
    upright_hw3, stored_hw3 = files.read_image(path), files.read_image(path, upright=False)
    assert files.image_size(path) == upright_hw3.shape[1::-1] == ((64, 48) if orientation < 5 else (48, 64))
    assert files.stored_size(path) == stored_hw3.shape[1::-1] == (64, 48)
    assert files.is_turned(path) == (orientation != 1)
    assert np.abs(stored_hw3.astype(int) - stored_image()).mean() < 5
    assert quarter(upright_hw3, 0) == TOP_LEFT[orientation]
    assert quarter(upright_hw3, 1) == TOP_RIGHT[orientation]


def test_orientations_that_mean_nothing_turn_nothing(tmp_path: Path) -> None:
    for orientation in (0, 9, 65535):
        write_held(tmp_path / "a.jpg", orientation, stored_image())
        assert not files.is_turned(tmp_path / "a.jpg")
        assert files.read_image(tmp_path / "a.jpg").shape == (48, 64, 3)


def test_a_png_may_say_it_behind_its_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    chunk = b"eXIf" + exif.tobytes()[6:]
    data = encoded("png")
    data = data[:-12] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[-12:]
    (tmp_path / "a.png").write_bytes(data)
    assert files.image_size(tmp_path / "a.png") == files.read_image(tmp_path / "a.png").shape[1::-1] == (48, 64)


@pytest.mark.parametrize("ending", ["tif", "png", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_what_is_half_transparent_is_not_darkened(tmp_path: Path, ending: str, orientation: int) -> None:
    path, exif, alpha_hw1 = tmp_path / f"a.{ending}", Image.Exif(), np.full((48, 64, 1), 128, np.uint8)
    exif[0x0112] = orientation
    alpha_hw1[:, :16] = 255
    more = {} if ending == "tif" else {"lossless": True}
    Image.fromarray(np.concatenate([stored_image(), alpha_hw1], 2)).save(path, exif=exif, **more)
    np.testing.assert_array_equal(files.read_image(path, upright=False), stored_image())
    assert quarter(files.read_image(path), 0) == TOP_LEFT[orientation]


def test_colours_that_a_tiff_has_multiplied_by_transparency_are_divided_again(tmp_path: Path) -> None:
    rgba_hw4 = np.concatenate([stored_image() // 2, np.full((48, 64, 1), 128, np.uint8)], 2)
    Image.fromarray(rgba_hw4).save(tmp_path / "a.tif")
    plain, associated = (struct.pack("<HHIHH", 338, 3, 1, kind, 0) for kind in (2, 1))
    data = (tmp_path / "a.tif").read_bytes()
    assert data.count(plain) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(plain, associated))
    assert np.abs(files.read_image(tmp_path / "a.tif") - stored_image().astype(int)).max() <= 2


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_is_marked_as_stored_in_all_its_forms(order: str, big: bool) -> None:
    mark = b"II" if order == "<" else b"MM"
    if big:
        head = mark + struct.pack(order + "HHHQ", 43, 8, 0, 16) + struct.pack(order + "Q", 2)
        tags = [struct.pack(order + "HHQHHHH", tag, 3, 1, value, 0, 0, 0) for tag, value in ((256, 6), (0x0112, 6))]
    else:
        head = mark + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", 2)
        tags = [struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in ((256, 6), (0x0112, 6))]
    data = head + b"".join(tags)
    changed = as_stored(data)
    assert [i for i in range(len(data)) if data[i] != changed[i]] == [data.rindex(6)]
    assert changed[data.rindex(6)] == 1
    assert as_stored(data[:20]) == data[:20]


def encoded(ending: str) -> bytes:
    rng = np.random.default_rng(0)
    image_hw3 = cv2.GaussianBlur(rng.integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 1)
    file = io.BytesIO()
    if ending == "progressive":
        Image.fromarray(image_hw3).save(file, "JPEG", progressive=True, quality=95)
    elif ending == "restarts":
        return cv2.imencode(".jpg", image_hw3, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes()
    else:
        Image.fromarray(image_hw3).save(file, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[ending])
    return file.getvalue()


KINDS = ["jpg", "progressive", "restarts", "png", "webp"]
ENCODED = {kind: encoded(kind) for kind in KINDS}


@given(st.sampled_from(KINDS), st.binary(max_size=300))
def test_what_follows_an_image_is_no_matter(kind: str, more: bytes) -> None:
    assert not is_truncated(ENCODED[kind] + more)


@given(st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.integers(0, 100))
@example("progressive", 0.25, 0)  # in a table between two scans
def test_what_is_cut_off_is_found(kind: str, share: float, zeros: int) -> None:
    """Also where the file was given its size before it was written. Without an end marker alone, nothing is missing."""
    data = ENCODED[kind]
    cut = data[: max(12, int(share * len(data)))]
    for rest in (cut, data[: max(12, len(cut) - 16)] + bytes(zeros)):
        whole = whole_image(rest)
        if kind == "webp":  # its length alone says when it is whole
            assert whole is None or len(rest) >= len(data)
        elif whole is not None:
            assert kind in ("jpg", "progressive", "restarts")
            np.testing.assert_array_equal(pixels(whole), pixels(data))


def test_a_frame_without_sampling_is_no_error() -> None:
    data = bytearray(ENCODED["restarts"])
    frame = data.index(b"\xff\xc0")
    data[frame + 11 : frame + 18 : 3] = bytes(3)  # of each component, how many samples a block has
    assert whole_image(bytes(data[:-2])) is None


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("kind", ["jpg", "progressive", "restarts"])
def test_panoramas_without_an_end_marker_are_read(tmp_path: Path, kind: str) -> None:
    """As some phones write them, with and without their notes behind; a photo that lacks pixels stays refused."""
    note = b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1653920000000"
    directory = b"SEFH" + struct.pack("<IIHHII", 106, 1, 0, 0x0A01, len(note), len(note)) + struct.pack("<I", 24)
    for more in (b"", bytes(500), note + directory + b"SEFT", b"SEFH" + b"\1" * 80 + b"SEFT"):
        path = tmp_path / "panorama.jpg"
        path.write_bytes(ENCODED[kind][:-2] + more)
        np.testing.assert_array_equal(files.read_image(path)[..., ::-1], pixels(ENCODED[kind]))
        path.write_bytes(ENCODED[kind][:-60] + more)
        with pytest.raises(TransposeError, match="is truncated; copy it again"):
            files.read_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(st.binary(max_size=400), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0+", b"RIFF"]))
def test_rubbish_breaks_nothing(rubbish: bytes, start: bytes) -> None:
    is_truncated(start + rubbish)
    as_stored(start + rubbish)
    header = header_of(start + rubbish)
    assert header is None or header.orientation in range(1, 9)


def test_photos_of_telephones_are_read(tmp_path: Path) -> None:
    """Samsung's notes behind the photo, and the film of a motion photo; both hold what looks like markers."""
    notes = (
        b"\0\0\1\x0a\x0e\0\0\0Image_UTC_Data1653920000000\0\0\xa1\x0a\x08\0\0\0MCC_Data262SEFH" + bytes(48) + b"SEFT"
    )
    film = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20
    for name, more in (("samsung", notes), ("motion", film)):
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(ENCODED["jpg"] + more)
        assert files.read_image(path).shape == (48, 64, 3)
        path.write_bytes(ENCODED["jpg"][:-40] + more)
        with pytest.raises(TransposeError, match="is truncated; copy it again"):
            files.read_image(path)


def test_a_preview_inside_is_not_taken_for_the_end(tmp_path: Path) -> None:
    """Its end marker stands in the header, before the photo begins."""
    preview = ENCODED["jpg"]
    data = ENCODED["jpg"]
    segment = b"\xff\xe1" + struct.pack(">H", len(preview) + 8) + b"Exif\0\0" + preview
    data = data[:2] + segment + data[2:]
    assert not is_truncated(data)
    assert is_truncated(data[:-60])


def test_images_are_known_by_their_ending_in_any_letters() -> None:
    assert all(is_image(Path(name)) for name in ("a.jpg", "a.JPG", "b.JPEG", "c.PNG", "d.png"))
    assert not any(is_image(Path(name)) for name in ("a.txt", "jpg", "a.jpg.txt", ".png", "._a.jpg"))


@pytest.mark.parametrize("name", ["d.npz", "d.NPZ", "d.png"])
def test_what_is_no_depth_is_nan(tmp_path: Path, name: str) -> None:
    depth_hw = np.array([[0, 1.5, -1, np.inf, -np.inf, np.nan]], np.float32)
    if name == "d.png":
        files.write_depth(tmp_path / "d", depth_hw, as_png=True)
    else:
        with (tmp_path / name).open("wb") as file:
            np.savez_compressed(file, depth=depth_hw)
    read_hw = files.read_depth(tmp_path / name)
    assert read_hw.dtype == np.float32
    np.testing.assert_array_equal(read_hw, [[np.nan, 1.5, np.nan, np.nan, np.nan, np.nan]])


def test_depth_of_another_shape_is_named(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", depth=np.ones((2, 3, 1)))
    with pytest.raises(TransposeError, match=r"d\.npz has depth of shape \(2, 3, 1\)"):
        files.read_depth(tmp_path / "d.npz")
