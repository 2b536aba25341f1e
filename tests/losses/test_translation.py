"""Losses of image translation."""

import math

import torch
import torch.nn.functional as F

from transpose.losses.adversarial import looks_made, looks_real
from transpose.losses.patch_nce import TEMPERATURE, patch_nce


def vectors(seed: int, b: int = 2, p: int = 12, c: int = 16) -> torch.Tensor:
    return F.normalize(torch.randn(b, p, c, generator=torch.Generator().manual_seed(seed)), dim=2)


def test_patches_against_a_loop() -> None:
    query, key = vectors(0), vectors(1)
    expected = torch.zeros(2)
    for image in range(2):
        for place in range(12):
            similar = [math.exp(float(query[image, place] @ key[image, j]) / TEMPERATURE) for j in range(12)]
            expected[image] -= math.log(similar[place] / sum(similar)) / 12
    torch.testing.assert_close(patch_nce(query, key), expected)


def test_patches_that_stay_as_they_are_cost_least() -> None:
    key = vectors(0)
    least = patch_nce(key, key)
    assert (least < patch_nce(key.roll(1, 1), key)).all() and (least < patch_nce(vectors(1), key)).all()
    # Of keys that are as different as they can be, each is the best query there is.
    simplex = F.normalize(torch.eye(12) - 1 / 12, dim=1).double().expand(2, 12, 12)
    least = patch_nce(simplex, simplex)
    for seed in range(2, 12):
        moved = F.normalize(simplex + 0.1 * vectors(seed, c=12), dim=2)
        assert (least < patch_nce(moved, simplex)).all()
    torch.testing.assert_close(
        least, torch.full((2,), math.log(1 + 11 * math.exp(-12 / 11 / TEMPERATURE)), dtype=torch.float64)
    )


def test_keys_get_no_gradient() -> None:
    query, key = vectors(0).requires_grad_(), vectors(1).requires_grad_()
    patch_nce(query, key).sum().backward()
    assert key.grad is None and query.grad.abs().sum() > 0


def test_verdicts_count_by_image() -> None:
    verdict = torch.stack([torch.ones(1, 3, 4), torch.zeros(1, 3, 4), torch.full((1, 3, 4), 0.5)])
    assert looks_real(verdict).tolist() == [0, 1, 0.25]
    assert looks_made(verdict).tolist() == [1, 0, 0.25]
