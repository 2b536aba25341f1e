"""Recordings of Stray Scanner, in its format."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.scenes import phone_scan
from tests.scenes.phone_scan import DEPTH_SIZE, LENS, check_frame, photo, true_depth, true_pose
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry.cameras import pixel_centers
from transpose.geometry.poses import Pose, compose, exp_so3, transform
from transpose.scenes import open_section
from transpose.scenes.facts import scene_up
from transpose.scenes.setup.handheld import lidar_depth, stepped
from transpose.scenes.setup.posed_photos import PosedPhoto
from transpose.scenes.setup.stray import setup_stray
from transpose.scenes.setup.upright import quarters_to_upright

HEAD = "timestamp, frame, x, y, z, qx, qy, qz, qw"


def write_stray(folder: Path, frames: int = 6, head: str | None = HEAD, own_lens: bool = False) -> Path:
    """A folder as the app writes it; its depth is unreliable in the first column."""
    for name in ("depth", "confidence"):
        (folder / name).mkdir(parents=True)
    video = cv2.VideoWriter(str(folder / "rgb.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 60, (LENS.width, LENS.height))
    lines = [] if head is None else [head + (", fx, fy, cx, cy" if own_lens else "")]
    for k in range(frames):
        video.write(photo(k)[:, :, ::-1])
        depth = np.rint(true_depth(k, LENS.resized(*DEPTH_SIZE)) * 1000).astype(np.uint16)
        confidence = np.full(depth.shape, 2, np.uint8)
        depth[:, 0], confidence[:, 0], confidence[:, 1] = 300, 0, 1
        cv2.imwrite(str(folder / "depth" / f"{k:06d}.png"), depth)
        cv2.imwrite(str(folder / "confidence" / f"{k:06d}.png"), confidence)
        T_wc = phone_scan.true_pose(k)
        numbers = [*T_wc[:3, 3], *Rotation.from_matrix(T_wc[:3, :3]).as_quat()]
        lens = [LENS.fx, LENS.fy, LENS.cx, LENS.cy] if own_lens else []
        stamp = [] if head is None else [f"{1000 + k / 60:.6f}", f"{k:06d}"]
        lines.append(", ".join([*stamp, *(f"{number:.8f}" for number in (*numbers, *lens))]))
    video.release()
    (folder / "odometry.csv").write_text("\n".join(lines) + "\n")
    rows = ([LENS.fx, 0, LENS.cx], [0, LENS.fy, LENS.cy], [0, 0, 1])
    (folder / "camera_matrix.csv").write_text("\n".join(", ".join(map(str, row)) for row in rows))
    (folder / "imu.csv").write_text("timestamp, a_x, a_y, a_z, alpha_x, alpha_y, alpha_z\n")
    return folder


@pytest.mark.parametrize(("head", "own_lens"), [(HEAD, False), (HEAD, True), (None, False)])
def test_a_recording_becomes_a_section(
    tmp_path: Path, head: str | None, own_lens: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_stray(tmp_path / "71de12f9", head=head, own_lens=own_lens)
    if own_lens:
        (source / "camera_matrix.csv").write_text("1,0,2\n0,1,2\n0,0,1\n")
    scene = tmp_path / "scene"
    assert main(["setup", "stray", "--source", str(source), "--out", str(scene), "--every", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(scene / "train")
    section = open_section(scene / "train")
    assert [frame.stem for frame in section.frames] == ["000000", "000002", "000004"]
    assert scene_up(scene).tolist() == [0, 1, 0]
    for number, frame in zip((0, 2, 4), section.frames, strict=True):
        check_frame(frame, number)
        assert np.isnan(frame.depth()[:, 0]).all() and np.isfinite(frame.depth()[:, 9]).all()
        assert np.abs(frame.image().astype(int) - photo(number)).mean() < 12
    assert section.facts.depth == "png_mm" and section.facts.metric
    assert main(["info", str(scene), "--check"]) == 0
    assert {path.name for path in scene.iterdir()} == {"train", "scene.json"}


def test_frames_are_taken_where_the_camera_moved_or_as_listed(tmp_path: Path) -> None:
    source = write_stray(tmp_path / "scan")
    (written,) = setup_stray(source, tmp_path / "scene")
    assert [frame.stem for frame in open_section(written).frames] == ["000000", "000002", "000004"]
    (tmp_path / "list.txt").write_text("000003\n000001")
    (written,) = setup_stray(source, tmp_path / "scene", "test", tmp_path / "list.txt")
    assert [frame.stem for frame in open_section(written).frames] == ["000001", "000003"]
    with pytest.raises(TransposeError, match="--every is a number of frames"):
        stepped([1], 0)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_phone_held_upright_gives_upright_photos(
    tmp_path: Path, quarters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensor lies across, turned about its axis; photo, depth and pose come out as if it had not been."""
    turn_44 = compose(exp_so3(np.array([0.0, 0.0, np.pi / 2 * quarters])), np.zeros(3))
    monkeypatch.setattr(phone_scan, "true_pose", lambda number: true_pose(number) @ turn_44)
    source = write_stray(tmp_path / "scan", frames=5)
    (written,) = setup_stray(source, tmp_path / "scene", every=2)
    assert main(["info", str(tmp_path / "scene"), "--check"]) == 0
    for number, frame in zip((0, 2, 4), open_section(written).frames, strict=True):
        assert np.allclose(frame.pose.T_wc, true_pose(number), atol=1e-5)
        assert (frame.camera.width < frame.camera.height) == (quarters != 2)
        rays_hw3 = frame.camera.unproject(pixel_centers(frame.camera.width, frame.camera.height))
        points_hw3 = transform(frame.pose.T_wc, rays_hw3 * frame.depth()[..., None])
        assert np.nanmedian(np.abs(points_hw3[..., 2] + phone_scan.WALL_M)) < 1e-3


def test_who_looks_at_the_floor_turns_nothing() -> None:
    down = Pose(compose(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T, np.zeros(3)))
    assert abs(down.R_wc[1, 2]) == 1 and quarters_to_upright([down]) == 0


def test_a_set_up_that_was_cut_off_goes_on_and_not_with_another_recording(tmp_path: Path) -> None:
    def cut_off(photos: Sequence[PosedPhoto], _: str) -> Iterator[PosedPhoto]:
        yield from photos[:1]
        raise KeyboardInterrupt

    first, second = write_stray(tmp_path / "a", frames=2), write_stray(tmp_path / "b", frames=4)
    with pytest.raises(KeyboardInterrupt):
        setup_stray(first, tmp_path / "scene", progress=cut_off, every=1)
    left = [path for path in (tmp_path / "scene").iterdir() if path.name.startswith(".train.images-")]
    assert len(left) == 1 and len(list(left[0].iterdir())) == 2
    (written,) = setup_stray(second, tmp_path / "scene", every=1)
    assert len(open_section(written)) == 4
    assert {path.name for path in (tmp_path / "scene").iterdir()} == {"train", "scene.json"}


def test_what_is_missing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_stray(tmp_path / "scan", frames=3)
    (source / "depth" / "000001.png").unlink()
    (source / "odometry.csv").open("a").write("1001, 000003, 0, 0, 0, 0, 0, 0, 1\n")
    with caplog.at_level(logging.WARNING):
        (written,) = setup_stray(source, tmp_path / "scene", every=1)
    assert [frame.has("depth") for frame in open_section(written).frames] == [True, False, True]
    assert "rgb.mp4 ends early: 1 of 4 frames are not in it" in caplog.text
    assert "1 of 3 frames of train have no depth image" in caplog.text


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("odometry.csv", b"", "odometry.csv holds no frames"),
        ("odometry.csv", b"a, b\n1, 2\n", "odometry.csv lacks the columns x, y"),
        ("odometry.csv", HEAD.encode() + b"\n1, 0, 0, 0\n", "odometry.csv, frame 0"),
        ("odometry.csv", HEAD.encode() + b"\n1, 0, 0, 0, 0, 0, 0, 0, nan\n", "frame 0: .* not the quaternion"),
        ("camera_matrix.csv", b"500\n", "camera_matrix.csv is not a camera matrix: it has 1 rows"),
        ("camera_matrix.csv", b"0,0,0\n0,0,0\n0,0,1\n", "camera_matrix.csv is not a camera matrix: focal lengths"),
        ("rgb.mp4", b"none", "rgb.mp4 is not a video that can be read here"),
        ("rgb.mp4", None, "rgb.mp4 does not exist"),
        ("depth/000000.png", b"none", "000000.png is not a 16-bit depth image"),
        ("confidence/000000.png", b"", "000000.png is not a grey image"),
    ],
)
def test_broken_recordings_are_named(tmp_path: Path, file: str, content: bytes | None, words: str) -> None:
    source = write_stray(tmp_path / "scan", frames=1)
    if content is None:
        (source / file).unlink()
    else:
        (source / file).write_bytes(content)
    with pytest.raises(TransposeError, match=words):
        setup_stray(source, tmp_path / "scene")
    assert not (tmp_path / "scene" / "train").exists()


def test_depth_between_pixels_and_at_edges() -> None:
    rows, columns = np.mgrid[0:24, 0:32] + 0.5
    plane_hw = 1 / (0.4 + 0.002 * columns + 0.003 * rows)
    large_hw = lidar_depth(plane_hw, None, 320, 240)
    rows, columns = (np.mgrid[0:240, 0:320] + 0.5) / 10
    expected_hw = 1 / (0.4 + 0.002 * columns + 0.003 * rows)
    inner = (slice(5, -5), slice(5, -5))
    assert np.allclose(large_hw[inner], expected_hw[inner], atol=1e-5)
    plane_hw[:, 16:] = 5.0  # another surface
    large_hw = lidar_depth(plane_hw, None, 320, 240)
    assert np.isnan(large_hw[:, 156:164]).all() and np.isfinite(large_hw[:, :155]).all()
    with pytest.raises(ValueError, match="of two sizes, 31 x 24 and 32 x 24"):
        lidar_depth(plane_hw, np.ones((24, 31)), 320, 240)
