"""Prioritized replay as the sampler of a training: resumed, shared by processes, and no part of one without it."""

import io
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.test_baselines import TINY, slim  # noqa: F401
from tests.training.test_presets import HEAD, scene  # noqa: F401
from tests.training.test_sources import frames  # noqa: F401
from transpose import runs
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.randomness import stream
from transpose.scenes.augment import AugmentOptions
from transpose.training.context import Callbacks, TrainingContext
from transpose.training.draws import Replayed, TypicalLoss
from transpose.training.pose_regression import PoseObjective
from transpose.training.presets import configured, preset_of
from transpose.training.ranks import ALONE
from transpose.training.request import Request
from transpose.training.second_stage import EndToEndConfig
from transpose.training.sections import gather_frames
from transpose.training.sources import ImageSource
from transpose.training.start import train
from transpose.training.views import TrainingFrame

CPU = torch.device("cpu")
FAST: dict[str, Any] = {
    "steps": 30,
    "batch": 64,
    "views": 30,
    "head": HEAD,
    "report_every": 10,
    "keypoints_per_view": 0,
}
REPLAYED: list[tuple[str, dict[str, Any]]] = [
    ("fast", FAST),
    ("fast", FAST | {"accumulate": 2}),
    ("ace", {"steps": 20, "batch": 64, "buffer_megabytes": 2, "width": 32, "report_every": 5}),
    ("dsacstar", {"steps": 6, "height": 48, "tiny": True, "report_every": 2}),
    ("crossloc", {"steps": 2, "height": 48, "batch": 2, "accumulate": 2, "report_every": 1}),
    ("atloc", TINY),
    ("atloc", TINY | {"group": 2, "skip": 2}),
]
# Each process writes a file of its own: lines of two that share a pipe may run into one another.
_LOSSES = """
import json, pathlib, sys
import torch
from transpose.training.draws import Replayed
from transpose.training.ranks import joined
with joined(torch.device("cpu")) as ranks:
    replay = Replayed(50, 12, 20, 0, ranks, ahead_items=12)
    for step in range(20):
        for part in range(2):
            mine = ranks.shard(replay.indices(step).chunk(2)[part])
            loss_n = (mine[:, None] * torch.tensor([0.5, 1.5])).flatten()  # two cells of each item
            mean = ranks.mean(replay.weighted(loss_n, step, part, 2))
        replay.renew(step)
    told = [float(mean), replay.state()["shares"].tolist(), replay.indices(21).tolist()]
    pathlib.Path(sys.argv[1], str(ranks.rank)).write_text(json.dumps(told))
"""


def play(replay: Replayed, first: int, steps: int) -> list[list[int]]:
    """What is drawn where each item's loss is its number, squared."""
    drawn = []
    for step in range(first, first + steps):
        index_b = replay.indices(step)
        replay.weighted(index_b.float() ** 2, step, 0, 1)
        replay.renew(step)
        drawn.append(index_b.tolist())
    return drawn


def test_what_is_not_learned_is_drawn_more_often() -> None:
    """Ten photos among a thousand renders, whose loss stays five times as large."""
    replay = Replayed(1010, 100, 200, 0, ALONE)
    photos, means = 0, []
    for step in range(200):
        index_b = replay.indices(step)
        loss_b = torch.where(index_b < 10, 5.0, 1.0) * (0.5 + torch.from_numpy(stream(0, str(step)).random(100)))
        means.append(float(replay.weighted(loss_b, step, 0, 1)))
        photos += int((index_b < 10).sum())
        replay.renew(step)
    assert 2.0 < photos / (200 * 100 * 10 / 1010) < 5.0
    assert np.mean(means[-60:]) == pytest.approx(1.04, abs=0.05)  # the mean over all, though they are drawn oftener


@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (1e-3, 0.0), (40.0, -700.0)])
def test_neither_unit_nor_sign_of_losses_matter(scale: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    typical, same = TypicalLoss(np.zeros(3)), TypicalLoss(np.zeros(3))
    for _ in range(30):
        loss_b, weight_b = rng.exponential(size=100), rng.uniform(0.5, 1.5, 100)
        error_b = typical.errors(loss_b, weight_b)
        assert np.allclose(same.errors(scale * loss_b + shift, weight_b), error_b, atol=1e-9)
    mean = np.average(loss_b, weights=weight_b)
    assert error_b[np.abs(loss_b - mean) < 0.1].mean() == pytest.approx(1.0, abs=0.1)
    assert np.all(np.diff(error_b[np.argsort(loss_b)]) >= 0) and error_b.min() >= 0


def test_losses_that_are_all_alike_are_typical() -> None:
    typical = TypicalLoss(np.zeros(3))
    assert typical.errors(np.full(4, -2.0), np.ones(4)).tolist() == [1.0] * 4
    assert typical.errors(np.array([]), np.array([])).tolist() == []


@pytest.mark.parametrize("ahead_items", [0, 40])
def test_a_restored_sampler_draws_on_as_the_one_that_was_saved(ahead_items: int) -> None:
    whole = play(Replayed(200, 16, 30, 0, ALONE, ahead_items), 0, 30)
    cut = Replayed(200, 16, 30, 0, ALONE, ahead_items)
    assert play(cut, 0, 13) == whole[:13]
    cut.weighted(torch.zeros(8), 13, 0, 2)  # half of a step, in which it is cut off
    file = io.BytesIO()
    torch.save(cut.state(), file)
    file.seek(0)
    resumed = Replayed(200, 16, 30, 0, ALONE, ahead_items)
    resumed.restore(torch.load(file, weights_only=True))
    assert play(resumed, 13, 17) == whole[13:]
    with pytest.raises(TransposeError, match="do not fit the 100 items"):
        Replayed(100, 16, 30, 0, ALONE, ahead_items).restore(cut.state())


def test_a_loss_that_is_no_number_spoils_no_priority() -> None:
    replay = Replayed(20, 4, 10, 0, ALONE)
    for step in range(2):
        replay.weighted(torch.tensor([1.0, torch.nan, torch.inf, 2.0]), step, 0, 1)
        replay.renew(step)
    play(replay, 2, 8)
    assert replay.state()["shares"].isfinite().all()


def test_images_drawn_by_replay_do_not_depend_on_threads(frames: list[TrainingFrame]) -> None:  # noqa: F811
    seen = []
    for threads in (1, 5):
        replay = Replayed(len(frames), 2, 8, 3, ALONE, ahead_items=5)
        source = ImageSource(
            frames, np.zeros(3), 2, AugmentOptions(), seed=3, device=CPU, ranks=ALONE, threads=threads, replay=replay
        )
        with closing(source):
            for step in range(8):
                for part in range(2):
                    image_b3hw, cells = source.batch(step, part, 2)
                    replay.weighted(image_b3hw.mean(dim=(1, 2, 3)), step, part, 2)
                    seen.append((threads, image_b3hw, cells.T_cw_n34))
                replay.renew(step)
    few, many = ([each[1:] for each in seen if each[0] == threads] for threads in (1, 5))
    for (a, T_a), (b, T_b) in zip(few, many, strict=True):
        assert torch.equal(a, b) and torch.equal(T_a, T_b)


@pytest.mark.usefixtures("slim", "narrow_crossloc")
@pytest.mark.parametrize("preset, settings", REPLAYED)
def test_every_preset_with_steps_resumes_bit_by_bit(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    preset: str,
    settings: dict[str, Any],
) -> None:
    settings = settings | {"replay": True}

    def interrupt(entry: dict[str, float]) -> None:
        raise KeyboardInterrupt

    train(Request(scene, ["sim"], tmp_path / "whole"), preset, settings)
    with pytest.raises(KeyboardInterrupt):
        train(Request(scene, ["sim"], tmp_path / "cut"), preset, settings, Callbacks(report=interrupt))
    train(Request(scene, ["sim"], tmp_path / "cut", resume=True), preset, settings)
    whole, cut = (runs.load_state(tmp_path / name) for name in ("whole", "cut"))
    for name, value in whole["weights"].items():
        assert torch.equal(value, cut["weights"][name]), name
    assert torch.equal(whole["replay"]["shares"], cut["replay"]["shares"])
    assert len(whole["replay"]["shares"].unique()) > 1
    with pytest.raises(TransposeError, match="another configuration"):
        train(Request(scene, ["sim"], tmp_path / "cut", resume=True), preset, settings | {"replay": False})


def test_without_replay_steps_are_what_they_were(scene: Path, tmp_path: Path) -> None:  # noqa: F811
    """Bit for bit those of a loop that knows of none."""
    train(Request(scene, ["sim"], tmp_path / "run"), "fast", FAST | {"precision": "float32"})
    saved = runs.load_state(tmp_path / "run")
    config = configured("fast", FAST | {"precision": "float32"})
    training, validation = gather_frames(scene, ["sim"], None)
    origin_3 = np.array(saved["origin"])
    context = TrainingContext(training, validation, origin_3, CPU, torch.float32, ALONE, Callbacks())
    plan: Any = preset_of("fast").plan(config, context)
    for step in range(FAST["steps"]):
        inputs, targets = plan.source.batch(step, 0, 1)
        plan.optimizer.zero_grad(set_to_none=True)
        plan.objective(plan.module(inputs).float(), targets, step)[0].mean().backward()
        plan.optimizer.step()
        plan.schedule.step()
    assert plan.replay is None and saved["replay"] is None
    for name, value in plan.module.state_dict().items():
        assert torch.equal(value, saved["weights"][name]), name


def test_groups_apart_have_the_mean_that_they_have_together() -> None:
    raw_nk, pose_n6 = torch.randn(12, 10), torch.randn(12, 6)
    raw_nk[:, 6:] = torch.randn(4)
    standard: Any = type("Standard", (), {"std_3": np.ones(3)})
    together_n, apart_n = (PoseObjective(3, standard, apart)(raw_nk, pose_n6, 0)[0] for apart in (False, True))
    assert torch.allclose(together_n.mean(), apart_n.mean(), rtol=1e-5)
    one_n = PoseObjective(3, standard, True)(raw_nk[3:6], pose_n6[3:6], 0)[0]
    assert torch.allclose(apart_n[3:6], one_n, rtol=1e-5)  # what a group counts is its own alone


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch cannot run several processes")
def test_processes_draw_the_same_and_what_one_alone_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, shared = (tmp_path / name for name in ("alone", "shared"))
    alone.mkdir()
    shared.mkdir()
    monkeypatch.setattr(sys, "argv", ["losses", str(alone)])
    exec(_LOSSES, {})  # the one in this process, which has PyTorch already
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    done = subprocess.run(
        [*launcher, sys.executable, "-c", _LOSSES, str(shared)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert [sorted(file.name for file in out.iterdir()) for out in (alone, shared)] == [["0"], ["0", "1"]]
    told = [json.loads(file.read_text()) for file in (alone / "0", shared / "0", shared / "1")]
    assert told[0][1:] == told[1][1:] == told[2][1:]
    assert [each[0] for each in told] == pytest.approx([told[0][0]] * 3, rel=1e-6)


@pytest.mark.parametrize("preset", ["matching", "retrieval"])
def test_a_preset_without_steps_refuses_it(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    preset: str,
) -> None:
    words = ["--sections", "sim", "--out", str(tmp_path / "run"), "--preset", preset, "--replay"]
    assert main(["train", str(scene), *words]) == 1
    assert f"the preset {preset} has no --replay" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_second_stage_refuses_it() -> None:
    with pytest.raises(ValueError, match="leave --replay away"):
        EndToEndConfig(replay=True)


def test_an_empty_section_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for layer in ("rgb", "poses", "calibration"):
        (tmp_path / "scene" / "photos" / layer).mkdir(parents=True)
    words = ["--sections", "photos", "--out", str(tmp_path / "run"), "--replay"]
    assert main(["train", str(tmp_path / "scene"), *words]) == 1
    assert "holds no images" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
