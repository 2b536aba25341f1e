"""Steps whose loss or gradient is no number: the weights stay what they were."""

import copy

import pytest
import torch
from torch import Tensor, nn

from transpose.training.divergence import GuardedOptimizer, all_finite
from transpose.training.ranks import ALONE


def trained(device: torch.device, deferred: bool | None) -> tuple[nn.Module, GuardedOptimizer, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Linear(3, 2).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), 0.1, weight_decay=0.1, fused=True)
    return module, GuardedOptimizer(optimizer, None, ALONE, deferred), optimizer


def step(module: nn.Module, guarded: GuardedOptimizer, number: int, spoil: str = "") -> Tensor:
    module.zero_grad()
    loss = module(torch.ones(4, 3, device=next(module.parameters()).device)).square().mean()
    loss.backward()
    if spoil == "gradient":
        module.bias.grad[1] = torch.nan
    return guarded.step(number, loss * (torch.inf if spoil == "loss" else 1.0))


@pytest.mark.parametrize("deferred", [True, False])
@pytest.mark.parametrize("spoil, words", [("loss", "the loss became inf"), ("gradient", "the gradient became nan")])
def test_nothing_changes_from_a_bad_step_on(device: torch.device, deferred: bool, spoil: str, words: str) -> None:
    module, guarded, optimizer = trained(device, deferred)
    for number in (1, 2, 3):
        step(module, guarded, number)
        assert guarded.divergence() is None
    before = copy.deepcopy((module.state_dict(), optimizer.state_dict()["state"]))
    step(module, guarded, 4, spoil)
    assert str(guarded.divergence()) == f"{words} at step 4"
    step(module, guarded, 5)  # a loop that has not looked yet
    step(module, guarded, 6, "loss")
    assert str(guarded.divergence()) == f"{words} at step 4"
    after = module.state_dict(), optimizer.state_dict()["state"]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_good_steps_are_those_of_the_optimizer_alone(device: torch.device) -> None:
    module, guarded, _ = trained(device, None)
    plain, _, optimizer = trained(device, None)
    for number in range(1, 6):
        step(module, guarded, number)
        plain.zero_grad()
        plain(torch.ones(4, 3, device=device)).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(module.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_a_gpu_is_waited_for_only_where_its_optimizer_cannot_decide(device: torch.device) -> None:
    module, guarded, _ = trained(device, None)
    assert guarded.deferred == (device.type == "cuda")
    assert not GuardedOptimizer(torch.optim.Adam(module.parameters(), fused=False), None, ALONE).deferred


def test_gradients_are_clipped_as_they_were(device: torch.device) -> None:
    module, _, optimizer = trained(device, None)
    guarded = GuardedOptimizer(optimizer, 1e-3, ALONE)
    step(module, guarded, 1)
    assert torch.cat([weight.grad.flatten() for weight in module.parameters()]).norm() == pytest.approx(1e-3, rel=1e-4)


def test_one_number_spoils_a_state() -> None:
    state = {"a": [torch.zeros(3), {"b": (torch.ones(2, dtype=torch.int8), 1.0, float("nan"))}], "c": None}
    assert all_finite(state)  # only tensors are weights
    state["a"][1]["d"] = torch.tensor([0.0, -torch.inf])
    assert not all_finite(state)
