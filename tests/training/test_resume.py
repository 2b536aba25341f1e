"""Resuming: what was begun on one data set does not go on with another."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.test_ownership import another_process
from tests.training.test_fast import SETTINGS, scene  # noqa: F401
from transpose import runs
from transpose.errors import TransposeError
from transpose.geometry.poses import Pose
from transpose.scenes.files import read_pose, write_pose
from transpose.training.context import Callbacks
from transpose.training.request import Request
from transpose.training.start import train

LONG = {**SETTINGS, "steps": 60, "report_every": 20}


def cut_off(folder: Path, sections: list[str], run: Path, validation: str | None = None) -> None:
    def interrupt(entry: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Request(folder, sections, run, validation), settings=LONG, callbacks=Callbacks(report=interrupt))


@pytest.fixture
def own(scene: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A copy whose files a test may change, and a second section 2 m further west."""
    shutil.copytree(scene, tmp_path / "scene")
    shutil.copytree(tmp_path / "scene" / "sim", tmp_path / "scene" / "west")
    for path in (tmp_path / "scene" / "west" / "poses").iterdir():
        write_pose(path, Pose(read_pose(path).T_wc - np.eye(4)[:, [0]] * np.array([0, 0, 0, 2.0])))
    return tmp_path / "scene"


def test_another_section_is_refused(own: Path, tmp_path: Path) -> None:
    cut_off(own, ["sim"], tmp_path / "run")
    before = (tmp_path / "run" / "state.pt").read_bytes()
    with pytest.raises(TransposeError, match="was begun on sim; resume with these sections"):
        train(Request(own, ["west"], tmp_path / "run", resume=True), settings=LONG)
    assert (tmp_path / "run" / "state.pt").read_bytes() == before


@pytest.mark.parametrize("complete", [False, True])
def test_sections_keep_their_roles(own: Path, tmp_path: Path, complete: bool) -> None:
    """What is validated on does not become what is learned from, nor does the order change."""
    request = Request(own, ["sim"], tmp_path / "run", validation="west")
    if complete:
        train(request, settings={**LONG, "steps": 5})
    else:
        cut_off(own, ["sim"], tmp_path / "run", validation="west")
    settings = {**LONG, "steps": 5} if complete else LONG
    for sections, validation in ((["west"], "sim"), (["sim", "west"], None), (["west", "sim"], None)):
        other = Request(own, sections, tmp_path / "run", validation=validation, resume=True)
        with pytest.raises(TransposeError, match=r"was begun on sim in this order, --val west; resume with the same"):
            train(other, settings=settings)
    train(replace(request, resume=True), settings=settings)
    assert runs.load_model(tmp_path / "run").progress.complete


@pytest.mark.parametrize("change", ["pose", "frame"])
def test_a_section_that_changed_is_refused(own: Path, tmp_path: Path, change: str) -> None:
    cut_off(own, ["sim"], tmp_path / "run")
    first = sorted((own / "sim" / "poses").iterdir())[0]
    if change == "pose":
        write_pose(first, Pose(read_pose(first).T_wc + np.eye(4)[:, [0]] * np.array([0, 0, 0, 0.5])))
    else:
        for layer in ("rgb", "poses", "calibration", "depth", "init", "normal", "semantics"):
            for path in (own / "sim" / layer).glob(f"{first.stem}.*"):
                path.unlink()
    with pytest.raises(TransposeError, match=r"sim changed since .* start again with --overwrite"):
        train(Request(own, ["sim"], tmp_path / "run", resume=True), settings=LONG)


def test_where_nothing_was_saved_it_starts_from_the_beginning(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So that one command does for a job that is put back into its queue, whenever it was killed."""
    with caplog.at_level("INFO"):
        for run in ("resumed", "plain"):
            train(Request(own, ["sim"], tmp_path / run, resume=run == "resumed"), "retrieval", {"words": 8})
    assert "nothing was saved in" in caplog.text
    resumed, plain = (runs.load_model(tmp_path / run).database for run in ("resumed", "plain"))
    assert resumed is not None and plain is not None and np.array_equal(resumed["poses"], plain["poses"])
    before = (tmp_path / "plain" / runs.MODEL_FILE).read_bytes()
    train(Request(own, ["sim"], tmp_path / "plain", resume=True), "retrieval", {"words": 8})  # nothing is left to do
    assert (tmp_path / "plain" / runs.MODEL_FILE).read_bytes() == before
    with pytest.raises(TransposeError, match="was begun with another configuration"):
        train(Request(own, ["sim"], tmp_path / "plain", resume=True), "retrieval", {"words": 9})


def test_of_a_run_that_is_done_nothing_is_done_again(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request, settings = Request(own, ["sim"], tmp_path / "run", resume=True), {**SETTINGS, "steps": 20}
    model = train(request, settings=settings)
    before, first = model.stat().st_mtime_ns, runs.load_model(tmp_path / "run")
    with caplog.at_level("INFO"):
        train(request, settings=settings)
    assert model.stat().st_mtime_ns == before and "is complete" in caplog.text
    model.write_bytes(b"damaged")
    train(request, settings=settings)  # from the state beside it
    again = runs.load_model(tmp_path / "run")
    assert again.progress.complete and again.network is not None and first.network is not None
    assert all(torch.equal(value, again.network.weights[name]) for name, value in first.network.weights.items())


def test_another_process_in_the_run_folder_is_told_of(own: Path, tmp_path: Path) -> None:
    with another_process("use", tmp_path / "run"):
        for resume in (False, True):
            with pytest.raises(TransposeError, match=r"another process .* is writing .*run"):
                train(Request(own, ["sim"], tmp_path / "run", resume=resume), settings=LONG)
    assert not runs.holds_run(tmp_path / "run")


def test_the_origin_is_that_of_the_first_sitting(own: Path, tmp_path: Path) -> None:
    cut_off(own, ["sim"], tmp_path / "run")
    state = runs.load_state(tmp_path / "run")
    moved = [value + 1 for value in state["origin"]]  # as another rounding of the same frames' mean would be
    runs.save_state(tmp_path / "run", {**state, "origin": moved})
    train(Request(own, ["sim"], tmp_path / "run", resume=True), settings=LONG)
    assert runs.load_model(tmp_path / "run").origin_3.tolist() == moved
