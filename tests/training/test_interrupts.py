"""Trainings that are cut off, at any moment and by anything, and what is left of them."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.training.test_presets import HEAD, scene  # noqa: F401
from transpose import runs
from transpose.errors import Terminated, TransposeError
from transpose.losses.uncertainty import nll
from transpose.training import clock, loop, objectives
from transpose.training.context import Callbacks
from transpose.training.divergence import GuardedOptimizer, all_finite
from transpose.training.interrupts import defer_signals
from transpose.training.request import Request
from transpose.training.start import train

SETTINGS = {"steps": 60, "batch": 64, "views": 30, "head": HEAD, "precision": "float32", "report_every": 20}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


class KillError(Exception):
    """Stands for a kill: nothing is saved on the way out."""


def killed_at(step: int) -> Callbacks:
    def report(entry: dict[str, float]) -> None:
        if entry["step"] >= step:
            raise KillError

    return Callbacks(report=report)


@pytest.fixture(scope="module")
def whole(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A run that nothing cut off."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(Request(scene, ["sim"], run), settings=SETTINGS)
    return run


@pytest.mark.parametrize("save_seconds", [0.0, 0.05, 1e9])
def test_after_a_kill_resuming_gives_what_no_kill_would(
    scene: Path,  # noqa: F811
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    save_seconds: float,
) -> None:
    monkeypatch.setattr(clock, "_SAVE_SECONDS", save_seconds)
    with pytest.raises(KillError):
        train(Request(scene, ["sim"], tmp_path / "cut"), settings=SETTINGS, callbacks=killed_at(40))
    train(Request(scene, ["sim"], tmp_path / "cut", resume=True), settings=SETTINGS)
    cut, uncut = (runs.load_model(run).network.weights for run in (tmp_path / "cut", whole))
    assert all(torch.equal(value, cut[name]) for name, value in uncut.items())
    assert [entry["step"] for entry in runs.read_log(tmp_path / "cut")] == [20, 40, 60]


def test_a_loss_that_is_no_number_stops_at_the_last_good_weights(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(objectives, "nll", lambda *of: spoiled_at_30(nll(*of)))
    monkeypatch.setattr(loop, "rehearsal", lambda *_: lambda: 0.0)  # which would count as well
    steps = itertools.count()

    def spoiled_at_30(loss_n: torch.Tensor) -> torch.Tensor:
        return loss_n * (torch.inf if next(steps) == 30 else 1.0)

    with pytest.raises(TransposeError, match=r"the loss became (nan|inf) at step 31; .*last good state"):
        train(Request(scene, ["sim"], tmp_path / "run"), settings=SETTINGS)
    state, model = runs.load_state(tmp_path / "run"), runs.load_model(tmp_path / "run")
    assert state["step"] == model.progress.steps_done == 30
    assert all_finite([state["weights"], state["optimizer"], model.network.weights])


def test_weights_too_large_to_be_stored_are_not_saved(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "_SAVE_SECONDS", 0.0)
    with pytest.raises(TransposeError, match=r"the loss became (nan|inf) at step \d+; nothing was saved yet"):
        train(Request(scene, ["sim"], tmp_path / "run"), settings={**SETTINGS, "learning_rate": 1e18})
    assert not runs.holds_run(tmp_path / "run")


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch cannot run several processes")
def test_a_loss_that_is_no_number_on_one_rank_stops_all_at_the_last_good_weights(
    scene: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    command = [*TORCHRUN, "tests.training.spoiled_rank", str(scene), str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    for rank in (0, 1):
        assert f"rank {rank}: the loss became nan at step 31; " in done.stdout, done.stderr[-2000:]
    assert done.stdout.count("holds the last good state") == 2
    assert "FutureWarning" not in done.stderr
    state, model = runs.load_state(tmp_path / "run"), runs.load_model(tmp_path / "run")
    assert state["step"] == model.progress.steps_done == 30
    assert all_finite([state["weights"], state["optimizer"], model.network.weights])


def test_the_time_left_after_resuming_follows_the_steps_of_this_sitting(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A clock that goes by one second a step."""
    now = itertools.count()
    take = GuardedOptimizer.step
    seconds = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: seconds[0]))

    def timed(self: GuardedOptimizer, step: int, loss: torch.Tensor) -> torch.Tensor:
        seconds[0] = float(next(now))
        return take(self, step, loss)

    monkeypatch.setattr(GuardedOptimizer, "step", timed)
    with pytest.raises(KillError):
        train(Request(scene, ["sim"], tmp_path / "run"), settings=SETTINGS, callbacks=killed_at(40))
    train(Request(scene, ["sim"], tmp_path / "run", resume=True), settings=SETTINGS)
    left = {entry["step"]: entry["seconds_left"] for entry in runs.read_log(tmp_path / "run")}
    assert left[40] == pytest.approx(20, rel=0.1)


def test_signals_wait_for_the_end_of_a_step() -> None:
    before = signal.getsignal(signal.SIGTERM)
    done = []
    with pytest.raises(Terminated), defer_signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("step")
        signals.check()
    assert done == ["step"]
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(KeyboardInterrupt), defer_signals():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # asked twice
        time.sleep(1)
    with pytest.raises(KeyboardInterrupt), defer_signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C reaches the whole group ...
        os.kill(os.getpid(), signal.SIGTERM)  # ... and the command that started this one ends it
        done.append("another step")
        signals.check()
    assert done == ["step", "another step"]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch cannot run several processes")
def test_a_lost_process_ends_the_job_with_a_line_and_the_run_resumes(scene: Path, tmp_path: Path) -> None:  # noqa: F811
    run, environment = tmp_path / "run", {**os.environ, "OMP_NUM_THREADS": "1"}
    endless = [*TORCHRUN, "tests.training.endless", str(scene), str(run)]
    job = subprocess.Popen(endless, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not runs.read_log(run) and time.monotonic() < deadline:
        time.sleep(0.1)
    followers = [pid for pid in _children(job.pid) if _environment(pid).get("RANK") == "1"]
    os.kill(followers[0], signal.SIGKILL)
    _, errors = job.communicate(timeout=120)
    assert job.returncode != 0
    assert "error: " in errors and "--resume" in errors
    assert "Traceback" not in errors[: errors.index("error: ")]
    lost_at = runs.load_state(run)["step"]
    assert lost_at >= 25
    job = subprocess.Popen([*endless, "--resume"], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while runs.read_log(run)[-1]["step"] <= lost_at and time.monotonic() < deadline:
        time.sleep(0.1)
    job.terminate()
    job.communicate(timeout=120)
    assert runs.load_state(run)["step"] > lost_at


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
