"""Global descriptors: the definition, what they must not depend on, and what they find."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transpose.errors import TransposeError
from transpose.localization.global_descriptors import (
    GeneralizedMean,
    GlobalDescriptor,
    Vocabulary,
    Whitening,
    _nearest_words,
    _spread_out,
    described_by,
    nearest,
)
from transpose.randomness import torch_stream

CHANNELS = 8


def local_descriptors(count: int, *purpose: str) -> Tensor:
    return F.normalize(torch.randn(count, CHANNELS, generator=torch_stream(0, "test", *purpose)), dim=1)


def vlad_twin(descriptors_nc: np.ndarray, words_kc: np.ndarray) -> np.ndarray:
    """By its definition, one descriptor at a time."""
    residual_kc = np.zeros_like(words_kc)
    for each_c in descriptors_nc:
        word = np.linalg.norm(words_kc - each_c, axis=1).argmin()
        residual_kc[word] += each_c - words_kc[word]
    for word_c in residual_kc:
        word_c /= max(np.linalg.norm(word_c), 1e-12)
    return residual_kc.ravel() / np.linalg.norm(residual_kc)


def test_vlad_is_its_definition() -> None:
    vocabulary = Vocabulary.learned(local_descriptors(300, "words"), words=6, seed=3)
    seen_nc = local_descriptors(50, "image")
    twin_d = vlad_twin(seen_nc.double().numpy(), vocabulary.words_kc.double().numpy())
    np.testing.assert_allclose(vocabulary.describe(seen_nc).numpy(), twin_d, atol=1e-5)


def test_words_are_where_kmeans_stops() -> None:
    """Each word is the mean of what is nearest to it, and well-separated clusters have a word each."""
    centers_kc = torch.eye(CHANNELS)[:5]
    noise_nc = 0.02 * torch.randn(500, CHANNELS, generator=torch_stream(0, "noise"))
    samples_nc = F.normalize(centers_kc.repeat(100, 1) + noise_nc, dim=1)
    words_kc = Vocabulary.learned(samples_nc, words=5).words_kc
    nearest_word_n = torch.cdist(samples_nc, words_kc).argmin(1)
    assert sorted(torch.cdist(centers_kc, words_kc).argmin(1).tolist()) == list(range(5))
    for word in range(5):
        torch.testing.assert_close(words_kc[word], samples_nc[nearest_word_n == word].mean(0), atol=1e-5, rtol=0)


def test_words_depend_on_the_seed_alone() -> None:
    samples_nc = local_descriptors(400, "words")
    first, again, other = (Vocabulary.learned(samples_nc, 8, seed).words_kc for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_descriptors_that_are_all_the_same_still_make_words() -> None:
    words_kc = Vocabulary.learned(torch.eye(CHANNELS)[:1].repeat(20, 1), words=4).words_kc
    assert words_kc.isfinite().all()


DESCRIPTORS: list[Callable[[], GlobalDescriptor]] = [
    lambda: Vocabulary.learned(local_descriptors(300, "words"), words=6),
    lambda: GeneralizedMean(3.0),
]


@pytest.mark.parametrize("made", DESCRIPTORS)
def test_a_description_is_a_unit_vector_that_no_order_changes(made: Callable[[], GlobalDescriptor]) -> None:
    descriptor, seen_nc = made(), local_descriptors(40, "image")
    vector_d = descriptor.describe(seen_nc)
    assert vector_d.norm().item() == pytest.approx(1, abs=1e-5)
    shuffled_nc = seen_nc[torch.randperm(len(seen_nc), generator=torch_stream(0, "order"))]
    torch.testing.assert_close(descriptor.describe(shuffled_nc), vector_d, atol=1e-5, rtol=0)


@pytest.mark.parametrize("made", DESCRIPTORS)
def test_twice_the_same_image_is_the_same(made: Callable[[], GlobalDescriptor]) -> None:
    descriptor, seen_nc = made(), local_descriptors(40, "image")
    torch.testing.assert_close(descriptor.describe(seen_nc.repeat(2, 1)), descriptor.describe(seen_nc))


@pytest.mark.parametrize("made", DESCRIPTORS)
def test_an_image_without_keypoints_is_similar_to_nothing(made: Callable[[], GlobalDescriptor]) -> None:
    descriptor = made()
    empty_d = descriptor.describe(torch.zeros(0, CHANNELS))
    assert empty_d.shape == descriptor.describe(local_descriptors(9, "image")).shape
    assert torch.equal(empty_d, torch.zeros_like(empty_d))


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("made", DESCRIPTORS)
def test_a_state_describes_as_before(made: Callable[[], Vocabulary | GeneralizedMean], whitened: bool) -> None:
    descriptor, seen_nc = made(), local_descriptors(40, "image")
    if whitened:
        database_nd = torch.stack([descriptor.describe(local_descriptors(30, str(i))) for i in range(12)])
        descriptor = descriptor.whitened(database_nd, 4)
        assert descriptor.describe(seen_nc).shape == (4,)
        assert descriptor.describe(torch.zeros(0, CHANNELS)).shape == (4,)
    assert torch.equal(described_by(descriptor.state()).describe(seen_nc), descriptor.describe(seen_nc))


def test_a_generalized_mean_goes_from_the_mean_to_the_maximum() -> None:
    positive_nc = local_descriptors(30, "image").abs()
    powers = (1.0, 60.0, 1e6, math.inf)
    mean_c, *largest = (GeneralizedMean(power).describe(positive_nc)[:CHANNELS] for power in powers)
    torch.testing.assert_close(mean_c, F.normalize(positive_nc.mean(0), dim=0))
    for largest_c, near in zip(largest, (0.03, 1e-4, 1e-6), strict=True):
        torch.testing.assert_close(largest_c, F.normalize(positive_nc.amax(0), dim=0), atol=near, rtol=0)


def test_whitening_goes_where_the_vectors_are() -> None:
    whitening = Whitening.learned(torch.rand(20, 6, generator=torch_stream(0, "device")), 3)
    assert whitening(torch.zeros(4, 6, device="meta")).device.type == "meta"


def test_whitening_makes_a_database_uncorrelated() -> None:
    generator = torch_stream(0, "whitening")
    vectors_nd = torch.randn(500, 6, generator=generator) @ torch.randn(6, 6, generator=generator) + 1
    whitening = Whitening.learned(vectors_nd, 6)
    raw_ne = (vectors_nd - whitening.mean_d) @ whitening.projection_de
    torch.testing.assert_close(raw_ne.T.cov(), torch.eye(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(whitening(vectors_nd), F.normalize(raw_ne, dim=1))


def test_nearest_is_the_order_of_cosines() -> None:
    database_nd, query_d = local_descriptors(20, "database"), local_descriptors(1, "query")[0]
    cosine_n = database_nd @ query_d
    index_k, similarity_k = nearest(query_d, database_nd, 5)
    assert index_k.tolist() == cosine_n.argsort(descending=True)[:5].tolist()
    torch.testing.assert_close(similarity_k, cosine_n[index_k])
    assert len(nearest(query_d, database_nd, 99)[0]) == 20
    assert nearest(database_nd[:3], database_nd, 1)[0][:, 0].tolist() == [0, 1, 2]


def test_what_cannot_be_described_is_refused() -> None:
    with pytest.raises(TransposeError, match="too few for a vocabulary of 64 words"):
        Vocabulary.learned(local_descriptors(10, "few"), words=64)
    with pytest.raises(TransposeError, match="NaN"):
        Vocabulary.learned(torch.full((10, CHANNELS), torch.nan), words=2)
    with pytest.raises(TransposeError, match="too few, or too much alike"):
        Whitening.learned(torch.ones(5, 4), 2)
    with pytest.raises(TransposeError, match="no global descriptor 'netvlad'"):
        described_by({"kind": "netvlad"})
    with pytest.raises(ValueError, match="at least 1"):
        GeneralizedMean(0.5)


def test_components_without_their_scale_leave_similarities_as_they_are() -> None:
    vectors_nd = F.normalize(torch.randn(60, 6, generator=torch_stream(0, "vectors")) * torch.arange(1, 7.0), dim=1)
    learned = Whitening.learned(vectors_nd, 6).unscaled
    torch.testing.assert_close(learned.projection_de.T @ learned.projection_de, torch.eye(6), atol=1e-4, rtol=0)
    centred_nd = F.normalize(vectors_nd - vectors_nd.mean(0), dim=1)
    torch.testing.assert_close(
        learned(vectors_nd) @ learned(vectors_nd).T, centred_nd @ centred_nd.T, atol=1e-4, rtol=0
    )


def test_a_learned_map_is_kept_in_half_of_the_bytes() -> None:
    vectors_nd = torch.randn(60, 2 * CHANNELS, generator=torch_stream(0, "vectors"))
    exact = Whitening.learned(vectors_nd, 4)
    learned = Whitening(exact.mean_d, exact.projection_de.half().float())
    for whitening, dtype in ((exact, torch.float32), (learned, torch.half)):
        state = GeneralizedMean(whitening=whitening).state()
        assert state["whitening_projection"].dtype == dtype
        again = described_by(state)
        assert isinstance(again, GeneralizedMean) and again.whitening is not None
        assert torch.equal(again.whitening.projection_de, whitening.projection_de)


def test_the_nearest_word_and_its_distance_are_those_of_the_twin() -> None:
    seen_nc, words_kc = 3 * local_descriptors(40, "image"), 2 * local_descriptors(7, "words")
    word_n, squared_n = _nearest_words(seen_nc, words_kc)
    distance_nk = torch.cdist(seen_nc.double(), words_kc.double())
    assert torch.equal(word_n, distance_nk.argmin(1))
    torch.testing.assert_close(squared_n.double(), distance_nk.amin(1) ** 2, atol=1e-5, rtol=1e-5)


def test_first_centres_are_any_and_the_next_are_far_from_them() -> None:
    """Of twenty samples at one place and one far away, the far one is always among two centres, and any comes first."""
    samples_mc = torch.cat([torch.zeros(20, 3), torch.full((1, 3), 50.0)]) + 1e-3 * torch.arange(21)[:, None]
    drawn = [_spread_out(samples_mc, 2, torch_stream(seed, "spread")) for seed in range(40)]
    assert all((centres_kc > 40).any() for centres_kc in drawn)
    assert len({float(centres_kc[0, 0]) for centres_kc in drawn}) > 10
