"""From a scene folder to a trained run: checks what is there, then hands over to the loop."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import transpose
from transpose import runs
from transpose.errors import TransposeError
from transpose.models.precision import fast_dtype
from transpose.scenes.layout import read_scene_facts
from transpose.training.calibration import covariance_scales, error_correlation_px, least_score
from transpose.training.config import DsacStarConfigured, TrainingConfig, configured
from transpose.training.loop import Callbacks, Loop
from transpose.training.presets import Setting, check_sources, plan_for
from transpose.training.ranks import joined, local_device
from transpose.training.second_stage import second_stage, second_stage_config, trained_network
from transpose.training.sections import gather_frames
from transpose.training.validation import Validation
from transpose.training.views import TrainingFrame

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Request:
    """Which run is wanted.

    Attributes:
        scene: the scene folder.
        sections: to learn from.
        run: the run folder. One that exists is refused unless `resume` or `overwrite` says what to do with it.
        validation: section to validate on; without it a tenth of the last section is kept out.
        device: as PyTorch names it.
        resume: go on with a run that was cut off.
        overwrite: remove the run that is there.
    """

    scene: Path
    sections: Sequence[str]
    run: Path
    validation: str | None = None
    device: str = "cpu"
    resume: bool = False
    overwrite: bool = False

    def facts(self) -> dict[str, Any]:
        """What the run should remember of its data."""
        licence = read_scene_facts(self.scene).get("licence")
        return {
            "scene": str(self.scene),
            "sections": list(self.sections),
            "validation": self.validation,
            "world": licence,
        }


def train(
    request: Request,
    preset: str = "fast",
    settings: dict[str, Any] | None = None,
    callbacks: Callbacks | None = None,
) -> Path:
    """Trains a preset on sections of a scene.

    Under `torchrun` every process calls it alike; they share the work, and the first writes the run.

    Args:
        request: which run.
        preset: of `transpose.training.config.PRESETS`.
        settings: fields of its configuration that differ from their defaults.
        callbacks: progress.

    Returns:
        The path of the model.
    """
    config = configured(preset, settings or {})
    check_sources(config)
    device = usable_device(request.device)
    state = state_of(request, config)
    with joined(device) as ranks:
        sparse = isinstance(config, DsacStarConfigured) and config.sparse
        asked = request.scene, request.sections, request.validation
        training, validation = gather_frames(*asked, config.needs, sparse)
        if ranks.is_main:
            open_run(request, {**request.facts(), "preset": preset, **dataclasses.asdict(config)})
        ranks.wait()
        setting = Setting(
            training,
            validation,
            _origin(training),
            device,
            fast_dtype(device, config.precision),
            ranks,
            callbacks or Callbacks(),
        )
        started = time.monotonic()
        plan, more = plan_for(config, setting)
        facts = {**_description(config, preset, setting), **request.facts(), **more}
        loop = Loop(request.run, plan, config, facts, dtype=setting.dtype, device=device, ranks=ranks)
        if state is not None:
            loop.resume(state)
        assert isinstance(plan.validation, Validation)
        finish(loop, request, setting, plan.validation, started)
    return request.run / runs.MODEL_FILE


def train_end_to_end(
    request: Request,
    source: Path,
    settings: dict[str, Any] | None = None,
    callbacks: Callbacks | None = None,
) -> Path:
    """Trains on from a finished run, through the pose, into another run folder.

    Args:
        request: which run; its folder is the new one.
        source: the run folder to start from.
        settings: fields of its configuration (`second_stage_config`) that differ from their defaults.
        callbacks: progress.

    Returns:
        The path of the model.
    """
    first = runs.load_model(source)
    network = trained_network(first)
    config = second_stage_config(network, first.get("height"), settings or {})
    device, state = usable_device(request.device), state_of(request, config)
    with joined(device) as ranks:
        training, validation = gather_frames(request.scene, request.sections, request.validation, config.needs)
        if ranks.is_main:
            open_run(request, {**request.facts(), "source": str(source), **dataclasses.asdict(config)})
        ranks.wait()
        dtype = fast_dtype(device, config.precision)
        origin_3 = np.array(first["origin"])
        setting = Setting(training, validation, origin_3, device, dtype, ranks, callbacks or Callbacks())
        started = time.monotonic()
        plan = second_stage(config, network, first, setting)
        facts = {**first, **request.facts(), "config": dataclasses.asdict(config), "source": str(source)}
        loop = Loop(request.run, plan, config, facts, dtype=dtype, device=device, ranks=ranks)
        if state is not None:
            loop.resume(state)
        assert isinstance(plan.validation, Validation)
        finish(loop, request, setting, plan.validation, started)
    return request.run / runs.MODEL_FILE


def finish(loop: Loop, request: Request, setting: Setting, validation: Validation, started: float) -> None:
    """Learns, and states how sure the result is."""
    loop.spent(time.monotonic() - started)
    loop.learn(setting.callbacks)
    loop.save(done=True)
    if setting.ranks.is_main:
        temperature = validation.temperature()
        loop.save(done=True, temperature=temperature)
        asked = request.run, str(setting.device), setting.validation
        bound = least_score(*asked)
        if not np.isfinite(bound):
            log.warning("no validation pose is right: poses by coordinates will be refused; train for longer")
        loop.save(done=True, least_score=bound)
        loop.save(
            done=True, covariance_scales=covariance_scales(*asked), error_correlation_px=error_correlation_px(*asked)
        )
    setting.ranks.wait()


def state_of(request: Request, config: TrainingConfig) -> dict[str, Any] | None:
    """What to resume from, where that is asked for; None also where a run was cut off before it first saved.

    Raises:
        TransposeError: there is no run, or another configuration saved it.
    """
    if not request.resume:
        return None
    if (request.run / runs.CONFIG_FILE).exists() and not (request.run / runs.STATE_FILE).exists():
        log.info("%s was cut off before anything was saved; it starts anew", request.run)
        return None
    state = runs.load_state(request.run)
    if state["config"] != dataclasses.asdict(config):
        raise TransposeError(
            f"{request.run} was begun with another configuration; resume with the same flags or --overwrite"
        )
    return state


def open_run(request: Request, config: dict[str, Any]) -> None:
    """Makes the run folder and writes what is about to happen; refuses to touch a run behind the user's back."""
    run = request.run
    if request.resume and request.overwrite:
        raise TransposeError("--resume goes on with a run, --overwrite removes it; choose one")
    if runs.holds_run(run) and not request.resume and not request.overwrite:
        raise TransposeError(f"{run} holds a run already; go on with --resume or replace it with --overwrite")
    if request.overwrite and run.exists():
        runs.remove_run(run)
    run.mkdir(parents=True, exist_ok=True)
    if not (run / runs.STATE_FILE).exists():
        runs.cut_log(run, 0)  # of a run that was cut off before it first saved
    runs.write_config(run, config)


def usable_device(name: str) -> torch.device:
    """The device of that name, once it is known to work."""
    try:
        device = torch.device(local_device(name))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TransposeError(f"device {name} is not usable ({str(error).splitlines()[0]}); try --device cpu") from None
    return device


def _description(config: TrainingConfig, preset: str, setting: Setting) -> dict[str, Any]:
    camera = setting.training[0].frame.camera
    return {
        "kind": "scene_coordinates",
        "preset": preset,
        "code_version": transpose.__version__,
        "config": dataclasses.asdict(config),
        "camera": dataclasses.asdict(camera),
        "height": config.height,
        "frames": len(setting.training),
        "origin": setting.origin_3.tolist(),
    }


def _origin(frames: Sequence[TrainingFrame]) -> np.ndarray:
    """A local origin near the cameras, whole metres, so that float32 coordinates keep their digits."""
    return np.mean([frame.frame.pose.center for frame in frames], axis=0).round()
