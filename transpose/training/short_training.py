"""A small module trained at once, between the pass of the views and the loop: begun again where a run is resumed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from transpose.training.schedules import one_cycle

_WEIGHT_DECAY = 0.01
_RISING = 0.1  # of the steps, in which the rate rises


def trained_shortly(
    module: nn.Module, loss_of_step: Callable[[int], Tensor], steps: int, learning_rate: float
) -> float:
    """Trains a module in place and freezes it; returns the last tenth's mean loss, which may be no number.

    What comes out has the digits that a checkpoint keeps.

    Args:
        module: on its device.
        loss_of_step: what is minimized, by the number of the step.
        steps: of AdamW, whose rate goes through one cycle.
        learning_rate: the largest.
    """
    module.requires_grad_(True)
    optimizer = torch.optim.AdamW(module.parameters(), learning_rate, weight_decay=_WEIGHT_DECAY, fused=True)
    schedule = one_cycle(optimizer, steps, learning_rate, _RISING)
    losses = []
    for step in range(steps):
        loss = loss_of_step(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    module.requires_grad_(False)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(weight.half())
    return float(torch.stack(losses[-max(1, steps // 10) :]).mean())
