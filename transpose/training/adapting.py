"""Training an adapter: descriptors of one place are drawn together, those of others, next to it first, pushed apart.

Which observations are of one place, geometry says. Of wrong matches between photos and landmarks from renders, most lie
3 to 10 pixels beside the right place (docs/contrastive.md), so a batch is made of neighbourhoods: what surrounds a
place are its hard negatives.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from transpose.errors import TransposeError
from transpose.geometry.same_place import same_place
from transpose.losses.contrastive import TEMPERATURE, Relations, both_directions
from transpose.models.adapter import Adapter
from transpose.models.precision import autocast
from transpose.randomness import torch_stream
from transpose.training.landmarks import Observations, place_keys
from transpose.training.short_training import trained_shortly

log = logging.getLogger(__name__)
_MOST_POSITIVES = 8  # of an observation, from which one is drawn
_OF_A_NEIGHBOURHOOD = 8  # observations that a batch holds
_STATISTICS = 50_000
_BLOCK = 65_536
_FEWEST = 64  # observations that some other view shares


@dataclass(frozen=True)
class AdapterTraining:
    """How an adapter is trained.

    Attributes:
        steps: of the optimizer.
        batch: observations a step, each with one positive.
        learning_rate: the schedule's largest.
        temperature: of the similarities.
        positive_px: within so many pixels, at the usual ground sampling distance, observations are of one place.
        negative_px: beyond so many, of two; between, nothing is said.
        neighbourhood_px: side of the boxes whose places are told apart within a batch.
    """

    steps: int = 400
    batch: int = 768
    learning_rate: float = 2e-3
    temperature: float = TEMPERATURE
    positive_px: float = 1.5
    negative_px: float = 3.0
    neighbourhood_px: float = 16.0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or min(self.learning_rate, self.temperature, self.neighbourhood_px) <= 0:
            raise ValueError(f"steps, batch, rate, temperature and neighbourhood must be positive, got {self}")
        if not 0 < self.positive_px <= self.negative_px:
            raise ValueError(f"positive_px must be positive and at most negative_px, got {self}")


@dataclass(frozen=True)
class Places:
    """Observations of one scene with known features, and which of them are of one place.

    Attributes:
        features_nk: float16.
        points_n3: float32, in pixels at the usual ground sampling distance.
        positives_np: indices, -1 for none.
        anchors_a: those that have a positive.
        members_n, first_g, count_g, group_n: observations by their neighbourhood g, where its members begin and how
            many they are; the neighbourhood of each.
    """

    features_nk: Tensor
    points_n3: Tensor
    positives_np: Tensor
    anchors_a: Tensor
    members_m: Tensor
    first_g: Tensor
    count_g: Tensor
    group_a: Tensor

    @classmethod
    def of(cls, observations: Observations, training: AdapterTraining) -> Places:
        """Finds positives and neighbourhoods.

        Raises:
            TransposeError: next to nothing is seen by two views.
        """
        assert observations.features_nk is not None
        gsd = float(observations.gsd_n.median()) if len(observations) else 1.0
        points_n3 = observations.points_n3 / gsd
        found_np = same_place(points_n3.numpy(), observations.frame_n.numpy(), training.positive_px, _MOST_POSITIVES)
        positives_np = torch.from_numpy(_across_domains(found_np, observations.photo_n.numpy()))
        anchors_a = (positives_np[:, 0] >= 0).nonzero()[:, 0]
        if len(anchors_a) < _FEWEST:
            raise TransposeError(
                f"only {len(anchors_a)} of {len(observations)} keypoints are seen by a second view, so nothing tells "
                "what stays alike: it needs more views of the same things; leave --contrastive away"
            )
        keys_a = place_keys((points_n3[anchors_a] / training.neighbourhood_px).floor().long())
        _, group_a, count_g = keys_a.unique(return_inverse=True, return_counts=True)
        members_m = anchors_a[group_a.argsort(stable=True)]
        first_g = count_g.cumsum(0) - count_g
        features_nk = observations.features_nk
        return cls(features_nk, points_n3, positives_np, anchors_a, members_m, first_g, count_g, group_a)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Observations and one positive of each, indices (n,): at most `count`, from some neighbourhoods."""
        seeds_s = torch.randint(len(self.anchors_a), (max(1, count // _OF_A_NEIGHBOURHOOD),), generator=generator)
        group_s = self.group_a[seeds_s]
        within_sk = torch.rand(len(seeds_s), _OF_A_NEIGHBOURHOOD, generator=generator, dtype=torch.float64)
        place_sk = self.first_g[group_s, None] + (within_sk * self.count_g[group_s, None]).long()
        anchor_n = self.members_m[place_sk.flatten()].unique()
        positives_np = self.positives_np[anchor_n]
        known_n = (positives_np >= 0).sum(1)
        which_n = (torch.rand(len(anchor_n), generator=generator, dtype=torch.float64) * known_n).long()
        return anchor_n, positives_np.gather(1, which_n[:, None])[:, 0]


def _across_domains(found_np: np.ndarray, photo_n: np.ndarray) -> np.ndarray:
    """Positives (n, p) of which those of the other domain alone are kept, where there are any."""
    other_np = (photo_n[np.maximum(found_np, 0)] != photo_n[:, None]) & (found_np >= 0)
    kept_np = np.where(other_np.any(1, keepdims=True), other_np, found_np >= 0)
    order_np = np.argsort(~kept_np, axis=1, kind="stable")
    return np.take_along_axis(np.where(kept_np, found_np, -1), order_np, axis=1)


def train_adapter(
    adapter: Adapter,
    scenes: Sequence[Places],
    training: AdapterTraining,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """Trains the adapter in place (`trained_shortly`), on one scene after the other; returns the last mean loss.

    Args:
        adapter: from where it goes on; on `device`.
        scenes: at least one.
        training: how.
        seed: of the draws.
        device, dtype: where it runs and how it computes.
    """

    def loss_of_step(step: int) -> Tensor:
        generator = torch_stream(seed, "adapter", str(step))
        return _loss(adapter, scenes[step % len(scenes)], training, generator, device, dtype)

    mean = trained_shortly(adapter, loss_of_step, training.steps, training.learning_rate)
    if not np.isfinite(mean):
        raise TransposeError("the adapter's loss is no number any more; a smaller rate, or --contrastive left away")
    return mean


def _loss(
    adapter: Adapter,
    places: Places,
    training: AdapterTraining,
    generator: torch.Generator,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    anchor_n, positive_n = places.draw(training.batch, generator)
    both = torch.cat([anchor_n, positive_n])
    with autocast(device, dtype):
        descriptors = adapter(places.features_nk[both].to(device).float())
    first_nd, second_nd = descriptors.float().chunk(2)
    anchor_n3, positive_n3 = places.points_n3[both].to(device).chunk(2)
    relations = Relations.by_distance(anchor_n3, positive_n3, training.positive_px, training.negative_px)
    return both_directions(first_nd, second_nd, relations, training.temperature)


def fit_statistics(adapter: Adapter, scenes: Sequence[Places], seed: int) -> None:
    """Normalises the adapter's inputs by samples of all scenes."""
    each = max(1, _STATISTICS // len(scenes))
    samples = []
    for number, places in enumerate(scenes):
        generator = torch_stream(seed, "adapter statistics", str(number))
        index_n = torch.randperm(len(places.features_nk), generator=generator)[:each]
        samples.append(places.features_nk[index_n].float())
    adapter.fit_statistics(torch.cat(samples))


@torch.no_grad()
def adapted_rows(adapter: Adapter, features_nk: Tensor, device: torch.device) -> Tensor:
    """Descriptors (n, d) float32 of features (n, k), both in main memory, in blocks."""
    blocks = [adapter(block.to(device).float()).cpu() for block in features_nk.split(_BLOCK)]
    return torch.cat(blocks) if blocks else torch.zeros(0, adapter.config.descriptor_channels)


def with_adapted_descriptors(adapter: Adapter, observations: Observations, device: torch.device) -> Observations:
    """The same observations as the adapter describes them, without the features that it read."""
    assert observations.features_nk is not None
    descriptors_nd = adapted_rows(adapter, observations.features_nk, device)
    return replace(observations, descriptors_nc=descriptors_nd.half(), features_nk=None)
