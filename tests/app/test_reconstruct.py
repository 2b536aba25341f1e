"""`transpose setup reconstruct`: real photos end to end, and one line for bad input."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED
from transpose.app.cli import main
from transpose.geometry.poses import Pose, rotation_error_deg
from transpose.geometry.similarity import similarity_between
from transpose.scenes.layout import open_section

FOUNTAIN = SHARED / "fountain"
COUNT = 5


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    if not FOUNTAIN.is_dir():
        pytest.skip(f"the fountain is not at {FOUNTAIN}")
    (tmp_path / "photos").mkdir()
    for path in sorted((FOUNTAIN / "images").iterdir())[3 : 3 + COUNT]:
        shutil.copy(path, tmp_path / "photos")
    return tmp_path / "photos"


def true_poses() -> dict[str, Pose]:
    frames = json.loads((FOUNTAIN / "transforms.json").read_text(encoding="utf-8"))["frames"]
    opengl = np.diag([1.0, -1.0, -1.0, 1.0])
    return {Path(f["file_path"]).stem: Pose(np.array(f["transform_matrix"]) @ opengl) for f in frames}


def test_real_photos_become_a_scene(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("pycolmap", reason="the extra sfm is not installed")
    (photos / "cut-off.jpg").write_bytes((photos / "0004.jpg").read_bytes()[:5000])
    truth = true_poses()
    metres = float(np.linalg.norm(truth["0003"].center - truth["0007"].center))
    words = ["--scale-from", "0003", "0007.jpg", str(metres)]
    assert main(["setup", "reconstruct", "--source", str(photos), "--out", str(tmp_path / "scene"), *words]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'scene' / 'train'}\n"
    assert f"{COUNT} of {COUNT + 1} photos are placed" in caplog.text
    assert "cut-off.jpg is not placed: it cannot be read" in caplog.text
    section = open_section(tmp_path / "scene" / "train")
    assert section.facts.metric
    found = {frame.stem: frame.pose for frame in section.frames}
    true_n3 = np.array([truth[stem].center for stem in found])
    similarity = similarity_between(np.array([pose.center for pose in found.values()]), true_n3)
    assert similarity.scale == pytest.approx(1, abs=0.01)
    for stem, pose in found.items():
        moved = similarity.pose(pose)
        assert np.linalg.norm(moved.center - truth[stem].center) < 0.05
    # Centers almost on one line hardly fix the turn about it, so rotations are compared among each other.
    first = next(iter(found))
    for stem, pose in found.items():
        true_turn = truth[first].R_wc.T @ truth[stem].R_wc
        assert rotation_error_deg(found[first].R_wc.T @ pose.R_wc, true_turn) < 0.5


def test_missing_pycolmap_is_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    assert main(["setup", "reconstruct", "--source", str(photos), "--out", str(tmp_path / "scene")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: pycolmap")
    assert "pip install 'transpose-loc[sfm]'" in lines[-1]
    assert not (tmp_path / "scene").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs --source"),
        (["--source", "nowhere"], "nowhere is not a folder"),
        (["--source", ".", "--list", "list.txt"], "--list needs --section"),
        (["--source", ".", "--focal", "-3"], "--focal is a focal length in pixels"),
        (["--source", ".", "--metric"], "does not read --metric"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["setup", "reconstruct", "--out", "scene", *words]) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "scene").exists()
