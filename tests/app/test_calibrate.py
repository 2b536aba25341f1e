"""`calibrate`: from photos of a known place to a camera file that `localize --camera` reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import transpose.localization
from tests.evaluation.stubs import Plain
from tests.solvers.test_calibration import START, TRUE, photos
from transpose.app.cli import main
from transpose.app.services.localizing import camera_from, camera_sigmas
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.localization import Query
from transpose.localization.candidates import Candidate
from transpose.solvers import PoseEstimate


class Knows(Plain):
    """Recognizes points in each photo, by the grey that it is filled with."""

    def __init__(self, camera: Camera = TRUE, flat: bool = False) -> None:
        super().__init__()
        self.camera = START
        self.seen, _ = photos(camera, flat=flat)

    def matches(self, query: Query, seed: int = 0) -> Candidate:
        photo = self.seen[int(query.image_hw3[0, 0, 0]) // 10]
        estimate = PoseEstimate(photo.pose, "ok", np.ones(len(photo.px_n2), bool), camera=query.camera)
        if query.image_hw3[0, 0, 1] != query.image_hw3[0, 0, 0]:
            estimate = PoseEstimate(None, "no_consensus", np.zeros(len(photo.px_n2), bool), camera=query.camera)
        return Candidate(estimate, photo.points_n3, photo.px_n2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for k in range(12):
        Image.new("RGB", (640, 480), (10 * k,) * 3).save(tmp_path / "photos" / f"{k:02}.png")
    return tmp_path / "photos"


def knowing(monkeypatch: pytest.MonkeyPatch, localizer: object) -> None:
    monkeypatch.setattr(transpose.localization, "load", lambda *_, **__: localizer)


def test_the_camera_file_is_one_that_localize_reads(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    knowing(monkeypatch, Knows())
    Image.new("RGB", (640, 480), (10, 0, 0)).save(folder / "elsewhere.png")
    out = tmp_path / "new" / "camera.json"
    assert main(["calibrate", "run", str(folder), "--out", str(out), "--focal", "500"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(out)
    assert "1 of 13 photos cannot be placed" in printed.err and "correspondences of 12 photos" in printed.err
    camera = camera_from(out, 640, 480)
    content = json.loads(out.read_text())
    for name, sigma in content["standard_deviations"].items():
        assert getattr(camera, name) == pytest.approx(getattr(TRUE, name), abs=5 * sigma)
    assert camera_from(out, 1280, 960).fx == pytest.approx(2 * camera.fx)
    assert content["held"] == [] and content["photos"] == 12


def test_what_cannot_be_calibrated_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "camera.json"

    def refused(*words: object, focal: str = "500") -> str:
        assert main(["calibrate", "run", *map(str, words), "--out", str(out), "--focal", focal]) == 1
        said = capsys.readouterr().err
        assert "Traceback" not in said and not out.exists()
        return said.splitlines()[-1]

    knowing(monkeypatch, Knows(Camera.from_focal(510.0, 640, 480), flat=True))
    assert "do not tell the focal length" in refused(folder)
    knowing(monkeypatch, Knows())
    assert "name photos" in refused()
    assert "2 of 2 photos can be placed, and a camera needs three" in refused(folder / "00.png", folder / "01.png")
    assert "does not exist" in refused(tmp_path / "nowhere")
    Image.new("RGB", (480, 640)).save(folder / "portrait.png")
    assert "one size and orientation" in refused(folder)
    (folder / "portrait.png").unlink()
    knowing(monkeypatch, Plain())
    assert "matches no points" in refused(folder)
    assert "not -3" in refused(folder, focal="-3")


def test_a_folder_is_no_camera_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    knowing(monkeypatch, Knows())
    assert main(["calibrate", "run", str(folder), "--out", str(folder)]) == 1
    assert main(["calibrate", "run", str(folder), "--out", str(folder / "c.json"), "--camera", "none.json"]) == 1


def test_help_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["calibrate", "--help"])
    assert end.value.code == 0
    assert "standard deviations" in " ".join(capsys.readouterr().out.split())


def test_each_photo_counts_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    knowing(monkeypatch, Knows())
    out, first = tmp_path / "camera.json", folder / "00.png"
    words = ["calibrate", "run", str(first), str(folder), str(first), "--out", str(out), "--focal", "500"]
    assert main(words) == 0
    assert json.loads(out.read_text())["photos"] == 12 and "cannot be placed" not in capsys.readouterr().err


def test_what_a_calibration_says_of_itself_goes_into_the_pose(tmp_path: Path) -> None:
    lens = {"width": 640, "height": 480, "fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0, "k1": 0.0, "k2": 0.0}
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"camera": lens}))
    assert camera_sigmas(path) == (0, 0)
    path.write_text(json.dumps({"camera": lens, "standard_deviations": {"fx": 5.0, "cx": 3.0, "cy": 4.0}}))
    assert camera_sigmas(path) == (pytest.approx(0.01), pytest.approx(5 / np.sqrt(2) / 500))
    path.write_text(json.dumps({**lens, "standard_deviations": {"fx": 5.0, "cx": 3.0, "cy": 4.0}}))  # the camera itself
    assert camera_sigmas(path) == (pytest.approx(0.01), pytest.approx(5 / np.sqrt(2) / 500))
    path.write_text(json.dumps({"camera": lens, "standard_deviations": None}))
    assert camera_sigmas(path) == (0, 0)
    text = tmp_path / "camera.txt"
    text.write_text("500 0 320\n0 500 240\n0 0 1\n")
    assert camera_sigmas(text) == (0, 0)
    for wrong in ([1.0], {"fx": "x"}, {"fx": -1.0}, {"cy": float("nan")}):
        path.write_text(json.dumps({"camera": lens, "standard_deviations": wrong}))
        with pytest.raises(TransposeError, match=r"camera\.json: its standard deviations"):
            camera_sigmas(path)
    path.write_text("[]")
    with pytest.raises(TransposeError, match="holds no object"):
        camera_from(path, 640, 480)
