"""`transpose undistort` and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from transpose.app.cli import main
from transpose.scenes import files


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png"):
        image_hw3 = rng.integers(0, 255, (96, 128, 3)).astype(np.uint8)
        files.write_image(folder / name, image_hw3, None if name.endswith("png") else 95)
    return folder


def test_photos_come_out_at_the_size_that_was_asked_for(photos: Path, tmp_path: Path) -> None:
    lens = ["--model", "OPENCV", "--parameters", "100", "100", "63", "49", "-0.1", "0.01", "0", "0"]
    assert main(["undistort", str(photos), "--out", str(tmp_path / "out"), *lens, "--size", "60", "40"]) == 0
    for name in ("a.jpg", "b.png"):
        path = tmp_path / "out" / "rgb" / name
        assert files.image_size(path) == (60, 40)
        camera = files.read_camera(tmp_path / "out" / "calibration" / f"{path.stem}.txt", 60, 40)
        assert (camera.cx, camera.cy, camera.k1) == (30.0, 20.0, 0.0)
        assert camera.fx == pytest.approx(100 * 60 / 128, rel=0.05)


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "no focal length in its EXIF"),
        (["--focal", "100", "--model", "PINHOLE"], "give one"),
        (["--model", "OPENCV", "--parameters", "1"], "has 8 parameters, got 1"),
        (["--focal", "100", "--lens-size", "100", "100"], "another shape"),
    ],
)
def test_bad_lenses_are_refused(
    photos: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["undistort", str(photos / "a.jpg"), "--out", str(tmp_path / "out"), *words]) == 1
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.jpg"))
    assert main(["undistort", str(tmp_path / "nothing"), "--out", str(tmp_path / "out"), "--focal", "9"]) == 1
