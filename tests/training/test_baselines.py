"""The presets `retrieval` and `atloc`: from a section to a localizer, through the doors that people use."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.test_atloc import torchvision_state
from tests.training.test_presets import scene  # noqa: F401
from transpose import runs
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.localization import load
from transpose.models import atloc
from transpose.scenes.layout import open_section
from transpose.training.context import Callbacks
from transpose.training.pose_regression import groups_of
from transpose.training.presets import configured
from transpose.training.request import Request
from transpose.training.sections import gather_frames
from transpose.training.start import train

TINY = {"steps": 6, "batch": 4, "height": 32, "report_every": 2, "precision": "float32", "learning_rate": 1e-4}


@pytest.mark.parametrize(
    "words",
    [(), ("--pose", "nearest"), ("--descriptor", "gem", "--top", "3"), ("--contrastive",)],
    ids=["mean", "nearest", "gem", "contrastive"],
)
def test_retrieval_from_the_command_line(scene: Path, tmp_path: Path, words: tuple[str, ...]) -> None:  # noqa: F811
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(["train", str(scene), "--sections", "sim", "--out", str(run), "--preset", "retrieval", *words]) == 0
    model = runs.load_model(run)
    assert (model.kind, model.network, model.progress.complete) == ("retrieval", None, True)
    assert main(["test", str(run), str(scene), "--section", "sim", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["frames"] == 12
    assert results["failed"] == 12 or results["median_m"] is None or results["median_m"] < 5
    if "nearest" in words:  # the images learned from are found again, and those kept out take a neighbour's pose
        frames = open_section(scene / "sim").frames
        training = [each.frame.stem for each in gather_frames(scene, ["sim"], None)[0]]
        localizer = load(run)
        for frame in [each for each in frames if each.stem in training][:3]:
            estimate = localizer.localize(frame.image(), frame.camera)
            assert estimate.pose is not None
            np.testing.assert_allclose(estimate.pose.T_wc, frame.pose.T_wc)


def test_few_photos_are_left_out_in_turn(scene: Path, tmp_path: Path) -> None:  # noqa: F811
    """No frame is kept out of the database then, and its calibration is measured all the same."""
    facts = scene / "sim" / "section.json"
    record = facts.read_text()
    try:
        facts.write_text(json.dumps(json.loads(record) | {"rendered": False}))
        train(Request(scene, ["sim"], tmp_path / "run"), "retrieval", {"words": 8})
    finally:
        facts.write_text(record)
    model = runs.load_model(tmp_path / "run")
    assert model.database is not None and len(model.database["poses"]) == 12
    assert model.calibration.measured("retrieval") and model.calibration.min_score is not None


def test_a_vocabulary_of_more_words_than_keypoints_is_refused(scene: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(TransposeError, match="too few for a vocabulary"):
        train(Request(scene, ["sim"], tmp_path / "run"), "retrieval", {"words": 100_000})
    assert not (tmp_path / "run").exists()


@pytest.fixture
def slim(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ResNet of few channels and blocks, of which what is saved thrice is not 250 MB."""
    monkeypatch.setattr(atloc, "_WIDTHS", (16, 24, 32, 48))
    monkeypatch.setattr(atloc, "_BLOCKS", (1, 1, 1, 1))


@pytest.mark.usefixtures("slim")
@pytest.mark.parametrize("group", [1, 2])
def test_atloc_from_the_command_line(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    group: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    words = ["--preset", "atloc", "--steps", "2", "--batch", "4", "--height", "32", "--group", str(group)]
    with caplog.at_level("INFO"):
        assert main(["train", str(scene), "--sections", "sim", "--out", str(run), *words]) == 0
    assert "from scratch" in caplog.text
    model = runs.load_model(run)
    assert (model.kind, model.progress.steps_done) == ("pose_regression", 2)
    assert model.network is not None and model.network.name == "atloc"
    assert main(["test", str(run), str(scene), "--section", "sim", "--out", str(out)]) == 0
    assert json.loads((out / "results.json").read_text())["frames"] == 12


def test_imagenets_weights_begin_the_training(scene: Path, tmp_path: Path) -> None:  # noqa: F811
    torch.save(torchvision_state(), tmp_path / "resnet34.pth")
    settings = TINY | {"steps": 1, "weights": str(tmp_path / "resnet34.pth"), "learning_rate": 1e-12}
    train(Request(scene, ["sim"], tmp_path / "run"), "atloc", settings)
    model = runs.load_model(tmp_path / "run")
    assert model.network is not None
    found = model.network.weights["backbone.layer4.2.conv2.weight"]
    torch.testing.assert_close(found, torchvision_state()["layer4.2.conv2.weight"])


@pytest.mark.parametrize("content, message", [(b"no weights", "resnet34.pth"), (None, "does not exist")])
def test_weights_that_cannot_be_read_leave_nothing(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    message: str,
) -> None:
    path = tmp_path / "resnet34.pth"
    if content is not None:
        path.write_bytes(content)
    words = ["--preset", "atloc", "--weights", str(path), "--out", str(tmp_path / "run")]
    assert main(["train", str(scene), "--sections", "sim", *words]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("slim")
@pytest.mark.parametrize("group", [1, 2])
def test_atloc_resumes_bit_by_bit(scene: Path, tmp_path: Path, group: int) -> None:  # noqa: F811
    settings = TINY | {"group": group, "skip": 2}

    def interrupt(entry: dict[str, float]) -> None:
        if entry["step"] == 4:
            raise KeyboardInterrupt

    train(Request(scene, ["sim"], tmp_path / "whole"), "atloc", settings)
    with pytest.raises(KeyboardInterrupt):
        train(Request(scene, ["sim"], tmp_path / "cut"), "atloc", settings, Callbacks(report=interrupt))
    train(Request(scene, ["sim"], tmp_path / "cut", resume=True), "atloc", settings)
    whole, cut = (runs.load_model(tmp_path / name).network for name in ("whole", "cut"))
    assert whole is not None and cut is not None
    for name, value in whole.weights.items():
        assert torch.equal(value, cut.weights[name]), name


def test_groups_are_neighbours_of_one_section(scene: Path) -> None:  # noqa: F811
    frames, _ = gather_frames(scene, ["sim"], None)
    for group, skip in ((1, 10), (3, 2), (3, 10), (5, 1), (20, 1)):
        groups = groups_of(frames, group, skip)
        assert [len(each) for each in groups] == [group] * len(frames)
        assert min(map(min, groups)) >= 0 and max(map(max, groups)) < len(frames)
        apart = {b - a for each in groups for a, b in itertools.pairwise(each)}
        assert apart <= ({min(skip, 3)} if group == 3 else {0, 1}), (group, skip)
        assert all(frame in each for frame, each in enumerate(groups))
    assert groups_of(frames, 3, 2)[5] == [3, 5, 7]


def test_settings_that_contradict_one_another_are_refused() -> None:
    for preset, settings, message in (
        ("atloc", {"height": None}, "needs a height"),
        ("atloc", {"group": 3}, "multiple of --group, but 64"),
        ("retrieval", {"descriptor": "netvlad"}, "vlad or gem"),
        ("retrieval", {"top": 0}, "must be 1 or more"),
        ("retrieval", {"steps": 5}, "has no --steps"),
        ("fast", {"weights": "file"}, "has no --weights"),
    ):
        with pytest.raises(TransposeError, match=message):
            configured(preset, settings)


def test_what_only_scene_coordinates_have_is_refused(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(Request(scene, ["sim"], tmp_path / "run"), "retrieval", {"words": 8})
    with pytest.raises(TransposeError, match="leave --use away"):
        load(tmp_path / "run", use="landmarks")
    words = ["test", str(tmp_path / "run"), str(scene), "--section", "sim", "--out", str(tmp_path / "out")]
    assert main([*words, "--use", "coordinates"]) == 1
    assert "leave --use away" in capsys.readouterr().err
