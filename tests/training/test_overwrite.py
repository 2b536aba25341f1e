"""`--overwrite`: the run that is there stays until another one has taken its place."""

from pathlib import Path

import pytest

from tests.training.test_interrupts import SETTINGS, KillError, killed_at
from tests.training.test_presets import scene  # noqa: F401
from transpose import runs
from transpose.errors import TransposeError
from transpose.runs import folder
from transpose.training import clock
from transpose.training.request import Request
from transpose.training.start import train

FEW = SETTINGS | {"steps": 20}


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


@pytest.fixture
def run(scene: Path, tmp_path: Path) -> Path:  # noqa: F811
    train(Request(scene, ["sim"], tmp_path / "run"), settings=FEW)
    (tmp_path / "run" / "notes.md").write_text("mine")
    return tmp_path / "run"


def test_what_ends_before_it_has_saved_anything_leaves_the_run_as_it_was(scene: Path, run: Path) -> None:  # noqa: F811
    before = contents(run)
    with pytest.raises(KillError):
        train(Request(scene, ["sim"], run, overwrite=True), settings=SETTINGS, callbacks=killed_at(20))
    assert contents(run) == before
    with pytest.raises(TransposeError, match="nothing was saved yet"):
        train(Request(scene, ["sim"], run, overwrite=True), settings={**SETTINGS, "learning_rate": 1e18})
    assert contents(run) == before


def test_what_has_saved_takes_the_place_and_goes_on(
    scene: Path,  # noqa: F811
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "_SAVE_SECONDS", 0.0)
    with pytest.raises(KillError):
        train(Request(scene, ["sim"], run, overwrite=True), settings=SETTINGS, callbacks=killed_at(40))
    assert runs.load_state(run)["config"]["steps"] == 60
    train(Request(scene, ["sim"], run, resume=True), settings=SETTINGS)
    assert runs.load_model(run).progress.complete
    assert sorted(contents(run)) == ["config.json", "log.jsonl", "model.pt", "notes.md", "state.pt"]


def test_a_killed_one_says_where_the_run_is(scene: Path, run: Path) -> None:  # noqa: F811
    """A kill leaves no time to put anything back."""
    model = (run / "model.pt").read_bytes()
    for _ in range(2):  # the second one does not take the first one's leavings for a run
        runs.set_aside(run)
        runs.write_config(run, {"steps": 60})
    with pytest.raises(TransposeError, match=r"--resume in place of --overwrite, or move what is in .*\.replaced back"):
        runs.load_model(run)
    assert (run / folder._ASIDE / "model.pt").read_bytes() == model
    train(Request(scene, ["sim"], run, resume=True), settings=FEW | {"steps": 21})
    assert runs.load_state(run)["step"] == 21
    assert not (run / folder._ASIDE).exists()
