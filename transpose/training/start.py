"""From a scene folder to a trained run: checks what is there, then hands over to the loop."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import transpose
from transpose import runs
from transpose.errors import TransposeError
from transpose.localization.refine_world import shown_world
from transpose.models.precision import checked_device, fast_dtype
from transpose.models.xfeat import XFeatEncoder
from transpose.runs import Calibration, CameraOrigin, Checkpoint, LearnedCamera, Progress, Provenance
from transpose.scenes.facts import read_scene_facts, read_section_facts
from transpose.selection import evenly_chosen
from transpose.training.calibration import calibrate_scene_coordinates
from transpose.training.config import PresetConfig, StepConfig, TrainingConfig
from transpose.training.context import Callbacks, TrainingContext
from transpose.training.loop import Loop
from transpose.training.plan import Built
from transpose.training.presets import configured, preset_of
from transpose.training.ranks import Ranks, joined, local_device
from transpose.training.request import Request, at_work, check_run, is_made, open_run, state_of
from transpose.training.second_stage import second_stage, second_stage_config, trained_network
from transpose.training.sections import check_one_size, gather_frames, in_learned_lengths, scene_unit, sized
from transpose.training.time_limit import within_limit
from transpose.training.triangulated import triangulated
from transpose.training.views import TrainingFrame
from transpose.worlds.world import read_metadata

log = logging.getLogger(__name__)
_OTHER_CAMERA = 1.05  # times the focal length, of images of one size
_ASKED_FRAMES = 200


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
    with joined(device) as ranks, at_work(request, ranks):
        gathered = gather_frames(*data, config.needs, config.sparse_labels, config.leaves_out)
        unit = scene_unit(request.scene, request.sections, gathered[0])
        training, validation = (in_learned_lengths(sized(frames, config.height), unit) for frames in gathered)
        if isinstance(config, TrainingConfig) and config.stacks_images:
            check_one_size(training)
        provenance = dataclasses.replace(provenance_of(request, config, training), preset=preset)
        check_run(request)
        if is_made(request, config, provenance):
            return request.run / runs.MODEL_FILE
        state = state_of(request, config, provenance)
        origin_3 = _origin(training) if state is None else np.array(state.get("origin", _origin(training)))
        dtype = fast_dtype(device, config.precision)
        started = time.monotonic()
        context = TrainingContext(training, validation, origin_3, device, dtype, ranks, callbacks or Callbacks())
        if config.needs == "points" and not config.sparse_labels:  # before a run is replaced, since it may fail
            context = _with_map(context, photos=config.leaves_out)
        config = within_limit(config, row.plan, context, started, state)
        provenance = dataclasses.replace(provenance, config=dataclasses.asdict(config))
        made = None if isinstance(config, TrainingConfig) else row.plan(config, context)  # likewise
        ranks.wait()
        if ranks.is_main:
            open_run(request, {"preset": preset, **for_people(provenance)})
        ranks.wait()
        learned = made or row.plan(config, context)
        camera, height = learned_camera(training), training[0].height
        template = Checkpoint(row.kind, None, origin_3, camera, height, provenance=provenance, unit=unit)
        if isinstance(learned, Built):
            built = dataclasses.replace(template, network=learned.network, database=learned.database)
            _finish_built(built, lambda model: row.calibrate(model, context, learned), request, ranks, started)
        else:
            assert isinstance(config, TrainingConfig)
            loop = Loop(request.run, learned, config, template, dtype=dtype, device=device, ranks=ranks)
            finish(loop, lambda model: row.calibrate(model, context, learned), request, context, state, started)
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
    with joined(device) as ranks, at_work(request, ranks):
        gathered = gather_frames(*data, config.needs)
        unit = first.unit
        if scene_unit(request.scene, request.sections, gathered[0]).metric != unit.metric:
            raise TransposeError(f"{source} was trained in another unit ({unit.name}) than that of {request.scene}")
        training, validation = (in_learned_lengths(sized(frames, config.height), unit) for frames in gathered)
        if config.stacks_images:
            check_one_size(training)
        provenance = dataclasses.replace(
            provenance_of(request, config, training), preset=first.provenance.preset, source=str(source.resolve())
        )
        if is_made(request, config, provenance):
            return request.run / runs.MODEL_FILE
        state = state_of(request, config, provenance)
        if ranks.is_main:
            open_run(request, for_people(provenance))
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
        finish(loop, lambda model: calibrate_scene_coordinates(model, context, plan), request, context, state, started)
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
    loop: Loop,
    calibrate: Callable[[Checkpoint], Calibration],
    request: Request,
    context: TrainingContext,
    state: dict[str, Any] | None,
    started: float,
) -> None:
    """Learns, from where `state` was saved if there is one, calibrates its uncertainty, and writes it once."""
    if state is not None:
        loop.resume(state)
    loop.spent(time.monotonic() - started)
    loop.learn(context.callbacks)
    loop.save_state()
    if context.ranks.is_main:
        calibration = calibrate(loop.checkpoint(complete=True))
        runs.save_model(request.run, loop.checkpoint(complete=True, calibration=calibration))
    context.ranks.wait()


def _finish_built(
    built: Checkpoint, calibrate: Callable[[Checkpoint], Calibration], request: Request, ranks: Ranks, started: float
) -> None:
    """Calibrates what was made at once, and writes it."""
    if ranks.is_main:
        calibration = calibrate(built)
        progress = Progress(None, True, time.monotonic() - started)
        runs.save_model(request.run, dataclasses.replace(built, calibration=calibration, progress=progress))
    ranks.wait()


def provenance_of(request: Request, config: PresetConfig | StepConfig, training: Sequence[TrainingFrame]) -> Provenance:
    """Where the run comes from, but for the name of what trained it."""
    return Provenance(
        config=dataclasses.asdict(config),
        scene=str(request.scene.resolve()),
        sections=tuple(request.sections),
        validation=request.validation,
        digests=request.digests(),
        licence=_licence(request),
        worlds=_worlds(request),
        world=_world(request),
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


def _world(request: Request) -> str | None:
    """The world of the scene, so that it is found from anywhere; one that was named must be one."""
    if request.world is not None:
        read_metadata(request.world)
        return str(request.world.resolve())
    shown = shown_world([request.scene / name for name in request.sections])
    return None if shown is None else str(shown.resolve())


def for_people(provenance: Provenance) -> dict[str, Any]:
    """What config.json says: where the run comes from, and every field of the configuration beside it."""
    facts = dataclasses.asdict(provenance)
    return {**facts.pop("config"), **facts}


def learned_camera(training: Sequence[TrainingFrame]) -> LearnedCamera:
    """The camera of the first frame; where others are wider or narrower, it is merely one that photos may come from."""
    first = training[0]
    some = evenly_chosen(len(training), min(_ASKED_FRAMES, len(training)))
    cameras = {training[i].frame.camera for i in some}
    lengths = [camera.fx / math.hypot(camera.width, camera.height) for camera in cameras]
    origin: CameraOrigin = "rendered" if first.rendered else "calibration"
    if first.camera_assumed or max(lengths) > _OTHER_CAMERA * min(lengths):
        origin = "assumed"
    return LearnedCamera(first.frame.camera, origin)


def _origin(frames: Sequence[TrainingFrame]) -> np.ndarray:
    """A local origin near the cameras, whole numbers, so that float32 coordinates keep their digits."""
    return np.mean([frame.frame.pose.center for frame in frames], axis=0).round()
