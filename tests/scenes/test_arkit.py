"""Recordings of ARKit in the formats of the 3D Scanner App and of ARKitScenes."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.scenes import phone_scan
from tests.scenes.phone_scan import DEPTH_SIZE, LENS, OPENGL, WALL_M, check_frame, photo, true_depth, true_pose
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.poses import compose, exp_so3, transform
from transpose.scenes import open_section
from transpose.scenes.facts import scene_up
from transpose.scenes.setup.arkit import setup_arkit

FIRST_S = 4325.25
# From a world whose y is up to one whose z is.
Z_UP = compose(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), np.zeros(3))


def depth_and_confidence(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Millimetres and ARKit's degrees; depth of the first column is unreliable, and wrong."""
    depth = np.rint(true_depth(number, LENS.resized(*DEPTH_SIZE)) * 1000).astype(np.uint16)
    confidence = np.full(depth.shape, 2, np.uint8)
    depth[:, 0], confidence[:, 0], confidence[:, 1] = 300, 0, 1
    return depth, confidence


def write_scanner_app(folder: Path, frames: int = 6, image_every: int = 2) -> Path:
    """What the app's `All Data` holds: poses and depth of every frame, images of some."""
    folder.mkdir(parents=True)
    for k in range(frames):
        T_wc = phone_scan.true_pose(k) @ OPENGL
        K = [LENS.fx, 0, LENS.cx, 0, LENS.fy, LENS.cy, 0, 0, 1]
        content = {"cameraPoseARFrame": T_wc.ravel().tolist(), "intrinsics": K, "projectionMatrix": [0.0] * 16}
        content |= {"averageAngularVelocity": 0.3, "motionQuality": 1, "time": 100 + k / 60, "frame_index": k}
        (folder / f"frame_{k:05d}.json").write_text(json.dumps(content))
        if k % image_every == 0:
            cv2.imwrite(str(folder / f"frame_{k:05d}.jpg"), photo(k)[:, :, ::-1])
        depth, confidence = depth_and_confidence(k)
        cv2.imwrite(str(folder / f"depth_{k:05d}.png"), depth)
        cv2.imwrite(str(folder / f"conf_{k:05d}.png"), confidence)
    (folder / "info.json").write_text('{"device": "iPhone14,3"}')
    return folder


def write_arkitscenes(folder: Path, frames: int = 13, images: str = "lowres_wide", poses_every: int = 2) -> Path:
    """A scan as Apple publishes it: images 60 times a second, poses of some of them."""
    names = (images, f"{images}_intrinsics", "lowres_depth", "confidence")
    for name in names:
        (folder / name).mkdir(parents=True)
    lines = []
    for k in range(frames):
        seconds = FIRST_S + k / 60
        name = f"{folder.name}_{seconds:.3f}"
        if k % poses_every == 0:
            T_cw = np.linalg.inv(Z_UP @ phone_scan.true_pose(k))
            numbers = [*Rotation.from_matrix(T_cw[:3, :3]).as_rotvec(), *T_cw[:3, 3]]
            lines.append(" ".join([f"{seconds:.8f}", *(f"{number:.10f}" for number in numbers)]))
        cv2.imwrite(str(folder / images / f"{name}.png"), photo(k)[:, :, ::-1])
        camera = (LENS.width, LENS.height, LENS.fx, LENS.fy, LENS.cx, LENS.cy)
        late = f"{folder.name}_{seconds + 0.001:.3f}"  # as intrinsics are at times
        (folder / names[1] / f"{late}.pincam").write_text(" ".join(map(str, camera)))
        depth, confidence = depth_and_confidence(k)
        cv2.imwrite(str(folder / "lowres_depth" / f"{name}.png"), depth)
        cv2.imwrite(str(folder / "confidence" / f"{name}.png"), confidence)
    (folder / "lowres_wide.traj").write_text("\n".join(lines) + "\n")
    return folder


def test_an_export_of_the_app_becomes_a_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, scene = write_scanner_app(tmp_path / "export" / "2026_01_13_14_47_59"), tmp_path / "scene"
    assert main(["setup", "arkit", "--source", str(source.parent), "--out", str(scene)]) == 0
    assert capsys.readouterr().out.strip() == str(scene / "train")
    section = open_section(scene / "train")
    assert [frame.stem for frame in section.frames] == ["frame_00000", "frame_00002", "frame_00004"]
    assert scene_up(scene).tolist() == [0, 1, 0]
    for number, frame in zip((0, 2, 4), section.frames, strict=True):
        check_frame(frame, number)
        assert np.isnan(frame.depth()[:, 0]).all() and np.isfinite(frame.depth()[:, 9]).all()
    assert section.facts.depth == "png_mm" and section.facts.metric
    assert main(["info", str(scene), "--check"]) == 0
    assert {path.name for path in scene.iterdir()} == {"train", "scene.json"}


@pytest.mark.parametrize("images", ["lowres_wide", "vga_wide"])
def test_a_scan_of_arkitscenes_becomes_a_section(tmp_path: Path, images: str) -> None:
    source, scene = write_arkitscenes(tmp_path / "47333462", images=images), tmp_path / "scene"
    (written,) = setup_arkit(source, scene, every=2)
    section = open_section(written)
    assert [frame.stem for frame in section.frames] == [f"47333462_{FIRST_S + k / 60:.3f}" for k in (0, 4, 8, 12)]
    for number, frame in zip((0, 4, 8, 12), section.frames, strict=True):
        assert np.allclose(frame.pose.T_wc, Z_UP @ true_pose(number), atol=1e-6)
        assert (frame.camera.width, frame.camera.fx, frame.camera.cy) == (LENS.width, LENS.fx, LENS.cy)
        depth_hw = frame.depth()
        assert np.isnan(depth_hw[:, 0]).all() and np.isfinite(depth_hw[:, 9]).all()
        assert np.nanmedian(np.abs(depth_hw - true_depth(number, LENS))) < 0.001
    assert section.facts.licence is not None and "non-commercial" in section.facts.licence
    assert main(["info", str(scene), "--check"]) == 0


@pytest.mark.parametrize("write", [write_scanner_app, write_arkitscenes])
@pytest.mark.parametrize("quarters", [1, 3])
def test_a_phone_held_upright_gives_upright_photos(
    tmp_path: Path, quarters: int, write: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_44 = compose(exp_so3(np.array([0.0, 0.0, np.pi / 2 * quarters])), np.zeros(3))
    monkeypatch.setattr(phone_scan, "true_pose", lambda number: true_pose(number) @ turn_44)
    (written,) = setup_arkit(write(tmp_path / "scan", frames=5), tmp_path / "scene", every=1)
    assert main(["info", str(tmp_path / "scene"), "--check"]) == 0
    world = np.eye(4) if write is write_scanner_app else Z_UP
    for number, frame in zip((0, 2, 4), open_section(written).frames, strict=True):
        assert np.allclose(frame.pose.T_wc, world @ true_pose(number), atol=1e-6)
        assert frame.camera.width < frame.camera.height
        rays_hw3 = frame.camera.unproject(pixel_centers(frame.camera.width, frame.camera.height))
        points_hw3 = transform(np.linalg.inv(world) @ frame.pose.T_wc, rays_hw3 * frame.depth()[..., None])
        assert np.nanmedian(np.abs(points_hw3[..., 2] + WALL_M)) < 1e-3


def test_frames_by_list_and_without_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_scanner_app(tmp_path / "scan")
    (tmp_path / "list.txt").write_text("frame_00002\n")
    (source / "depth_00002.png").unlink()
    (source / "frame_00004.json").unlink()
    with caplog.at_level(logging.WARNING):
        (written,) = setup_arkit(source, tmp_path / "scene", "test", tmp_path / "list.txt")
    assert [frame.stem for frame in open_section(written).frames] == ["frame_00002"]
    assert not open_section(written).has("depth")
    assert "1 of 3 images" in caplog.text and "no .json" in caplog.text and "1 of 1 frames of test" in caplog.text


def _json(path: Path, **changed: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"intrinsics": [1.0] * 8}, "frame_00000.json is not a frame of the 3D Scanner App"),
        ({"intrinsics": [9, 0, 0, 0, 9, 0, 4, 3, 1]}, r"last row of its intrinsics is \[4.0, 3.0, 1.0\]"),
        ({"intrinsics": None}, "not a frame of the 3D Scanner App"),
        ({"intrinsics": ["x"] * 9}, "not a frame of the 3D Scanner App"),
        ({"cameraPoseARFrame": [0.0] * 16}, "its pose is not rigid"),
        ({"cameraPoseARFrame": [float("nan")] * 16}, "its pose is not rigid: it holds NaN"),
        ({"cameraPoseARFrame": true_pose(1).T.ravel().tolist()}, "its last row is"),
        ({"cameraPoseARFrame": "no"}, "its pose is no matrix"),
    ],
)
def test_broken_frames_are_named(tmp_path: Path, changed: dict[str, object], words: str) -> None:
    source = write_scanner_app(tmp_path / "scan", frames=1)
    _json(source / "frame_00000.json", **changed)
    with pytest.raises(TransposeError, match=words):
        setup_arkit(source, tmp_path / "scene")
    assert not (tmp_path / "scene").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("lowres_wide.traj", "1 2 3\n", "lines of 7 numbers"),
        ("lowres_wide.traj", "", "is empty"),
        ("lowres_wide.traj", "1 nan 0 0 0 0 0\n", "lines of 7 numbers"),
        ("lowres_wide.traj", "9 0 0 0 0 0 0\n", "no image of .* has a pose: they were taken from 4325.250 to"),
        ("lowres_wide_intrinsics/scan_4325.251.pincam", "256 192 0 0 0 0", "is not a camera, `width height"),
        ("lowres_wide_intrinsics/scan_4325.251.pincam", "256 192 1", "is not a camera, `width height"),
        ("lowres_wide_intrinsics/scan_4325.251.pincam", None, "has no file of its moment in .*lowres_wide_intrinsics"),
        ("lowres_wide/scan.png", "", "is not named VIDEO_SECONDS"),
    ],
)
def test_broken_scans_are_named(tmp_path: Path, name: str, content: str | None, words: str) -> None:
    source = write_arkitscenes(tmp_path / "scan", frames=2)
    if content is None:
        (source / name).unlink()
    else:
        (source / name).write_text(content)
    with pytest.raises(TransposeError, match=words):
        setup_arkit(source, tmp_path / "scene")


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "frame_00000.json").write_text('{"shapes": []}')
    with pytest.raises(TransposeError, match=r"is no recording of ARKit, which has frame_.*All Data"):
        setup_arkit(labels, tmp_path / "scene")
    with pytest.raises(TransposeError, match="is not a folder"):
        setup_arkit(labels / "frame_00000.json", tmp_path / "scene")
    both = tmp_path / "both"
    for name in ("a", "b"):
        write_scanner_app(both / name, frames=1)
    with pytest.raises(TransposeError, match=r"several recordings of ARKit \(a, b\); name one"):
        setup_arkit(both, tmp_path / "scene")
    (both / "a" / "frame_00000.jpg").unlink()
    with pytest.raises(TransposeError, match=r"holds poses .* and no frame_\*.jpg"):
        setup_arkit(both / "a", tmp_path / "scene")
    bare = write_arkitscenes(tmp_path / "bare", frames=1)
    (bare / "lowres_wide_intrinsics").rename(bare / "elsewhere")
    with pytest.raises(TransposeError, match=r"holds no wide/ with wide_intrinsics/ or .*download these assets"):
        setup_arkit(bare, tmp_path / "scene")
