"""COLMAP, Nerfstudio and posed photos: one small set in all their formats gives one section."""

import json
import logging
import struct
from pathlib import Path

import numpy as np
import pytest

from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import Pose, compose, exp_so3, pose_error, quaternion_wxyz
from transpose.scenes import files
from transpose.scenes.layout import open_section
from transpose.scenes.setup.colmap import setup_colmap
from transpose.scenes.setup.colmap_files import read_model
from transpose.scenes.setup.nerfstudio import setup_nerfstudio
from transpose.scenes.setup.photos import setup_photos

LENS = Lens(64, 48, 50.0, 50.0, 32.0, 24.0, -0.05)
NAMES = ("a.jpg", "left/b.jpg", "left/c.png")
POSES = [Pose(compose(exp_so3(np.array([0.1 * i, -0.2, 0.3])), np.array([i, 2.0 * i, 1.0]))) for i in range(3)]
POINTS = {7: (0.1, 0.2, 5.0), 3: (0.3, 0.1, 6.0), 12: (-0.5, 0.4, 4.0)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in NAMES:
        path = tmp_path / "project" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image_hw3 = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
        files.write_image(path, image_hw3, None if path.suffix == ".png" else 95)
    return tmp_path / "project"


def write_text_model(folder: Path, camera: str = "SIMPLE_RADIAL 64 48 50 32 24 -0.05") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(f"# comment\n1 {camera}\n")
    lines = ["# two lines an image"]
    for i, (name, pose) in enumerate(zip(NAMES, POSES, strict=True)):
        q, t = quaternion_wxyz(pose.T_cw[:3, :3]), pose.T_cw[:3, 3]
        lines.append(" ".join(map(repr, [i + 1, *q.tolist(), *t.tolist(), 1])) + f" {name}")
        lines.append("1.5 2.5 7 3.5 4.5 -1 5.5 6.5 12" if i == 0 else "")  # an image without points: an empty line
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    points = [f"{id_} {x} {y} {z} 1 2 3 0.5 1 0 2 1" for id_, (x, y, z) in POINTS.items()]
    (folder / "points3D.txt").write_text("\n".join(points) + "\n")


def write_binary_model(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.bin").write_bytes(struct.pack("<QiiQQ4d", 1, 1, 2, 64, 48, 50, 32, 24, -0.05))
    data = struct.pack("<Q", 3)
    for i, (name, pose) in enumerate(zip(NAMES, POSES, strict=True)):
        q, t = quaternion_wxyz(pose.T_cw[:3, :3]), pose.T_cw[:3, 3]
        data += struct.pack("<i7di", i + 1, *q, *t, 1) + name.encode() + b"\0"
        seen = [(1.5, 2.5, 7), (3.5, 4.5, -1), (5.5, 6.5, 12)] if i == 0 else []
        data += struct.pack("<Q", len(seen)) + b"".join(struct.pack("<ddq", *each) for each in seen)
    (folder / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(POINTS))
    for id_, xyz in POINTS.items():
        data += struct.pack("<Q3d3BdQ4i", id_, *xyz, 1, 2, 3, 0.5, 2, 1, 0, 2, 1)
    (folder / "points3D.bin").write_bytes(data)


def test_binary_models_say_what_text_models_say(tmp_path: Path) -> None:
    write_text_model(tmp_path / "text" / "sparse")
    write_binary_model(tmp_path / "binary" / "sparse" / "0")
    text, binary = read_model(tmp_path / "text"), read_model(tmp_path / "binary")
    assert text.cameras == binary.cameras == {1: LENS}
    assert np.array_equal(text.points_n3, binary.points_n3)
    for a, b in zip(text.images, binary.images, strict=True):
        assert (a.name, a.camera_id) == (b.name, b.camera_id)
        assert np.allclose(a.pose.T_wc, b.pose.T_wc, atol=1e-12)
        assert np.array_equal(text.seen_in(a), binary.seen_in(b))
    assert len(text.seen_in(text.images[0])) == 2


def test_a_colmap_project_becomes_a_section(project: Path, tmp_path: Path) -> None:
    write_text_model(project / "sparse" / "0")
    setup_colmap(project, tmp_path / "scene", "train")
    section = open_section(tmp_path / "scene" / "train")
    assert [frame.stem for frame in section.frames] == ["a", "left-b", "left-c"]
    for frame, pose in zip(section.frames, POSES, strict=True):
        assert max(pose_error(frame.pose, pose)) < 1e-5
        assert (frame.camera.k1, frame.camera.cx) == (0.0, 32.0)
    coordinates_3hw = section.frames[0].coordinates()
    known_hw = np.isfinite(coordinates_3hw).all(0)
    assert known_hw.sum() == 2
    assert np.allclose(sorted(coordinates_3hw[2][known_hw]), [4.0, 5.0])
    (project / "some.txt").write_text("left/c.png\na\n")
    setup_colmap(project, tmp_path / "scene", "few", project / "some.txt")
    assert len(open_section(tmp_path / "scene" / "few")) == 2


@pytest.mark.parametrize(
    "breakage, message",
    [
        ("truncated", "images.bin is truncated"),
        ("fisheye", "OPENCV_FISHEYE is not one of .* undistort"),
        ("no images", r"photos are missing, such as .*a\.jpg"),
        ("nothing", "holds no COLMAP model"),
        ("words", r"cameras.txt, line 2: expected"),
    ],
)
def test_broken_colmap_projects_are_refused(project: Path, tmp_path: Path, breakage: str, message: str) -> None:
    folder = project / "sparse"
    if breakage in ("truncated", "no images"):
        write_binary_model(folder)
    elif breakage != "nothing":
        write_text_model(folder, "OPENCV_FISHEYE 64 48 1 1 1 1 1 1 1 1" if breakage == "fisheye" else "PINHOLE x")
    if breakage == "truncated":
        path = folder / "images.bin"
        path.write_bytes(path.read_bytes()[:-5])
    if breakage == "no images":
        (project / "images" / "a.jpg").unlink()
    with pytest.raises(TransposeError, match=message):
        setup_colmap(project, tmp_path / "scene", "train")
    assert not (tmp_path / "scene" / "train").exists()


def transforms(**more: object) -> dict[str, object]:
    frames = []
    for name, pose in zip(NAMES, POSES, strict=True):
        T_wc = pose.T_wc.copy()
        T_wc[:3, 1:3] *= -1  # OpenGL's axes
        frames.append({"file_path": f"./images/{name}", "transform_matrix": T_wc.tolist()})
    lens = {"w": 64, "h": 48, "fl_x": 50.0, "fl_y": 50.0, "cx": 32.0, "cy": 24.0}
    return {**lens, "camera_model": "OPENCV", "frames": frames, **more}


def test_a_nerfstudio_folder_becomes_sections(project: Path, tmp_path: Path) -> None:
    depth_hw = np.full((48, 64), 2.5, np.float32)
    files.write_depth(project / "depth_a", depth_hw, as_png=True)
    content = transforms(train_filenames=["./images/a.jpg", "images/left/b.jpg"], test_filenames=["images/left/c.png"])
    content["frames"][0]["depth_file_path"] = "depth_a.png"  # type: ignore[index]
    (project / "transforms.json").write_text(json.dumps(content))
    setup_nerfstudio(project, tmp_path / "scene")
    train = open_section(tmp_path / "scene" / "train")
    assert [frame.stem for frame in train.frames] == ["images-a", "images-left-b"]
    assert len(open_section(tmp_path / "scene" / "test")) == 1
    for frame, pose in zip(train.frames, POSES, strict=False):
        assert max(pose_error(frame.pose, pose)) < 1e-5
        assert frame.camera.fx == 50.0
    assert np.nanmax(np.abs(train.frames[0].depth() - 2.5)) < 1e-3
    assert not train.frames[1].has("depth")


def test_what_nerfstudio_did_to_the_world_is_undone(project: Path, tmp_path: Path) -> None:
    applied = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0.0]])
    content = transforms(applied_transform=applied.tolist())
    for frame in content["frames"]:  # type: ignore[attr-defined]
        T_wc = np.array(frame["transform_matrix"])
        frame["transform_matrix"] = (np.vstack([applied, [0, 0, 0, 1]]) @ T_wc).tolist()
    (project / "transforms.json").write_text(json.dumps(content))
    setup_nerfstudio(project, tmp_path / "scene")
    frame = open_section(tmp_path / "scene" / "train").frames[1]
    assert max(pose_error(frame.pose, POSES[1])) < 1e-5


def photos_json(**more: object) -> dict[str, object]:
    poses = {n: {"R_w2c": p.R_wc.T.tolist(), "C": p.center.tolist()} for n, p in zip(NAMES, POSES, strict=True)}
    camera = {"model": "SIMPLE_RADIAL", "width": 128, "height": 96, "focal_px": 100.0, "k1": -0.05}
    return {"crs": "EPSG:32615 (UTM 15N)", "camera": camera, "poses": poses, **more}


def test_photos_are_brought_into_a_worlds_frame(project: Path, tmp_path: Path) -> None:
    (project / "poses.json").write_text(json.dumps(photos_json()))
    asked = []

    def to_world(crs: str | None, poses: list[Pose]) -> list[Pose]:
        asked.append(crs)
        return [Pose(compose(p.R_wc, p.center + 1)) for p in poses]

    setup_photos(project, tmp_path / "scene", "test", to_world)
    assert asked == ["EPSG:32615"]
    frame = open_section(tmp_path / "scene" / "test").frames[1]
    assert np.allclose(frame.pose.center, POSES[1].center + 1)
    assert (frame.camera.width, frame.camera.cx) == (64, 32.0)  # the file's size, not the calibration's


@pytest.mark.parametrize(
    "change, message",
    [
        ({"poses": {}}, "no photo is left"),
        ({"camera": None}, r"a.jpg: no \"camera\""),
        ({"camera": {"width": 10, "height": 10, "focal_px": 9}}, "another shape"),
        ({"camera": {"width": 64, "height": 48}}, "a.jpg: lacks 'focal_px'"),
        ({"poses": {"a.jpg": {"R_w2c": np.diag([2.0, 1, 1]).tolist(), "C": [0, 0, 0]}}}, "not rigid"),
        ({"poses": {"a.jpg": {"C": [0, 0, 0]}}}, "lacks 'R_w2c'"),
        ({"poses": {"z.jpg": {"T_wc": np.eye(4).tolist()}}}, "photos are missing"),
    ],
)
def test_broken_photo_folders_are_refused(
    project: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    (project / "poses.json").write_text(json.dumps(photos_json(**change)))
    with pytest.raises(TransposeError, match=message):
        setup_photos(project, tmp_path / "scene", "test", lambda _, poses: poses)
    assert not (tmp_path / "scene" / "test").exists()


def test_photos_without_a_pose_are_named(project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files.write_image(project / "images" / "extra.png", np.zeros((48, 64, 3), np.uint8))
    (project / "poses.json").write_text(json.dumps(photos_json()))
    with caplog.at_level(logging.WARNING):
        setup_photos(project, tmp_path / "scene", "test", lambda _, poses: poses)
    assert "extra.png" in caplog.text
