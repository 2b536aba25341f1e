"""Trainings that are cut off, at any moment and by anything, and what is left of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.training.test_presets import HEAD, scene  # noqa: F401
from transpose import runs
from transpose.errors import Terminated, TransposeError
from transpose.training import loop
from transpose.training.interrupts import put_off
from transpose.training.loop import Callbacks
from transpose.training.start import Request, train

SETTINGS = {"steps": 60, "batch": 64, "head": HEAD, "precision": "float32", "report_every": 20}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


class KillError(Exception):
    """Stands for a kill: nothing is saved on the way out."""


def killed_at(step: int) -> Callbacks:
    def report(entry: dict[str, float]) -> None:
        if entry["step"] >= step:
            raise KillError

    return Callbacks(report=report)


@pytest.mark.parametrize("save_seconds", [0.0, 0.05, 1e9])
def test_after_a_kill_resuming_gives_what_no_kill_would(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    save_seconds: float,
) -> None:
    monkeypatch.setattr(loop, "_SAVE_SECONDS", save_seconds)
    with pytest.raises(KillError):
        train(Request(scene, ["sim"], tmp_path / "cut"), settings=SETTINGS, callbacks=killed_at(40))
    train(Request(scene, ["sim"], tmp_path / "cut", resume=True), settings=SETTINGS)
    train(Request(scene, ["sim"], tmp_path / "whole"), settings=SETTINGS)
    cut, whole = (runs.load_model(tmp_path / name).network.weights for name in ("cut", "whole"))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    assert [entry["step"] for entry in runs.read_log(tmp_path / "cut")] == [20, 40, 60]


def test_a_loss_that_is_no_number_stops_at_the_last_good_weights(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "_SAVE_SECONDS", 0.0)
    with pytest.raises(TransposeError, match=r"the loss became (nan|inf) at step \d+; .*last good state") as error:
        train(Request(scene, ["sim"], tmp_path / "run"), settings={**SETTINGS, "learning_rate": 1e18})
    state = runs.load_state(tmp_path / "run")
    assert all(value.isfinite().all() for value in state["weights"].values())
    assert f"step {state['step'] + 1}" in str(error.value)


def test_signals_wait_for_the_end_of_a_step() -> None:
    before = signal.getsignal(signal.SIGTERM)
    done = []
    with pytest.raises(Terminated), put_off() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("step")
        asked.check()
    assert done == ["step"]
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(KeyboardInterrupt), put_off():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # asked twice
        time.sleep(1)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch cannot run several processes")
def test_a_lost_process_ends_the_job_with_a_line_and_the_run_resumes(scene: Path, tmp_path: Path) -> None:  # noqa: F811
    words = ["train", str(scene), "--sections", "sim", "--batch", "64", "--precision", "float32", "--steps"]
    run, environment = tmp_path / "run", {**os.environ, "OMP_NUM_THREADS": "1"}
    endless = [*TORCHRUN, "transpose", *words, "100000", "--out", str(run)]
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
    assert lost_at >= 250
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
