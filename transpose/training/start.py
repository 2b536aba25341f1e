"""From a scene folder to a trained run: checks what is there, then hands over to the loop."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import transpose
from transpose import runs
from transpose.errors import TransposeError
from transpose.models.precision import checked_device, fast_dtype
from transpose.models.xfeat import XFeatEncoder
from transpose.runs import Calibration, Checkpoint, LearnedCamera, Provenance
from transpose.scenes.digest import section_digest
from transpose.scenes.facts import read_scene_facts, read_section_facts
from transpose.training.calibration import calibrate, calibrate_by_leaving_out
from transpose.training.config import TrainingConfig
from transpose.training.context import Callbacks, TrainingContext
from transpose.training.loop import Loop
from transpose.training.presets import configured, preset_of
from transpose.training.ranks import joined, local_device
from transpose.training.second_stage import second_stage, second_stage_config, trained_network
from transpose.training.sections import gather_frames, in_learned_lengths, scene_unit, sized
from transpose.training.triangulated import triangulated
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

    @property
    def all_sections(self) -> tuple[str, ...]:
        """Those that are learned from and, if one was named, that of the validation."""
        return (*self.sections, *([self.validation] if self.validation else []))

    def digests(self) -> dict[str, str]:
        """What the sections hold, by name, so that a change is noticed."""
        return {name: section_digest(self.scene / name) for name in self.all_sections}


def train(
    request: Request,
    preset: str = "fast",
    settings: dict[str, Any] | None = None,
    callbacks: Callbacks | None = None,
) -> Path:
    """Trains a preset on sections of a scene.

    Under `torchrun` every process calls it with the same arguments; they share the work, and the first writes the run.

    Args:
        request: which run.
        preset: of `transpose.training.presets.PRESETS`.
        settings: fields of its configuration that differ from their defaults.
        callbacks: progress.

    Returns:
        The path of the model.
    """
    row, config = preset_of(preset), configured(preset, settings or {})
    row.check(config)
    device = checked_device(local_device(request.device))
    data = request.scene, request.sections, request.validation
    with joined(device) as ranks:
        gathered = gather_frames(*data, config.needs, config.sparse_labels, config.leaves_out)
        unit = scene_unit(request.scene, request.sections, gathered[0])
        training, validation = (in_learned_lengths(sized(frames, config.height), unit) for frames in gathered)
        provenance = dataclasses.replace(_provenance(request, config, training), preset=preset)
        state = state_of(request, config, provenance)
        check_run(request)
        origin_3 = _origin(training) if state is None else np.array(state.get("origin", _origin(training)))
        dtype = fast_dtype(device, config.precision)
        started = time.monotonic()
        context = TrainingContext(training, validation, origin_3, device, dtype, ranks, callbacks or Callbacks())
        if config.needs == "points" and not config.sparse_labels:  # before a run is replaced, since it may fail
            context = _with_map(context, photos=config.leaves_out)
        ranks.wait()
        if ranks.is_main:
            open_run(request, {"preset": preset, **_for_people(provenance)})
        ranks.wait()
        plan = row.plan(config, context)
        camera, height = _learned_camera(training), training[0].height
        template = Checkpoint(row.kind, None, origin_3, camera, height, provenance=provenance, unit=unit)
        loop = Loop(request.run, plan, config, template, dtype=dtype, device=device, ranks=ranks)
        finish(loop, request, context, state, started)
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
    network, stored = trained_network(first)
    config = second_stage_config(network, first.height, settings or {})
    device = checked_device(local_device(request.device))
    data = request.scene, request.sections, request.validation
    with joined(device) as ranks:
        gathered = gather_frames(*data, config.needs)
        unit = first.unit
        if scene_unit(request.scene, request.sections, gathered[0]).metric != unit.metric:
            raise TransposeError(f"{source} was trained in another unit ({unit.name}) than that of {request.scene}")
        training, validation = (in_learned_lengths(sized(frames, config.height), unit) for frames in gathered)
        provenance = dataclasses.replace(
            _provenance(request, config, training), preset=first.provenance.preset, source=str(source)
        )
        state = state_of(request, config, provenance)
        if ranks.is_main:
            open_run(request, _for_people(provenance))
        ranks.wait()
        dtype = fast_dtype(device, config.precision)
        started = time.monotonic()
        context = TrainingContext(training, validation, first.origin_3, device, dtype, ranks, callbacks or Callbacks())
        context = _with_map(context, photos=False) if config.needs == "points" else context
        plan = second_stage(config, network, stored, first.landmarks, context)
        template = Checkpoint(
            first.kind, None, first.origin_3, first.camera, config.height, provenance=provenance, unit=unit
        )
        loop = Loop(request.run, plan, config, template, dtype=dtype, device=device, ranks=ranks)
        finish(loop, request, context, state, started)
    return request.run / runs.MODEL_FILE


def _with_map(context: TrainingContext, photos: bool) -> TrainingContext:
    """With map points for the training frames that have no depth, and for `photos` that have; as it is without any."""
    which = [
        i for i, each in enumerate(context.training) if not each.frame.has("depth") or (photos and not each.rendered)
    ]
    if not which:
        return context
    encoder = XFeatEncoder().to(context.device)
    map_ = triangulated(context.training, which, encoder, context.device, context.dtype, context.callbacks.buffer)
    return dataclasses.replace(context, training=map_.frames, map=map_)


def finish(
    loop: Loop, request: Request, context: TrainingContext, state: dict[str, Any] | None, started: float
) -> None:
    """Learns, from where `state` was saved if there is one, calibrates its uncertainty, and writes it once."""
    if state is not None:
        loop.resume(state)
    loop.spent(time.monotonic() - started)
    loop.learn(context.callbacks)
    loop.save_state()
    if context.ranks.is_main:
        calibration = _calibration(loop, context)
        runs.save_model(request.run, loop.checkpoint(complete=True, calibration=calibration))
    context.ranks.wait()


def _calibration(loop: Loop, context: TrainingContext) -> Calibration:
    if loop.leave_out is not None:
        return calibrate_by_leaving_out(
            loop.checkpoint(complete=True), context.training, loop.leave_out, context.device
        )
    calibration = calibrate(loop.checkpoint(complete=True), context.validation, context.device)
    if calibration.min_score is not None and not np.isfinite(calibration.min_score):
        log.warning("no validation pose is right: poses by coordinates will be refused; train for longer")
    elif not calibration.covariance_scales:
        log.warning(
            "%d validation frames are too few to calibrate the uncertainty of poses: it is stated ten times as large, "
            "and more landmarks must agree with a pose; name a larger --val section",
            len(context.validation),
        )
    return calibration


def state_of(request: Request, config: TrainingConfig, provenance: Provenance) -> dict[str, Any] | None:
    """What to resume from, where that is asked for; None also where a run was cut off before it first saved.

    Raises:
        TransposeError: there is no run; another configuration saved it; or its data has changed since.
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
    before: dict[str, str] | None = state.get("digests")  # a state of an older version has none
    if before is not None and before != provenance.digests:
        if before.keys() != provenance.digests.keys():
            raise TransposeError(
                f"{request.run} was begun on {', '.join(before)}; resume with these sections, or --overwrite"
            )
        changed = ", ".join(
            str(request.scene / name) for name, digest in before.items() if provenance.digests[name] != digest
        )
        raise TransposeError(
            f"{changed} changed since {request.run} was begun, and what it learned does not fit any more; start again "
            "with --overwrite"
        )
    return state


def check_run(request: Request) -> None:
    """Refuses to touch a run behind the user's back."""
    run = request.run
    if request.resume and request.overwrite:
        raise TransposeError("--resume goes on with a run, --overwrite removes it; choose one")
    if runs.holds_run(run) and not request.resume and not request.overwrite:
        raise TransposeError(f"{run} holds a run already; go on with --resume or replace it with --overwrite")


def open_run(request: Request, config: dict[str, Any]) -> None:
    """Makes the run folder and writes what is about to happen."""
    check_run(request)
    run = request.run
    if request.overwrite and run.exists():
        runs.remove_run(run)
    run.mkdir(parents=True, exist_ok=True)
    if not (run / runs.STATE_FILE).exists():
        runs.truncate_log(run, 0)  # of a run that was cut off before it first saved
    runs.write_config(run, config)


def _provenance(request: Request, config: TrainingConfig, training: Sequence[TrainingFrame]) -> Provenance:
    return Provenance(
        config=dataclasses.asdict(config),
        scene=str(request.scene),
        sections=tuple(request.sections),
        validation=request.validation,
        digests=request.digests(),
        licence=_licence(request),
        worlds=_worlds(request),
        frames=len(training),
        code_version=transpose.__version__,
    )


def _licence(request: Request) -> str | None:
    """Of the data: those of the sections, where they name one, else that of the scene."""
    named = [read_section_facts(request.scene / name).licence for name in request.sections]
    licences = list(dict.fromkeys(licence for licence in named if licence))
    return "; ".join(licences) or read_scene_facts(request.scene).get("licence")


def _worlds(request: Request) -> tuple[str, ...]:
    """Which worlds the sections show, those of them that were rendered."""
    facts = [read_section_facts(request.scene / name) for name in request.sections]
    return tuple(dict.fromkeys(each.source for each in facts if each.rendered and each.source))


def _for_people(provenance: Provenance) -> dict[str, Any]:
    """What config.json says: where the run comes from, and every field of the configuration beside it."""
    facts = dataclasses.asdict(provenance)
    return {**facts.pop("config"), **facts}


def _learned_camera(training: Sequence[TrainingFrame]) -> LearnedCamera:
    first = training[0]
    return LearnedCamera(first.frame.camera, "rendered" if first.rendered else "calibration")


def _origin(frames: Sequence[TrainingFrame]) -> np.ndarray:
    """A local origin near the cameras, whole numbers, so that float32 coordinates keep their digits."""
    return np.mean([frame.frame.pose.center for frame in frames], axis=0).round()
