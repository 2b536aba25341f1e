"""`localize`: every photo gets its line, and each line says which camera was taken."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import transpose.localization
from tests.evaluation.stubs import CAMERA, Plain, make_section, save_run
from transpose import runs
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.localization import Query
from transpose.localization.image_input import as_image


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(transpose.localization, "load", lambda *_, **__: Plain())
    return tmp_path / "run"


def photo(path: Path, size: tuple[int, int] = (64, 48), **tags: float) -> Path:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update({int(name[1:], 16): value for name, value in tags.items()})
    Image.new("RGB", size, (40, 40, 40)).save(path, exif=exif)
    return path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_broken_photo_costs_no_other(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [photo(tmp_path / f"{name}.jpg") for name in "abc"]
    paths[1].write_bytes(paths[1].read_bytes()[:-200])
    for more in ([], ["--sequence"], ["--smooth"]):
        assert main(["localize", str(run), *map(str, paths), *more]) == 1
        printed = capsys.readouterr()
        said = [json.loads(line) for line in printed.out.splitlines()]
        assert [line["image"] for line in said] == list(map(str, paths))
        assert said[0]["pose"] and said[2]["pose"]
        assert said[1]["error"] == "is truncated; copy it again"
        assert "1 of 3 photos could not be worked on" in printed.err and "b.jpg" in printed.err
        assert "Traceback" not in printed.err
        if not more:
            assert said[1]["pose"] is None and said[1]["reason"].startswith("error: is truncated")
            assert said[1]["camera"] is None


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `ffmpeg frame%d.jpg` names them, and by times in seconds."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (10, 9, 1, 100):
        photo(folder / f"frame{number}.jpg")
    assert main(["localize", str(run), str(folder), "--sequence", "--times", "names"]) == 0
    assert [Path(line["image"]).stem for line in lines(capsys)] == ["frame1", "frame9", "frame10", "frame100"]


def test_a_folder_s_photos_are_taken_and_others_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.JPG", "a.png", "c.webp"):
        photo(folder / name)
    (folder / "d.mp4").write_bytes(b"x")
    assert main(["localize", str(run), str(folder)]) == 0
    printed = capsys.readouterr()
    assert [Path(json.loads(line)["image"]).name for line in printed.out.splitlines()] == ["a.png", "b.JPG", "c.webp"]
    assert "d.mp4 left out: a film" in printed.err
    (tmp_path / "empty").mkdir()
    assert main(["localize", str(run), str(tmp_path / "empty")]) == 1
    assert "empty holds no photos" in capsys.readouterr().err


def test_each_line_says_which_camera_was_taken(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, large = photo(tmp_path / "plain.jpg"), photo(tmp_path / "large.jpg", (128, 96))
    # 10 mm of a sensor 8 mm wide.
    exif = photo(tmp_path / "e.jpg", x920A=10.0, xA20E=203.2, xA210=2, xA002=64, xA003=48)
    lens, matrix = tmp_path / "camera.json", tmp_path / "camera.txt"
    lens.write_text(json.dumps({"camera": {"model": "RADIAL", "width": 128, "height": 96, "f": 140.0, "k1": 0.01}}))
    matrix.write_text("77 0 30\n0 78 25\n0 0 1\n")
    expected = [
        ([plain], "training", 60.0),
        ([large], "training", 120.0),
        ([exif], "exif", 80.0),
        ([exif, "--focal", "70"], "option", 70.0),
        ([exif, "--focal", "auto"], "estimated", 60.0),
        ([plain, "--camera", lens], "calibration", 70.0),
        ([plain, "--camera", matrix], "calibration", 77.0),
    ]
    for words, source, focal in expected:
        assert main(["localize", str(run), *map(str, words)]) == 0
        (line,) = lines(capsys)
        camera = line["camera"]
        assert (camera["source"], camera["fx"]) == (source, pytest.approx(focal))
        assert (camera["width"], camera["height"]) == ((128, 96) if words[0] == large else (64, 48))
    for focal in ("70", "auto"):
        assert main(["localize", str(run), str(plain), "--camera", str(lens), "--focal", focal]) == 1
    assert main(["localize", str(run), str(plain), "--focal", "0.5"]) == 1
    assert "--focal is a focal length in pixels, not 0.5" in capsys.readouterr().err
    wide = photo(tmp_path / "wide.jpg", (96, 36))  # no shape of the training images: as wide along its diagonal
    assert main(["localize", str(run), str(wide)]) == 0
    (line,) = lines(capsys)
    assert (line["camera"]["source"], line["camera"]["fx"]) == ("estimated", pytest.approx(60 * 102.53 / 80, rel=1e-3))
    tangential = {"model": "OPENCV", "width": 64, "height": 48, "f": 70.0, "p1": 0.01}
    lens.write_text(json.dumps(tangential))
    assert main(["localize", str(run), str(plain), "--camera", str(lens)]) == 1
    assert "transpose undistort" in capsys.readouterr().err


def test_a_training_that_was_cut_off_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = tmp_path / "scene"
    make_section(scene, "test")
    for complete in (True, False):
        folder = save_run(tmp_path / f"run-{complete}", scene, complete=complete)
        localizer = Plain()
        localizer.checkpoint = runs.load_model(folder)
        monkeypatch.setattr(transpose.localization, "load", lambda *_, given=localizer, **__: given)
        assert main(["localize", str(folder), str(photo(tmp_path / "a.jpg"))]) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)["training_complete"] is complete
        assert ("was cut off after 500 of 1000 steps" in printed.err and "--resume" in printed.err) is not complete
        out = tmp_path / "out"
        assert main(["test", str(folder), str(scene), "--section", "test", "--out", str(out)]) == 0
        printed = capsys.readouterr()
        assert ("was cut off after 500 of 1000 steps" in printed.err) is not complete
        assert ("cut off" in printed.out) is not complete
        assert json.loads((out / "results.json").read_text(encoding="utf-8"))["training_complete"] is complete


def test_images_of_all_kinds_are_one(tmp_path: Path) -> None:
    image_hw3 = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(image_hw3).save(path)
    image_hw3.setflags(write=False)
    with Image.open(path) as image:
        for given in (path, str(path), image, image_hw3, torch.from_numpy(image_hw3.copy()), np.asarray(image)):
            np.testing.assert_array_equal(as_image(given), image_hw3)
            query = Query.of(CAMERA, given)
            assert query.source == "training" and query.focal_sigma > 0.1
    exif = photo(tmp_path / "e.jpg", xA405=56)
    with Image.open(exif) as image:
        for given in (exif, image):
            assert Query.of(replace(CAMERA, fx=200.0), given).source == "exif"
    for wrong, remedy in (
        (np.zeros((3, 48, 64), np.uint8), "channels come last"),
        (np.zeros((48, 64, 3), np.float32), r"255 \* image"),
        (np.zeros((48, 64), np.uint8), "np.repeat"),
        (np.zeros((48, 64, 4), np.uint8), "alpha"),
        (np.zeros((2, 48, 64, 3), np.uint8), "one image of a batch"),
        (7, "not int"),
        (torch.zeros((48, 64, 3), dtype=torch.bfloat16), r"255 \* image"),
    ):
        with pytest.raises(TransposeError, match=remedy):
            as_image(wrong)  # type: ignore[arg-type]


def test_arrays_that_may_not_be_written_to_bring_no_warning() -> None:
    from tests.localization.checkpoints import checkpoint
    from transpose.localization import SceneCoordinateLocalizer
    from transpose.solvers import solve_pnp

    image_hw3 = np.zeros((96, 128, 3), np.uint8)
    points_n3, px_n2 = np.random.default_rng(0).uniform(1, 2, (9, 3)), np.random.default_rng(1).uniform(0, 90, (9, 2))
    for array in (image_hw3, points_n3, px_n2):
        array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SceneCoordinateLocalizer(checkpoint()).localize(image_hw3, focal_px=100.0)
        solve_pnp(px_n2, points_n3, np.diag([90.0, 90.0, 1.0]))


def test_how_sure_a_pose_is_stands_in_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    localizer = Plain()
    found = localizer.localize_query(Query.of(CAMERA, np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)))
    sure = replace(found, confidence=0.25)
    monkeypatch.setattr(localizer, "localize_query", lambda *_, **__: sure)
    asked = {}

    def load(*_: object, **how: object) -> Plain:
        asked.update(how)
        return localizer

    monkeypatch.setattr(transpose.localization, "load", load)
    assert main(["localize", str(tmp_path), str(photo(tmp_path / "a.jpg")), "--risk", "0.8"]) == 0
    assert lines(capsys)[0]["confidence"] == 0.25 and asked["risk"] == 0.8


def test_no_photo_is_an_error(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["localize", str(run)]) == 1
    assert "name photos, or folders of them" in capsys.readouterr().err


def test_a_focal_length_is_a_number() -> None:
    for wrong in ("525.5", "Auto", (500.0,)):
        with pytest.raises(TransposeError, match="number of pixels, or 'auto'"):
            Query.of(CAMERA, np.zeros((48, 64, 3), np.uint8), focal_px=wrong)  # type: ignore[arg-type]
