"""Poses for other programs: each form is read back, by its own readers where there are any, and by their rules."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.stubs import make_results, make_section, save_run
from tests.localization.checkpoints import one_landmark
from transpose import runs
from transpose.app.cli import main
from transpose.evaluation.testing import frame_log, write_results
from transpose.exporting.colmap import write_colmap_binary, write_colmap_text
from transpose.exporting.estimates import _CAMERA, PosedImage, estimates_of_results
from transpose.exporting.geographic import geographic_poses, geojson
from transpose.exporting.nerfstudio import write_nerfstudio
from transpose.exporting.ros import ros_covariance, ros_message
from transpose.exporting.trajectory import tum_text
from transpose.geometry import Camera, Pose
from transpose.geometry.poses import compose, exp_se3, exp_so3, log_so3, rotation_from_quaternion
from transpose.scenes.files import read_image
from transpose.scenes.layout import open_section
from transpose.scenes.setup.colmap_files import read_model
from transpose.scenes.setup.nerfstudio import setup_nerfstudio
from transpose.worlds.world import save_world, vertex_colored_world

CAMERA = Camera(64, 48, 60.0, 61.0, 31.5, 24.5)
FAR = np.array([576_715.0, 5_188_162.0, 162.0])


def posed(count: int = 4, origin_3: np.ndarray | float = 0.0, camera: Camera = CAMERA) -> list[PosedImage]:
    rng = np.random.default_rng(0)
    images = []
    for i in range(count):
        root_66 = rng.normal(size=(6, 6)) * 0.01
        pose = Pose(compose(exp_so3(rng.normal(size=3)), rng.normal(size=3) + origin_3))
        name = f"frame {i}.png"
        images.append(PosedImage(name, Path("nowhere") / name, 2 * i, camera, pose, root_66 @ root_66.T, 0.9))
    return images


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """A folder with a scene, a run and the results of a test, of which one frame of five was refused."""
    section = make_section(tmp_path / "scene", "test")
    save_run(tmp_path / "run", tmp_path / "scene")
    results = make_results()
    with frame_log(section, tmp_path / "results") as record:
        for result in results:
            record(result)
    write_results(results, section, tmp_path / "run", tmp_path / "results")
    return tmp_path


def exported(folder: Path, to: str, out: str, *more: str) -> int:
    words = ["export", str(folder / "run"), "--to", to, "--out", str(folder / out)]
    return main([*words, "--results", str(folder / "results"), *more])


@pytest.mark.parametrize("write", [write_colmap_text, write_colmap_binary])
@pytest.mark.parametrize("camera", [CAMERA, replace(CAMERA, k1=-0.1, k2=0.02)])
def test_colmap_s_models_are_read_back(tmp_path: Path, write: Any, camera: Camera) -> None:
    images, points_n3 = posed(origin_3=FAR, camera=camera), np.random.default_rng(1).normal(size=(9, 3)) + FAR
    write(tmp_path, images, points_n3)
    model = read_model(tmp_path)
    assert len(model.images) == len(images)
    for ours, theirs in zip(images, sorted(model.images, key=lambda each: each.name), strict=True):
        assert theirs.name == ours.name and theirs.pose is not None
        assert np.allclose(theirs.pose.T_wc, ours.pose.T_wc, rtol=0, atol=1e-7)
    pycolmap = pytest.importorskip("pycolmap", reason="pip install 'transpose-loc[sfm]'")
    read = pycolmap.Reconstruction(str(tmp_path))
    assert read.num_images() == len(images) and read.num_points3D() == len(points_n3)
    for ours, number in zip(images, sorted(read.images), strict=True):
        theirs = read.images[number]
        assert np.allclose(theirs.projection_center(), ours.pose.center, rtol=0, atol=1e-6)
        point_3 = ours.pose.center + ours.pose.R_wc @ np.array([0.3, -0.2, 2.0])
        wanted = camera.project(np.array([0.3, -0.2, 2.0]))
        assert np.allclose(theirs.project_point(point_3), wanted, rtol=0, atol=1e-6)  # COLMAP's centres at +0.5 as well


def test_our_own_reader_reads_transforms_json(tested: Path) -> None:
    assert exported(tested, "nerfstudio", "studio") == 0
    setup_nerfstudio(tested / "studio", tested / "again", section="back")
    section = open_section(tested / "again" / "back")
    wanted = {image.path.stem: image for image in estimates_of_results(tested / "results").images}
    frames = {frame.stem.removeprefix("images-"): frame for frame in section.frames}
    assert set(frames) == set(wanted) and len(wanted) == 4
    for stem, frame in frames.items():
        assert np.allclose(frame.pose.T_wc, wanted[stem].pose.T_wc, atol=1e-6)
        assert frame.camera == wanted[stem].camera


def test_nerfstudio_s_axes_are_opengl_s_and_far_places_come_near(tmp_path: Path) -> None:
    images = posed(origin_3=FAR)
    assert write_nerfstudio(tmp_path, images) == 4  # photos that are not there
    content = json.loads((tmp_path / "transforms.json").read_text())
    applied = np.array([*content["applied_transform"], [0, 0, 0, 1]])
    for image, frame in zip(images, content["frames"], strict=True):
        matrix = np.array(frame["transform_matrix"])
        assert np.abs(matrix[:3, 3]).max() < 10
        assert np.allclose(matrix[:3, 2], -image.pose.R_wc[:, 2])  # OpenGL's z looks back
        assert np.allclose(matrix[:3, 1], -image.pose.R_wc[:, 1])
        assert np.allclose((np.linalg.inv(applied) @ matrix)[:3, 3], image.pose.center, rtol=0, atol=1e-6)


def test_tum_s_lines_have_eight_numbers_with_w_last() -> None:
    images = posed()
    lines = tum_text(images, [0.0, 0.5, 1.0, 1305031098.665912]).splitlines()
    assert lines[0].startswith("#") and len(lines) == 5
    number = r"-?\d+\.\d+"
    assert all(re.fullmatch(rf"\d+\.\d{{6}}( {number}){{7}}", line) for line in lines[1:])
    assert lines[4].startswith("1305031098.665912 ")
    for image, line in zip(images, lines[1:], strict=True):
        _, x, y, z, qx, qy, qz, qw = map(float, line.split())
        assert np.allclose((x, y, z), image.pose.center, atol=1e-8) and qw >= 0
        assert np.allclose(rotation_from_quaternion(np.array([qw, qx, qy, qz])), image.pose.R_wc, atol=1e-7)


def test_refused_frames_are_counted_and_keep_their_place_in_time(
    tested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(tested, "tum", "poses.txt", "--rate", "10") == 0
    assert "1 of 5 images have no pose" in capsys.readouterr().err
    times = [float(line.split()[0]) for line in (tested / "poses.txt").read_text().splitlines()[1:]]
    assert times == [0.0, 0.1, 0.2, 0.4]


def test_ros_s_covariance_is_that_of_errors_in_its_frame() -> None:
    """Monte Carlo: errors drawn in the camera's axes, measured in the map's, about fixed axes."""
    image = posed()[1]
    assert image.covariance_66 is not None
    draws_n6 = np.random.default_rng(0).multivariate_normal(np.zeros(6), image.covariance_66, 40_000)
    true_n44 = image.pose.T_wc @ exp_se3(draws_n6)
    moved_n3 = true_n44[:, :3, 3] - image.pose.center
    turned_n3 = log_so3(true_n44[:, :3, :3] @ image.pose.R_wc.T)
    measured_66 = np.cov(np.concatenate([moved_n3, turned_n3], 1).T)
    stated_66 = ros_covariance(image.covariance_66, image.pose.R_wc)
    assert np.abs(measured_66 - stated_66).max() < 0.03 * np.abs(stated_66).max()


def test_ros_s_covariance_by_finite_differences() -> None:
    image, step = posed()[2], 1e-6
    columns = []
    for xi_6 in step * np.eye(6):
        T_wc = image.pose.T_wc @ exp_se3(xi_6)
        columns.append([*(T_wc[:3, 3] - image.pose.center), *log_so3(T_wc[:3, :3] @ image.pose.R_wc.T)])
    J_66 = np.array(columns).T / step
    assert image.covariance_66 is not None
    wanted_66 = J_66 @ image.covariance_66 @ J_66.T
    assert np.allclose(ros_covariance(image.covariance_66, image.pose.R_wc), wanted_66, atol=1e-9)


# geometry_msgs/PoseWithCovarianceStamped, field by field.
LAYOUT = {
    "header": {"stamp": {"sec": int, "nanosec": int}, "frame_id": str},
    "pose": {
        "pose": {
            "position": dict.fromkeys("xyz", float),
            "orientation": dict.fromkeys("xyzw", float),
        },
        "covariance": list,
    },
}


def check_layout(message: Any, layout: Any) -> None:
    if isinstance(layout, dict):
        assert isinstance(message, dict) and set(message) == set(layout)
        for name, inner in layout.items():
            check_layout(message[name], inner)
    else:
        assert type(message) is layout


def test_ros_s_messages_have_its_fields() -> None:
    message = ros_message(posed()[0], 12.75, "map")
    check_layout(message, LAYOUT)
    assert message["header"]["stamp"] == {"sec": 12, "nanosec": 750_000_000}
    covariance = message["pose"]["covariance"]
    assert len(covariance) == 36 and np.allclose(np.reshape(covariance, (6, 6)), np.reshape(covariance, (6, 6)).T)


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_ros_s_files_are_read_back(tested: Path, ending: str) -> None:
    assert exported(tested, "ros", f"poses.{ending}", "--frame-id", "kitchen") == 0
    text = (tested / f"poses.{ending}").read_text()
    if ending == "json":
        messages = json.loads(text)
    else:
        messages = list(pytest.importorskip("yaml").safe_load_all(text))
    assert len(messages) == 4 and {message["header"]["frame_id"] for message in messages} == {"kitchen"}
    for message in messages:
        check_layout(message, LAYOUT)


def test_the_documented_node_fills_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node of docs/export.md, with classes of the message's layout in place of ROS's."""
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "rclpy" in block)
    assert code.count("\n") <= 75
    filled = run_node(code, monkeypatch)
    check_layout(filled, LAYOUT)
    image = posed()[0]
    assert image.covariance_66 is not None
    wanted = ros_message(image, 3.5, "map")
    assert filled["pose"]["pose"]["position"] == pytest.approx(wanted["pose"]["pose"]["position"])
    assert filled["pose"]["covariance"] == pytest.approx(wanted["pose"]["covariance"])


def run_node(code: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    import sys
    from types import ModuleType, SimpleNamespace

    def nested(layout: dict[str, Any]) -> Any:
        made = {name: nested(inner) if isinstance(inner, dict) else inner() for name, inner in layout.items()}
        return SimpleNamespace(**made)

    def module(name: str, **members: Any) -> None:
        made = ModuleType(name)
        made.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, made)

    class Node:
        def __init__(self, name: str) -> None:
            pass

        def declare_parameter(self, name: str, value: Any) -> Any:
            return SimpleNamespace(value=value)

        def create_publisher(self, *_: Any) -> Any:
            return SimpleNamespace(publish=sent.append)

        def create_subscription(self, *_: Any) -> None:
            pass

        def get_logger(self) -> Any:
            return SimpleNamespace(info=lambda *_: None)

    sent: list[Any] = []
    image = posed()[0]
    estimate = SimpleNamespace(pose=image.pose, covariance_66=image.covariance_66, reason="ok")
    localizer = SimpleNamespace(localize=lambda *_, **__: estimate)
    module("rclpy", init=lambda: None, spin=lambda _: None)
    module("rclpy.node", Node=Node)
    module("geometry_msgs", msg=None)
    module("geometry_msgs.msg", PoseWithCovarianceStamped=lambda: nested(LAYOUT))
    module("sensor_msgs", msg=None)
    module("sensor_msgs.msg", Image=object)
    import transpose

    monkeypatch.setattr(transpose, "load", lambda *_: localizer, raising=False)
    space: dict[str, Any] = {"__name__": "node"}
    exec(compile(code, "docs/export.md", "exec"), space)
    header = SimpleNamespace(stamp=SimpleNamespace(sec=3, nanosec=500_000_000), frame_id="camera")
    photo = SimpleNamespace(header=header, height=48, width=64, step=192, encoding="rgb8", data=bytes(48 * 192))
    space["LocalizerNode"]().on_image(photo)

    def plain(value: Any) -> Any:
        return {k: plain(v) for k, v in vars(value).items()} if isinstance(value, SimpleNamespace) else value

    return dict(plain(sent[0]))


def test_places_on_the_earth_are_where_pyproj_puts_them() -> None:
    pyproj = pytest.importorskip("pyproj", reason="pip install 'transpose-loc[geo]'")
    images = posed(origin_3=FAR)
    poses = geographic_poses(images, "EPSG:32615")
    back = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32615", always_xy=True)
    for image, pose in zip(images, poses, strict=True):
        x, y = back.transform(*pose.lonlath_3[:2])
        assert np.allclose((x, y, pose.lonlath_3[2]), image.pose.center, rtol=0, atol=1e-4)
        assert pose.ellipse_n2 is not None and image.covariance_66 is not None
        corners_n2 = np.stack(back.transform(*pose.ellipse_n2.T), 1) - image.pose.center[:2]
        covariance_22 = (image.pose.R_wc @ image.covariance_66[3:, 3:] @ image.pose.R_wc.T)[:2, :2]
        distance_n = np.einsum("ni,ij,nj->n", corners_n2, np.linalg.inv(covariance_22), corners_n2)
        assert np.allclose(distance_n, 5.991, rtol=1e-3)
        x_n, y_n = corners_n2.T
        assert (x_n[:-1] * y_n[1:] - x_n[1:] * y_n[:-1]).sum() > 0  # counter-clockwise, as RFC 7946 has it
        assert np.array_equal(pose.ellipse_n2[0], pose.ellipse_n2[-1])
    assert geojson(poses, "x")["features"][0]["geometry"]["coordinates"] == poses[0].lonlath_3.tolist()


def test_an_ellipse_across_the_180th_meridian_stays_small() -> None:
    pyproj = pytest.importorskip("pyproj", reason="pip install 'transpose-loc[geo]'")
    to_map = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True)
    (image,) = posed(1)
    there = Pose(compose(image.pose.R_wc, np.array([*to_map.transform(179.9999999, -17.0), 5.0])))
    (pose,) = geographic_poses([replace(image, pose=there)], "EPSG:32760")
    assert pose.ellipse_n2 is not None
    assert np.ptp(pose.ellipse_n2[:, 0]) < 0.01 and pose.ellipse_n2[:, 0].max() > 180


def test_a_camera_that_looks_north_has_heading_zero() -> None:
    pytest.importorskip("pyproj", reason="pip install 'transpose-loc[geo]'")
    R_wc = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # z ahead along the map's y
    image = replace(posed(1)[0], pose=Pose(compose(R_wc, np.array([500_000.0, 5_000_000.0, 0.0]))))
    heading = geographic_poses([image], "EPSG:32615")[0].heading_deg
    assert heading is not None and math.cos(math.radians(heading)) > 1 - 1e-9  # on the central meridian
    tilted = Pose(image.pose.T_wc @ compose(exp_so3(np.radians([-87.0, 0, 0])), np.zeros(3)))  # nearly straight down
    assert geographic_poses([replace(image, pose=tilted)], "EPSG:32615")[0].heading_deg is None


def save_place(folder: Path, **facts: Any) -> Path:
    vertices, rgb = np.eye(3, dtype=np.float32), np.zeros((3, 3), np.uint8)
    world = vertex_colored_world("place", vertices, np.array([[0, 1, 2]], np.int32), rgb, facts=facts)
    return save_world(world, folder)


@pytest.mark.parametrize("to", ["geojson", "kml"])
def test_maps_are_written_where_the_world_has_a_projection(
    tested: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    pytest.importorskip("pyproj", reason="pip install 'transpose-loc[geo]'")
    save_place(tested / "world", crs="EPSG:32615")
    save_place(tested / "nowhere")
    assert exported(tested, to, f"map.{to}", "--world", str(tested / "world")) == 0
    assert "heights" in capsys.readouterr().err
    text = (tested / f"map.{to}").read_text()
    if to == "geojson":
        content = json.loads(text)
        assert len(content["features"]) == 8 and "heights" in content
    else:
        assert len(ElementTree.fromstring(text).findall(".//{*}Placemark")) == 8
    assert exported(tested, to, "none.json", "--world", str(tested / "nowhere")) == 1
    assert "no map projection" in capsys.readouterr().err and not (tested / "none.json").exists()


def test_answers_of_localize_are_read(tested: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = {
        "image": "photos/a.jpg",
        "pose": np.eye(4).tolist(),
        "covariance": np.eye(6).tolist(),
        "confidence": 0.9,
        "camera": {"width": 64, "height": 48, "fx": 60, "fy": 60, "cx": 32, "cy": 24, "k1": 0, "k2": 0},
        "unit": "metre",
    }
    path = tested / "answers.jsonl"
    words = ["export", str(tested / "run"), "--to", "tum", "--out", str(tested / "a.txt"), "--answers", str(path)]
    path.write_text(json.dumps(line) + "\n\n" + json.dumps({**line, "pose": None, "camera": None}) + "\n")
    assert main(words) == 0 and "1 of 2 images" in capsys.readouterr().err
    for bad, said in [
        ({"pose": (2 * np.eye(4)).tolist()}, "not rigid"),
        ({"pose": [[math.nan] * 4] * 4}, "not rigid"),
        ({"pose": 3}, "line 1"),
        ({"camera": 3}, "line 1"),
        ({"covariance": [[1]]}, "covariance"),
        ({"pose": None}, "none of its 1 images"),
    ]:
        path.write_text(json.dumps({**line, **bad}) + "\n")
        assert main(words) == 1
        assert said in capsys.readouterr().err
    for text, said in [("", "none of its 0"), ("{", "not valid JSON"), ("[]", "no line of"), ("3", "no line of")]:
        path.write_text(text)
        assert main(words) == 1
        assert said in capsys.readouterr().err
    path.write_text((json.dumps(line) + "\n") * 2)
    assert main(words) == 1 and "two images are called a.jpg" in capsys.readouterr().err


def test_flags_that_make_no_sense_are_refused(tested: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tested / "full").mkdir()
    (tested / "full" / "mine.txt").write_text("mine")
    (tested / "file").write_text("mine")
    run = str(tested / "run")
    for words, said in [
        (["tum", "--out", "x"], "--results"),
        (["onnx", "--out", "x", "--results", str(tested)], "leave it away"),
        (["colmap", "--out", str(tested / "full"), "--results", str(tested / "results")], "not empty"),
        (["colmap", "--out", str(tested / "file"), "--results", str(tested / "results")], "is a file"),
        (["tum", "--out", str(tested / "full"), "--results", str(tested / "results")], "is a folder"),
        (["tum", "--out", "x", "--results", str(tested / "results"), "--rate", "0"], "--rate"),
        (["tum", "--out", "x", "--results", str(tested / "full")], "results.json"),
        (["tum", "--out", "x", "--text"], "--text goes with --to colmap"),
        (["colmap", "--out", "x", "--frame-id", "odom"], "--frame-id goes with --to ros"),
        (["kml", "--out", "x", "--precision", "int8"], "--precision goes with --to onnx"),
        (["onnx", "--out", "x", "--images", "photos"], "--images goes with --precision int8"),
        (["ros", "--out", "x", "--times", "names", "--rate", "30"], "give one"),
    ]:
        assert main(["export", run, "--to", *words]) == 1
        assert said in capsys.readouterr().err
    assert (tested / "full" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("text", [(), ("--text",)])
def test_landmarks_become_colmap_s_points(tested: Path, text: tuple[str, ...]) -> None:
    checkpoint = runs.load_model(tested / "run")
    runs.save_model(tested / "run", replace(checkpoint, landmarks=one_landmark(), origin_3=FAR))
    assert exported(tested, "colmap", "model", *text) == 0
    model = read_model(tested / "model")
    assert len(model.images) == 4
    assert (tested / "model" / ("points3D.txt" if text else "points3D.bin")).is_file()


def test_a_pose_that_its_neighbours_tell_needs_no_camera(tested: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `localize --smooth` gives one to a photo that cannot be read."""
    pose, camera = posed(1)[0].pose.T_wc.tolist(), dict(zip(_CAMERA, (64, 48, 60, 61, 31.5, 24.5, 0, 0), strict=True))
    lines = [
        {"image": f"{i}.png", "pose": pose, "camera": said, "covariance": np.eye(6).tolist(), "confidence": None}
        for i, said in enumerate((camera, None, camera))
    ]
    answers = tested / "answers.jsonl"
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["export", str(tested / "run"), "--answers", str(answers), "--to"]
    assert main([*words, "tum", "--out", str(tested / "poses.txt")]) == 0
    assert len((tested / "poses.txt").read_text().splitlines()) == 1 + 3
    assert main([*words, "colmap", "--out", str(tested / "model")]) == 0
    assert "1 images have a pose by their neighbours" in capsys.readouterr().err
    assert len(read_model(tested / "model").images) == 2
    answers.write_text(json.dumps(lines[1]) + "\n")
    assert main([*words, "colmap", "--out", str(tested / "none")]) == 1
    assert "no image with a pose has a camera" in capsys.readouterr().err and not (tested / "none").exists()


def test_photos_that_exif_turns_are_upright_for_nerfstudio(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.arange(64 * 48 * 3, dtype=np.uint8).reshape(64, 48, 3)).save(tmp_path / "a.png", exif=exif)
    turned = replace(posed(1)[0], name="a.png", path=tmp_path / "a.png")
    (tmp_path / "studio").mkdir()
    assert write_nerfstudio(tmp_path / "studio", [turned]) == 0
    with Image.open(tmp_path / "studio" / "images" / "a.png") as image:
        assert image.size == (CAMERA.width, CAMERA.height) and image.getexif().get(0x0112, 1) == 1
        np.testing.assert_array_equal(np.asarray(image), read_image(tmp_path / "a.png"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_colmap_s_poses_are_those_of_the_pixels_that_photos_store(
    tested: Path, capsys: pytest.CaptureFixture[str], orientation: int
) -> None:
    """A point projected into the exported model lands on the stored pixel that looks as its pixel of the upright."""
    camera, pose = replace(CAMERA, k1=-0.1, k2=0.02), posed(1)[0].pose
    said = {name: getattr(camera, name) for name in _CAMERA}
    for name, tag in (("a.png", orientation), ("b.png", 1)):
        exif, size = Image.Exif(), (CAMERA.height, CAMERA.width) if tag < 5 else (CAMERA.width, CAMERA.height)
        exif[0x0112] = tag
        pixels_n3 = np.stack([*np.divmod(np.arange(size[0] * size[1]), 256), np.zeros(size[0] * size[1])], 1)
        Image.fromarray(pixels_n3.reshape(*size, 3).astype(np.uint8)).save(tested / name, exif=exif)
    line = {"pose": pose.T_wc.tolist(), "camera": said, "covariance": np.eye(6).tolist()}
    lines = [json.dumps({**line, "image": str(tested / name)}) + "\n" for name in ("a.png", "b.png")]
    (tested / "answers.jsonl").write_text("".join(lines))
    words = ["export", str(tested / "run"), "--to", "colmap", "--answers", str(tested / "answers.jsonl"), "--out"]
    assert main([*words, str(tested / "model")]) == 0
    model, mirrored = read_model(tested / "model"), orientation in (2, 4, 5, 7)
    assert ("1 photos are stored mirrored" in capsys.readouterr().err) == mirrored
    assert [image.name for image in model.images] == (["b.png"] if mirrored else ["a.png", "b.png"])
    px_n2 = np.array([[3.5, 2.5], [60.5, 5.5], [20.5, 40.5], [50.5, 44.5], [32.5, 23.5]])
    world_n3 = pose.center + 3 * camera.unproject(px_n2) @ pose.R_wc.T
    for image in model.images:
        assert image.pose is not None
        lens, upright_hw3 = model.cameras[image.camera_id], read_image(tested / image.name)
        stored_hw3 = read_image(tested / image.name, upright=False)
        assert (lens.height, lens.width) == stored_hw3.shape[:2]
        seen_n2 = lens.px_of_directions((world_n3 - image.pose.center) @ image.pose.R_wc)
        assert np.allclose(seen_n2 % 1, 0.5, rtol=0, atol=1e-6)
        (x_n, y_n), (upright_x_n, upright_y_n) = seen_n2.astype(int).T, px_n2.astype(int).T
        np.testing.assert_array_equal(stored_hw3[y_n, x_n], upright_hw3[upright_y_n, upright_x_n])


def test_mirrored_photos_alone_are_no_model(tested: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 2
    Image.new("RGB", (64, 48)).save(tested / "a.png", exif=exif)
    said = {name: getattr(CAMERA, name) for name in _CAMERA}
    line = {"image": str(tested / "a.png"), "pose": np.eye(4).tolist(), "camera": said}
    (tested / "answers.jsonl").write_text(json.dumps(line) + "\n")
    words = ["export", str(tested / "run"), "--to", "colmap", "--answers", str(tested / "answers.jsonl"), "--out"]
    assert main([*words, str(tested / "model")]) == 1
    assert "mirrored" in capsys.readouterr().err and not (tested / "model").exists()


def test_results_are_exported_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = make_section(tmp_path / "scene", "test")
    save_run(tmp_path / "run", tmp_path / "scene")
    monkeypatch.chdir(tmp_path / "scene")
    here, results = open_section(Path("test")), make_results()
    with frame_log(here, tmp_path / "results") as record:
        for result in results:
            record(result)
    write_results(results, here, Path("../run"), tmp_path / "results")
    monkeypatch.chdir("/")
    assert len(estimates_of_results(tmp_path / "results").images) == len(section.frames) - 1
