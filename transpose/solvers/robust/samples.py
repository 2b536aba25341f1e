"""Which correspondences make minimal samples, and which score them.

A few correspondences are not left to chance: all of their triples are tried, and all of them score. Of many, triples
are drawn by weight, and a subset without repetition scores.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb, inf

import torch
from torch import Tensor

_FEW = 30  # correspondences of which all triples are tried: 4060


def number_of_triples(count: int) -> float:
    """How many samples there are to try of so many correspondences; infinite where they are drawn."""
    return comb(count, 3) if count <= _FEW else inf


def triples(weight_bn: Tensor, tried: int, size: int, generator: torch.Generator) -> Tensor:
    """Indices (b, 3, size) of the next minimal samples after `tried` ones; of many, by their weights (zero: never).

    An image's samples depend on the generator and on its own weights only. Where fewer than `size` are left, the rest
    are three times one point.
    """
    b, n = weight_bn.shape
    uniform_k = torch.rand(3 * size, generator=generator).to(weight_bn.device)
    count_b = (weight_bn > 0).sum(1)
    few_b = count_b <= _FEW
    if bool(few_b.all()):
        index_b3s = torch.empty(b, 3, size, dtype=torch.long, device=weight_bn.device)
    else:
        rank_bn = weight_bn.cumsum(1)
        rank_bn = (rank_bn / rank_bn[:, -1:]).float()
        index_bk = torch.searchsorted(rank_bn, uniform_k.expand(b, -1).contiguous(), right=True).clamp_max(n - 1)
        index_b3s = index_bk.unflatten(1, (3, size))
    for count in set(count_b[few_b].tolist()):
        same_i = (count_b == count).nonzero()[:, 0]
        # Usable ones first, in their order.
        column_in = (weight_bn[same_i] == 0).byte().argsort(dim=1, stable=True)
        triples_3c = _all_triples(count).to(weight_bn.device)
        next_3s = triples_3c[:, tried : tried + size]
        # Three times the same point is no sample, and is dropped by the solver.
        next_3s = torch.nn.functional.pad(next_3s, (0, size - next_3s.shape[1]))
        index_b3s[same_i] = column_in[:, next_3s]
    return index_b3s


@lru_cache
def _all_triples(count: int) -> Tensor:
    """(3, comb(count, 3)), in an order that favours none."""
    all_c3 = torch.tensor(list(combinations(range(count), 3)))
    return all_c3.view(-1, 3)[
        torch.randperm(len(all_c3), generator=torch.Generator().manual_seed(count))
    ].T.contiguous()


def subset(weight_bn: Tensor, m: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices (b, m) of different correspondences; those of more weight are likelier, and come first.

    By exponential races (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006): each prefix is
    such a subset, too. Where fewer than m have weight, the rest are ones without.

    Returns:
        The indices; and the share (b, m) of all weight that each of them stands for, summing to 1: its weight over the
        probability with which it got there (Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007).
    """
    arrival_n = torch.empty(weight_bn.shape[1]).exponential_(generator=generator).clamp_min(1e-30)
    race_bn = arrival_n.to(weight_bn.device) / weight_bn.float()
    first = race_bn.topk(min(m + 1, weight_bn.shape[1]), dim=1, largest=False, sorted=True)
    index_bm = first.indices[:, :m]
    weight_bm = weight_bn.gather(1, index_bm)
    if m < weight_bn.shape[1]:  # of those without weight, the race is endless
        weight_bm = torch.where(weight_bm > 0, weight_bm / -torch.expm1(-weight_bm * first.values[:, m:]), 0)
    return index_bm, (weight_bm / weight_bm.sum(1, keepdim=True)).float()


def first_of_equals(rows_bnc: Tensor, usable_bn: Tensor) -> Tensor:
    """Which of the usable rows (b, n) have no equal before them, of finite values.

    A correspondence that is repeated, such as the zeros that fill up a batch, says no more than once.
    """
    x_bm, y_bm = rows_bnc[:, 1:, 0] - rows_bnc[:, :-1, 0], rows_bnc[:, 1:, 1] - rows_bnc[:, :-1, 1]
    if bool(((y_bm > 0) | ((y_bm == 0) & (x_bm > 0))).all()):  # a map's cells, row by row
        return usable_bn
    key_bn = torch.zeros_like(rows_bnc[..., 0])
    for c, column_bn in enumerate(rows_bnc.unbind(-1)):  # entry by entry, so that equal rows have equal sums
        key_bn = key_bn + column_bn * (1 + (c + 1) ** 0.5)
    key_bn = torch.where(usable_bn, key_bn, torch.nan)
    sorted_bn, order_bn = key_bn.sort(dim=1, stable=True)
    alike_bm = sorted_bn[:, 1:] == sorted_bn[:, :-1]
    if not bool(alike_bm.any()):
        return usable_bn
    rows_bnc = rows_bnc.gather(1, order_bn[..., None].expand_as(rows_bnc))
    repeated_bn = torch.zeros_like(usable_bn)
    repeated_bn[:, 1:] = alike_bm & (rows_bnc[:, 1:] == rows_bnc[:, :-1]).all(-1)
    return usable_bn & ~torch.zeros_like(usable_bn).scatter(1, order_bn, repeated_bn)
