"""`transpose undistort`: real photos, whatever says what their lens is, to pinhole images with their calibration."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from transpose.app.cli import main
from transpose.app.commands.undistort import Model
from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.geometry.camera_models import MODELS
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.fisheye import Fisheye
from transpose.geometry.lens import Lens
from transpose.geometry.panorama import Panorama
from transpose.geometry.projection import Projection
from transpose.scenes import files
from transpose.scenes.camera_files import read_camera_file
from transpose.scenes.writer import FrameLabels, SectionWriter

LENS = Lens(160, 120, 130.0, 130.0, 82.0, 59.0, -0.12, 0.02, 0.001, -0.001)
PARAMETERS = ["130", "130", "82", "59", "-0.12", "0.02", "0.001", "-0.001"]


def pattern(xy_n2: np.ndarray) -> np.ndarray:
    """What a wall at distance 1 looks like at normalised points: smooth, and everywhere another colour."""
    x, y = xy_n2[..., 0], xy_n2[..., 1]
    return np.stack([128 + 100 * np.sin(6 * x + 1), 128 + 100 * np.sin(7 * y), 128 + 100 * np.sin(5 * (x + y))], -1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos of the wall through the lens."""
    folder = tmp_path / "photos"
    seen_hw3 = pattern(LENS.rays_of_px(pixel_centers(160, 120))).round().astype(np.uint8)
    files.write_image(folder / "one.png", seen_hw3)
    files.write_image(folder / "two.jpg", seen_hw3, 98)
    return folder


def undistort(*words: object) -> int:
    return main(["undistort", *map(str, words)])


def read(out: Path, name: str) -> tuple[np.ndarray, Camera]:
    image_hw3 = files.read_image(out / "rgb" / name)
    return image_hw3, files.read_camera(out / "calibration" / f"{Path(name).stem}.txt", *image_hw3.shape[1::-1])


def shows_the_wall(out: Path, name: str) -> bool:
    image_hw3, camera = read(out, name)
    expected_hw3 = pattern(camera.unproject(pixel_centers(camera.width, camera.height))[..., :2])
    # Half a pixel aside would be 1.5 levels at least; JPEG alone is 0.9.
    return bool(np.abs(image_hw3 - expected_hw3).mean() < (0.6 if name.endswith(".png") else 1.1))


def test_image_and_calibration_agree(photos: Path, tmp_path: Path) -> None:
    """Whatever the size that comes out, each pixel shows what the ray of its calibration meets."""
    assert undistort(photos, "--out", tmp_path / "o", "--model", "OPENCV", "--parameters", *PARAMETERS) == 0
    assert shows_the_wall(tmp_path / "o", "one.png")
    assert shows_the_wall(tmp_path / "o", "two.jpg")
    size = ["--size", "90", "60"]
    assert undistort(photos, "--out", tmp_path / "s", "--model", "OPENCV", "--parameters", *PARAMETERS, *size) == 0
    image_hw3, camera = read(tmp_path / "s", "one.png")
    assert image_hw3.shape == (60, 90, 3)
    assert (camera.cx, camera.cy) == (45, 30)
    assert shows_the_wall(tmp_path / "s", "one.png")


def test_a_lens_from_a_file_at_another_resolution(photos: Path, tmp_path: Path) -> None:
    double = LENS.resized(320, 240)
    names = ("width", "height", "fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")
    camera = {"model": "OPENCV", **{name: getattr(double, name) for name in names}}
    (tmp_path / "lens.json").write_text(json.dumps({"camera": camera}))
    assert undistort(photos, "--out", tmp_path / "o", "--camera", tmp_path / "lens.json") == 0
    assert shows_the_wall(tmp_path / "o", "one.png")
    assert read(tmp_path / "o", "one.png")[1].width == 160


def test_like_gives_exactly_that_camera_and_says_what_is_black(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for section, focal_px in (("narrow", 120.0), ("wide", 40.0)):
        camera = Camera(80, 64, focal_px, focal_px + 1, 41.0, 30.0)
        writer = SectionWriter(tmp_path / "scene", section, {})
        writer.add("f", np.zeros((64, 80, 3), np.uint8), Pose(np.eye(4)), camera, FrameLabels())
        writer.finish({})
    given = ["--model", "OPENCV", "--parameters", *PARAMETERS, "--like"]
    assert undistort(photos / "one.png", "--out", tmp_path / "n", *given, tmp_path / "scene" / "narrow") == 0
    assert "black" not in capsys.readouterr().err
    assert read(tmp_path / "n", "one.png")[1] == Camera(80, 64, 120.0, 121.0, 41.0, 30.0)
    assert shows_the_wall(tmp_path / "n", "one.png")
    assert undistort(photos / "one.png", "--out", tmp_path / "w", *given, tmp_path / "scene" / "wide") == 0
    assert "outside the photo and is black" in capsys.readouterr().err


def test_another_lens_does_it_again_and_the_same_one_does_not(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert undistort(photos, "--out", out, "--focal", 130) == 0
    before = (out / "rgb" / "one.png").stat().st_mtime_ns
    assert undistort(photos, "--out", out, "--focal", 130) == 0
    assert (out / "rgb" / "one.png").stat().st_mtime_ns == before
    assert undistort(photos, "--out", out, "--focal", 150) == 0
    assert read(out, "one.png")[1].fx == 150
    assert (out / "rgb" / "one.png").stat().st_mtime_ns > before


def test_exif_says_focal_length_and_what_is_up(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 28
    stored_hw3 = np.zeros((60, 80, 3), np.uint8)
    stored_hw3[:20, :20] = 250  # after a quarter turn clockwise at the top right
    Image.fromarray(stored_hw3).save(tmp_path / "phone.jpg", exif=exif, quality=95)
    assert undistort(tmp_path / "phone.jpg", "--out", tmp_path / "o") == 0
    image_hw3, camera = read(tmp_path / "o", "phone.jpg")
    assert image_hw3.shape == (80, 60, 3)
    assert image_hw3[5, -5].min() > 200
    assert camera.fx == pytest.approx(28 * 100 / np.hypot(36, 24), rel=1e-6)


def test_crosslocs_drone(tmp_path: Path) -> None:
    files.write_image(tmp_path / "DJI_1.jpg", np.full((364, 546, 3), 90, np.uint8), 90)
    assert undistort(tmp_path / "DJI_1.jpg", "--out", tmp_path / "o", "--crossloc-drone", "--size", 720, 480) == 0
    image_hw3, camera = read(tmp_path / "o", "DJI_1.jpg")
    assert image_hw3.shape == (480, 720, 3)
    assert image_hw3.min() > 85  # nothing of it is black
    assert camera.fx == pytest.approx(479.84, abs=0.01)


WIDE = Fisheye(426, 240, 190.0, 190.0, 213.0, 120.0, (0.02, -0.01, 0.001, 0.0))
WIDE_PARAMETERS = ["190", "190", "213", "120", "0.02", "-0.01", "0.001", "0"]


def sky(directions_n3: np.ndarray) -> np.ndarray:
    """What lies in a direction, infinitely far away."""
    x, y, z = np.moveaxis(directions_n3 / np.linalg.norm(directions_n3, axis=-1, keepdims=True), -1, 0)
    return np.stack([128 + 90 * np.sin(6 * x), 128 + 90 * np.sin(6 * y + 2 * z), 128 + 90 * np.sin(5 * z)], -1)


def photo_of_the_sky(path: Path, lens: Projection) -> None:
    directions_hw3 = lens.directions_of_px(pixel_centers(lens.width, lens.height))
    files.write_image(path, sky(np.nan_to_num(directions_hw3, nan=0.5)).round().astype(np.uint8))


@pytest.mark.parametrize("model", ["OPENCV_FISHEYE", "EQUIRECTANGULAR"])
def test_wide_photos_become_several_that_say_how_they_are_turned(tmp_path: Path, model: str) -> None:
    lens = WIDE if model == "OPENCV_FISHEYE" else Panorama(640, 320)
    photo_of_the_sky(tmp_path / "wide.png", lens)
    parameters = ["--parameters", *WIDE_PARAMETERS] if model == "OPENCV_FISHEYE" else []
    words = [tmp_path / "wide.png", "--out", tmp_path / "o", "--model", model, *parameters]
    assert undistort(*words) == 0
    turns = json.loads((tmp_path / "o" / "views.json").read_text())
    names = ["left", "right"] if model == "OPENCV_FISHEYE" else ["back", "down", "front", "left", "right", "up"]
    assert sorted(turns) == [f"wide-{name}" for name in names]
    for stem, turn in turns.items():
        image_hw3, camera = read(tmp_path / "o", f"{stem}.png")
        rays_hw3 = camera.unproject(pixel_centers(camera.width, camera.height))
        assert np.abs(image_hw3 - sky(rays_hw3 @ np.array(turn["view_to_photo"]).T)).mean() < 0.8
        assert turn["photo"] == "wide.png"
    before = (tmp_path / "o" / "rgb" / f"wide-{names[0]}.png").stat().st_mtime_ns
    assert undistort(*words) == 0
    assert (tmp_path / "o" / "rgb" / f"wide-{names[0]}.png").stat().st_mtime_ns == before
    photo_of_the_sky(tmp_path / "wide-other.png", lens)  # of which what is made stays
    assert undistort(tmp_path / "wide-other.png", *words[1:], "--size", "64", "48") == 0
    assert undistort(*words, "--size", "64", "48") == 0
    for layer in ("rgb", "calibration"):
        assert sorted(file.stem for file in (tmp_path / "o" / layer).iterdir()) == ["wide", "wide-other"]
    assert json.loads((tmp_path / "o" / "views.json").read_text()) == {}


def test_every_model_can_be_asked_for() -> None:
    assert set(get_args(Model)) == set(MODELS)


def test_a_wide_lens_as_one_camera_of_a_size(tmp_path: Path) -> None:
    photo_of_the_sky(tmp_path / "wide.png", WIDE)
    given = ["--model", "OPENCV_FISHEYE", "--parameters", *WIDE_PARAMETERS, "--size", "160", "90"]
    assert undistort(tmp_path / "wide.png", "--out", tmp_path / "o", *given) == 0
    image_hw3, camera = read(tmp_path / "o", "wide.png")
    assert image_hw3.shape == (90, 160, 3)
    assert np.abs(image_hw3 - sky(camera.unproject(pixel_centers(160, 90)))).mean() < 1.5


def test_all_photos_of_a_folder_are_taken_and_others_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, ending in enumerate(("tif", "webp", "bmp", "JPEG")):
        Image.fromarray(np.full((120, 160, 3), 40 * i, np.uint8)).save(photos / f"{i}.{ending}")
    (photos / "raw.CR2").write_bytes(b"II*\0")
    (photos / "film.mov").write_bytes(b"film")
    (photos / "notes.txt").write_text("not a photo")
    assert undistort(photos, "--focal", 130, "--out", tmp_path / "o") == 0
    assert {path.stem for path in (tmp_path / "o" / "rgb").iterdir()} == {"one", "two", "0", "1", "2", "3"}
    told = capsys.readouterr().err
    assert "raw.CR2 left out" in told and "film.mov left out" in told and "notes" not in told


def test_what_changed_or_is_gone_is_made_again(photos: Path, tmp_path: Path) -> None:
    words = (photos, "--focal", 130, "--out", tmp_path / "o")
    assert undistort(*words) == 0
    made = {path.stem: path for path in (tmp_path / "o" / "rgb").iterdir()}
    before = {stem: path.read_bytes() for stem, path in made.items()}
    black_hw3 = np.zeros((120, 160, 3), np.uint8)
    files.write_image(photos / "one.png", black_hw3)
    made["two"].unlink()
    assert undistort(*words) == 0
    assert made["two"].read_bytes() == before["two"]
    assert not files.read_image(made["one"]).any()


def test_photos_of_one_name_are_named(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.write_image(photos / "one.jpg", np.zeros((120, 160, 3), np.uint8), 90)
    assert undistort(photos, "--focal", 130, "--out", tmp_path / "o") == 1
    told = capsys.readouterr().err
    assert "one.png" in told and "one.jpg" in told


# What calibrations write of the lens of these tests; all but the last count pixel centres at integers.
FILES = {
    "ros.yaml": """image_width: 160
image_height: 120
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [130.0, 0.0, 81.5, 0.0, 130.0, 58.5,
         0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.12, 0.02, 0.001, -0.001, 0.0]
""",
    "message.yml": """header:
  stamp: {sec: 1, nanosec: 2}
height: 120
width: 160
distortion_model: plumb_bob
d:
- -0.12
- 0.02
- 0.001
- -0.001
- 0.0
k:
- 130.0
- 0.0
- 81.5
- 0.0
- 130.0
- 58.5
- 0.0
- 0.0
- 1.0
---
""",
    "message.json": json.dumps(
        {
            "height": 120,
            "width": 160,
            "distortion_model": "rational_polynomial",
            "D": [-0.12, 0.02, 0.001, -0.001, 0, 0, 0, 0],
            "K": [130, 0, 81.5, 0, 130, 58.5, 0, 0, 1],
        }
    ),
    "opencv.yml": """%YAML:1.0
---
calibration_time: "Mon"
image_width: 160
image_height: 120
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 130., 0., 81.5, 0., 130., 58.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.12, 0.02, 0.001, -0.001, 0. ]
""",
    "kalibr.yaml": """cam0:
  cam_overlaps: []
  camera_model: pinhole
  distortion_coeffs: [-0.12, 0.02, 0.001, -0.001]
  distortion_model: radtan
  intrinsics: [130.0, 130.0, 81.5, 58.5]
  resolution: [160, 120]
  rostopic: /cam0/image_raw
""",
    "list.json": json.dumps(
        [{"model": "OPENCV", "width": 160, "height": 120, "parameters": [130, 130, 82, 59, -0.12, 0.02, 0.001, -0.001]}]
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_lenses_as_other_programs_write_them(photos: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    assert read_camera_file(tmp_path / name) == LENS
    assert undistort(photos / "one.png", "--out", tmp_path / "o", "--camera", tmp_path / name) == 0
    assert shows_the_wall(tmp_path / "o", "one.png")


def test_ros_fisheyes_are_fisheyes(tmp_path: Path) -> None:
    text = FILES["kalibr.yaml"].replace("radtan", "equidistant")
    (tmp_path / "kalibr.yaml").write_text(text)
    assert read_camera_file(tmp_path / "kalibr.yaml") == Fisheye(
        160, 120, 130.0, 130.0, 82.0, 59.0, (-0.12, 0.02, 0.001, -0.001)
    )


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.json", "[1, 2, 3]", "it holds a list of 3; give a file with one camera"),
        ("a.json", '{"width": 160, "height": 120', "describes no camera"),
        ("a.yaml", "cam0:\n  x: 1\ncam1:\n  x: 1\n", "holds the cameras cam0, cam1; give a file with one"),
        (
            "a.yaml",
            FILES["ros.yaml"].replace("plumb_bob", "thin_prism"),
            "distortion model thin_prism is not supported",
        ),
        ("a.yaml", FILES["ros.yaml"].replace("plumb_bob", "equidistant"), "equidistant has 4 coefficients, got 5"),
        ("a.yaml", FILES["ros.yaml"].replace("130.0, 0.0, 81.5", "0.0, 0.0, 0.0"), "the camera is not calibrated"),
        ("a.yaml", FILES["ros.yaml"].replace("image_width", "breadth"), "lacks 'image_width'"),
        ("a.yaml", FILES["ros.yaml"].replace("[", "").replace("]", ""), "is not understood"),
        ("a.yaml", FILES["kalibr.yaml"].replace("pinhole", "omni"), "camera model omni is not supported"),
        ("a.json", '{"model": "OPENCV", "width": 9, "height": 9, "parameters": [1,1,1,1,0,0,0,0,0]}', "got 9"),
        ("a.json", '{"width": 160, "height": 120, "f": 90, "k4": 0.1}', "k4, k5 and k6 are of the models"),
    ],
)
def test_files_of_no_lens_are_refused_by_name(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    assert undistort(photos, "--camera", tmp_path / name, "--out", tmp_path / "o") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"error: {tmp_path / name}") and message in last
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (["no.jpg"], "no.jpg does not exist"),
        (["PHOTOS"], "no focal length in its EXIF; give --camera, --model or --focal"),
        (["PHOTOS", "--focal", "0"], "must be positive"),
        (["PHOTOS", "--focal", "9", "--size", "0", "5"], "must be positive"),
        (["PHOTOS", "--focal", "9", "--crossloc-drone"], "give one"),
        (["PHOTOS", "--focal", "9", "--lens-size", "120", "160"], "another shape"),
        (["PHOTOS", "--lens-size", "120", "160"], "--lens-size goes with"),
        (["PHOTOS", "--parameters", "1", "2"], "--parameters needs --model"),
        (["PHOTOS", "--model", "PINHOLE", "--parameters", "1"], "PINHOLE has 4 parameters (fx, fy, cx, cy), got 1"),
        (["PHOTOS", "--crossloc-drone"], "its camera 5472 x 3648: another shape"),
        (["PHOTOS", "--model", "SIMPLE_RADIAL", "--parameters", "90", "80", "60", "-2"], "folds the image"),
        (["PHOTOS", "--camera", "JSON"], "lens.json: lacks 'height'"),
        (["PHOTOS", "PHOTOS", "--focal", "9"], "two photos have one name"),
        (["EMPTY", "--focal", "9"], "no photos"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "lens.json").write_text('{"width": 160, "f": 3}')
    named = {"PHOTOS": photos, "EMPTY": tmp_path / "empty", "JSON": tmp_path / "lens.json"}
    assert undistort(*(named.get(word, word) for word in words), "--out", tmp_path / "o") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert not (tmp_path / "o").exists()


def test_cameras_of_colmap_nerfstudio_and_opensfm(tmp_path: Path) -> None:
    said = {"fl_x": 600, "fl_y": 610, "cx": 320, "cy": 240, "w": 640, "h": 480, "k1": 0.01, "frames": []}
    opensfm = {"projection_type": "brown", "width": 640, "height": 480, "focal_x": 600 / 640, "focal_y": 610 / 640}
    written = {
        "transforms.json": json.dumps(said),
        "cameras.txt": "# Camera list\n1 OPENCV 640 480 600 610 320 240 0.01 0 0 0\n",
        "cameras.json": json.dumps({"v2 dji": {**opensfm, "c_x": 0, "c_y": 0, "k1": 0.01}}),
    }
    for name, text in written.items():
        (tmp_path / name).write_text(text)
        assert read_camera_file(tmp_path / name) == Lens(640, 480, 600, 610, 320, 240, 0.01), name
    (tmp_path / "two.txt").write_text(written["cameras.txt"] + "2 PINHOLE 640 480 600 600 320 240\n")
    with pytest.raises(TransposeError, match="holds 2 cameras"):
        read_camera_file(tmp_path / "two.txt")
    (tmp_path / "c.xml").write_text("<calibration><f>600</f></calibration>")
    with pytest.raises(TransposeError, match="is XML, which is not read; write the same as JSON"):
        read_camera_file(tmp_path / "c.xml")


def test_what_opencv_calls_a_fisheye_is_one(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(
        "%YAML:1.0\n---\nimage_width: 640\nimage_height: 480\nfisheye_model: 1\ncamera_matrix: !!opencv-matrix\n"
        "   rows: 3\n   cols: 3\n   dt: d\n   data: [ 300., 0., 319.5, 0., 301., 239.5, 0., 0., 1. ]\n"
        "distortion_coefficients: !!opencv-matrix\n   rows: 4\n   cols: 1\n   dt: d\n   data: [ .01, .02, .03, .04 ]\n"
    )
    lens = read_camera_file(tmp_path / "c.yml")
    assert isinstance(lens, Fisheye)
    assert (lens.fx, lens.fy, lens.cx, lens.cy) == (300, 301, 320, 240)


def test_principal_points_from_the_middle_are_refused(tmp_path: Path) -> None:
    said = {"width": 640, "height": 480, "f": 600, "cx": 1.5, "cy": -2.5}
    (tmp_path / "c.json").write_text(json.dumps(said))
    with pytest.raises(TransposeError, match=r"from the middle, as in Metashape, write cx 321\.5 and cy 237\.5"):
        read_camera_file(tmp_path / "c.json")
