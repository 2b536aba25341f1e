"""The doors of refinement: flags, what they refuse, and what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.evaluation.stubs import make_section, save_run
from tests.localization.checkpoints import checkpoint
from transpose import runs
from transpose.app.cli import main
from transpose.app.services.refining import kept_sentence
from transpose.runs import Provenance
from transpose.runs.serial import from_plain, to_plain
from transpose.solvers import PoseEstimate
from transpose.worlds.world import World, save_world


@pytest.mark.parametrize("command", ["test", "localize", "train"])
def test_help_tells_of_the_world(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    said = capsys.readouterr().out
    assert "--world" in said and "--refine" in said


def test_what_cannot_be_refined_is_one_line(
    tmp_path: Path, box_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, run = tmp_path / "scene", tmp_path / "run"
    section = make_section(scene, "test")
    save_run(run, scene)
    world = save_world(box_world, tmp_path / "world")
    test = ["test", str(run), str(scene), "--section", section.name, "--out", str(tmp_path / "out")]
    photo = str(section.frames[0].paths["rgb"])
    for words, said in (
        ([*test, "--world", str(world)], "--world is the world for --refine"),
        (["localize", str(run), photo, "--world", str(world)], "--world is the world for --refine"),
        ([*test, "--refine"], "--world WORLD"),
        (["localize", str(run), photo, "--refine"], "--world WORLD"),
        (["localize", str(run), photo, "--refine", "--world", str(tmp_path / "none")], "is not a world"),
    ):
        assert main(words) == 1, words
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error, words
    assert not (tmp_path / "out").exists()


def test_older_checkpoints_note_no_world(tmp_path: Path) -> None:
    plain = to_plain(checkpoint())
    del plain["provenance"]["world"]
    assert from_plain(plain).provenance.world is None
    runs.save_model(tmp_path, checkpoint(provenance=Provenance(world="w")))
    assert runs.load_model(tmp_path).provenance.world == "w"


def test_poses_that_stay_are_told() -> None:
    pose = checkpoint_pose()
    assert kept_sentence([]) == "" == kept_sentence([replace(pose, by="renders"), replace(pose, pose=None)])
    assert kept_sentence([pose, replace(pose, by="renders")]).startswith("1 of 2 poses are left")
    assert kept_sentence([pose]).endswith("Is it a world of this place?")


def checkpoint_pose() -> PoseEstimate:
    import numpy as np

    from transpose.geometry import Pose

    return PoseEstimate(Pose(np.eye(4)), "ok", np.ones(4, bool), by="landmarks")
