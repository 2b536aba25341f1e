"""The contrastive loss against a loop, finite differences and its laws."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.losses.contrastive import Relations, both_directions, contrastive, mean_of
from transpose.losses.patch_nce import patch_nce


def vectors(seed: int, n: int, c: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, c, generator=generator, dtype=torch.float64), dim=1)


def relations(seed: int, n: int, m: int) -> Relations:
    """A third positive with weights of their own, a third ignored; the first query has no positive."""
    generator = torch.Generator().manual_seed(seed)
    kind_nm = torch.randint(3, (n, m), generator=generator)
    kind_nm[0][kind_nm[0] == 1] = 0
    weights_nm = torch.rand(n, m, generator=generator, dtype=torch.float64) * (kind_nm == 1)
    return Relations(weights_nm, kind_nm == 2)


def slow(query: Tensor, key: Tensor, related: Relations, temperature: float) -> Tensor:
    """One number after the other."""
    losses = []
    for i in range(len(query)):
        total = float(related.weights_nm[i].sum())
        if total == 0:
            losses.append(0.0)
            continue
        candidates = [key[j] for j in range(len(key)) if not related.ignored_nm[i, j]]
        norm = math.log(sum(math.exp(float(query[i] @ each) / temperature) for each in candidates))
        losses.append(
            -sum(
                float(related.weights_nm[i, j]) / total * (float(query[i] @ key[j]) / temperature - norm)
                for j in range(len(key))
            )
        )
    return torch.tensor(losses, dtype=torch.float64)


def test_against_a_loop() -> None:
    query, key, related = vectors(0, 9), vectors(1, 11), relations(3, 9, 11)
    expected = slow(query, key, related, 0.2)
    got = contrastive(query, key, related, 0.2)
    torch.testing.assert_close(got, expected)
    assert got[0] == 0
    torch.testing.assert_close(mean_of(got, related), expected[1:].mean())


def test_both_directions_are_each_others_mirror() -> None:
    query, key, related = vectors(0, 9), vectors(1, 11), relations(3, 9, 11)
    there = both_directions(query, key, related, 0.1)
    torch.testing.assert_close(there, both_directions(key, query, related.transposed, 0.1))
    halves = mean_of(contrastive(query, key, related, 0.1), related)
    back = slow(key, query, related.transposed, 0.1)
    torch.testing.assert_close(there, (halves + back.sum() / (related.weights_nm.sum(0) > 0).sum()) / 2)


def test_gradients_agree_with_finite_differences() -> None:
    related = relations(3, 6, 7)
    inputs = [each.requires_grad_() for each in (vectors(0, 6), vectors(1, 7))]
    assert torch.autograd.gradcheck(lambda q, k: contrastive(q, k, related, 0.3), inputs)
    assert torch.autograd.gradcheck(lambda q, k: both_directions(q, k, related, 0.3), inputs)


def test_one_positive_each_is_patch_nce() -> None:
    query, key = vectors(0, 12).float(), vectors(1, 12).float()
    diagonal = Relations(torch.eye(12), torch.zeros(12, 12, dtype=torch.bool))
    expected = patch_nce(query[None], key[None])[0]
    torch.testing.assert_close(mean_of(contrastive(query, key, diagonal), diagonal), expected)


def test_half_precision_accumulates_in_float32() -> None:
    query, key, related = vectors(0, 9).bfloat16(), vectors(1, 11).bfloat16(), relations(3, 9, 11)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = contrastive(query, key, related)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, contrastive(query.float(), key.float(), related))


@pytest.mark.parametrize("ignored", [False, True])
def test_without_any_positive_there_is_neither_loss_nor_gradient(ignored: bool) -> None:
    query, key = vectors(0, 4).requires_grad_(), vectors(1, 5).requires_grad_()
    none = Relations(torch.zeros(4, 5), torch.full((4, 5), ignored))
    loss = both_directions(query, key, none)
    loss.backward()
    assert loss == 0 and query.grad is not None and key.grad is not None
    assert not query.grad.any() and not key.grad.any()


def test_ignored_keys_pull_and_push_nothing() -> None:
    query, key, related = vectors(0, 6), vectors(1, 7).requires_grad_(), relations(3, 6, 7)
    related.ignored_nm[:, 2], related.weights_nm[:, 2] = True, 0.0
    contrastive(query, key, related).sum().backward()
    assert key.grad is not None and not key.grad[2].any() and key.grad.any()


def test_negatives_cost_the_more_the_nearer_they_are() -> None:
    query, key = vectors(0, 6), vectors(1, 6)
    two = Relations(torch.cat([torch.eye(6), torch.zeros(6, 6)], 1), torch.zeros(6, 12, dtype=torch.bool))
    one = Relations(torch.eye(6), torch.zeros(6, 6, dtype=torch.bool))
    far, near = (contrastive(query, torch.cat([key, each]), two, 0.1) for each in (-query, query))
    assert (contrastive(query, key, one, 0.1) < far).all() and (far < near).all()


def test_relations_by_distance() -> None:
    here = torch.zeros(1, 3)
    there = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.11, 0, 0], [0.4, 0, 0], [0.5, 0, 0]])
    related = Relations.by_distance(here, there, 0.1, 0.4)
    torch.testing.assert_close(related.weights_nm, torch.tensor([[1.0, 0.5, 0, 0, 0]]))
    assert related.ignored_nm.tolist() == [[False, False, True, True, False]]
    far = torch.full((1, 3), 3000.0)  # a matrix product would lose the millimetres
    assert torch.equal(Relations.by_distance(here + far, there + far, 0.105, 0.4).ignored_nm, related.ignored_nm)
    assert not related.without(torch.eye(1, 5, dtype=torch.bool)).weights_nm[0, 0]


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        contrastive(vectors(0, 2), vectors(1, 2), relations(3, 2, 2), 0.0)
