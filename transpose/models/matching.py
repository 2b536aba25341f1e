"""Descriptors matched to one another: who is most similar to whom, and whether that is mutual."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 64
_SLAB_BLOCKS = 32
_SMALL = 2**22  # entries of a matrix that fits a core's share of the cache


def mutual_matches(query_nc: Tensor, among_lc: Tensor, min_similarity: float) -> tuple[Tensor, Tensor]:
    """Pairs that are each other's most similar: rows of `query` (m,), in order, and of `among` (m,).

    Args:
        query_nc: unit vectors.
        among_lc: unit vectors.
        min_similarity: cosine that a pair must exceed.
    """
    if len(query_nc) == 0 or len(among_lc) == 0:
        none = torch.zeros(0, dtype=torch.int64, device=query_nc.device)
        return none, none
    if len(query_nc) * len(among_lc) <= _SMALL:
        return _mutual_of_few(query_nc @ among_lc.T, min_similarity)
    which_n, best_n = most_similar(query_nc, among_lc)
    # Mutual: of all queries, the one most similar to the row is the one that chose it.
    best_query_n, _ = most_similar(among_lc[which_n], query_nc)
    mutual_n = best_query_n == torch.arange(len(query_nc), device=query_nc.device)
    kept_m = (mutual_n & (best_n > min_similarity)).nonzero()[:, 0]
    return kept_m, which_n[kept_m]


def _mutual_of_few(similarity_nl: Tensor, min_similarity: float) -> tuple[Tensor, Tensor]:
    best_n, which_n = similarity_nl.max(1)
    kept_m = ((best_n == similarity_nl.amax(0)[which_n]) & (best_n > min_similarity)).nonzero()[:, 0]
    return kept_m, which_n[kept_m]


def most_similar(query_nc: Tensor, among_lc: Tensor) -> tuple[Tensor, Tensor]:
    """Index into `among` of the most similar row to each query (n,), and the similarity (n,).

    The similarities never exist all at once, and the search for the index is left to the block where the maximum is:
    several times faster than `argmax` of the whole matrix, whose memory costs more than its arithmetic.
    """
    padded = F.pad(among_lc, (0, 0, 0, -len(among_lc) % _BLOCK))
    blocks = len(padded) // _BLOCK
    best_nb = query_nc.new_empty(len(query_nc), blocks)
    slab_nl = query_nc.new_empty(len(query_nc), _SLAB_BLOCKS * _BLOCK)
    for first in range(0, blocks, _SLAB_BLOCKS):
        last = min(first + _SLAB_BLOCKS, blocks)
        whole = last - first == _SLAB_BLOCKS
        slab = slab_nl if whole else query_nc.new_empty(len(query_nc), (last - first) * _BLOCK)
        torch.mm(query_nc, padded[first * _BLOCK : last * _BLOCK].T, out=slab)
        best_nb[:, first:last] = slab.view(len(query_nc), -1, _BLOCK).amax(2)
    block_n = best_nb.argmax(1)
    inside_nl = torch.bmm(padded.view(blocks, _BLOCK, -1)[block_n], query_nc[:, :, None])[:, :, 0]
    rest_n = len(among_lc) - block_n * _BLOCK  # rows of zeros after the last
    inside_nl.masked_fill_(torch.arange(_BLOCK, device=rest_n.device) >= rest_n[:, None], -1.0)
    best_n, which_n = inside_nl.max(1)
    return block_n * _BLOCK + which_n, best_n
