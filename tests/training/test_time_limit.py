"""A limit of time: how many views and steps fit it, and that a run keeps what was chosen."""

import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_fast import SETTINGS, scene  # noqa: F401
from transpose import runs
from transpose.app.cli import main
from transpose.errors import TransposeError
from transpose.models.xfeat import XFeatEncoder
from transpose.training import time_limit
from transpose.training.buffer import Filling, fill_buffer
from transpose.training.config import TrainingConfig
from transpose.training.context import Callbacks
from transpose.training.presets import PRESETS, configured
from transpose.training.request import Request
from transpose.training.sections import gather_frames
from transpose.training.start import train
from transpose.training.time_limit import Paces, as_begun

# Of 18 views and 400 steps: half of both fit 30.5 s.
PACES = Paces(18, 400, 1.0, 0.1, 1.5, 0.25, 250)


@pytest.mark.parametrize("seconds", [30.5, 20.0, 45.0, 1e6])
def test_what_fits_is_as_much_as_fits_in_the_preset_s_proportion(seconds: float) -> None:
    views, steps = PACES.fitting(seconds)
    spent = PACES.fixed_seconds + views * PACES.view_seconds + steps * (0.1 + 0.25 / 250)
    assert views <= 18 and steps <= 400
    if seconds == 1e6:
        assert (views, steps) == (18, 400)
    else:
        assert spent <= seconds or views == 16
        assert steps / 400 == pytest.approx(min(1.0, (seconds - 1.5) / 58.4), abs=0.01)
    assert Paces(0, 400, 0.0, 0.1, 1.5, 0.25, 250).fitting(21.7)[0] == 0


def test_views_that_landmarks_need_are_kept_at_the_cost_of_steps() -> None:
    """Of 900 views at 0.2 s and 3000 steps at 0.1 s, 300 views first, until steps have a quarter of the time."""
    paces = Paces(900, 3000, 0.2, 0.1, 10.0, 0.0, 250, views_first=300)
    by_seconds = [paces.fitting(seconds) for seconds in range(10, 500)]
    assert by_seconds[:22] == [(100, 20)] * 22  # the least: a machine that is busy does not make landmarks useless
    for seconds, (views, steps) in zip(range(32, 500), by_seconds[22:], strict=True):
        assert 10 + 0.2 * views + 0.1 * steps <= seconds + 1e-9
    assert by_seconds[-1] == (900, 3000) and by_seconds[250] == (468, 1562)  # the preset's proportion
    assert by_seconds[130] == (300, 700)  # in proportion: 243 and 812
    assert by_seconds[80] == (300, 200)  # in proportion: 150 and 500
    assert by_seconds[40] == (150, 100)  # in proportion: 75 and 250
    assert all(b[0] >= a[0] for a, b in pairwise(by_seconds))
    assert configured("fast", {}).views_before_steps == 300  # type: ignore[attr-defined]
    assert configured("fast", {"keypoints_per_view": 0}).views_before_steps == 0  # type: ignore[attr-defined]
    assert configured("ace", {}).views_before_steps == 0  # type: ignore[attr-defined]


def test_too_short_a_limit_is_said_and_something_is_learned(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "transpose"):
        assert PACES.fitting(-3.0) == (16, 20)
    assert "beyond the limit" in caplog.text


def test_a_resumed_run_goes_on_with_what_was_chosen() -> None:
    asked = configured("fast", {"minutes": 2.0})
    begun = {"minutes": 2.0, "steps": 321, "most_views": 77, "batch": 5}
    kept = as_begun(asked, begun)
    assert (kept.steps, kept.most_views, kept.batch) == (321, 77, asked.batch)  # type: ignore[attr-defined]
    assert as_begun(asked, {**begun, "minutes": 3.0}) == asked
    assert as_begun(configured("fast", {}), begun) == configured("fast", {})


def test_every_preset_with_steps_has_a_limit() -> None:
    for name, preset in PRESETS.items():
        if issubclass(preset.config, TrainingConfig):
            for bad in (0.0, -1.0, float("nan"), float("inf")):
                with pytest.raises(TransposeError, match="minutes must be more than 0"):
                    configured(name, {"minutes": bad})


def test_fewer_views_than_frames_are_spread_over_them(scene: Path) -> None:  # noqa: F811
    training, _ = gather_frames(scene, ["sim"], None)
    filling = Filling(6, 50, 1, True, 800, None, 0)
    filled = fill_buffer(
        training, XFeatEncoder(), np.zeros(3), filling, device=torch.device("cpu"), dtype=torch.float32
    )
    seen = sorted(set(filled.observations.frame_n.tolist()))
    assert len(seen) == 6 and seen[0] == 0 and seen[-1] == len(training) - 1
    assert max(np.diff(seen)) <= 4


def test_a_limited_run_is_resumed_to_the_weights_of_one_that_was_not_cut_off(
    scene: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []
    hours = Paces(18, 100, 1000.0, 100.0, 0.0, 0.0, 20)  # beside which what the test itself takes is nothing
    monkeypatch.setattr(time_limit, "_tried", lambda *given: tried.append(given) or hours)
    settings = {**SETTINGS, "steps": 100, "report_every": 20, "minutes": 477.2}  # 0.9 of all, beside the reserve

    def interrupt(entry: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Request(scene, ["sim"], tmp_path / "cut"), settings=settings, callbacks=Callbacks(report=interrupt))
    begun = runs.load_model(tmp_path / "cut").provenance.config
    assert (begun["most_views"], begun["steps"], begun["minutes"]) == (16, 89, 477.2)
    with pytest.raises(TransposeError, match="another configuration"):
        train(Request(scene, ["sim"], tmp_path / "cut", resume=True), settings={**settings, "minutes": 1.0})
    train(Request(scene, ["sim"], tmp_path / "cut", resume=True), settings=settings)
    assert len(tried) == 1
    whole = {**settings, "minutes": None, "steps": begun["steps"], "most_views": begun["most_views"]}
    train(Request(scene, ["sim"], tmp_path / "whole"), settings=whole)
    resumed, model = runs.load_model(tmp_path / "cut"), runs.load_model(tmp_path / "whole")
    assert resumed.progress.complete and resumed.progress.steps_done == begun["steps"]
    for name, value in model.network.weights.items():
        assert torch.equal(value, resumed.network.weights[name]), name


OF_PRESETS = {"fast": SETTINGS, "dsacstar": {"tiny": True, "height": 32}}


@pytest.mark.parametrize("preset", OF_PRESETS)
def test_a_trial_tells_paces_and_leaves_no_trace(scene: Path, tmp_path: Path, preset: str) -> None:  # noqa: F811
    settings = {**OF_PRESETS[preset], "steps": 4}
    train(Request(scene, ["sim"], tmp_path / "limited"), preset, {**settings, "minutes": 60.0})
    train(Request(scene, ["sim"], tmp_path / "free"), preset, settings)
    limited, free = runs.load_model(tmp_path / "limited"), runs.load_model(tmp_path / "free")
    assert limited.provenance.config["steps"] == 4  # an hour is enough for all
    for name, value in free.network.weights.items():
        assert torch.equal(value, limited.network.weights[name]), name


def test_the_flag(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    words = ["train", str(scene), "--sections", "sim", "--out", str(tmp_path / "run"), "--minutes", "0"]
    assert main(words) == 1
    assert "minutes must be more than 0" in capsys.readouterr().err and not (tmp_path / "run").exists()
