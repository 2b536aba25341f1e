"""Supervised contrastive loss (Khosla et al., NeurIPS 2020), with soft targets: what is one place is to look alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TEMPERATURE = 0.07
_NO_PART = -1e30  # as a logit; with an infinite one, rows in which all is ignored would have no gradient but NaN


@dataclass(frozen=True)
class Relations:
    """What queries (n) and keys (m) are to one another.

    Attributes:
        weights_nm: 0 and more, how much a key is a positive of a query; only their ratios within a row (or, seen from
            the keys, within a column) count.
        ignored_nm: near misses, neither positive nor negative; a positive is never ignored.
    """

    weights_nm: Tensor
    ignored_nm: Tensor

    @classmethod
    def by_distance(cls, query_n3: Tensor, key_m3: Tensor, positive: float, negative: float) -> Relations:
        """World points within `positive` of each other are one place, beyond `negative` two; between, nothing is said.

        A positive weighs the more the nearer it is, down to a half at the radius.

        Args:
            query_n3, key_m3: world points, in one unit of length.
            positive, negative: radii in that unit; `negative` is not less.
        """
        # Not by a matrix product, whose rounding is the radius where a scene is some kilometres wide.
        distance_nm = torch.cdist(query_n3, key_m3, compute_mode="donot_use_mm_for_euclid_dist")
        near_nm = distance_nm <= positive
        weights_nm = (1 - 0.5 * distance_nm / positive) * near_nm
        return cls(weights_nm, (distance_nm <= negative) & ~near_nm)

    @property
    def transposed(self) -> Relations:
        """The same, seen from the keys."""
        return Relations(self.weights_nm.mT, self.ignored_nm.mT)

    def without(self, same_nm: Tensor) -> Relations:
        """The same but for pairs that are one and the same vector, which teach nothing."""
        return Relations(self.weights_nm.masked_fill(same_nm, 0.0), self.ignored_nm | same_nm)


def contrastive(
    query_nc: Tensor,
    key_mc: Tensor,
    relations: Relations,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Of each query (n,): the cross-entropy of its soft targets and the softmax over all keys that are not ignored.

    L_i = - sum_j q_ij log softmax_j(z_i z_j / temperature), q_ij = w_ij / sum_j w_ij: the loss with the logarithm
    outside the sum over positives. A query without positives costs nothing and gets no gradient (see `mean_of`).
    Computed in float32 where the vectors have fewer digits.

    Args:
        query_nc, key_mc: unit vectors.
        relations: which keys are positives of which queries.
        temperature: of the similarities.

    Raises:
        ValueError: the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature must be positive, got {temperature}")
    with torch.autocast(query_nc.device.type, enabled=False):
        dtype = torch.promote_types(query_nc.dtype, torch.float32)
        query_nc = query_nc.to(dtype)
        logits_nm = query_nc @ key_mc.to(dtype).mT / temperature
        logits_nm = logits_nm.masked_fill(relations.ignored_nm, _NO_PART)
        norm_n = logits_nm.logsumexp(1)
        weights_nm = relations.weights_nm.to(dtype)
        total_n = weights_nm.sum(1)
        attracted_n = (weights_nm * logits_nm).sum(1) / total_n.where(total_n > 0, 1.0)
        return torch.where(total_n > 0, norm_n - attracted_n, 0.0)


def both_directions(
    first_nc: Tensor,
    second_mc: Tensor,
    relations: Relations,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """The mean of `contrastive` from the first to the second and back, over those that have a positive; a scalar.

    Args:
        first_nc, second_mc: unit vectors.
        relations: of the first to the second.
        temperature: see `contrastive`.
    """
    there_n = contrastive(first_nc, second_mc, relations, temperature)
    back_m = contrastive(second_mc, first_nc, relations.transposed, temperature)
    return (mean_of(there_n, relations) + mean_of(back_m, relations.transposed)) / 2


def mean_of(loss_n: Tensor, relations: Relations) -> Tensor:
    """The mean over the queries that have a positive; 0 where none has.

    Args:
        loss_n: of `contrastive`.
        relations: the same.
    """
    return loss_n.sum() / (relations.weights_nm.sum(1) > 0).sum().clamp_min(1)
