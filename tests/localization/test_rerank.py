"""k-reciprocal re-ranking: against the definition on dense matrices, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from torch import Tensor

from transpose.errors import TransposeError
from transpose.localization import distances, rerank
from transpose.localization.rerank import RerankOptions, reranked, reranked_distances, reranked_similarity
from transpose.randomness import torch_stream

OPTIONS = RerankOptions(k1=6, k2=3, original=0.3)


def places(count: int, seed: int = 0) -> Tensor:
    """Descriptors of images that show a few places, several of each."""
    generator = torch_stream(seed, "places")
    centers_kd = torch.randn(5, 16, generator=generator, dtype=torch.float64)
    which_n = torch.randint(5, (count,), generator=generator)
    noise_nd = 0.6 * torch.randn(count, 16, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(centers_kd[which_n] + noise_nd, dim=1)


def squared_distances(descriptors_nd: Tensor) -> Tensor:
    return (descriptors_nd[:, None] - descriptors_nd).square().sum(2)


def twin(
    distance_nn: np.ndarray, queries: int, options: RerankOptions, related_nn: np.ndarray | None = None
) -> np.ndarray:
    """By the definition: sets of each image, dense encodings, every pair compared."""
    found = whole_twin(distance_nn, options, np.ones_like(distance_nn, bool) if related_nn is None else related_nn)
    return found[:queries, queries:]


def whole_twin(distance_nn: np.ndarray, options: RerankOptions, related_nn: np.ndarray) -> np.ndarray:
    items = len(distance_nn)
    d_nn = distance_nn / np.where(distance_nn.max(1) > 0, distance_nn.max(1), 1)[:, None]
    ranked = d_nn.copy()
    np.fill_diagonal(ranked, -1)
    order_nn = ranked.argsort(axis=1, kind="stable")

    def mutual(i: int, k: int) -> set[int]:
        return {int(j) for j in order_nn[i, : k + 1] if i in order_nn[j, : k + 1] and related_nn[i, j]}

    V_nn = np.zeros((items, items))
    half = round(options.k1 / 2)
    for i in range(items):
        own = mutual(i, options.k1)
        members = set(own)
        for candidate in own:
            theirs = mutual(candidate, half)
            if 3 * len(theirs & own) > 2 * len(theirs):
                members |= theirs
        V_nn[i, sorted(members)] = np.exp(-d_nn[i, sorted(members)])
        V_nn[i] /= V_nn[i].sum()
    if options.k2 > 1:
        near = [[j for j in order_nn[i, : options.k2] if related_nn[i, j]] for i in range(items)]
        V_nn = np.stack([V_nn[each].mean(0) for each in near])
    smallest = np.minimum(V_nn[:, None], V_nn).sum(2)
    largest = np.maximum(V_nn[:, None], V_nn).sum(2)
    return (1 - options.original) * (1 - smallest / largest) + options.original * d_nn


@given(
    items=st.integers(8, 40),
    queries=st.integers(1, 4),
    k1=st.integers(1, 7),
    k2=st.integers(1, 7),
    original=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_it_is_its_definition(items: int, queries: int, k1: int, k2: int, original: float, seed: int) -> None:
    options = RerankOptions(k1, min(k1, k2), original)
    descriptors_nd = places(items, seed)
    expected = twin(squared_distances(descriptors_nd).numpy(), queries, options)
    found = reranked(descriptors_nd[:queries], descriptors_nd[queries:], options)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors_nd = places(60)
    whole = reranked(descriptors_nd[:20], descriptors_nd[20:], OPTIONS)
    monkeypatch.setattr(rerank, "_ROWS", 7)
    monkeypatch.setattr(rerank, "_PAIRS", 50)
    monkeypatch.setattr(distances, "_GATHERED", 64)
    torch.testing.assert_close(reranked(descriptors_nd[:20], descriptors_nd[20:], OPTIONS), whole)


@pytest.mark.parametrize("seed", range(3))
def test_distances_with_many_that_are_equal(seed: int) -> None:
    """As of overlaps, which are zero for most pairs; and not the same both ways."""
    d_nn = torch.randint(0, 4, (30, 30), generator=torch_stream(seed, "ties")).double()
    d_nn.fill_diagonal_(0)
    np.testing.assert_allclose(reranked_distances(d_nn, 5, OPTIONS).numpy(), twin(d_nn.numpy(), 5, OPTIONS), atol=1e-9)


def test_images_that_are_all_the_same() -> None:
    found = reranked(torch.ones(2, 4), torch.ones(20, 4), OPTIONS)
    np.testing.assert_allclose(found.numpy(), twin(np.zeros((22, 22)), 2, OPTIONS), atol=1e-6)


def test_the_original_distance_alone_keeps_the_original_ranking() -> None:
    descriptors_nd = places(40)
    found = reranked(descriptors_nd[:5], descriptors_nd[5:], RerankOptions(6, 3, original=1.0))
    original = squared_distances(descriptors_nd)[:5, 5:]
    assert torch.equal(found.argsort(1), original.argsort(1))


def test_another_order_of_the_gallery_orders_the_result() -> None:
    descriptors_nd = places(40)
    order = torch.randperm(35, generator=torch_stream(0, "order"))
    query_qd, gallery_gd = descriptors_nd[:5], descriptors_nd[5:]
    torch.testing.assert_close(
        reranked(query_qd, gallery_gd[order], OPTIONS), reranked(query_qd, gallery_gd, OPTIONS)[:, order]
    )


def test_neighbours_of_neighbours_bring_a_hard_image_forward() -> None:
    """A place seen along a walk: its far end is unlike the query, but all between are neighbours of one another."""
    angle_n = torch.linspace(0, 1.2, 13, dtype=torch.float64)
    walk_nd = torch.stack([angle_n.cos(), angle_n.sin(), 0 * angle_n], 1)
    elsewhere_nd = torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64) + 1e-3 * places(8)[:, :3]
    gallery_gd = torch.cat([walk_nd[1:], elsewhere_nd])
    before = squared_distances(torch.cat([walk_nd[:1], gallery_gd]))[0, 1:]
    after = reranked(walk_nd[:1], gallery_gd, RerankOptions(k1=6, k2=3, original=0.0))[0]
    assert before[9] > before[12:].max()
    assert after[:10].max() < after[12:].min()


def test_what_cannot_be_ranked_is_refused() -> None:
    descriptors_nd = places(6)
    with pytest.raises(TransposeError, match="more than 6 images, queries included, and there are 6"):
        reranked(descriptors_nd[:1], descriptors_nd[1:], OPTIONS)
    clipped = OPTIONS.clipped(6)
    assert (clipped.k1, clipped.k2) == (5, 3)
    assert reranked(descriptors_nd[:1], descriptors_nd[1:], clipped).shape == (1, 5)
    assert OPTIONS.clipped(100) == OPTIONS
    with pytest.raises(TransposeError, match="NaN"):
        reranked(descriptors_nd, torch.full((9, 16), torch.nan), OPTIONS)
    with pytest.raises(TransposeError, match="negative"):
        reranked_distances(-torch.ones(9, 9), 1, OPTIONS)
    with pytest.raises(TransposeError, match="square matrix"):
        reranked_distances(torch.ones(9, 8), 1, OPTIONS)
    for wrong in ({"k1": 3, "k2": 4}, {"k2": 0}, {"original": 1.5}):
        with pytest.raises(ValueError, match="k2 <= k1"):
            RerankOptions(**wrong)
    with pytest.raises(TransposeError, match="square matrix"):
        reranked_similarity(sparse.csr_array((3, 4)))
    with pytest.raises(TransposeError, match=r"not in 0\.\.1"):
        reranked_similarity(sparse.csr_array(2 * np.eye(30)))


def overlaps(count: int, seed: int, most: float) -> np.ndarray:
    """Similarities of views along a closed walk: of those that are near, and random in size."""
    rng = np.random.default_rng(seed)
    step_nn = np.abs(np.arange(count)[:, None] - np.arange(count))
    step_nn = np.minimum(step_nn, count - step_nn)
    s_nn = np.clip(most - 0.18 * step_nn + rng.uniform(-0.1, 0.1, (count, count)), 0, 1)
    s_nn = (s_nn + s_nn.T) / 2
    np.fill_diagonal(s_nn, 1.0)
    return s_nn


@pytest.mark.parametrize("most", [0.3, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_sparse_similarities_are_ranked_as_their_distances(
    seed: int, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    s_nn = overlaps(30, seed, most)
    expected = 1 - whole_twin(1 - s_nn, OPTIONS, s_nn > 0)
    np.testing.assert_allclose(reranked_similarity(sparse.csr_array(s_nn), OPTIONS).toarray(), expected, atol=1e-5)
    monkeypatch.setattr(rerank, "_PAIRS", 100)
    np.testing.assert_allclose(reranked_similarity(sparse.csr_array(s_nn), OPTIONS).toarray(), expected, atol=1e-5)


def test_what_is_like_nothing_stays_so_and_ways_between_are_found() -> None:
    s_nn = overlaps(30, 0, 0.9)
    s_nn[[3, 17], :] = s_nn[:, [3, 17]] = 0.0
    found = reranked_similarity(sparse.csr_array(s_nn), OPTIONS).toarray()
    assert np.flatnonzero(found[3]).tolist() == [3] and np.flatnonzero(found[17]).tolist() == [17]
    assert (found[s_nn == 0] > 0).any()
