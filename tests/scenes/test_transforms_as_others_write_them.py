"""`transforms.json` of many writers: what is read is right, or refused with a remedy, or said."""

import functools
import json
import logging
import math
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scenes.test_posed_photos import NAMES, POSES, photos_json, project, transforms
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry.poses import homogeneous, pose_error
from transpose.scenes import files
from transpose.scenes.layout import Section, open_section
from transpose.scenes.setup.nerfstudio import setup_nerfstudio
from transpose.scenes.setup.photos import setup_photos
from transpose.scenes.setup.transforms_json import focal_lengths, merged, plain

__all__ = ["project"]  # a fixture


def write(project: Path, content: Any, name: str = "transforms.json", encoding: str = "utf-8") -> None:
    (project / name).write_bytes(json.dumps(content, indent=1).encode(encoding))


def set_up(project: Path, tmp_path: Path, name: str = "train") -> Section:
    setup_nerfstudio(project, tmp_path / "scene")
    return open_section(tmp_path / "scene" / name)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """All but that the unit of the poses is not known."""
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [each for each in said if "the unit of its poses" not in each]


def each_frame(change: Callable[[dict[str, Any]], object], **more: object) -> dict[str, Any]:
    content: dict[str, Any] = transforms(**more)
    for frame in content["frames"]:
        change(frame)
    return content


def as_windows(frame: dict[str, Any]) -> None:
    frame["file_path"] = frame["file_path"].removeprefix("./").replace("/", "\\")


def as_rows(frame: dict[str, Any]) -> None:
    frame["transform_matrix"] = frame["transform_matrix"][:3]


def as_flat(frame: dict[str, Any]) -> None:
    frame["transform_matrix"] = functools.reduce(operator.iadd, frame["transform_matrix"], [])


def as_strings(frame: dict[str, Any]) -> None:
    frame["transform_matrix"] = [[repr(value) for value in row] for row in frame["transform_matrix"]]


def without_ending(frame: dict[str, Any]) -> None:
    frame["file_path"] = str(Path(frame["file_path"]).with_suffix(""))


def from_another_machine(frame: dict[str, Any]) -> None:
    frame["file_path"] = "D:\\scans\\" + frame["file_path"].removeprefix("./").replace("/", "\\")


FORMS: dict[str, Callable[[], dict[str, Any]]] = {
    "windows": lambda: each_frame(as_windows),
    "3 rows": lambda: each_frame(as_rows),
    "flat": lambda: each_frame(as_flat),
    "strings": lambda: each_frame(as_strings, w="64", h="48.0", fl_x="50", fl_y="5e1", cx="32", k1="0"),
    "null": lambda: transforms(
        camera_model=None, k1=None, k2="", applied_transform=None, is_fisheye=None, train_filenames=None
    ),
    "small letters": lambda: transforms(camera_model="pinhole", is_fisheye="false"),
    "no ending": lambda: each_frame(without_ending),
    "twice": lambda: transforms(frames=[*transforms()["frames"], *transforms()["frames"]]),  # type: ignore[misc]
    "another machine": lambda: each_frame(from_another_machine),
    "without width": lambda: {name: value for name, value in transforms().items() if name not in ("w", "h")},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_of_one_file(project: Path, tmp_path: Path, form: str) -> None:
    write(project, FORMS[form]())
    frames = set_up(project, tmp_path).frames
    assert len(frames) == 3
    for frame, pose in zip(frames, POSES, strict=True):
        assert max(pose_error(frame.pose, pose)) < 1e-5
        assert (frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.width) == (50, 50, 32, 64)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_encodings_of_windows(project: Path, tmp_path: Path, encoding: str) -> None:
    write(project, transforms(), encoding=encoding)
    assert len(set_up(project, tmp_path)) == 3


LENS = {"w": 64, "h": 48, "fl_x": 50.0, "fl_y": 51.0, "cx": 31.0, "cy": 24.0}
ANGLES = {"camera_angle_x": 2 * math.atan(32 / 50), "camera_angle_y": 2 * math.atan(24 / 51)}
K = [[50.0, 0, 31], [0, 51, 24], [0, 0, 1]]


@pytest.mark.parametrize(
    "said",
    [
        {"fl_x": 50, "fl_y": 51, "cx": 31},
        {"fx": 50, "fy": "51", "cx": 31, "width": 64, "height": 48},
        {**ANGLES, "cx": 31},
        {"camera_angle_x": str(ANGLES["camera_angle_x"]), "fl_y": 51, "cx": 31},
        {"x_fov": math.degrees(ANGLES["camera_angle_x"]), "y_fov": math.degrees(ANGLES["camera_angle_y"]), "cx": 31},
        {"intrinsics": [50, 51, 31, 24]},
        {"intrinsics": K},
        {"intrinsic_matrix": [*K[0], *K[1], *K[2]]},
        {"K": [[*row, 0] for row in K]},
        {"camera_intrinsics": {"fx": 50, "fy": 51, "cx": 31, "cy": 24}},
    ],
)
@pytest.mark.parametrize("whose", ["common", "own"])
def test_intrinsics_in_all_their_forms(said: dict[str, Any], whose: str) -> None:
    """A frame's own go before those of all, in whatever form either is."""
    others = {"fl_x": 90.0, "fl_y": 91.0, "camera_angle_y": 2.0} if whose == "own" else {}
    frame = merged(plain({"w": 64, "h": 48, **others, **({} if others else said)}), plain(said if others else {}))
    fx, fy, unheeded = focal_lengths(frame, frame["w"], frame["h"])
    assert (fx, fy, frame["cx"]) == (pytest.approx(50), pytest.approx(51), 31) and not unheeded


def test_one_angle_is_for_both_sides() -> None:
    assert focal_lengths({"camera_angle_y": ANGLES["camera_angle_y"]}, 64, 48)[:2] == (51, 51)
    assert focal_lengths({"fl_y": 51.0}, 64, 48) == (51, 51, False)
    # Blender's vertical angle is that of a sensor of 36 x 24 mm, whatever the image's shape is.
    angle_y = 2 * math.atan(24 / 36 * math.tan(ANGLES["camera_angle_x"] / 2))
    said = {"camera_angle_x": ANGLES["camera_angle_x"], "camera_angle_y": angle_y}
    assert focal_lengths(said, 64, 64) == (pytest.approx(50), pytest.approx(50), True)


@given(st.lists(st.floats(-1e6, 1e6), min_size=12, max_size=12), st.sampled_from([(12,), (3, 4), (4, 4), (16,)]))
def test_transforms_in_rows_or_flat_are_one(values: list[float], shape: tuple[int, ...]) -> None:
    rows = np.array([*values, 0, 0, 0, 1])
    said = rows[: math.prod(shape)].reshape(shape)
    assert np.array_equal(homogeneous(said.tolist()), rows.reshape(4, 4))
    assert np.array_equal(homogeneous(said.astype(str).tolist()), rows.reshape(4, 4))
    with pytest.raises(ValueError, match="shape"):
        homogeneous(rows[:12].reshape(4, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera_angle_x": 50, "fl_x": None}, "camera_angle_x is 50; it is in radians"),
        ({"fl_x": 0.78, "fl_y": 1.04}, "a focal length of 0.78 px is too short for 64 px"),
        ({"fl_x": "50,5"}, "fl_x is '50,5', not a number"),
        ({"fl_x": None, "fl_y": None}, "frame images/a.jpg: lacks 'fl_x'"),
        ({"intrinsics": [[50, 2, 31], [0, 51, 24], [0, 0, 1]]}, "skew of 2 px"),
        ({"intrinsics": [50, 51]}, "intrinsics is no 3x3 matrix"),
        ({"intrinsics": "pinhole"}, "intrinsics is no matrix of numbers"),
        ({"applied_scale": "x"}, "applied_scale is 'x', not a number"),
        ({"frames": [{"transform_matrix": np.eye(4).tolist()}]}, 'frame 1: lacks "file_path"'),
        ({"frames": [{"file_path": "images/a.jpg"}]}, "frame images/a.jpg: lacks 'transform_matrix'"),
        (
            {"frames": [{"file_path": "images/a.jpg", "transform_matrix": (s * np.eye(4)).tolist()} for s in (1, 2)]},
            "frame images/a.jpg: stands there twice, with two poses",
        ),
        (
            {"frames": [{"file_path": "images/a.jpg", "transform_matrix": [[1, 2], [3]]}]},
            "frame images/a.jpg: its pose is no matrix of numbers",
        ),
        (
            {"frames": [{"file_path": "images/a.jpg", "transform_matrix": np.ones((4, 3)).tolist()}]},
            r"frame images/a.jpg: its pose has shape \(4, 3\)",
        ),
    ],
)
def test_what_is_no_number_is_refused(project: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write(project, transforms(**change))
    with pytest.raises(TransposeError, match=message):
        set_up(project, tmp_path)
    assert not (tmp_path / "scene").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"frames": [\n  {"w": 1},\n]}', r"line 3, column 1: .*no comma before a bracket that closes"),
        ('{\n  // mine\n  "frames": []}', r"line 2, column 3: .*JSON knows no comments"),
        ("", "line 1, column 1"),
        ("[1, 2]", 'no JSON object with "frames"'),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a pointer of Git LFS"),
    ],
)
def test_broken_json_is_refused_with_its_place(project: Path, tmp_path: Path, text: str, message: str) -> None:
    (project / "transforms.json").write_text(text)
    with pytest.raises(TransposeError, match=rf"transforms\.json .*{message}"):
        set_up(project, tmp_path)


def test_a_file_a_section(project: Path, tmp_path: Path) -> None:
    """NeRF's own data sets, and those of Blender's exporters."""
    frames: list[dict[str, Any]] = transforms()["frames"]  # type: ignore[assignment]
    lens = {"camera_angle_x": ANGLES["camera_angle_x"]}
    for frame in frames:
        without_ending(frame)
    write(project, {**lens, "frames": frames[:2]}, "transforms_train.json")
    write(project, {**lens, "frames": frames[2:]}, "transforms_test.json", "utf-8-sig")
    train, test = setup_nerfstudio(project, tmp_path / "scene")
    assert [frame.stem for frame in open_section(train).frames] == ["images-a", "images-left-b"]
    (frame,) = open_section(test).frames
    assert frame.camera.fx == pytest.approx(50) and max(pose_error(frame.pose, POSES[2])) < 1e-5
    setup_nerfstudio(project, tmp_path / "only", "test")
    assert [p.name for p in (tmp_path / "only").iterdir() if p.is_dir()] == ["test"]
    (project / "mine.txt").write_text("c\na\n")
    setup_nerfstudio(project, tmp_path / "only", "mine", project / "mine.txt")
    assert len(open_section(tmp_path / "only" / "mine")) == 2
    with pytest.raises(TransposeError, match=r"has no val_filenames and no transforms_val\.json"):
        setup_nerfstudio(project, tmp_path / "only", "val")


def test_other_names_are_told(project: Path, tmp_path: Path) -> None:
    write(project, [], "info.json")
    with pytest.raises(
        TransposeError, match=r"nor transforms_train\.json; is this a Nerfstudio folder\? ns-process-data"
    ):
        set_up(project, tmp_path)
    write(project, transforms(), "transforms_all.json")
    with pytest.raises(TransposeError, match=r"transforms_all\.json may be such a file; give it as --source"):
        set_up(project, tmp_path)
    setup_nerfstudio(project / "transforms_all.json", tmp_path / "scene")
    assert len(open_section(tmp_path / "scene" / "train")) == 3


@pytest.mark.parametrize("lost", [[[-math.inf] * 4] * 4, [[math.nan] * 4] * 3, None])
def test_frames_without_photo_or_pose_are_left_out(
    project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, lost: object
) -> None:
    content: dict[str, Any] = transforms()
    content["frames"][0]["transform_matrix"] = lost
    del content["w"], content["h"]  # so that the size is that of the photo, if there were one
    write(project, content)
    (project / "images" / NAMES[1]).unlink()
    with caplog.at_level(logging.WARNING):
        assert [frame.stem for frame in set_up(project, tmp_path).frames] == ["images-left-c"]
    assert warnings_of(caplog) == [
        "1 of 3 photos of section train are missing and are left out: images/left/b.jpg",
        "1 of 2 frames have no pose and are left out: images/a.jpg",
    ]
    (project / "list.txt").write_text("c.png")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        setup_nerfstudio(project, tmp_path / "scene", "mine", project / "list.txt")
    assert warnings_of(caplog) == []


def test_photos_elsewhere(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, transforms())
    (project / "images").rename(tmp_path / "elsewhere")
    words = ["setup", "nerfstudio", "--source", str(project), "--out", str(tmp_path / "scene")]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "3 of 3 photos of section train are missing" in err and "--images" in err
    assert main([*words, "--images", str(tmp_path / "elsewhere")]) == 0
    assert next(f.stem for f in open_section(tmp_path / "scene" / "train").frames) == "images-a"
    (tmp_path / "elsewhere").rename(project / "images_4")
    assert main([*words[:-1], str(tmp_path / "again")]) == 0


@pytest.mark.parametrize(
    ("said", "ending", "steps"),
    [
        ({}, ".png", 2500),
        ({"depth_unit_scale_factor": 0.001}, ".png", 2500),
        ({"depth_unit_scale_factor": "0.0002"}, ".png", 12500),
        ({"integer_depth_scale": 1 / 5000}, ".png", 12500),
        ({"integer_depth_scale": 0}, ".png", 2500),
        ({"depth_unit": "cm"}, ".png", 250),
        ({"depth_unit": "Millimeters"}, ".npy", 2500),
        ({"depth_scale": 5000}, ".png", 12500),
        ({"depth_scale": 0.0002}, ".png", 12500),
        ({"depth_unit_scale_factor": 1}, ".npy", 2.5),
        ({"integer_depth_scale": 0.1}, ".npy", 2.5),  # which is for whole numbers
        ({}, ".npy", 2.5),
        ({}, ".npy", 2500),
        ({}, ".npz", 2.5),
    ],
)
@pytest.mark.parametrize("key", ["depth_file_path", "depth_path"])
def test_depth_in_all_units(
    project: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    said: dict[str, Any],
    ending: str,
    steps: float,
    key: str,
) -> None:
    depth_hw = np.full((48, 64), steps, np.float32)
    path = project / f"depth{ending}"
    if ending == ".png":
        files.write_depth(project / "depth", depth_hw / 1000, as_png=True)
    elif ending == ".npy":
        np.save(path, depth_hw)
    else:
        np.savez(path, depth=depth_hw)
    write(project, each_frame(lambda frame: frame.update({key: f".\\depth{ending}"}), **said))
    with caplog.at_level(logging.WARNING):
        frames = set_up(project, tmp_path).frames
    for frame in frames:
        assert np.abs(frame.depth() - 2.5).max() < 1e-4
    a_guess = "depth_scale" in said or (
        ending != ".png" and not {"depth_unit", "depth_unit_scale_factor"} & said.keys()
    )
    assert len(warnings_of(caplog)) == a_guess
    assert not a_guess or "depth_unit_scale_factor" in caplog.text


def test_depth_that_is_not_read_or_not_there(project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = each_frame(lambda frame: frame.update(depth_file_path="depth.exr"))
    write(project, content)
    with pytest.raises(TransposeError, match=r"a\.jpg: depth in \.exr is not read; write 16-bit PNG in millimetres"):
        set_up(project, tmp_path)
    write(project, each_frame(lambda frame: frame.update(depth_file_path="depth.png"), depth_unit="feet"))
    with caplog.at_level(logging.WARNING):
        assert not set_up(project, tmp_path).has("depth")
    assert "3 depth images are missing" in warnings_of(caplog)[0]


def test_poses_that_say_nothing_are_refused(project: Path, tmp_path: Path) -> None:
    write(project, photos_json(poses={"a.jpg": np.eye(4).tolist()}), "poses.json")
    with pytest.raises(TransposeError, match=r'a\.jpg: its entry is no object with "T_wc", or "R_w2c" and "C"'):
        setup_photos(project, tmp_path / "scene", "test", lambda _, poses: poses)


def test_photos_json_in_other_forms(project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = photos_json(crs=None)
    a, b, c = NAMES
    content["camera"] = {**content["camera"], "width": "128", "cx": None}  # type: ignore[dict-item]
    content["poses"] = {
        a: {"T_wc": POSES[0].T_wc[:3].tolist()},
        b.replace("/", "\\"): {"R_w2c": POSES[1].R_wc.T.reshape(-1).tolist(), "C": [str(v) for v in POSES[1].center]},
        c: {"T_wc": [[math.nan] * 4] * 4},
        "lost.jpg": None,
        "gone.jpg": {"T_wc": np.eye(4).tolist()},
    }
    write(project, content, "poses.json", "utf-16")
    with caplog.at_level(logging.WARNING):
        setup_photos(project, tmp_path / "scene", "test", lambda _, poses: poses)
    frames = open_section(tmp_path / "scene" / "test").frames
    assert [frame.stem for frame in frames] == ["a", "left-b"]
    assert all(max(pose_error(frame.pose, pose)) < 1e-5 for frame, pose in zip(frames, POSES, strict=False))
    said = warnings_of(caplog)
    assert len(said) == 2 and "2 of 5 photos have no pose" in said[0] and "left/c.png" in said[0]
    assert said[1] == "1 of 3 photos of section test are missing and are left out: gone.jpg"


def test_frames_to_test_in_a_list_of_their_own(project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = each_frame(lambda frame: frame.update(mask_path="masks/a.png"))
    content["test_frames"] = [content["frames"].pop()]
    write(project, content)
    trained = set_up(project, tmp_path)
    tested = open_section(tmp_path / "scene" / "test")
    assert len(tested) == 1
    assert len(trained) == len(NAMES) - 1
    assert not {frame.stem for frame in tested.frames} & {frame.stem for frame in trained.frames}
    assert any("masks of" in each for each in warnings_of(caplog))
