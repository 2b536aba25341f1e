"""The loop that trains every preset: one step at a time, with reports, saved states and an exact way to resume."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from transpose import runs
from transpose.errors import TransposeError
from transpose.models.precision import autocast
from transpose.runs import Calibration, Checkpoint, Progress
from transpose.training.clock import Clock
from transpose.training.config import StepConfig
from transpose.training.context import Callbacks
from transpose.training.divergence import GuardedOptimizer, all_finite
from transpose.training.forecast import Steps, pace, rehearsal, tell_steps
from transpose.training.interrupts import DeferredSignals, defer_signals
from transpose.training.plan import Plan
from transpose.training.ranks import Ranks
from transpose.training.sources import OverImages
from transpose.training.staged_images import OverTaskImages

log = logging.getLogger(__name__)


class Loop:
    """A training in progress.

    Args:
        run: the folder; only the main rank writes there.
        plan: what is trained.
        config: of the preset.
        template: model.pt but for what is learned: the network, its landmarks, and how far the training went.
        dtype: arithmetic of the hidden layers.
        ranks: the processes of this training.
    """

    def __init__(
        self,
        run: Path,
        plan: Plan,
        config: StepConfig,
        template: Checkpoint,
        *,
        dtype: torch.dtype,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        self._run, self._plan, self._config, self._template = run, plan, config, template
        self._dtype, self._device, self._ranks = dtype, device, ranks
        self._wrapped = ranks.wrapped(plan.module, plan.staged)
        self._optimizer = GuardedOptimizer(plan.optimizer, config.clip_norm, ranks)
        self.step = 0
        self._best: dict[str, Any] | None = None
        self._clock = Clock()

    def resume(self, state: dict[str, Any]) -> None:
        """Goes back to where `state` was saved."""
        _load_trainable(self._plan.module, state["weights"])
        self._plan.optimizer.load_state_dict(state["optimizer"])
        self._plan.schedule.load_state_dict(state["schedule"])
        if self._plan.replay is not None:
            self._plan.replay.restore(state["replay"])
        self.step, self._best = state["step"], state.get("best")
        self._clock = Clock(state["seconds"], self.step)
        if self._ranks.is_main:
            runs.truncate_log(self._run, self.step)

    def spent(self, seconds: float) -> None:
        """Adds what was spent before the loop to the run's time."""
        self._clock.before += seconds

    def learn(self, callbacks: Callbacks) -> None:
        """All remaining steps. An interrupt, or SIGTERM, leaves a usable model and a state to resume from.

        Raises:
            TransposeError: the loss or its gradient is no longer a number; what was saved before stays.
            KeyboardInterrupt: or `Terminated`, after the state was saved.
        """
        # A second signal may come while the first is being answered.
        with defer_signals() as signals, closing(self._plan.source):
            try:
                if self._plan.select_by and self._best is None and self._ranks.is_main:
                    self._consider(self._plan.validation())
                self._foretell()
                self._all_steps(callbacks, signals)
            except KeyboardInterrupt:
                self._save_if_good()
                raise
            except RuntimeError:
                if self._ranks.world > 1:  # a peer was lost in an exchange, all of which come before weights change
                    self._save_if_good()
                raise
        if self._best is not None:
            _load_trainable(self._plan.module, self._best["weights"])

    def _all_steps(self, callbacks: Callbacks, signals: DeferredSignals) -> None:
        while self.step < self._config.steps:
            loss, facts = self._one_step()
            if self.step % self._config.report_every == 0 or self.step == self._config.steps:
                self._check()
                self._report(loss, facts, callbacks)
            if self._ranks.is_main and self._clock.is_time_to_save():
                self._save_if_good()
            signals.check()

    def _foretell(self) -> None:
        """Says how long the steps will take, by some that change nothing; a limit of time was told as it was chosen."""
        left, plan = self._config.steps - self.step, self._plan
        if left <= 0 or not self._ranks.is_main or self._config.minutes is not None:
            return
        parts = self._config.accumulate
        seconds = parts * pace(rehearsal(plan, self.step, parts, self._device, self._dtype))
        started = time.monotonic()
        plan.validation()
        reports = math.ceil(left / self._config.report_every) * (time.monotonic() - started)
        images = isinstance(plan.module, OverImages | OverTaskImages)
        self._clock.left(self.step, self._config.steps)  # the pace of the steps themselves begins here
        tell_steps(Steps(left, seconds, reports, "fewer --steps or a smaller --height" if images else "fewer --steps"))

    def _consider(self, entry: dict[str, float]) -> None:
        """Remembers the weights if no others were as good on validation."""
        value = entry.get(self._plan.select_by)
        if value is None or not math.isfinite(value):
            return
        if self._best is None or value < self._best["value"]:
            weights = {name: tensor.clone() for name, tensor in _trainable(self._plan.module).items()}
            self._best = {"value": value, "step": self.step, "weights": weights}

    def _one_step(self) -> tuple[Tensor, dict[str, Tensor]]:
        plan, parts, replay = self._plan, self._config.accumulate, self._plan.replay
        self._wrapped.train()
        plan.optimizer.zero_grad(set_to_none=True)
        losses = []
        for part in range(parts):
            inputs, targets = plan.source.batch(self.step, part, parts)
            last = part == parts - 1
            with nullcontext() if last else self._ranks.unsynchronized(self._wrapped):
                with autocast(self._device, self._dtype):
                    raw_nk = self._wrapped(inputs)
                loss_n, facts = plan.objective(raw_nk.float(), targets, self.step)
                loss = loss_n.mean() if replay is None else replay.weighted(loss_n, self.step, part, parts)
                (loss / parts).backward()
            losses.append(loss.detach())
        mean = self._optimizer.step(self.step + 1, torch.stack(losses).mean())
        if not self._optimizer.deferred:
            self._check()
        plan.schedule.step()
        if replay is not None:
            replay.renew(self.step)
        self.step += 1
        return mean, facts

    def _check(self) -> None:
        """Ends a training that diverged: the weights have been left alone since then."""
        if (divergence := self._optimizer.divergence()) is not None:
            self._give_up(str(divergence))

    def _give_up(self, what: str) -> NoReturn:
        saved = self._run / runs.STATE_FILE
        kept = f"{saved} holds the last good state" if saved.exists() else "nothing was saved yet"
        raise TransposeError(
            f"{what}; {kept}. Try a smaller --learning-rate, or look for labels that are far off "
            "(transpose info SCENE --check)"
        )

    def _report(self, loss: Tensor, facts: dict[str, Tensor], callbacks: Callbacks) -> None:
        if not self._ranks.is_main:
            return
        entry: dict[str, float] = {"step": self.step, "steps": self._config.steps, "loss": loss.item()}
        known = {name: value.item() for name, value in facts.items()}
        entry |= {name: value for name, value in known.items() if not math.isnan(value)}  # of no labelled cell
        entry |= self._plan.validation()
        if self._plan.select_by:
            self._consider(entry)
        left = self._clock.left(self.step, self._config.steps)
        entry |= {"seconds": self._clock.seconds, "seconds_left": left}
        entry = self._template.unit.told_entry(entry)
        runs.append_log(self._run, entry)
        callbacks.report(entry)

    def checkpoint(self, complete: bool, calibration: Calibration | None = None) -> Checkpoint:
        """What model.pt holds at this step."""
        progress = Progress(self.step, complete, self._clock.seconds)
        template = self._template if calibration is None else replace(self._template, calibration=calibration)
        return replace(template, network=self._plan.stored(), landmarks=self._plan.landmarks, progress=progress)

    def save_state(self) -> None:
        """Writes state.pt; only the main rank does.

        Raises:
            TransposeError: the training diverged; what was saved before stays.
        """
        if not self._ranks.is_main:
            return
        self._check()
        state = self._state()
        if not all_finite([state, self._plan.stored().weights]):
            self._give_up(f"the weights became too large to be stored by step {self.step}")
        runs.save_state(self._run, state)

    def _save_if_good(self) -> None:
        """Writes state.pt and a model.pt that can be used, though it is not complete; only the main rank does.

        Not where the training diverged: what was saved before is better, and the next report tells all ranks.
        """
        if not self._ranks.is_main or self._optimizer.divergence() is not None:
            return
        state, stored = self._state(), self._plan.stored()
        if all_finite([state, stored.weights]):
            runs.save_state(self._run, state)
            runs.save_model(self._run, self.checkpoint(complete=False))

    def _state(self) -> dict[str, Any]:
        """What state.pt holds at this step."""
        return {
            "config": dataclasses.asdict(self._config),
            "origin": self._template.origin_3.tolist(),
            "digests": dict(self._template.provenance.digests),
            "roles": self._template.provenance.roles,
            "weights": _trainable(self._plan.module),
            "optimizer": self._plan.optimizer.state_dict(),
            "schedule": self._plan.schedule.state_dict(),
            "step": self.step,
            "seconds": self._clock.seconds,
            "best": self._best,
            "replay": None if self._plan.replay is None else self._plan.replay.state(),
        }


def _trainable(module: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers without those of frozen parts."""
    frozen = {name for name, weight in module.named_parameters() if not weight.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def _load_trainable(module: nn.Module, state: dict[str, Tensor]) -> None:
    missing, unexpected = module.load_state_dict(state, strict=False)
    expected = _trainable(module).keys()
    if unexpected or expected & set(missing):
        raise TransposeError("the saved state does not fit this network; start again with --overwrite")
