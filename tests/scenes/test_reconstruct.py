"""Photos without poses become a scene: cameras shared, scale and frame known or not, photos that are lost named."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose, exp_so3
from transpose.randomness import stream
from transpose.scenes.exif import gps_from_exif
from transpose.scenes.layout import open_section
from transpose.scenes.setup.reconstruct import ReconstructOptions, setup_reconstruct
from transpose.scenes.setup.reconstruct_frame import KnownDistance
from transpose.scenes.setup.unposed_photos import Placement, SharedCamera, UnposedPhoto

PLACE = 8.5, 47.4  # longitude and latitude
UNIT_M = 7.5  # of the reconstruction that is made here
METRES_A_DEGREE = 111_195.0


def sexagesimal(degrees: float) -> tuple[IFDRational, ...]:
    whole, rest = divmod(abs(degrees), 1)
    minutes, rest = divmod(60 * rest, 1)
    return IFDRational(int(whole)), IFDRational(int(minutes)), IFDRational(round(60e6 * rest), 1_000_000)


def gps(longitude: float, latitude: float, altitude: float | None = None) -> dict[int, Any]:
    tags: dict[int, Any] = {1: "N" if latitude >= 0 else "S", 2: sexagesimal(latitude)}
    tags |= {3: "E" if longitude >= 0 else "W", 4: sexagesimal(longitude)}
    if altitude is not None:
        tags |= {5: bytes([int(altitude < 0)]), 6: IFDRational(round(100 * abs(altitude)), 100)}
    return tags


def write_photo(
    path: Path, size: tuple[int, int] = (64, 48), gps_tags: dict[int, Any] | None = None, focal_35mm: int = 0
) -> Path:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    if focal_35mm:
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    if gps_tags:
        exif.get_ifd(0x8825).update(gps_tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = stream(0, path.name).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def east_north_up(number: int) -> np.ndarray:
    return np.array([12.0 * math.cos(number), 12.0 * math.sin(number), 3.0 * math.cos(2 * number)])


def write_photos(folder: Path, count: int = 8, with_gps: bool = False, error_m: float = 0.0) -> Path:
    for number in range(count):
        tags = None
        if with_gps:
            east, north, up = east_north_up(number) + stream(number, "gps").normal(scale=error_m, size=3)
            longitude = PLACE[0] + east / METRES_A_DEGREE / math.cos(math.radians(PLACE[1]))
            tags = gps(longitude, PLACE[1] + north / METRES_A_DEGREE, 400 + up)
        write_photo(folder / f"{number}.jpg", gps_tags=tags)
    return folder


class FakePlacer:
    """Places photos at known centres, in axes and a unit of its own; what it was asked is kept."""

    def __init__(self, lost: dict[str, str] | None = None, on_a_line: bool = False) -> None:
        self.lost, self.on_a_line = lost or {}, on_a_line
        self.turn_33 = exp_so3(np.array([1.0, -0.5, 0.2]))

    def __call__(self, photos: Sequence[UnposedPhoto], cameras: Sequence[SharedCamera], seed: int, _: Any) -> Placement:
        self.photos, self.cameras, self.seed = photos, cameras, seed
        poses = {p.name: self.pose(int(Path(p.name).stem)) for p in photos if p.name not in self.lost}
        lenses = {
            number: Lens(c.width, c.height, 50.0, 50.0, c.width / 2, c.height / 2) for number, c in enumerate(cameras)
        }
        seen = {name: pose.center + 2 * pose.R_wc[:, 2:].T for name, pose in poses.items()}
        return Placement(lenses, poses, seen, self.lost, 0.5)

    def pose(self, number: int) -> Pose:
        true_3 = np.array([3.0 * number, 0.1 * (number % 2), 0.0]) if self.on_a_line else east_north_up(number)
        return Pose(compose(self.turn_33, self.turn_33 @ true_3 / UNIT_M + 5.0))


def reconstructed(
    source: Path, place: FakePlacer, options: ReconstructOptions | None = None, list_file: Path | None = None
) -> Any:
    out = source.parent / "scene"
    (path,) = setup_reconstruct(source, out, "train", place, options or ReconstructOptions(), list_file)
    return open_section(path)


def extent(section: Any) -> float:
    return float(np.linalg.norm(section.frames[0].pose.center - section.frames[4].pose.center))


TRUE_M = float(np.linalg.norm(east_north_up(0) - east_north_up(4)))


def test_without_gps_the_unit_is_not_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    section = reconstructed(write_photos(tmp_path / "photos"), FakePlacer())
    assert len(section.frames) == 8
    assert not section.facts.metric
    assert extent(section) == pytest.approx(TRUE_M / UNIT_M)
    assert "--scale-from" in caplog.text
    assert "--unit" not in caplog.text
    assert section.frames[0].has("init")


def test_a_known_distance_gives_metres(tmp_path: Path) -> None:
    options = ReconstructOptions(distance=KnownDistance("0", "4.jpg", TRUE_M))
    section = reconstructed(write_photos(tmp_path / "photos", with_gps=True), FakePlacer(), options)
    assert section.facts.metric
    assert extent(section) == pytest.approx(TRUE_M)


def test_gps_gives_metres_east_north_and_up(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", 12, True, 0.02)
    write_photo(source / "12.jpg", gps_tags=gps(PLACE[0] + 1, PLACE[1]))  # a tag that is wrong
    write_photo(source / "13.jpg")  # none
    section = reconstructed(source, FakePlacer())
    assert section.facts.metric
    record = section.facts.record
    assert record["axes"] == "east, north, up"
    assert record["gps_photos"] == 12
    assert record["gps_origin"][:2] == pytest.approx(PLACE, abs=1e-3)
    assert len(section.frames) == 14
    offsets_n3 = np.array([frame.pose.center - east_north_up(int(frame.stem)) for frame in section.frames])
    assert np.abs(offsets_n3 - offsets_n3.mean(0)).max() < 0.1
    np.testing.assert_allclose(section.frames[0].pose.R_wc, np.eye(3), atol=0.02)


@pytest.mark.parametrize(
    ("error_m", "count", "said"),
    [(40.0, 8, "only; say a distance with --scale-from"), (0.0, 2, "only 2 of 8 photos have GPS tags")],
)
def test_gps_that_says_too_little_is_not_used(
    error_m: float, count: int, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_photos(tmp_path / "photos")
    write_photos(source, count, True, error_m)
    assert not reconstructed(source, FakePlacer()).facts.metric
    assert said in caplog.text


def test_photos_on_a_line_get_metres_but_no_axes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "photos"
    for number in range(8):
        sideways_m = stream(number, "gps").normal(scale=0.3)
        longitude = PLACE[0] + 3 * number / METRES_A_DEGREE / math.cos(math.radians(PLACE[1]))
        write_photo(source / f"{number}.jpg", gps_tags=gps(longitude, PLACE[1] + sideways_m / METRES_A_DEGREE, 400))
    section = reconstructed(source, FakePlacer(on_a_line=True))
    assert section.facts.metric
    assert "axes" not in section.facts.record
    assert extent(section) == pytest.approx(12, rel=0.05)
    assert "stand on a line" in caplog.text


def test_gps_tags_are_read_as_cameras_write_them(tmp_path: Path) -> None:
    west = gps_from_exif(write_photo(tmp_path / "a.jpg", gps_tags=gps(-70.123456, -33.5, -12.5)))
    assert west is not None
    assert (west.longitude_deg, west.latitude_deg) == pytest.approx((-70.123456, -33.5), abs=1e-7)
    assert west.altitude_m == -12.5
    flat = gps_from_exif(write_photo(tmp_path / "b.jpg", gps_tags=gps(8, 47)))
    assert flat is not None and flat.altitude_m is None


@pytest.mark.parametrize(
    "tags",
    [
        gps(0, 0, 0),  # a camera without a fix
        {2: sexagesimal(47.0)},  # no longitude
        gps(200, 47),
        {**gps(8, 47), 2: (IFDRational(0, 0),) * 3},
        {**gps(8, 47), 2: 47.0},
    ],
)
def test_gps_tags_that_say_nothing(tmp_path: Path, tags: dict[int, Any]) -> None:
    assert gps_from_exif(write_photo(tmp_path / "a.jpg", gps_tags=tags)) is None


def test_photos_of_one_size_and_focal_length_share_a_camera(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", 3)
    write_photo(source / "3.jpg", (48, 64))
    for number in (4, 5):
        write_photo(source / f"{number}.jpg", focal_35mm=28)
    write_photo(source / "6.jpg", focal_35mm=50)
    place = FakePlacer()
    reconstructed(source, place)
    assert [photo.camera for photo in place.photos] == [0, 0, 0, 1, 2, 2, 3]
    assert [camera.focal_px is None for camera in place.cameras] == [True, True, False, False]
    assert not any(camera.focal_is_sure for camera in place.cameras)
    reconstructed(source, place, ReconstructOptions(focal_px=60.0, seed=3))
    assert place.cameras == [SharedCamera(64, 48, 60.0, True), SharedCamera(48, 64, 60.0, True)]
    assert place.seed == 3


def test_photos_that_are_lost_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_photos(tmp_path / "photos")
    (source / "8.jpg").write_bytes((source / "0.jpg").read_bytes()[:20])
    (source / "notes.txt").write_text("these")
    with caplog.at_level(logging.INFO):
        section = reconstructed(source, FakePlacer({"2.jpg": "too few matches", "3.jpg": "another group"}))
    assert len(section.frames) == 6
    assert "6 of 9 photos are placed" in caplog.text
    assert "2.jpg is not placed: too few matches" in caplog.text
    assert "8.jpg is not placed: it cannot be read" in caplog.text
    assert section.facts.record["not_placed"].keys() == {"2.jpg", "3.jpg", "8.jpg"}
    assert "notes.txt left out" in caplog.text


def test_few_placed_photos_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lost = {f"{number}.jpg": "too few matches" for number in range(3, 30)}
    reconstructed(write_photos(tmp_path / "photos", 30), FakePlacer(lost))
    assert "only 3 of 30 photos are placed" in caplog.text
    assert caplog.text.count("too few matches") == 1  # many are told together
    assert "27 photos are not placed: too few matches: 3.jpg" in caplog.text


def test_a_list_names_photos(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "project" / "images")
    (list_file := tmp_path / "list.txt").write_text("0\n2.jpg\n4\n5\n7\n")
    section = reconstructed(source.parent, FakePlacer(), list_file=list_file)
    assert [frame.stem for frame in section.frames] == ["0", "2", "4", "5", "7"]
    list_file.write_text("9\n")
    with pytest.raises(TransposeError, match="9, which is not in this set"):
        reconstructed(source.parent, FakePlacer(), list_file=list_file)


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        (KnownDistance("0", "elsewhere", 1.0), "elsewhere, which is none of the photos"),
        (KnownDistance("0", "2", 1.0), r"names 2\.jpg, which has no pose: too few"),
        (KnownDistance("0", "0.jpg", 1.0), r"names 0\.jpg twice"),
    ],
)
def test_distances_that_cannot_be_are_refused(distance: KnownDistance, said: str, tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos")
    with pytest.raises(TransposeError, match=said):
        reconstructed(source, FakePlacer({"2.jpg": "too few"}), ReconstructOptions(distance=distance))
    assert not (tmp_path / "scene").exists()  # nothing half-written


@pytest.mark.parametrize("metres", [0.0, -3.0, math.nan, math.inf])
def test_a_distance_is_a_number_of_metres(metres: float) -> None:
    with pytest.raises(TransposeError, match=f"in metres, not {metres}"):
        KnownDistance("0", "1", metres)


def test_names_of_no_photo_are_refused_before_the_work(tmp_path: Path) -> None:
    def never(*_: object) -> Placement:
        raise AssertionError

    options = ReconstructOptions(distance=KnownDistance("0", "elsewhere", 1.0))
    with pytest.raises(TransposeError, match="elsewhere, which is none of the photos"):
        reconstructed(write_photos(tmp_path / "photos"), never, options)


def test_folders_without_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match="is not a folder"):
        reconstructed(tmp_path / "photos", FakePlacer())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "film.mp4").write_bytes(b"film")
    with pytest.raises(TransposeError, match=r"holds no photos.*film\.mp4 left out: a film"):
        reconstructed(tmp_path / "photos", FakePlacer())
    write_photos(tmp_path / "photos", 2)
    with pytest.raises(TransposeError, match="holds 2 photos that can be read; 3 are the least"):
        reconstructed(tmp_path / "photos", FakePlacer())


@pytest.mark.parametrize("focal_px", [0.0, -1.0, math.inf, math.nan])
def test_focal_lengths_that_are_none_are_refused(focal_px: float) -> None:
    with pytest.raises(TransposeError, match="--focal"):
        ReconstructOptions(focal_px=focal_px)
