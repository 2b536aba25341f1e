"""From two sections of a scene to a run that translates images of the one into the looks of the other."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transpose import runs
from transpose.errors import TransposeError
from transpose.models.precision import checked_device, fast_dtype
from transpose.randomness import apart, derived_seed
from transpose.runs import Calibration, Checkpoint
from transpose.scenes.layout import Section, open_section
from transpose.training.context import Callbacks, TrainingContext
from transpose.training.loop import Loop
from transpose.training.plan import Plan
from transpose.training.presets.parts import on_gpu
from transpose.training.ranks import joined, local_device
from transpose.training.request import Request, at_work, check_run, open_run, state_of
from transpose.training.start import finish, for_people, learned_camera, provenance_of
from transpose.training.time_limit import within_limit
from transpose.training.translation.config import METHODS, TranslationConfig
from transpose.training.translation.losses import ContrastiveLosses, CycleLosses, TranslationLosses, WeightedSum
from transpose.training.translation.pairs import PairSource, Side
from transpose.training.translation.stored import KIND, stored_translation
from transpose.training.views import TrainingFrame

_BETAS = (0.5, 0.999)
# Few steps of a small network: a larger rate than the published 2e-4. At 1e-3, colours swing to and fro.
_SMALL_RATE = 3e-4


def configured_translation(settings: dict[str, Any], images: int) -> TranslationConfig:
    """The configuration with some of its fields changed; of the full size, steps are the published passes.

    Args:
        settings: the fields that were given.
        images: of the larger section.

    Raises:
        TransposeError: the values contradict one another.
    """
    defaults: dict[str, Any] = {}
    if settings.get("size", "small") == "full":
        epochs = METHODS[settings.get("method", "cut")].epochs
        defaults["steps"] = max(1, epochs * images // settings.get("batch", 1))
    else:
        defaults["learning_rate"] = _SMALL_RATE
    try:
        return TranslationConfig(**{**defaults, **settings})
    except ValueError as error:
        raise TransposeError(str(error)) from None


def train_translation(request: Request, settings: dict[str, Any], callbacks: Callbacks | None = None) -> Path:
    """Learns to translate images of the first of two sections into the looks of the second.

    Args:
        request: which run; its sections are a and b.
        settings: fields of `TranslationConfig` that differ from their defaults.
        callbacks: progress.

    Returns:
        The path of the model.

    Raises:
        TransposeError: a section is missing, is the other one, or has images smaller than a crop; there is a run
            already; or the training diverged.
    """
    if len(set(request.sections)) != 2:
        raise TransposeError(
            f"--a and --b are both {request.sections[0]}; a translation goes from one section to another one"
        )
    a, b = (open_section(request.scene / name) for name in request.sections)
    config = configured_translation(settings, max(len(a), len(b)))
    sides = Side.of(a, config.crop), Side.of(b, config.crop)
    device = checked_device(local_device(request.device))
    with joined(device) as ranks, at_work(request, ranks):
        frames = [*_training_frames(a), *_training_frames(b)]
        provenance = dataclasses.replace(provenance_of(request, config, frames), preset=config.method)
        state = state_of(request, config, provenance)
        check_run(request)
        dtype, started = fast_dtype(device, config.precision), time.monotonic()
        context = TrainingContext(frames, (), np.zeros(3), device, dtype, ranks, callbacks or Callbacks())
        config = within_limit(config, lambda limited, where: _plan(limited, *sides, where), context, started, state)
        provenance = dataclasses.replace(provenance, config=dataclasses.asdict(config))
        ranks.wait()
        if ranks.is_main:
            open_run(request, {"preset": config.method, **for_people(provenance)})
        ranks.wait()
        plan = _plan(config, *sides, context)
        template = Checkpoint(KIND, None, context.origin_3, learned_camera(frames), provenance=provenance)
        loop = Loop(request.run, plan, config, template, dtype=dtype, device=device, ranks=ranks)
        finish(loop, lambda _: Calibration(), request, context, state, started)
    return request.run / runs.MODEL_FILE


def losses_of(config: TranslationConfig) -> TranslationLosses:
    """The networks of a method, whose random weights depend on the seed alone, and their losses."""
    with apart(derived_seed(config.seed, "weights")):
        if config.method == "cyclegan":
            return CycleLosses(config.generator, config.discriminator, config.crop)
        return ContrastiveLosses(
            config.generator,
            config.discriminator,
            config.patches,
            identity="nce_identity" in config.published.weights,
            mirrors=config.published.mirrors,
        )


def _plan(config: TranslationConfig, a: Side, b: Side, context: TrainingContext) -> Plan:
    losses = losses_of(config).to(context.device)
    # One optimizer for all: a step is taken for generators and discriminators, or, where one diverged, for none.
    optimizer = torch.optim.Adam(
        [{"params": losses.makers()}, {"params": losses.judges()}],
        lr=config.learning_rate,
        betas=_BETAS,
        fused=on_gpu(context.device),
    )
    falling = max(1.0, config.published.falling * config.steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (config.steps - step) / falling))
    source = PairSource(a, b, config.crop, config.batch, seed=config.seed, device=context.device, ranks=context.ranks)
    return Plan(
        losses,
        source,
        WeightedSum(losses.names, config.published.weights),
        optimizer,
        schedule,
        dict,
        lambda: stored_translation(config, losses),
    )


def _training_frames(section: Section) -> list[TrainingFrame]:
    return [TrainingFrame(frame, section.facts.rendered) for frame in section.frames]
