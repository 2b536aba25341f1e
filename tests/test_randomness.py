"""Draws that are apart from those of others."""

import torch
from torch import nn

from transpose.randomness import apart


def test_what_is_made_apart_depends_on_the_seed_alone_and_moves_nobody() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made = []
    for seed in (1, 1, 2):
        with apart(seed):
            made.append(nn.Linear(3, 3).weight)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
