"""Recordings of Record3D, in its format."""

from __future__ import annotations

import json
import struct
import sys
import types
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.scenes.phone_scan import DEPTH_SIZE, LENS, OPENGL, check_frame, photo, true_depth, true_pose
from transpose.app.cli import main
from transpose.errors import MissingPackageError, TransposeError
from transpose.geometry.lens import Lens
from transpose.scenes import open_section
from transpose.scenes.facts import scene_up
from transpose.scenes.lzfse import unpacked_lzfse
from transpose.scenes.setup.record3d import setup_record3d

UPRIGHT = Lens(96, 128, 110.0, 110.0, 47.0, 65.0)


def as_raw_stream(data: bytes) -> bytes:
    """An LZFSE stream of blocks that are not packed, which the format has for what cannot be packed."""
    half = len(data) // 2
    blocks = [b"bvx-" + struct.pack("<I", len(part)) + part for part in (data[:half], data[half:])]
    return b"".join(blocks) + b"bvx$"


def write_r3d(path: Path, frames: int = 3, lens: Lens = LENS, own_lens: bool = False) -> Path:
    """A file as the app writes it; its depth is unreliable in the first column."""
    depth_size = DEPTH_SIZE if lens.width > lens.height else DEPTH_SIZE[::-1]
    poses = []
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(frames):
            T_wc = true_pose(k) @ OPENGL
            poses.append([*Rotation.from_matrix(T_wc[:3, :3]).as_quat(), *T_wc[:3, 3]])
            depth = true_depth(k, lens.resized(*depth_size)).astype("<f4")
            confidence = np.full(depth.shape, 2, np.uint8)
            depth[:, 0], confidence[:, 0], depth[0, 3] = 0.3, 0, np.nan
            archive.writestr(f"rgbd/{k}.jpg", cv2.imencode(".jpg", photo(k, lens)[:, :, ::-1])[1].tobytes())
            archive.writestr(f"rgbd/{k}.depth", as_raw_stream(depth.tobytes()))
            archive.writestr(f"rgbd/{k}.conf", as_raw_stream(confidence.tobytes()))
        metadata = {
            "w": lens.width, "h": lens.height, "dw": depth_size[0], "dh": depth_size[1], "fps": 60, "cameraType": 1,
            "K": [lens.fx, 0, 0, 0, lens.fy, 0, lens.cx, lens.cy, 1], "poses": poses, "initPose": [0, 0, 0, 1, 0, 0, 0],
            "frameTimestamps": [k / 60 for k in range(frames)],
        }  # fmt: skip
        if own_lens:
            metadata["K"] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
            metadata["perFrameIntrinsicCoeffs"] = [[lens.fx, lens.fy, lens.cx, lens.cy]] * frames
        archive.writestr("metadata", json.dumps(metadata))
        archive.writestr("icon", b"")
    return path


@pytest.mark.parametrize(("lens", "own_lens"), [(LENS, False), (LENS, True), (UPRIGHT, False)])
def test_a_recording_becomes_a_section(
    tmp_path: Path, lens: Lens, own_lens: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    source, scene = write_r3d(tmp_path / "room.r3d", lens=lens, own_lens=own_lens), tmp_path / "scene"
    assert main(["setup", "record3d", "--source", str(source), "--out", str(scene), "--every", "1"]) == 0
    section = open_section(scene / "train")
    assert [frame.stem for frame in section.frames] == ["000000", "000001", "000002"]
    assert scene_up(scene).tolist() == [0, 1, 0]
    for number, frame in enumerate(section.frames):
        check_frame(frame, number, lens)
        assert np.isnan(frame.depth()[:, 0]).all() and np.isfinite(frame.depth()[9, 9])
    assert main(["info", str(scene), "--check"]) == 0
    assert {path.name for path in scene.iterdir()} == {"train", "scene.json"}


def test_a_folder_that_is_unpacked_by_list_and_step(tmp_path: Path) -> None:
    folder = tmp_path / "room"
    with zipfile.ZipFile(write_r3d(tmp_path / "room.r3d")) as archive:
        archive.extractall(folder)
    (folder / "rgbd" / "1.depth").unlink()
    (written,) = setup_record3d(folder, tmp_path / "scene")
    assert [frame.stem for frame in open_section(written).frames] == ["000000", "000002"]  # 3 cm are too little
    (tmp_path / "list.txt").write_text("000001")
    (written,) = setup_record3d(folder, tmp_path / "scene", "test", tmp_path / "list.txt")
    assert not open_section(written).has("depth")


def edited(tmp_path: Path, name: str, content: bytes) -> Path:
    """A recording one of whose files is something else."""
    source = write_r3d(tmp_path / "whole.r3d", frames=1)
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(tmp_path / "broken.r3d", "w") as broken:
        for each in whole.namelist():
            broken.writestr(each, content if each == name else whole.read(each))
    return tmp_path / "broken.r3d"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metadata", b"{", "metadata of .* is not valid JSON"),
        ("metadata", b"[]", "metadata of .* is not understood"),
        ("metadata", b'{"w": 4}', "is not understood: it lacks 'h'"),
        ("metadata", b'{"w": 4, "h": 3, "poses": [], "K": []}', "it holds no poses"),
        (
            "metadata",
            b'{"w": 4, "h": 3, "poses": [[0,0,0,0,1,1,1]], "K": [1,0,0,0,1,0,0,0,1]}',
            "is not the quaternion",
        ),
        ("rgbd/0.jpg", b"none", "000000.jpg is not a readable image"),
        ("rgbd/0.depth", b"none", "0.depth of .*: it is not packed with LZFSE"),
        ("rgbd/0.depth", b"bvx-\1", "0.depth of .*: it is truncated"),
        ("rgbd/0.depth", b"bvx-\1\0\0\0abvx$", "0.depth of .*: it holds 1 bytes, not 3072"),
    ],
)
def test_broken_recordings_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    with pytest.raises(TransposeError, match=words):
        setup_record3d(edited(tmp_path, name, content), tmp_path / "scene")
    assert not (tmp_path / "scene" / "train").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "a.r3d"
    with pytest.raises(TransposeError, match=r"a\.r3d does not exist"):
        setup_record3d(other, tmp_path / "scene")
    other.write_bytes(b"none")
    with pytest.raises(TransposeError, match=r"is not a \.r3d file"):
        setup_record3d(other, tmp_path / "scene")
    zipfile.ZipFile(other, "w").close()
    with pytest.raises(TransposeError, match="holds no metadata; is it a recording of Record3D"):
        setup_record3d(other, tmp_path / "scene")


def test_packed_streams_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = b"bvx2" + bytes(8)
    monkeypatch.setitem(sys.modules, "lzfse", None)
    with pytest.raises(MissingPackageError, match=r"lzfse is needed to read the depth of Record3D.*\[phones\]"):
        unpacked_lzfse(packed, 4)
    package = types.ModuleType("lzfse")
    package.error, package.decompress = ValueError, lambda data: data[-4:]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lzfse", package)
    assert unpacked_lzfse(packed, 4) == bytes(4)
