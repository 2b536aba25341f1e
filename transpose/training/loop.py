"""The loop that trains every preset: one step at a time, with reports, saved states and an exact way to resume."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from transpose import runs
from transpose.errors import TransposeError
from transpose.losses.cells import Cells
from transpose.models.precision import autocast
from transpose.runs import Calibration, Checkpoint, Progress, StoredNetwork
from transpose.training.config import TrainingConfig
from transpose.training.context import Callbacks
from transpose.training.interrupts import Asked, put_off
from transpose.training.ranks import Ranks
from transpose.training.sources import Source

log = logging.getLogger(__name__)
_SAVE_SECONDS = 30.0


class Objective(Protocol):
    """What is minimized."""

    def __call__(self, raw_nk: Tensor, cells: Cells, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """A loss of each cell or image, and what to report."""


@dataclass
class Plan:
    """What a preset brings to the loop.

    Attributes:
        module: from a source's inputs to outputs (n, 3 + k); its trainable weights are what is saved and resumed.
        source: of the batches.
        objective: what is minimized.
        optimizer: of the module's weights.
        schedule: of its rate, stepped after each step.
        validation: figures by name on frames kept out.
        stored: the network's part of model.pt.
        landmarks: the state of a `LandmarkMap` that goes into model.pt as well; None: the preset makes none.
        keeps: an entry of `validation` by whose least value, the start's among them, the weights are chosen in the end;
            empty: the last weights are kept.
    """

    module: nn.Module
    source: Source
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    validation: Callable[[], dict[str, float]]
    stored: Callable[[], StoredNetwork]
    landmarks: dict[str, Tensor] | None = None
    keeps: str = ""


class Loop:
    """A training in progress.

    Args:
        run: the folder; only the leading rank writes there.
        plan: what is trained.
        config: of the preset.
        template: model.pt but for what is learned: the network, its landmarks, and how far the training went.
        dtype: arithmetic of the hidden layers.
        ranks: who shares the work.
    """

    def __init__(
        self,
        run: Path,
        plan: Plan,
        config: TrainingConfig,
        template: Checkpoint,
        *,
        dtype: torch.dtype,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self._run, self._plan, self._config, self._template = run, plan, config, template
        self._dtype, self._device, self._ranks = dtype, device, ranks
        self._wrapped = ranks.wrapped(plan.module)
        self.step = 0
        self._best: dict[str, Any] | None = None
        self._clock = _Clock(0.0)

    def resume(self, state: dict[str, Any]) -> None:
        """Goes back to where `state` was saved."""
        _load_trainable(self._plan.module, state["weights"])
        self._plan.optimizer.load_state_dict(state["optimizer"])
        self._plan.schedule.load_state_dict(state["schedule"])
        self.step, self._clock, self._best = state["step"], _Clock(state["seconds"]), state.get("best")
        if self._ranks.leads:
            runs.truncate_log(self._run, self.step)

    def spent(self, seconds: float) -> None:
        """Adds what was spent before the loop to the run's time."""
        self._clock.before += seconds

    def learn(self, callbacks: Callbacks) -> None:
        """All remaining steps. An interrupt, or SIGTERM, leaves a usable model and a state to resume from.

        Raises:
            TransposeError: the loss is no longer a number; what was saved before stays.
            KeyboardInterrupt: or `Terminated`, after the state was saved.
        """
        with put_off() as asked:  # a second signal may come while the first is being answered
            try:
                if self._plan.keeps and self._best is None and self._ranks.leads:
                    self._consider(self._plan.validation())
                self._all_steps(callbacks, asked)
            except KeyboardInterrupt:
                self.save()
                raise
            except RuntimeError:
                if self._ranks.world > 1:  # a peer was lost while gradients were exchanged: weights are those before
                    self.save()
                raise
        if self._best is not None:
            _load_trainable(self._plan.module, self._best["weights"])

    def _all_steps(self, callbacks: Callbacks, asked: Asked) -> None:
        while self.step < self._config.steps:
            loss, facts = self._one_step()
            if self.step % self._config.report_every == 0 or self.step == self._config.steps:
                self._report(loss, facts, callbacks)
            if self._ranks.leads and self._clock.is_time_to_save():
                self.save()
            asked.check()

    def _consider(self, entry: dict[str, float]) -> None:
        """Remembers the weights if no others were as good on validation."""
        value = entry.get(self._plan.keeps)
        if value is not None and (self._best is None or value < self._best["value"]):
            weights = {name: tensor.clone() for name, tensor in _trainable(self._plan.module).items()}
            self._best = {"value": value, "step": self.step, "weights": weights}

    def _one_step(self) -> tuple[Tensor, dict[str, Tensor]]:
        plan, parts = self._plan, self._config.accumulate
        self._wrapped.train()
        plan.optimizer.zero_grad(set_to_none=True)
        losses = []
        for part in range(parts):
            inputs, cells = plan.source.batch(self.step, part, parts)
            last = part == parts - 1
            with nullcontext() if last else self._ranks.unsynchronized(self._wrapped):
                with autocast(self._device, self._dtype):
                    raw_nk = self._wrapped(inputs)
                loss_n, facts = plan.objective(raw_nk.float(), cells, self.step)
                loss = loss_n.mean()
                (loss / parts).backward()
            losses.append(loss.detach())
        mean = torch.stack(losses).mean()
        self._check(mean)
        if self._config.clip_norm is not None:
            nn.utils.clip_grad_norm_(plan.module.parameters(), self._config.clip_norm)
        plan.optimizer.step()
        plan.schedule.step()
        self.step += 1
        return mean, facts

    def _check(self, loss: Tensor) -> None:
        """Nothing that is no number reaches the weights, so that what is saved is always good."""
        if bool(loss.isfinite()):
            return
        saved = self._run / runs.STATE_FILE
        kept = f"{saved} holds the last good state" if saved.exists() else "nothing was saved yet"
        raise TransposeError(
            f"the loss became {loss.item()} at step {self.step + 1}; {kept}. Try a smaller "
            "--learning-rate, or look for labels that are far off (transpose info SCENE --check)"
        )

    def _report(self, loss: Tensor, facts: dict[str, Tensor], callbacks: Callbacks) -> None:
        if not self._ranks.leads:
            return
        entry: dict[str, float] = {"step": self.step, "steps": self._config.steps, "loss": loss.item()}
        entry |= {name: value.item() for name, value in facts.items()}
        entry |= self._plan.validation()
        if self._plan.keeps:
            self._consider(entry)
        left = self._clock.left(self.step, self._config.steps)
        entry |= {"seconds": self._clock.seconds, "seconds_left": left}
        runs.append_log(self._run, entry)
        callbacks.report(entry)

    def checkpoint(self, complete: bool, calibration: Calibration | None = None) -> Checkpoint:
        """What model.pt holds at this step."""
        progress = Progress(self.step, complete, self._clock.seconds)
        template = self._template if calibration is None else replace(self._template, calibration=calibration)
        return replace(template, network=self._plan.stored(), landmarks=self._plan.landmarks, progress=progress)

    def save_state(self) -> None:
        """Writes state.pt; only the leading rank does."""
        if not self._ranks.leads:
            return
        state = {
            "config": dataclasses.asdict(self._config),
            "origin": self._template.origin_3.tolist(),
            "digests": dict(self._template.provenance.digests),
            "weights": _trainable(self._plan.module),
            "optimizer": self._plan.optimizer.state_dict(),
            "schedule": self._plan.schedule.state_dict(),
            "step": self.step,
            "seconds": self._clock.seconds,
            "best": self._best,
        }
        runs.save_state(self._run, state)

    def save(self) -> None:
        """Writes state.pt and a model.pt that can be used, though it is not complete; only the leading rank does."""
        if self._ranks.leads:
            self.save_state()
            runs.save_model(self._run, self.checkpoint(complete=False))


class _Clock:
    """Seconds spent on a run, over all its sittings, and when to save again."""

    def __init__(self, before: float) -> None:
        self.before = before
        self._started = self._saved = time.monotonic()
        self._first: tuple[int, float] | None = None

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self._started

    def left(self, step: int, steps: int) -> float:
        """Seconds that the remaining steps will take at the pace since the last report."""
        now = time.monotonic()
        before, since = self._first or (0, self._started)
        self._first = (step, now)
        return (now - since) / max(1, step - before) * (steps - step)

    def is_time_to_save(self) -> bool:
        if time.monotonic() - self._saved < _SAVE_SECONDS:
            return False
        self._saved = time.monotonic()
        return True


def _trainable(module: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers without those of frozen parts."""
    frozen = {name for name, weight in module.named_parameters() if not weight.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def _load_trainable(module: nn.Module, state: dict[str, Tensor]) -> None:
    missing, unexpected = module.load_state_dict(state, strict=False)
    expected = _trainable(module).keys()
    if unexpected or expected & set(missing):
        raise TransposeError("the saved state does not fit this network; start again with --overwrite")
