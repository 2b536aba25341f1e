"""One vector for a whole image, made of its local descriptors: images that show the same place have similar vectors.

Two ways: VLAD, which says how descriptors lie about the words of a vocabulary (Jégou et al., CVPR 2010), each word
normalized by itself so that a repeated structure does not speak for the whole image (Arandjelović and Zisserman, All
about VLAD, CVPR 2013); and a generalized mean (Radenović et al., Fine-tuning CNN Image Retrieval, PAMI 2019), which
needs no vocabulary. Either may be whitened by what the database shows (Jégou and Chum, ECCV 2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.errors import TransposeError
from transpose.randomness import torch_stream

_MOST_SAMPLES = 100_000  # local descriptors from which words are learned
_ROUNDS = 25
_BLOCK = 16_384  # rows whose distances from all words exist at once
_LEAST_VARIANCE = 1e-4  # of the largest component: below, whitening would amplify noise


class GlobalDescriptor(Protocol):
    """From the local descriptors of one image to one vector."""

    def describe(self, descriptors_nc: Tensor) -> Tensor:
        """A unit vector (d,); zero, and similar to nothing, where an image has no local descriptors."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; `described_by` reads it."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """Principal components of a database's vectors, each brought to unit variance.

    Attributes:
        mean_d: of the vectors.
        projection_de: columns are the components over their standard deviation.
    """

    mean_d: Tensor
    projection_de: Tensor

    @classmethod
    def learned(cls, vectors_nd: Tensor, dimensions: int) -> Whitening:
        """At most so many components; fewer where the vectors do not vary in so many ways.

        Raises:
            TransposeError: fewer than two vectors, or all are the same.
        """
        mean_d = vectors_nd.mean(0)
        _, spread_k, components_kd = torch.linalg.svd((vectors_nd - mean_d).double(), full_matrices=False)
        variance_k = spread_k.square() / max(1, len(vectors_nd) - 1)
        kept = int((variance_k > _LEAST_VARIANCE * variance_k.max()).sum()) if len(vectors_nd) > 1 else 0
        kept = min(kept, dimensions)
        if kept < 1 or variance_k[0] <= 0:
            raise TransposeError(f"{len(vectors_nd)} images are too few, or too much alike, to learn a whitening from")
        projection_de = (components_kd[:kept] / variance_k[:kept, None].sqrt()).T
        return cls(mean_d, projection_de.to(vectors_nd.dtype))

    @property
    def unscaled(self) -> Whitening:
        """The same components as they are, under which vectors are about as similar as they were before."""
        return replace(self, projection_de=F.normalize(self.projection_de, dim=0))

    def __call__(self, vectors_nd: Tensor) -> Tensor:
        """The vectors (..., d) whitened (..., e), of unit length; those of nothing, which are zero, stay zero."""
        mean_d, projection_de = self.mean_d.to(vectors_nd.device), self.projection_de.to(vectors_nd.device)
        whitened_ne = F.normalize((vectors_nd - mean_d) @ projection_de, dim=-1)
        return whitened_ne * (vectors_nd != 0).any(-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """VLAD on the words of a place.

    Attributes:
        words_kc: centres of its local descriptors.
        whitening: of the vectors; None: they stay as they are, k * c numbers.
    """

    words_kc: Tensor
    whitening: Whitening | None = None

    @classmethod
    def learned(cls, descriptors_nc: Tensor, words: int = 64, seed: int = 0) -> Vocabulary:
        """Words by k-means on local descriptors, of many images together; of very many, a random part is taken.

        Args:
            descriptors_nc: unit vectors.
            words: how many.
            seed: of the choice and of the first centres.

        Raises:
            TransposeError: there are fewer descriptors than words, or some are no numbers.
        """
        if not descriptors_nc.isfinite().all():
            raise TransposeError("local descriptors hold NaN or infinite numbers, and no vocabulary is learned of them")
        if not 1 <= words <= len(descriptors_nc):
            raise TransposeError(
                f"{len(descriptors_nc)} local descriptors are too few for a vocabulary of {words} words; take a "
                "section that shows more, or fewer words"
            )
        generator = torch_stream(seed, "vocabulary")
        chosen_m = torch.randperm(len(descriptors_nc), generator=generator)[:_MOST_SAMPLES].to(descriptors_nc.device)
        samples_mc = descriptors_nc[chosen_m].float()
        words_kc = _spread_out(samples_mc, words, generator)
        for _ in range(_ROUNDS):
            words_kc = _moved(words_kc, samples_mc)
        return cls(words_kc)

    def whitened(self, vectors_nd: Tensor, dimensions: int) -> Vocabulary:
        """The same words, with their vectors whitened by what those of a database, not whitened, show."""
        return replace(self, whitening=Whitening.learned(vectors_nd, dimensions))

    def describe(self, descriptors_nc: Tensor) -> Tensor:
        """See `GlobalDescriptor`; d = words * channels, or the whitening's."""
        words_kc = self.words_kc.to(descriptors_nc.device)
        descriptors_nc = descriptors_nc.float()
        word_n, _ = _nearest_words(descriptors_nc, words_kc)
        sum_kc, count_k = _sums(descriptors_nc, word_n, len(words_kc))
        residual_kc = sum_kc - count_k[:, None] * words_kc
        vector_d = F.normalize(F.normalize(residual_kc, dim=1).flatten(), dim=0)
        return vector_d if self.whitening is None else self.whitening(vector_d)

    def state(self) -> dict[str, Any]:
        """See `GlobalDescriptor`."""
        return {"kind": "vlad", "words": self.words_kc.cpu(), **_whitening_state(self.whitening)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Vocabulary:
        """The inverse of `state`."""
        return cls(state["words"], _whitening_from(state))


@dataclass(frozen=True, eq=False)
class GeneralizedMean:
    """The generalized mean of the local descriptors, of what is positive and of what is negative in each channel.

    Local descriptors have both signs, and a power mean is of numbers that are not negative.

    Attributes:
        power: 1 is the mean, infinity the maximum.
        whitening: of the vectors; None: they stay as they are, 2 * c numbers.
    """

    power: float = 3.0
    whitening: Whitening | None = None

    def __post_init__(self) -> None:
        if not self.power >= 1:
            raise ValueError(f"the power of a generalized mean must be at least 1, got {self.power}")

    def whitened(self, vectors_nd: Tensor, dimensions: int) -> GeneralizedMean:
        """The same mean, with its vectors whitened by what those of a database, not whitened, show."""
        return replace(self, whitening=Whitening.learned(vectors_nd, dimensions))

    def describe(self, descriptors_nc: Tensor) -> Tensor:
        """See `GlobalDescriptor`; d = 2 * channels, or the whitening's."""
        parts_nd = torch.cat([descriptors_nc.float(), -descriptors_nc.float()], 1).clamp_min(0)
        most_d = parts_nd.amax(0) if len(parts_nd) else parts_nd.sum(0)
        # In shares of the largest, which no power makes vanish. The vector's length does not matter, so no division by
        # how many there are.
        sum_d = (parts_nd / most_d.clamp_min(1e-12)).pow(self.power).sum(0)
        vector_d = F.normalize(most_d * sum_d.pow(1 / self.power), dim=0)
        return vector_d if self.whitening is None else self.whitening(vector_d)

    def state(self) -> dict[str, Any]:
        """See `GlobalDescriptor`."""
        return {"kind": "gem", "power": self.power, **_whitening_state(self.whitening)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> GeneralizedMean:
        """The inverse of `state`."""
        return cls(float(state["power"]), _whitening_from(state))


def described_by(state: Mapping[str, Any]) -> GlobalDescriptor:
    """The global descriptor of which `state` was kept.

    Raises:
        TransposeError: this version knows no such descriptor.
    """
    kinds: dict[str, type[Vocabulary] | type[GeneralizedMean]] = {"vlad": Vocabulary, "gem": GeneralizedMean}
    if state.get("kind") not in kinds:
        raise TransposeError(f"this version knows no global descriptor {state.get('kind')!r}, only {', '.join(kinds)}")
    return kinds[state["kind"]].from_state(state)


def nearest(query_d: Tensor, database_nd: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k images of a database most similar to a query, the most similar first; all of them where there are fewer.

    Args:
        query_d: a vector (d,), or several (..., d).
        database_nd: the vectors of the database.
        k: how many are wanted.

    Returns:
        Their rows (..., k) and cosines (..., k).
    """
    similarity_k, index_k = (query_d @ database_nd.T).topk(min(k, len(database_nd)), dim=-1)
    return index_k, similarity_k


def _nearest_words(descriptors_nc: Tensor, words_kc: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest word (n,) of each descriptor, and its squared distance (n,)."""
    half_k = 0.5 * words_kc.square().sum(1)
    found = [(block_mc @ words_kc.T - half_k).max(1) for block_mc in descriptors_nc.split(_BLOCK)]
    closeness_n, word_n = (torch.cat(parts) for parts in zip(*found, strict=True))
    return word_n, (descriptors_nc.square().sum(1) - 2 * closeness_n).clamp_min(0)


def _sums(descriptors_nc: Tensor, word_n: Tensor, words: int) -> tuple[Tensor, Tensor]:
    """Sum (k, c) and number (k,) of the descriptors of each word, as a product: same order on every run."""
    of_word_nk = F.one_hot(word_n, words).to(descriptors_nc.dtype)
    return of_word_nk.T @ descriptors_nc, of_word_nk.sum(0)


def _spread_out(samples_mc: Tensor, words: int, generator: torch.Generator) -> Tensor:
    """First centres, each drawn with a chance that grows with its distance from those before (k-means++, 2007)."""
    distance_m = samples_mc.new_full((len(samples_mc),), 1.0)
    chosen = []
    for _ in range(words):
        cumulative_m = distance_m.double().cumsum(0)
        at = torch.rand((), generator=generator, dtype=torch.float64).to(cumulative_m.device) * cumulative_m[-1]
        chosen.append(torch.searchsorted(cumulative_m, at).clamp_max(len(samples_mc) - 1))
        to_last_m = (samples_mc - samples_mc[chosen[-1]]).square().sum(1)
        distance_m = to_last_m if len(chosen) == 1 else torch.minimum(distance_m, to_last_m)
    return samples_mc[torch.stack(chosen)]


def _moved(words_kc: Tensor, samples_mc: Tensor) -> Tensor:
    """The words in the middle of the samples nearest to them; a word without any goes to the sample farthest off."""
    word_m, distance_m = _nearest_words(samples_mc, words_kc)
    sum_kc, count_k = _sums(samples_mc, word_m, len(words_kc))
    moved_kc = sum_kc / count_k.clamp_min(1)[:, None]
    empty_e = (count_k == 0).nonzero()[:, 0]
    moved_kc[empty_e] = samples_mc[distance_m.topk(len(empty_e)).indices]
    return moved_kc


def _whitening_state(whitening: Whitening | None) -> dict[str, Tensor]:
    if whitening is None:
        return {}
    projection_de = whitening.projection_de.cpu()
    if torch.equal(projection_de.half().float(), projection_de):  # one that was learned
        projection_de = projection_de.half()
    return {"whitening_mean": whitening.mean_d.cpu(), "whitening_projection": projection_de}


def _whitening_from(state: Mapping[str, Any]) -> Whitening | None:
    if "whitening_mean" not in state:
        return None
    return Whitening(state["whitening_mean"], state["whitening_projection"].float())
