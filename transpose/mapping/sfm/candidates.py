"""Which photos are worth matching: those that look alike by a few of their strongest keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transpose.models.keypoints import Keypoints

_FEW_PHOTOS = 25  # all pairs of so many are matched
_PARTNERS = 24  # that each photo chooses
_NEXT = 2  # photos after it in order of their names, which often were taken after it
_VOTERS = 256  # keypoints of a photo
_VOTE_SIMILARITY = 0.82
_MIN_VOTES = 4
_AT_ONCE = 256  # photos whose votes are counted in one product


def candidate_pairs(keypoints: Sequence[Keypoints]) -> list[tuple[int, int]]:
    """Pairs of photos, each once and in order, that may show the same.

    Args:
        keypoints: of each photo, the best first.
    """
    count = len(keypoints)
    if count <= _FEW_PHOTOS:
        return [(first, second) for first in range(count) for second in range(first + 1, count)]
    votes_pp = votes(keypoints)
    pairs = {(first, second) for first in range(count) for second in range(first + 1, min(count, first + 1 + _NEXT))}
    chosen_pk = votes_pp.argsort(dim=1, descending=True, stable=True)[:, :_PARTNERS]
    enough_pk = votes_pp.gather(1, chosen_pk) >= _MIN_VOTES
    for first, k in enough_pk.nonzero().tolist():
        second = int(chosen_pk[first, k])
        pairs.add((min(first, second), max(first, second)))
    return sorted(pairs)


def votes(keypoints: Sequence[Keypoints]) -> Tensor:
    """Mutual matches of the strongest keypoints of each photo with those of each other one (photos, photos)."""
    strongest_pkc = torch.zeros(len(keypoints), _VOTERS, keypoints[0].descriptors_nc.shape[1])
    for photo, each in enumerate(keypoints):
        some_kc = each.descriptors_nc[:_VOTERS]
        strongest_pkc[photo, : len(some_kc)] = some_kc
    rows = [
        torch.cat([_mutual(one_kc, some_pkc) for some_pkc in strongest_pkc.split(_AT_ONCE)]) for one_kc in strongest_pkc
    ]
    return torch.stack(rows).fill_diagonal_(0)


def _mutual(one_kc: Tensor, others_pkc: Tensor) -> Tensor:
    """Mutual matches (p,) of one photo's keypoints with those of others; rows of zeros are none."""
    similarity_pkl = torch.matmul(others_pkc, one_kc.T).transpose(1, 2)
    best_pk, to_pk = similarity_pkl.max(2)
    back_pk = similarity_pkl.max(1).indices.gather(1, to_pk)
    return ((back_pk == torch.arange(_VOTERS)) & (best_pk > _VOTE_SIMILARITY)).sum(1)
