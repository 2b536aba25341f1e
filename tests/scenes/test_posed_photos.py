"""COLMAP, Nerfstudio and posed photos: one small set in all their formats gives one section."""

import json
import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.geometry.fisheye import Fisheye
from transpose.geometry.lens import Lens
from transpose.geometry.panorama import Panorama
from transpose.geometry.poses import Pose, compose, exp_so3, pose_error, quaternion_wxyz, transform
from transpose.scenes import files
from transpose.scenes.layout import open_section
from transpose.scenes.setup.colmap import setup_colmap
from transpose.scenes.setup.colmap_files import read_model
from transpose.scenes.setup.nerfstudio import setup_nerfstudio
from transpose.scenes.setup.photos import lens_of_json, read_posed_photos, setup_photos
from transpose.scenes.setup.posed_photos import PosedPhoto, sparse_map, write_posed_photos

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


def test_models_and_lenses_are_read_as_colmap_means_them(tmp_path: Path) -> None:
    """Against COLMAP itself: what it writes, and where its cameras put points."""
    pycolmap = pytest.importorskip("pycolmap", reason="the extra sfm is not installed")
    if not hasattr(pycolmap.Reconstruction, "add_camera_with_trivial_rig"):
        pytest.skip("this pycolmap builds models in another way")
    lenses = {
        1: ("OPENCV", [50, 51, 31, 24, 0.01, 0.02, 0.001, 0.002]),
        2: ("RADIAL", [50, 32, 23, 0.1, 0.01]),
        3: ("SIMPLE_PINHOLE", [50, 32, 24]),
    }
    theirs = pycolmap.Reconstruction()
    for i, (model, parameters) in lenses.items():
        camera = pycolmap.Camera(camera_id=i, model=model, width=64, height=48, params=parameters)
        theirs.add_camera_with_trivial_rig(camera)
        seen = [pycolmap.Point2D([1.0, 2.0]), pycolmap.Point2D([3.0, 4.0])] if i < 3 else []
        image = pycolmap.Image(image_id=i, camera_id=i, name=NAMES[i - 1], points2D=pycolmap.Point2DList(seen))
        theirs.add_image_with_trivial_frame(image, pycolmap.Rigid3d(POSES[i - 1].T_cw[:3]))
    track = pycolmap.Track()
    track.add_element(1, 0)
    track.add_element(2, 1)
    theirs.add_point3D([1.0, 2.0, 3.0], track, [1, 2, 3])
    for kind in ("text", "binary"):
        (tmp_path / kind).mkdir()
        getattr(theirs, f"write_{kind}")(str(tmp_path / kind))
        ours = read_model(tmp_path / kind)
        assert [image.name for image in ours.images] == list(NAMES)
        assert [len(ours.seen_in(image)) for image in ours.images] == [1, 1, 0]
        for image, pose in zip(ours.images, POSES, strict=True):
            assert np.allclose(image.pose.T_wc, pose.T_wc, atol=1e-9)
        rays_n2 = np.random.default_rng(0).uniform(-0.4, 0.4, (9, 2))
        for i, lens in ours.cameras.items():
            expected_n2 = theirs.camera(i).img_from_cam(np.concatenate([rays_n2, np.ones((9, 1))], 1))
            assert np.allclose(lens.px_of_rays(rays_n2), expected_n2, atol=1e-9)


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
        ("unknown model", "EUCM is not one of .* undistort"),
        ("no images", r"2 of 3 photos .* are missing: a\.jpg, left/b\.jpg; .*--images"),
        ("nothing", "holds no COLMAP model"),
        ("words", r"cameras.txt, line 2: expected"),
    ],
)
def test_broken_colmap_projects_are_refused(project: Path, tmp_path: Path, breakage: str, message: str) -> None:
    folder = project / "sparse"
    if breakage in ("truncated", "no images"):
        write_binary_model(folder)
    elif breakage != "nothing":
        write_text_model(folder, "EUCM 64 48 1 1 1 1 1 1" if breakage == "unknown model" else "PINHOLE x")
    if breakage == "truncated":
        path = folder / "images.bin"
        path.write_bytes(path.read_bytes()[:-5])
    if breakage == "no images":
        for name in NAMES[:2]:
            (project / "images" / name).unlink()
    with pytest.raises(TransposeError, match=message):
        setup_colmap(project, tmp_path / "scene", "train")
    assert not (tmp_path / "scene" / "train").exists()


def test_a_blank_line_may_stand_between_images(tmp_path: Path) -> None:
    write_text_model(tmp_path)
    before = read_model(tmp_path)
    lines = (tmp_path / "images.txt").read_text().splitlines()
    (tmp_path / "images.txt").write_text("\n".join([*lines[:3], "", *lines[3:], "", ""]))
    after = read_model(tmp_path)
    assert [image.name for image in after.images] == list(NAMES)
    assert np.array_equal(after.seen_in(after.images[0]), before.seen_in(before.images[0]))


def test_one_of_several_models_is_named(project: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_text_model(project / "sparse" / "0")
    write_text_model(project / "sparse" / "1", "PINHOLE 64 48 40 40 32 24")
    with caplog.at_level(logging.WARNING):
        setup_colmap(project, tmp_path / "scene", "first")
    assert "0 with 3" in caplog.text and "others too (1 with 3)" in caplog.text
    setup_colmap(project / "sparse" / "1", tmp_path / "scene", "second")
    assert open_section(tmp_path / "scene" / "second").frames[0].camera.fx == 40


def write_turned(path: Path, orientation: int, stored_hw3: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored_hw3).save(path, quality=95, subsampling=0, exif=exif)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("k1", [0.0, -0.05])
def test_pixels_are_those_that_the_model_counts(project: Path, tmp_path: Path, orientation: int, k1: float) -> None:
    """COLMAP counts pixels as they are stored; a camera held upright only says in EXIF how it was held."""
    stored_hw3 = np.full((48, 64, 3), 40, np.uint8)
    stored_hw3[:16, :16] = (250, 40, 40)  # red in the corner where the first pixel is
    write_turned(project / "images" / "a.jpg", orientation, stored_hw3)
    write_text_model(project / "sparse", f"SIMPLE_RADIAL 64 48 50 32 24 {k1}")
    setup_colmap(project, tmp_path / "scene", "train")
    frame = open_section(tmp_path / "scene" / "train").frames[0]
    image_hw3 = frame.image()
    assert image_hw3.shape == (48, 64, 3)
    assert image_hw3[8, 8, 0] > 200
    assert image_hw3[8, -8, 0] < 80 and image_hw3[-8, 8, 0] < 80
    assert (frame.camera.width, frame.camera.height) == (64, 48)


def test_a_camera_of_the_upright_shape_gets_the_upright_photo(project: Path, tmp_path: Path) -> None:
    stored_hw3 = np.zeros((48, 64, 3), np.uint8)
    write_turned(project / "images" / "a.jpg", 6, stored_hw3)
    poses = {"a.jpg": {"T_wc": np.eye(4).tolist()}}
    camera = {"width": 48, "height": 64, "focal_px": 50}
    (project / "poses.json").write_text(json.dumps({"camera": camera, "poses": poses}))
    setup_photos(project, tmp_path / "scene", "test", lambda _, poses: poses)
    assert open_section(tmp_path / "scene" / "test").frames[0].image().shape == (64, 48, 3)


def test_a_set_up_that_was_cut_off_goes_on_only_with_the_same_poses(project: Path, tmp_path: Path) -> None:
    (project / "poses.json").write_text(json.dumps(photos_json()))
    done: list[str] = []

    def cut_off(photos: Sequence[PosedPhoto], _: str) -> Iterator[PosedPhoto]:
        for photo in photos:
            if len(done) == 2:
                raise KeyboardInterrupt
            yield photo
            done.append(photo.stem)

    with pytest.raises(KeyboardInterrupt):
        setup_photos(project, tmp_path / "scene", "test", lambda _, poses: poses, progress=cut_off)
    unfinished = tmp_path / "scene" / ".test.unfinished" / "poses"
    first = (unfinished / "a.txt").stat().st_mtime_ns
    setup_photos(project, tmp_path / "scene", "test", lambda _, poses: poses)
    pose_file = tmp_path / "scene" / "test" / "poses" / "a.txt"
    assert pose_file.stat().st_mtime_ns == first
    done.clear()
    with pytest.raises(KeyboardInterrupt):
        setup_photos(project, tmp_path / "scene", "test", lambda _, poses: poses, progress=cut_off)
    moved = [Pose(compose(pose.R_wc, pose.center + 5)) for pose in POSES]
    setup_photos(project, tmp_path / "scene", "test", lambda *_: moved)
    for frame, pose in zip(open_section(tmp_path / "scene" / "test").frames, moved, strict=True):
        assert np.allclose(frame.pose.T_wc, pose.T_wc)


def test_sparse_labels_are_the_nearest_point_of_each_cell(camera: Camera) -> None:
    """Against a loop over points and cells."""
    rng = np.random.default_rng(1)
    points_n3 = rng.uniform((-5, -5, -2), (5, 5, 12), (400, 3))
    pose = POSES[1]
    expected: dict[tuple[int, int], tuple[float, np.ndarray]] = {}
    for point_3 in points_n3:
        local_3 = transform(pose.T_cw, point_3)
        x, y = camera.project(local_3)
        if 0 < local_3[2] < 9 and 0 <= x < camera.width and 0 <= y < camera.height:
            cell = int(y // 8), int(x // 8)
            if cell not in expected or local_3[2] < expected[cell][0]:
                expected[cell] = (local_3[2], point_3)
    map_3hw = sparse_map(points_n3, pose, camera, farthest_m=9)
    assert len(expected) > 30
    assert np.isfinite(map_3hw).all(0).sum() == len(expected)
    for (row, column), (_, point_3) in expected.items():
        assert np.array_equal(map_3hw[:, row, column], point_3)


def transforms(**more: object) -> dict[str, object]:
    frames = []
    for name, pose in zip(NAMES, POSES, strict=True):
        T_wc = pose.T_wc.copy()
        T_wc[:3, 1:3] *= -1  # OpenGL's axes
        frames.append({"file_path": f"./images/{name}", "transform_matrix": T_wc.tolist()})
    lens = {"w": 64, "h": 48, "fl_x": 50.0, "fl_y": 50.0, "cx": 32.0, "cy": 24.0}
    return {**lens, "camera_model": "OPENCV", "frames": frames, **more}


@pytest.mark.parametrize("as_png", [False, True])
def test_only_depth_in_millimetres_has_an_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, project: Path, as_png: bool
) -> None:
    depth_hw = np.full((48, 64), 59.5, np.float32)
    depth_hw[:4, :8], depth_hw[4:, :8] = 60.0, np.inf
    lens = replace(LENS, k1=0.0)
    photos = [PosedPhoto(name, project / "images" / name, lens, POSES[0], depth=lambda: depth_hw) for name in NAMES[:2]]
    out, told = tmp_path / "scene", "train: 64 pixels have depth of 60 m and more, which is taken for unknown"
    section = write_posed_photos(photos, out, "train", {}, {}, lambda photos, _: photos, depth_as_png=as_png)
    assert caplog.text.count("taken for unknown") == as_png and (told in caplog.text) == as_png
    depth_hw[:, :8] = np.nan
    if not as_png:
        depth_hw[:4, :8] = 60.0
    for frame in open_section(section).frames:
        np.testing.assert_array_equal(frame.depth(), depth_hw)


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


def test_scale_and_arrays_of_depth_are_those_of_the_original(project: Path, tmp_path: Path) -> None:
    content = transforms(applied_scale=0.25)
    for frame in content["frames"]:  # type: ignore[attr-defined]
        T_wc = np.array(frame["transform_matrix"])
        T_wc[:3, 3] *= 0.25
        frame["transform_matrix"] = T_wc.tolist()
    np.save(project / "a.npy", np.full((24, 32), 3000.0))
    content["frames"][0]["depth_file_path"] = "a.npy"  # type: ignore[index]
    (project / "transforms.json").write_text(json.dumps(content))
    setup_nerfstudio(project, tmp_path / "scene")
    frames = open_section(tmp_path / "scene" / "train").frames
    assert max(pose_error(frames[2].pose, POSES[2])) < 1e-5
    assert frames[0].depth().shape == (48, 64)
    assert np.nanmax(np.abs(frames[0].depth() - 3)) < 1e-5


def test_frames_may_have_a_lens_of_their_own(project: Path, tmp_path: Path) -> None:
    content = transforms()
    content["frames"][1].update(fl_x=70.0, fl_y=71.0)  # type: ignore[index]
    (project / "transforms.json").write_text(json.dumps(content))
    setup_nerfstudio(project, tmp_path / "scene")
    cameras = [frame.camera for frame in open_section(tmp_path / "scene" / "train").frames]
    assert [(camera.fx, camera.fy) for camera in cameras] == [(50, 50), (70, 71), (50, 50)]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"frames": []}, 'lists no photos: its "frames" are empty'),
        ({"applied_transform": [[1, 0], [0, 1]]}, "applied_transform or applied_scale is of no use"),
        ({"applied_transform": np.diag([2.0, 1, 1, 1]).tolist()}, "of no use: .* not a rotation"),
        ({"applied_scale": 0}, "applied_scale is 0"),
        ({"is_fisheye": True, "p1": 0.01}, "p1 and p2 are none of a fisheye's"),
        ({"k4": 0.1}, "k4 of OPENCV is read in different ways"),
        ({"camera_model": "EQUIRECTANGULAR"}, "twice as wide as high"),
        ({"camera_model": "VR180_L"}, "VR180_L is not supported"),
        ({"w": 48, "h": 64}, "another shape"),
        ({"fl_x": -1}, "focal lengths must be positive"),
        ({"train_filenames": ["images/a.jpg"]}, "has no test_filenames .*; name the frames of test with --list"),
        ({"test_filenames": ["images/z.jpg"]}, "puts images/z.jpg into a split, but it is none of its frames"),
    ],
)
def test_broken_nerfstudio_folders_are_refused(
    project: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    (project / "transforms.json").write_text(json.dumps(transforms(**change)))
    with pytest.raises(TransposeError, match=message):
        setup_nerfstudio(project, tmp_path / "scene", "test")
    assert not (tmp_path / "scene" / "test").exists()


@pytest.mark.parametrize(
    "said, code",
    [
        ("EPSG:32615 (UTM 15N)", "EPSG:32615"),
        ("epsg 2056", "EPSG:2056"),
        (2056, "EPSG:2056"),
        ("CH1903+ / LV95", "CH1903+ / LV95"),  # pyproj knows it by name; never taken for no system at all
        ("EPSG:2056+5728", "EPSG:2056+5728"),
        (None, None),
    ],
)
def test_reference_systems_are_read_as_people_write_them(project: Path, said: object, code: str | None) -> None:
    (project / "poses.json").write_text(json.dumps(photos_json(crs=said)))
    assert read_posed_photos(project)[0] == code


def test_lenses_in_json(project: Path) -> None:
    size = {"width": 64, "height": 48}
    assert lens_of_json({**size, "model": "SIMPLE_RADIAL", "parameters": [50, 32, 24, -0.05]}) == LENS
    assert lens_of_json({**size, "f": 50, "k1": -0.05}) == LENS
    assert lens_of_json({**size, "fx": 50, "fy": 50, "cx": 32, "cy": 24, "k1": -0.05}) == LENS
    with pytest.raises(ValueError, match="k4"):
        lens_of_json({**size, "f": 50, "k4": 0.1})
    fisheye = {**size, "model": "OPENCV_FISHEYE", "fx": 50, "fy": 51, "k1": 0.1, "k4": 0.01}
    assert lens_of_json(fisheye) == Fisheye(64, 48, 50.0, 51.0, 32.0, 24.0, (0.1, 0.0, 0.0, 0.01))
    assert lens_of_json({"width": 64, "height": 32, "model": "EQUIRECTANGULAR"}) == Panorama(64, 32)


def test_no_parameter_of_a_lens_is_lost_without_a_word() -> None:
    camera = {"width": 64, "height": 48, "model": "SIMPLE_RADIAL", "f": 50}
    assert lens_of_json({**camera, "k": -0.05}) == LENS  # as COLMAP calls it
    beside = {
        "source": "calibration",
        "focal_sigma": 0.01,
        "focal_mm": 24,
        "id": 3,
        "name": "left",
        "k4": 0,
        "p1": None,
    }
    assert lens_of_json({**camera, "k1": -0.05, **beside}) == LENS
    for name, value in (("K1", -0.05), ("distortion", [-0.05]), ("radial", [-0.05]), ("params", [50, 32, 24, -0.05])):
        with pytest.raises(
            ValueError, match=f"^{name} is no parameter of the model SIMPLE_RADIAL, which has f, cx, cy, k1"
        ):
            lens_of_json({**camera, name: value})
    with pytest.raises(ValueError, match=r"^k1 is no parameter of the model FOV"):
        lens_of_json({**camera, "model": "FOV", "omega": 0.9, "k1": 0.1})
    with pytest.raises(ValueError, match=r"^k is no parameter of the model OPENCV"):
        lens_of_json({**camera, "model": "OPENCV", "k": 0.1})


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
        ({"poses": {"a.jpg": {"C": [0, 0, 0]}}}, "lacks 'R_w2c' or 'T_wc'; quaternions"),
        ({"poses": {"z.jpg": {"T_wc": np.eye(4).tolist()}}}, "1 of 1 photos of section test are missing"),
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
