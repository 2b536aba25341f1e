"""The `fast` recipe: a small head on frozen features, learned in minutes without a GPU."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transpose import runs
from transpose.errors import TransposeError
from transpose.localization import load
from transpose.losses.coordinates import laplace_nll
from transpose.models.heads import CoordinateHead
from transpose.models.precision import autocast, fast_dtype
from transpose.models.xfeat import XFeatEncoder
from transpose.randomness import stream
from transpose.training.buffer import FeatureBuffer, TrainingFrame, encode, fill_buffer, look
from transpose.training.calibration import covariance_scale
from transpose.training.config import FastConfig
from transpose.training.landmarks import landmarks_from
from transpose.training.learner import Learner, checkpoint, learner_state, new_learner, restore

log = logging.getLogger(__name__)
Progress = Callable[[Iterable[int], int], Iterable[int]]


@dataclass(frozen=True)
class Callbacks:
    """What the loop tells the person who waits; each wraps an iterable or takes a line."""

    buffer: Progress = lambda items, _: items
    report: Callable[[dict[str, float]], None] = lambda _: None


_REPORT_EVERY = 250
_SAVE_SECONDS = 30.0
_VALIDATION_VIEWS = 24


def train_fast(
    run: Path,
    training: list[TrainingFrame],
    validation: list[TrainingFrame],
    config: FastConfig,
    *,
    facts: dict[str, Any],
    device: torch.device,
    resume: bool = False,
    callbacks: Callbacks | None = None,
) -> Path:
    """Trains into a run folder and returns the path of its model.

    An interrupt (Ctrl-C) while the head learns writes a usable model and the state for `resume`, then goes on to the
    caller as `KeyboardInterrupt`.

    Args:
        run: the folder; created by the caller.
        training, validation: frames with labels. Nothing is learned or chosen from the validation frames.
        config: of the recipe.
        facts: what the checkpoint should remember of its data (scene, sections, origin).
        device: where networks run.
        resume: go on from `state.pt`; the configuration must be the same.
        callbacks: progress.
    """
    callbacks = callbacks or Callbacks()
    started = time.monotonic()
    dtype = fast_dtype(device, config.precision)
    encoder = XFeatEncoder().to(device)
    origin_3 = _origin(training)
    state = runs.load_state(run) if resume else None
    if state is not None and state["config"] != dataclasses.asdict(config):
        raise TransposeError(f"{run} was begun with another configuration; resume with the same flags or --overwrite")
    log.info("%d training and %d validation frames", len(training), len(validation))
    filled = fill_buffer(training, encoder, origin_3, config, device=device, dtype=dtype, progress=callbacks.buffer)
    buffer, landmarks = filled.cells, landmarks_from(filled.observations, config.max_landmarks)
    log.info("%d cells, %d landmarks", len(buffer), len(landmarks))
    held_out = _validation_cells(validation, encoder, origin_3, config.seed, device, dtype)
    learner = new_learner(config, buffer, device)
    if state is not None:
        restore(learner, state)
    checkpoint_facts = {**facts, "frames": len(training), "origin": origin_3.tolist(), "landmarks": landmarks.state()}
    clock = _Clock(learner.seconds + time.monotonic() - started)

    def save(done: bool) -> None:
        learner.seconds = clock.seconds
        runs.save_state(run, learner_state(learner, config))
        runs.save_model(run, checkpoint(learner, config, training[0].frame.camera, checkpoint_facts, done))

    try:
        for entry in _learn(learner, buffer, held_out, config, dtype, device):
            if entry is not None:
                entry |= {"seconds": clock.seconds, "seconds_left": clock.left(learner.step, config.steps)}
                runs.append_log(run, entry)
                callbacks.report(entry)
            if clock.is_time_to_save():
                save(done=False)
    except KeyboardInterrupt:
        save(done=False)
        raise
    save(done=True)
    checkpoint_facts["covariance_scale"] = covariance_scale(load(run, str(device), config.precision), validation)
    save(done=True)
    return run / runs.MODEL_FILE


def _learn(
    learner: Learner,
    buffer: FeatureBuffer,
    held_out: FeatureBuffer,
    config: FastConfig,
    dtype: torch.dtype,
    device: torch.device,
) -> Iterator[dict[str, float] | None]:
    """The loop: one step at a time, with a report every now and then and None between them.

    Raises:
        TransposeError: the loss is no longer a number; what was saved before stays.
    """
    learner.head.train()
    while learner.step < config.steps:
        loss, median_m = _step(learner, buffer, config, dtype, device)
        learner.step += 1
        if learner.step % _REPORT_EVERY != 0 and learner.step != config.steps:
            yield None
            continue
        if not bool(loss.isfinite()):
            raise TransposeError(f"the loss became {loss.item()} at step {learner.step}; the last saved model is kept")
        entry = {"step": learner.step, "steps": config.steps, "loss": loss.item(), "train_median_m": median_m.item()}
        yield entry | _validate(learner.head, held_out, dtype, device)


class _Clock:
    """Seconds spent on a run, over all its sittings, and when to save again."""

    def __init__(self, before: float) -> None:
        self._before = before
        self._started = self._saved = time.monotonic()
        self._first_step: int | None = None

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def left(self, step: int, steps: int) -> float:
        """Seconds that the remaining steps will take at the pace of this sitting."""
        if self._first_step is None:
            self._first_step = step - min(step, _REPORT_EVERY)
        pace = (time.monotonic() - self._started) / max(1, step - self._first_step)
        return pace * (steps - step)

    def is_time_to_save(self) -> bool:
        if time.monotonic() - self._saved < _SAVE_SECONDS:
            return False
        self._saved = time.monotonic()
        return True


def _step(
    learner: Learner, buffer: FeatureBuffer, config: FastConfig, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """One batch of cells of many views: the mean loss and the median error in metres."""
    index_n = torch.randint(len(buffer), (config.batch,), generator=learner.generator)
    features_nc = buffer.features_nc[index_n].to(device).float()
    target_n3 = buffer.coordinates_n3[index_n].to(device)
    if config.feature_noise > 0:
        noise_nc = torch.randn(features_nc.shape, generator=learner.generator).to(device)
        features_nc = features_nc + config.feature_noise * learner.head.feature_std * noise_nc
    with autocast(device, dtype):
        predicted_n3, log_sigma_n = learner.head(features_nc)
    loss = laplace_nll(predicted_n3, target_n3, log_sigma_n).mean()
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    learner.optimizer.step()
    learner.schedule.step()
    with torch.no_grad():
        return loss.detach(), (predicted_n3 - target_n3).norm(dim=1).median()


def _origin(frames: list[TrainingFrame]) -> np.ndarray:
    """A local origin near the cameras, whole metres, so that float32 coordinates keep their digits."""
    return np.mean([frame.frame.pose.center for frame in frames], axis=0).round()


def _validation_cells(
    frames: list[TrainingFrame],
    encoder: XFeatEncoder,
    origin_3: np.ndarray,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> FeatureBuffer:
    chosen = np.linspace(0, len(frames) - 1, min(_VALIDATION_VIEWS, len(frames))).round().astype(int)
    parts = []
    for which in chosen:
        rng = stream(seed, "validation", str(which))
        seen = look(frames, int(which), rng, None)
        features_nc, points_n3 = seen.cells(encode(encoder, seen.image_hw3, device, dtype))
        parts.append((features_nc, torch.from_numpy(points_n3 - origin_3).float()))
    return FeatureBuffer(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


@torch.no_grad()
def _validate(
    head: CoordinateHead, held_out: FeatureBuffer, dtype: torch.dtype, device: torch.device
) -> dict[str, float]:
    if len(held_out) == 0:
        return {}
    with autocast(device, dtype):
        predicted_n3, log_sigma_n = head(held_out.features_nc.to(device).float())
    target_n3 = held_out.coordinates_n3.to(device)
    distance_n = (predicted_n3 - target_n3).norm(dim=1)
    sure_n = log_sigma_n <= log_sigma_n.quantile(0.25)
    return {
        "val_median_m": distance_n.median().item(),
        "val_sure_median_m": distance_n[sure_n].median().item(),
        "val_loss": laplace_nll(predicted_n3, target_n3, log_sigma_n).mean().item(),
    }
