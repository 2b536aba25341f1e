"""How the rate of an optimizer goes over the steps of a training."""

from __future__ import annotations

import torch


def one_cycle(
    optimizer: torch.optim.Optimizer, steps: int, learning_rate: float, rising: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """A rate that rises over a fraction of the steps, to the one that is given, and falls over the others."""
    rising = min(0.9, max(rising, 2 / steps))  # PyTorch divides by zero where only one step rises
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=rising, cycle_momentum=False
    )
