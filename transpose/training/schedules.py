"""How the rate of an optimizer goes over the steps of a training."""

from __future__ import annotations

import torch

_FEWEST = 3


def one_cycle(
    optimizer: torch.optim.Optimizer, steps: int, learning_rate: float, rising: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """A rate that rises over a fraction of the steps, to the one that is given, and falls over the others.

    Of one or two steps, too few for either, each has the rate that is given.
    """
    if steps < _FEWEST:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    rising = min(0.9, max(rising, 2 / steps))  # PyTorch divides by zero where only one step rises
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=rising, cycle_momentum=False
    )
