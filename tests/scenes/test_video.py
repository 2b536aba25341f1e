"""A video alone as a section."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.scenes.painted_wall import photo_of_wall
from tests.scenes.test_reconstruct import FakePlacer
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.geometry.lens import Lens
from transpose.geometry.poses import compose
from transpose.scenes import open_section
from transpose.scenes.setup.reconstruct import ReconstructOptions
from transpose.scenes.setup.video import setup_video
from transpose.scenes.video import sharp_frames, video_facts, video_frames

LENS = Lens(160, 120, 120.0, 120.0, 80.0, 60.0)
FRAMES, STEP_PX = 40, 4.0


def write_video(path: Path, frames: int = FRAMES) -> Path:
    """A walk along a wall at 15 images a second, each 4 pixels on; every other image is blurred."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 15, (LENS.width, LENS.height))
    for k in range(frames):
        T_wc = compose(np.eye(3), np.array([k * STEP_PX * 2.0 / LENS.fx - 2.0, 0.0, 0.0]))
        image = photo_of_wall(T_wc, LENS, 2.0)
        video.write(cv2.GaussianBlur(image, (0, 0), 2.5 if k % 2 else 0.3)[:, :, ::-1])
    video.release()
    return path


def test_images_are_sharp_and_evenly_spaced(tmp_path: Path) -> None:
    path = write_video(tmp_path / "walk.mp4")
    facts = video_facts(path)
    assert (facts.width, facts.height, facts.rate_hz, facts.count) == (LENS.width, LENS.height, 15, FRAMES)
    numbers = sharp_frames(path, facts)
    assert all(number % 2 == 0 for number in numbers)
    stretches = (FRAMES - 1) * STEP_PX / LENS.width / 0.15
    assert abs(len(numbers) - stretches) <= 1.5
    still = cv2.VideoWriter(str(tmp_path / "still.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 15, (64, 48))
    for _ in range(20):
        still.write(np.full((48, 64, 3), 127, np.uint8))
    still.release()
    assert len(sharp_frames(tmp_path / "still.mp4", video_facts(tmp_path / "still.mp4"))) == 1


def test_single_images_are_those_of_their_numbers(tmp_path: Path) -> None:
    path = write_video(tmp_path / "walk.mp4", frames=8)
    every = dict(video_frames(path, range(8)))
    some = dict(video_frames(path, [2, 5, 11]))
    assert list(every) == list(range(8)) and list(some) == [2, 5]
    assert np.array_equal(some[2], every[2]) and np.array_equal(some[5], every[5])


def test_a_video_becomes_a_section(tmp_path: Path) -> None:
    path = write_video(tmp_path / "walk.mp4")
    options = ReconstructOptions(focal_px=120.0)
    (written,) = setup_video(path, tmp_path / "scene", "mine", FakePlacer(), options, every=10)
    section = open_section(written)
    assert [frame.stem for frame in section.frames] == ["000000", "000010", "000020", "000030"]
    assert section.facts.source == "video:walk.mp4" and not section.facts.metric
    assert {each.name for each in (tmp_path / "scene").iterdir()} == {"mine", "scene.json"}


def test_what_is_no_video_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "walk.mp4"
    path.write_bytes(b"none")
    assert main(["setup", "video", "--source", str(path), "--out", str(tmp_path / "scene")]) == 1
    assert "is not a video that can be read here" in capsys.readouterr().err
    with pytest.raises(TransposeError, match="photos that can be read; 3 are the least"):
        write_video(path, frames=2)
        setup_video(path, tmp_path / "scene", "train", FakePlacer(), ReconstructOptions())
    assert not (tmp_path / "scene").exists()
