"""Photos of wide lenses and panoramas, rendered of a known room, become pinhole frames that show the same room."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transpose.errors import TransposeError
from transpose.geometry.camera_models import projection_of
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.poses import Pose, compose, exp_so3, quaternion_wxyz, transform
from transpose.geometry.projection import Projection
from transpose.scenes import files
from transpose.scenes.layout import Section, open_section
from transpose.scenes.setup.colmap import setup_colmap
from transpose.scenes.setup.nerfstudio import setup_nerfstudio

POSES = [Pose(compose(exp_so3(np.array([0.1 * i, -0.4 * i, 0.1])), np.array([0.3 * i, -0.2, 0.4]))) for i in range(2)]
NAMES = ("a.png", "b.png")
MODELS: dict[str, tuple[list[float], int, int, int]] = {  # parameters, width, height, views
    "OPENCV_FISHEYE": ([190, 190, 213, 120, 0.02, -0.01, 0.001, 0], 426, 240, 2),
    "SIMPLE_RADIAL_FISHEYE": ([400, 213, 120, 0.02], 426, 240, 1),
    "FULL_OPENCV": ([300, 300, 213, 120, 0.05, -0.01, 0, 0, 0.001, 0.1, 0.01, 0.001], 426, 240, 1),
    "THIN_PRISM_FISHEYE": ([190, 190, 213, 120, 0.02, -0.01, 0.001, 0.001, 0, 0, 0.002, 0], 426, 240, 2),
    "FISHEYE": ([110, 110, 175, 175], 350, 350, 5),
    "FOV": ([170, 170, 213, 120, 0.9], 426, 240, 2),
    "EQUIRECTANGULAR": ([], 640, 320, 6),
}


def room_seen(origin_3: np.ndarray, directions_n3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (..., 3) of the walls of a room of 4 m that rays meet, and the points themselves."""
    directions_n3 = np.where(np.abs(directions_n3) < 1e-12, 1e-12, directions_n3)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach_n = np.nanmin((np.sign(directions_n3) * 2 - origin_3) / directions_n3, axis=-1)
    points_n3 = origin_3 + reach_n[..., None] * directions_n3
    x, y, z = np.moveaxis(points_n3, -1, 0)
    waves = [np.sin(3 * x + 2 * y + 1), np.sin(3 * y - 2 * z), np.sin(3 * z + 2 * x - 1)]
    return 128 + 90 * np.stack(waves, -1), points_n3


def photo_of(projection: Projection, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """What a camera in the room takes, and its depth: along z, of a panorama along the ray."""
    directions_hw3 = projection.directions_of_px(pixel_centers(projection.width, projection.height))
    directions_hw3 = np.nan_to_num(directions_hw3, nan=0.5)
    color_hw3, points_hw3 = room_seen(pose.center, directions_hw3 @ pose.R_wc.T)
    local_hw3 = transform(pose.T_cw, points_hw3)
    distance_hw = np.linalg.norm(local_hw3, axis=-1)
    panorama = projection.width == 640
    return color_hw3.round().clip(0, 255).astype(np.uint8), distance_hw if panorama else local_hw3[..., 2]


@pytest.fixture(params=MODELS)
def section(request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Section:
    parameters, width, height, _ = MODELS[request.param]
    projection = projection_of(request.param, parameters, width, height)
    frames: list[dict[str, Any]] = []
    for name, pose in zip(NAMES, POSES, strict=True):
        image_hw3, depth_hw = photo_of(projection, pose)
        files.write_image(tmp_path / "project" / "images" / name, image_hw3)
        np.save(tmp_path / "project" / f"{name}.npy", depth_hw)
        T_wc = pose.T_wc.copy()
        T_wc[:3, 1:3] *= -1  # OpenGL's axes
        depth = {"depth_file_path": f"{name}.npy", "depth_unit_scale_factor": 1.0}
        frames.append({"file_path": f"images/{name}", "transform_matrix": T_wc.tolist(), **depth})
    names = {"f": "fl_x", "fx": "fl_x", "fy": "fl_y"}
    from transpose.geometry.camera_models import MODELS as TABLE

    lens = {names.get(name, name): value for name, value in zip(TABLE[request.param], parameters, strict=True)}
    content = {"camera_model": request.param, "w": width, "h": height, **lens, "frames": frames}
    (tmp_path / "project" / "transforms.json").write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        setup_nerfstudio(tmp_path / "project", tmp_path / "scene")
    return open_section(tmp_path / "scene" / "train")


def views_of(section: Section) -> int:
    return MODELS[json.loads((section.scene.parent / "project" / "transforms.json").read_text())["camera_model"]][3]


def test_frames_show_what_a_pinhole_camera_there_would_see(section: Section) -> None:
    assert len(section) == 2 * views_of(section)
    for frame in section.frames:
        camera = frame.camera
        rays_hw3 = camera.unproject(pixel_centers(camera.width, camera.height))
        expected_hw3, points_hw3 = room_seen(frame.pose.center, rays_hw3 @ frame.pose.R_wc.T)
        off_hw3 = np.abs(frame.image() - expected_hw3)
        # JPEG alone is a level; half a pixel aside would be two or more.
        assert off_hw3.mean() < 1.3, frame.stem
        assert np.quantile(off_hw3, 0.99) < 12, frame.stem
        depth_hw = frame.depth()
        ahead_hw = (rays_hw3 @ (POSES["ab".index(frame.stem[7])].R_wc.T @ frame.pose.R_wc).T)[..., 2]
        ahead_hw /= np.linalg.norm(rays_hw3, axis=-1)
        if views_of(section) < 6:  # depth along z of what is beside the camera is not known
            assert np.array_equal(np.isfinite(depth_hw), ahead_hw > 0.2)
        else:
            assert np.isfinite(depth_hw).all()
        z_hw = transform(frame.pose.T_cw, points_hw3)[..., 2]
        assert np.nanmedian(np.abs(depth_hw - z_hw) / z_hw) < 0.005
        assert np.nanquantile(np.abs(depth_hw - z_hw) / z_hw, 0.95) < 0.06


def test_views_of_a_photo_stand_at_its_place_and_say_whose_they_are(
    section: Section, caplog: pytest.LogCaptureFixture
) -> None:
    for frame in section.frames:
        photo = section.photo_of(frame)
        pose = POSES[("images-a", "images-b").index(photo)]
        assert np.allclose(frame.pose.center, pose.center)
        assert frame.stem == photo or frame.stem.startswith(f"{photo}-")
    cut = views_of(section) > 1
    told = " ".join(record.getMessage() for record in caplog.get_records("setup"))
    assert ("cut into several views" in told) == cut
    assert len({section.photo_of(frame) for frame in section.frames}) == 2


def test_sparse_points_are_labels_of_the_views_that_show_them(tmp_path: Path) -> None:
    parameters, width, height, _ = MODELS["FISHEYE"]
    projection = projection_of("FISHEYE", parameters, width, height)
    project, sparse = tmp_path / "project", tmp_path / "project" / "sparse" / "0"
    sparse.mkdir(parents=True)
    rng = np.random.default_rng(0)
    _, points_n3 = room_seen(np.zeros(3), rng.normal(size=(500, 3)))
    images = []
    seen = " ".join(f"1 1 {i + 1}" for i in range(len(points_n3)))
    for i, (name, pose) in enumerate(zip(NAMES, POSES, strict=True)):
        files.write_image(project / "images" / name, photo_of(projection, pose)[0])
        q, t = quaternion_wxyz(pose.T_cw[:3, :3]), pose.T_cw[:3, 3]
        images += [" ".join(map(repr, [i + 1, *q.tolist(), *t.tolist(), 1])) + f" {name}", seen]
    (sparse / "cameras.txt").write_text(f"1 OPENCV_FISHEYE {width} {height} 110 110 175 175 0 0 0 0\n")
    (sparse / "images.txt").write_text("\n".join(images) + "\n")
    lines = [f"{i + 1} {x} {y} {z} 1 2 3 0.5 1 0 2 0" for i, (x, y, z) in enumerate(points_n3.tolist())]
    (sparse / "points3D.txt").write_text("\n".join(lines) + "\n")
    setup_colmap(project, tmp_path / "scene", "train")
    section = open_section(tmp_path / "scene" / "train")
    assert len(section) == 10
    for frame in section.frames:
        map_3hw = frame.coordinates().astype(np.float64)
        rows, columns = np.nonzero(np.isfinite(map_3hw).all(0))
        assert len(rows) > 10
        px_n2 = frame.camera.project(transform(frame.pose.T_cw, map_3hw[:, rows, columns].T))
        assert np.array_equal(np.floor(px_n2 / 8 + 1e-4), np.stack([columns, rows], 1))


def test_a_set_up_cut_off_between_views_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transpose.scenes import writer

    projection = projection_of("EQUIRECTANGULAR", [], 640, 320)
    files.write_image(tmp_path / "project" / "images" / "a.png", photo_of(projection, POSES[0])[0])
    frame = {"file_path": "images/a.png", "transform_matrix": np.eye(4).tolist()}
    content = {"camera_model": "EQUIRECTANGULAR", "w": 640, "h": 320, "frames": [frame]}
    (tmp_path / "project" / "transforms.json").write_text(json.dumps(content))
    add, added = writer.SectionWriter.add, []

    def cut_off(self: writer.SectionWriter, stem: str, *rest: Any) -> None:
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(stem)
        add(self, stem, *rest)

    monkeypatch.setattr(writer.SectionWriter, "add", cut_off)
    with pytest.raises(KeyboardInterrupt):
        setup_nerfstudio(tmp_path / "project", tmp_path / "scene")
    monkeypatch.setattr(writer.SectionWriter, "add", lambda *given: (added.append(given[1]), add(*given))[1])
    setup_nerfstudio(tmp_path / "project", tmp_path / "scene")
    assert sorted(added) == [f"images-a-{name}" for name in ("back", "down", "front", "left", "right", "up")]
    assert len(open_section(tmp_path / "scene" / "train")) == 6


def test_a_view_that_would_have_another_photos_name_is_refused(tmp_path: Path) -> None:
    frames = []
    for name in ("a.png", "a-left.png"):
        files.write_image(tmp_path / "project" / name, np.zeros((32, 64, 3), np.uint8))
        frames.append({"file_path": name, "transform_matrix": np.eye(4).tolist()})
    frames[1].update(camera_model="PINHOLE", fl_x=60)
    content = {"camera_model": "EQUIRECTANGULAR", "frames": frames}
    (tmp_path / "project" / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(TransposeError, match="two photos would have one name: a-left"):
        setup_nerfstudio(tmp_path / "project", tmp_path / "scene")


@pytest.mark.parametrize("words", [{"is_fisheye": True}, {"camera_model": "OPENCV_FISHEYE"}])
def test_a_fisheye_by_either_word_and_its_rim(tmp_path: Path, words: dict[str, Any]) -> None:
    files.write_image(tmp_path / "project" / "a.png", np.full((350, 350, 3), 90, np.uint8))
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}
    lens = {"fl_x": 110, "fl_y": 110, "cx": 175, "cy": 175, "k1": 0.0, "k4": 0.001, "fisheye_crop_radius": 100}
    (tmp_path / "project" / "transforms.json").write_text(json.dumps({**lens, **words, "frames": [frame]}))
    setup_nerfstudio(tmp_path / "project", tmp_path / "scene")
    (only,) = open_section(tmp_path / "scene" / "train").frames
    corner = np.hypot(only.camera.width, only.camera.height) / 2
    assert corner / only.camera.fx == pytest.approx(np.tan(100 / 110), rel=0.02)  # up to the rim
    assert only.image().min() > 85
