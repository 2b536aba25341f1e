"""Steps that keep what is no number out of the weights, and what is known of the step where training came to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transpose.training.ranks import Ranks


@dataclass(frozen=True)
class Divergence:
    """The first step whose loss or gradient was not finite on some rank.

    Attributes:
        step: counted from 1.
        loss: the mean over ranks.
        gradient: its norm, where the loss itself was finite.
    """

    step: int
    loss: float
    gradient: float

    def __str__(self) -> str:
        if torch.tensor(self.loss).isfinite():
            return f"the gradient became {self.gradient} at step {self.step}"
        return f"the loss became {self.loss} at step {self.step}"


class GuardedOptimizer:
    """An optimizer's steps; from the first on whose loss or gradient is not finite on some rank, none changes anything.

    Whether numbers are finite is agreed upon by all ranks before the weights change: gradients are averaged over them,
    so one rank's NaN is everybody's.

    Reading a number off a GPU keeps it from working ahead. There a fused optimizer (whose kernels look at `found_inf`
    on the device, as they do for PyTorch's loss scaling) leaves the weights as they are, and the number is read when
    somebody asks for `divergence`. Everywhere else it is read at each step.

    Args:
        optimizer: of the weights.
        clip_norm: to which gradients are scaled down; None: not at all.
        ranks: the processes of this training.
        deferred: whether the device alone decides at a step; None: where that is possible and saves time.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, clip_norm: float | None, ranks: Ranks, deferred: bool | None = None
    ) -> None:
        self._optimizer, self._clip_norm, self._ranks = optimizer, clip_norm, ranks
        self._weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        device = self._weights[0].device
        if deferred is None:
            deferred = device.type == "cuda" and all(group.get("fused") for group in optimizer.param_groups)
        self.deferred = deferred
        self._diverged = torch.zeros((), dtype=torch.bool, device=device)
        self._first_3 = torch.zeros(3, dtype=torch.float64, device=device)  # step, loss, norm of the gradient

    def step(self, step: int, loss: Tensor) -> Tensor:
        """Takes step number `step`, counted from 1, if it is a good one; returns the loss's mean over ranks."""
        measured_2 = self._ranks.mean(torch.stack([loss.detach().float(), self._gradient_norm()]))
        first = ~measured_2.isfinite().all() & ~self._diverged
        self._first_3 = torch.where(first, nn.functional.pad(measured_2.double(), (1, 0), value=step), self._first_3)
        self._diverged = self._diverged | first
        if self.deferred:
            self._optimizer.found_inf = self._diverged.float()  # type: ignore[attr-defined]
            self._optimizer.step()
        elif not self._diverged:
            self._optimizer.step()
        return measured_2[0]

    def divergence(self) -> Divergence | None:
        """The first step that was not taken; None: all were. Waits for the device."""
        if not self._diverged:
            return None
        step, loss, gradient = self._first_3.tolist()
        return Divergence(int(step), loss, gradient)

    def _gradient_norm(self) -> Tensor:
        if self._clip_norm is not None:
            return nn.utils.clip_grad_norm_(self._weights, self._clip_norm)
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        # Entries beyond 1e19, whose squares overflow, count as infinite: so they do in Adam's second moments. The
        # largest entry alone would tell as much, at eight times the cost on a CPU.
        return nn.utils.get_total_norm(gradients).float()


def all_finite(state: Any) -> bool:
    """Whether all floating-point tensors in nested dictionaries and lists are finite."""
    verdicts = [tensor.isfinite().all().cpu() for tensor in _tensors(state) if tensor.is_floating_point()]
    return all(bool(each) for each in verdicts)


def _tensors(state: Any) -> Iterable[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping):
        for value in state.values():
            yield from _tensors(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _tensors(value)
