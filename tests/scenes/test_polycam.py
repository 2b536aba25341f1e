"""Raw exports of Polycam, in its format."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.scenes.hidden_files import with_hidden_twins
from tests.scenes.phone_scan import DEPTH_SIZE, LENS, OPENGL, check_frame, photo, true_depth, true_pose
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.scenes import open_section
from transpose.scenes.facts import scene_up
from transpose.scenes.setup.polycam import setup_polycam

FIRST_US = 116812316213


def write_polycam(folder: Path, frames: int = 3, corrected: bool = True) -> Path:
    """A folder as the app exports it; its depth is unreliable in the first column."""
    keyframes = folder / "keyframes"
    for kind in ("", "corrected_")[: 1 + corrected]:
        (keyframes / f"{kind}images").mkdir(parents=True)
        (keyframes / f"{kind}cameras").mkdir()
    for kind in ("depth", "confidence"):
        (keyframes / kind).mkdir()
    for k in range(frames):
        name = str(FIRST_US + 500000 * k)
        T_wc = true_pose(k) @ OPENGL
        camera = {f"t_{i}{j}": T_wc[i, j] for i in range(3) for j in range(4)}
        camera |= {"fx": LENS.fx, "fy": LENS.fy, "cx": LENS.cx, "cy": LENS.cy, "width": LENS.width}
        camera |= {"height": LENS.height, "blur_score": 120.5, "timestamp": int(name), "manual_keyframe": False}
        for kind in ("", "corrected_")[: 1 + corrected]:
            said = camera if kind or not corrected else {**camera, "t_03": 9.0}
            (keyframes / f"{kind}cameras" / f"{name}.json").write_text(json.dumps(said))
            cv2.imwrite(str(keyframes / f"{kind}images" / f"{name}.jpg"), photo(k)[:, :, ::-1])
        depth = np.rint(true_depth(k, LENS.resized(*DEPTH_SIZE)) * 1000).astype(np.uint16)
        confidence = np.full(depth.shape, 255, np.uint8)
        depth[:, 0], confidence[:, 0], confidence[:, 1] = 300, 0, 127
        cv2.imwrite(str(keyframes / "depth" / f"{name}.png"), depth)
        cv2.imwrite(str(keyframes / "confidence" / f"{name}.png"), confidence)
    (folder / "mesh_info.json").write_text("{}")
    return folder


@pytest.mark.parametrize("corrected", [True, False])
def test_an_export_becomes_a_section(tmp_path: Path, corrected: bool, caplog: pytest.LogCaptureFixture) -> None:
    source, scene = with_hidden_twins(write_polycam(tmp_path / "poly", corrected=corrected)), tmp_path / "scene"
    with caplog.at_level(logging.WARNING):
        (written,) = setup_polycam(source, scene)
    assert ("keep some distortion" in caplog.text) == (not corrected)
    section = open_section(written)
    assert [frame.stem for frame in section.frames] == [str(FIRST_US + 500000 * k) for k in range(3)]
    assert scene_up(scene).tolist() == [0, 1, 0]
    for number, frame in enumerate(section.frames):
        check_frame(frame, number)
        assert np.isnan(frame.depth()[:, 0]).all() and np.isfinite(frame.depth()[:, 9]).all()
    assert main(["info", str(scene), "--check"]) == 0


def test_frames_by_list_and_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, scene = write_polycam(tmp_path / "poly"), tmp_path / "scene"
    words = ["setup", "polycam", "--source", str(source / "keyframes"), "--out", str(scene)]
    assert main([*words, "--every", "2"]) == 0
    assert len(open_section(scene / "train")) == 2
    (tmp_path / "list.txt").write_text(f"{FIRST_US}\n")
    assert main([*words, "--section", "test", "--list", str(tmp_path / "list.txt")]) == 0
    assert [frame.stem for frame in open_section(scene / "test").frames] == [str(FIRST_US)]
    (source / "keyframes" / "depth" / f"{FIRST_US}.png").unlink()
    assert main([*words, "--section", "bare", "--list", str(tmp_path / "list.txt")]) == 0
    assert not open_section(scene / "bare").has("depth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "is not a camera of Polycam: it holds no object"),
        ('{"fx": 1}', "is not a camera of Polycam: it lacks 'width'"),
        ("{", "is not valid JSON"),
        (None, "is not a camera of Polycam: its pose is not rigid"),
    ],
)
def test_broken_cameras_are_named(tmp_path: Path, content: str | None, words: str) -> None:
    source = write_polycam(tmp_path / "poly", frames=1)
    path = source / "keyframes" / "corrected_cameras" / f"{FIRST_US}.json"
    path.write_text(content if content is not None else json.dumps({**json.loads(path.read_text()), "t_00": 7}))
    with pytest.raises(TransposeError, match=words):
        setup_polycam(source, tmp_path / "scene")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "scan.obj").touch()
    with pytest.raises(TransposeError, match=r"holds no cameras/\*.json; export `raw data`"):
        setup_polycam(tmp_path, tmp_path / "scene")
