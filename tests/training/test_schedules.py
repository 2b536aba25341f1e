"""Rates over the steps of a training."""

import pytest
import torch

from transpose.training.schedules import one_cycle


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 100])
def test_every_step_learns_and_the_largest_rate_is_reached(steps: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.5)
    schedule = one_cycle(optimizer, steps, 0.5, 0.1)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert min(rates) > 0 and max(rates) == pytest.approx(0.5)
    if steps > 2:
        assert rates[-1] == min(rates)
