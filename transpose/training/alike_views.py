"""Learning which whole images look alike: views of one place are drawn together, by how much of it they share.

The linear map behind a global descriptor begins as the principal components of a database's vectors, and is trained by
supervised contrastive learning (Khosla et al., NeurIPS 2020) with soft targets: of each view the others, in proportion
to how far they overlap. Its hard negatives are views that k-reciprocal re-ranking (`rerank`) finds near and that show
nothing in common; they are looked for again as it learns.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transpose.errors import TransposeError
from transpose.inspection.similarity import SimilarityOptions, similarity_of
from transpose.localization.global_descriptors import Whitening
from transpose.localization.rerank import RerankOptions, reranked
from transpose.losses.contrastive import Relations, both_directions
from transpose.randomness import torch_stream
from transpose.scenes.layout import Frame
from transpose.training.short_training import trained_shortly

log = logging.getLogger(__name__)
MOST_VIEWS = 4000  # from which one map is learned
_HARD = 10  # negatives of a view, from which one is drawn
_APART = 9.0  # as a re-ranked distance, more than any
_RELATED = 3  # views of a batch that one brings: itself, a positive and a negative


@dataclass(frozen=True)
class AlikeTraining:
    """How the map is trained.

    Attributes:
        steps: of the optimizer.
        batch: views a step.
        learning_rate: the schedule's largest.
        temperature: of the similarities.
        positive: views that overlap so far are of one place.
        sharpness: power of the overlap, that a positive weighs.
        negative: views that overlap no further are of two; between, nothing is said.
        renewals: how often hard negatives are looked for.
        components: principal ones of the vectors, that the map begins with.
    """

    steps: int = 300
    batch: int = 256
    learning_rate: float = 1e-3
    temperature: float = 0.1
    positive: float = 0.4
    sharpness: float = 4.0
    negative: float = 0.05
    renewals: int = 3
    components: int = 256

    def __post_init__(self) -> None:
        if (
            min(self.steps, self.batch, self.components) < 1
            or min(self.learning_rate, self.temperature, self.sharpness) <= 0
        ):
            raise ValueError(f"steps, batch, rate, temperature, sharpness, components must be positive, got {self}")
        if not 0 <= self.negative < self.positive <= 1 or not 1 <= self.renewals <= self.steps:
            raise ValueError(f"need 0 <= negative < positive <= 1, and 1..steps renewals, got {self}")


@dataclass(frozen=True, eq=False)
class AlikeViews:
    """Vectors of views, each as several copies show it, and which views show the same.

    Attributes:
        copies_cnd: at least two copies of n views: unit vectors of the images as they are, and of augmented ones.
        similarity_nn: 0..1, how far views overlap; 1 with themselves.
        training: what it is drawn for.
    """

    copies_cnd: Tensor
    similarity_nn: Tensor
    training: AlikeTraining

    def drawn(self, hard_nk: Tensor, generator: torch.Generator) -> Tensor:
        """The views (m,) of a batch, in order: some, a positive of each, and a hard negative where it has any."""
        seeds = max(2, self.training.batch // _RELATED)
        seed_s = torch.randperm(len(self.similarity_nn), generator=generator)[:seeds]
        positive_s = torch.multinomial(self._weights(self.similarity_nn[seed_s]), 1, generator=generator)[:, 0]
        hard_s = hard_nk[seed_s, torch.randint(hard_nk.shape[1], (len(seed_s),), generator=generator)]
        return torch.cat([seed_s, positive_s, hard_s[hard_s >= 0]]).unique()

    def pair(self, index_m: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two different copies (m, d) of each of some views."""
        copies = len(self.copies_cnd)
        one_m = torch.randint(copies, (len(index_m),), generator=generator)
        other_m = (one_m + 1 + torch.randint(copies - 1, (len(index_m),), generator=generator)) % copies
        return self.copies_cnd[one_m, index_m], self.copies_cnd[other_m, index_m]

    def relations(self, index_m: Tensor) -> Relations:
        """Of some views to one another: the soft targets, and what says nothing."""
        similarity_mm = self.similarity_nn[index_m][:, index_m]
        near_mm = (similarity_mm > self.training.negative) & (similarity_mm < self.training.positive)
        return Relations(self._weights(similarity_mm), near_mm)

    def hard_negatives(self, mapped_cnd: Tensor) -> Tensor:
        """Of each view those (n, k) that re-ranking finds nearest and that show nothing in common; -1 for none.

        Args:
            mapped_cnd: the copies as the map has them now, in main memory.
        """
        items = 2 * len(self.similarity_nn)
        distance_nn = reranked(mapped_cnd[1], mapped_cnd[0], RerankOptions().clipped(items))
        distance_nn[self.similarity_nn > self.training.negative] = _APART
        found = distance_nn.topk(min(_HARD, len(distance_nn)), largest=False)
        return found.indices.where(found.values < _APART, -1)

    def _weights(self, similarity: Tensor) -> Tensor:
        return similarity.pow(self.training.sharpness) * (similarity >= self.training.positive)


def overlaps(frames: Sequence[Frame], positive: float) -> Tensor:
    """How far frames of one place overlap (n, n), the smaller of both ways, 1 with themselves.

    Raises:
        TransposeError: no two of them overlap by `positive` or more.
    """
    options = SimilarityOptions.of_many([frame.camera for frame in frames])
    both = similarity_of(frames, None, options).both.toarray()
    np.fill_diagonal(both, 1.0)
    if not (both >= positive).sum() > len(both):
        raise TransposeError(
            f"no two of {len(both)} images overlap by {positive:.0%}, so nothing tells what looks alike: it needs more "
            "views of the same things; leave --contrastive away"
        )
    return torch.from_numpy(both.astype(np.float32))


def learned_whitening(
    start: Whitening, views: AlikeViews, dimensions: int, seed: int, device: torch.device
) -> Whitening:
    """The map that views of one place are alike under, with the digits that a checkpoint keeps.

    Args:
        start: what the vectors of `views` came out of; what is learned takes its place.
        views: to learn from.
        dimensions: of what comes out, at most; no more than come out of `start`.
        seed: of the draws.
        device: where it is trained.

    Raises:
        TransposeError: the loss is no number any more.
    """
    training, components = views.training, start.projection_de.shape[1]
    linear = nn.Linear(components, min(dimensions, components), bias=False).to(device)
    nn.init.eye_(linear.weight)
    hard_nk = torch.empty(0)

    def loss_of_step(step: int) -> Tensor:
        nonlocal hard_nk
        if step * training.renewals % training.steps < training.renewals:
            with torch.no_grad():
                hard_nk = views.hard_negatives(F.normalize(linear(views.copies_cnd[:2].to(device)), dim=-1).cpu())
        generator = torch_stream(seed, "alike views", str(step))
        index_m = views.drawn(hard_nk, generator)
        one_md, other_md = (F.normalize(linear(each.to(device)), dim=1) for each in views.pair(index_m, generator))
        relations = views.relations(index_m)
        relations = Relations(relations.weights_nm.to(device), relations.ignored_nm.to(device))
        return both_directions(one_md, other_md, relations, training.temperature)

    mean = trained_shortly(linear, loss_of_step, training.steps, training.learning_rate)
    if not np.isfinite(mean):
        raise TransposeError("the descriptor's loss is no number any more; leave --contrastive away")
    log.info("descriptor trained on %d views (loss %.3f)", len(views.similarity_nn), mean)
    projection_de = start.projection_de @ linear.weight.detach().to(start.projection_de).T
    return Whitening(start.mean_d, projection_de.half().float())
