"""k-reciprocal re-ranking (Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017).

Two images are near to each other where the same images are their mutual neighbours. Each image is encoded by its mutual
neighbours, and two images are compared by how far these encodings overlap. Encodings are sparse, and are kept and
compared as such: of n images only their neighbours are ever stored, and the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from transpose.errors import TransposeError
from transpose.localization.distances import ByDescriptors, Distances, GivenDistances, OneLessSimilarity
from transpose.localization.global_descriptors import nearest

_SHORTLIST = 100  # of the most similar, that are re-ranked for one query
_ROUNDING = 1e-6  # of a similarity: less is none
_ROWS = 1024  # of distances that exist at once
_PAIRS = 4_194_304  # of entries that are compared at once


@dataclass(frozen=True)
class RerankOptions:
    """The published defaults.

    Attributes:
        k1: neighbours among which mutual ones are looked for; should be below the number of images of one thing.
        k2: nearest images, itself among them, whose encodings are averaged; 1: none.
        original: weight of the original distance, 0..1; at 1 nothing is re-ranked.
    """

    k1: int = 20
    k2: int = 6
    original: float = 0.3

    def __post_init__(self) -> None:
        if not 1 <= self.k2 <= self.k1 or not 0 <= self.original <= 1:
            raise ValueError(f"need 1 <= k2 <= k1 and a weight of the original distance in 0..1, got {self}")

    def clipped(self, items: int) -> RerankOptions:
        """With no more neighbours than so many images, one of which is a query, have."""
        k1 = max(1, min(self.k1, items - 1))
        return replace(self, k1=k1, k2=min(self.k2, k1))


def reranked(query_qd: Tensor, gallery_gd: Tensor, options: RerankOptions | None = None) -> Tensor:
    """Re-ranked distances (q, g) of queries from a gallery, by squared Euclidean distances of their descriptors.

    Args:
        query_qd: descriptors, float32 or float64.
        gallery_gd: of the same kind.
        options: the published ones without.

    Raises:
        TransposeError: there are not more images than `k1`, queries included, or descriptors are no numbers.
    """
    return _reranked(ByDescriptors.of(torch.cat([query_qd, gallery_gd])), len(query_qd), options or RerankOptions())


def reranked_distances(distance_nn: Tensor, queries: int, options: RerankOptions | None = None) -> Tensor:
    """The same by distances that are known, such as 1 - overlap: (q, g), the first `queries` of the n images first.

    Args:
        distance_nn: between all images, not negative; those of one image, a row, are ranked.
        queries: how many of the images are queries; the others are the gallery.
        options: the published ones without.

    Raises:
        TransposeError: there are not more images than `k1`, or distances are negative, no numbers or not square.
    """
    return _reranked(GivenDistances.checked(distance_nn), queries, options or RerankOptions())


def reranked_similarity(similarity: sparse.csr_array, options: RerankOptions | None = None) -> sparse.csr_array:
    """Similarities (n, n) of all images with one another, such as overlaps, put in order by mutual neighbours.

    Images that have nothing in common are no neighbours, however few others there are; they become similar only by what
    lies between them. Memory is that of what comes out, and of some rows.

    Args:
        similarity: 0..1, (n, n); each row is ranked. Most are zero, and not stored.
        options: the published ones without.

    Returns:
        1 less the re-ranked distance, of 1 - similarity.

    Raises:
        TransposeError: there are not more images than `k1`, or similarities are not in 0..1 or not square.
    """
    distances = OneLessSimilarity.checked(similarity)
    everything = slice(0, distances.items)
    rows = []
    for _, distance_bn in _blocks(distances, everything, everything, options or RerankOptions()):
        closeness_bn = 1 - distance_bn.numpy()
        rows.append(sparse.csr_array(np.where(closeness_bn > _ROUNDING, closeness_bn, 0)))
    return sparse.csr_array(sparse.vstack(rows, format="csr"))


def nearest_reranked(query_d: Tensor, database_nd: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As `global_descriptors.nearest`, with the most similar put in another order by their mutual neighbours.

    Args:
        query_d: a vector (d,).
        database_nd: the vectors of the database.
        k: how many are wanted.
    """
    index_s, similarity_s = nearest(query_d, database_nd, max(_SHORTLIST, k))
    if len(index_s) < 2:
        return index_s, similarity_s
    clipped = RerankOptions().clipped(len(index_s) + 1)
    order_k = reranked(query_d[None], database_nd[index_s], clipped)[0].argsort(stable=True)[:k]
    return index_s[order_k], similarity_s[order_k]


def _reranked(distances: Distances, queries: int, options: RerankOptions) -> Tensor:
    gallery = slice(queries, distances.items)
    out_qg = torch.empty_like(distances.rows(slice(0, queries))[:, gallery])
    for rows, distance_bg in _blocks(distances, slice(0, queries), gallery, options):
        out_qg[rows] = distance_bg
    return out_qg


def _blocks(
    distances: Distances, queries: slice, gallery: slice, options: RerankOptions
) -> Iterator[tuple[slice, Tensor]]:
    """Re-ranked distances (b, g) of some queries at a time."""
    if not options.k1 < distances.items:
        raise TransposeError(
            f"re-ranking by {options.k1} neighbours needs more than {options.k1} images, queries included, and there "
            f"are {distances.items}; take a smaller k1"
        )
    order_nk, largest_n = _neighbours(distances, options.k1 + 1)
    encoding = _encoding(distances, order_nk, largest_n, options)
    for rows, jaccard_bg in _jaccard_distances(encoding[queries], encoding[gallery]):
        # One of a given matrix is a part of it, that stays as it is.
        known_bg = distances.rows(slice(queries.start + rows.start, queries.start + rows.stop))[:, gallery]
        known_bg = known_bg * (options.original / largest_n[queries][rows, None])
        yield rows, known_bg.add_(torch.from_numpy(jaccard_bg).to(known_bg), alpha=1 - options.original)


def _neighbours(distances: Distances, k: int) -> tuple[Tensor, Tensor]:
    """The k images nearest to each (n, k), itself first, of equally distant ones the first; its largest distance (n,).

    Each image's distances are later divided by the largest, as the authors do; 1 where all are zero.
    """
    orders, largest = [], []
    for first in range(0, distances.items, _ROWS):
        d_bn = distances.rows(slice(first, first + _ROWS)).clone()
        largest_b = d_bn.amax(1)
        largest.append(torch.where(largest_b > 0, largest_b, 1.0))
        own_b = torch.arange(len(d_bn), device=d_bn.device)
        d_bn[own_b, first + own_b] = -1.0
        nearest_bk = d_bn.topk(k, largest=False).indices.sort(1).values
        order_bk = nearest_bk.gather(1, d_bn.gather(1, nearest_bk).argsort(dim=1, stable=True))
        # Which of several at the distance of the last belong to the nearest, `topk` leaves open.
        last_b1 = d_bn.gather(1, order_bk[:, -1:])
        tied_t = ((d_bn <= last_b1).sum(1) > k).nonzero()[:, 0]
        order_bk[tied_t] = d_bn[tied_t].argsort(dim=1, stable=True)[:, :k]
        orders.append(order_bk)
    return torch.cat(orders), torch.cat(largest)


def _encoding(distances: Distances, order_nk: Tensor, largest_n: Tensor, options: RerankOptions) -> sparse.csr_array:
    """Each image as weights, with sum 1, of the images that its mutual neighbours and theirs are (n, n)."""
    order = order_nk.cpu().numpy()
    related = distances.related
    mutual = _mutual(order, related)
    mutual_half = _mutual(order[:, : round(options.k1 / 2) + 1], related)
    # Of a neighbour, its own nearest mutual neighbours are taken in where more than two thirds of them are known.
    shared = (mutual @ mutual_half.T).multiply(mutual).tocoo()
    known_m = 3 * shared.data > 2 * np.diff(mutual_half.indptr)[shared.col]
    taken_in = _indicator(shared.row[known_m], shared.col[known_m], distances.items)
    member = (mutual + taken_in @ mutual_half).tocoo()
    i_m, j_m = (torch.from_numpy(each.astype(np.int64)).to(order_nk.device) for each in (member.row, member.col))
    weight_m = torch.exp(-distances.pairs(i_m, j_m) / largest_n[i_m]).cpu().numpy().astype(np.float64)
    encoding = sparse.csr_array((weight_m, (member.row, member.col)), shape=member.shape)
    encoding.data /= np.repeat(encoding.sum(1), np.diff(encoding.indptr))
    if options.k2 == 1:
        return encoding
    nearest = _near(order[:, : options.k2], related)
    return sparse.csr_array(sparse.diags_array(1 / nearest.sum(1)) @ (nearest @ encoding))


def _mutual(order_nk: np.ndarray, related: sparse.csr_array | None) -> sparse.csr_array:
    """1 where two images are each among the other's nearest."""
    near = _near(order_nk, related)
    return sparse.csr_array(near.multiply(near.T))


def _near(order_nk: np.ndarray, related: sparse.csr_array | None) -> sparse.csr_array:
    """1 at the nearest images of each, of those that may be neighbours."""
    items, k = order_nk.shape
    near = _indicator(np.repeat(np.arange(items), k), order_nk.ravel(), items)
    return near if related is None else sparse.csr_array(near.multiply(related))


def _indicator(row_m: np.ndarray, column_m: np.ndarray, items: int) -> sparse.csr_array:
    """1 at each of some places, of which none is given twice, of a square matrix."""
    return sparse.csr_array((np.ones(len(row_m), np.int32), (row_m, column_m)), shape=(items, items))


def _jaccard_distances(query: sparse.csr_array, gallery: sparse.csr_array) -> Iterator[tuple[slice, np.ndarray]]:
    """1 - sum of minima / sum of maxima of encodings, for some queries (b, g) at a time.

    Rows sum to 1, so the maxima sum to 2 less the minima. For each entry of a query all entries of the gallery in the
    same column are compared with it, and what images have in common is summed.
    """
    columns = gallery.tocsc()
    count_k = np.diff(columns.indptr)
    pairs_q = np.diff(np.append(0, count_k[query.indices].cumsum())[query.indptr])
    for rows in _batches(pairs_q, max(1, _PAIRS // max(1, gallery.shape[0]))):
        entries = slice(query.indptr[rows.start], query.indptr[rows.stop])
        column_e, weight_e = query.indices[entries], query.data[entries]
        row_e = np.repeat(np.arange(rows.stop - rows.start), np.diff(query.indptr[rows.start : rows.stop + 1]))
        count_e = count_k[column_e].astype(np.int64)
        # Places in the gallery's columns: each entry's begin with its column and go on for as many as there are.
        start_e = columns.indptr[column_e] - (count_e.cumsum() - count_e)
        place_p = np.arange(count_e.sum()) + np.repeat(start_e, count_e)
        minimum_p = np.minimum(np.repeat(weight_e, count_e), columns.data[place_p])
        pair_p = np.repeat(row_e * gallery.shape[0], count_e) + columns.indices[place_p]
        size = (rows.stop - rows.start, gallery.shape[0])
        common_bg = np.bincount(pair_p, minimum_p, size[0] * size[1]).reshape(size)
        yield rows, 1 - common_bg / (2 - common_bg)


def _batches(pairs_q: np.ndarray, most_rows: int) -> Iterator[slice]:
    """Ranges of queries with about `_PAIRS` comparisons, and at most so many rows."""
    total_q = np.cumsum(pairs_q)
    first = 0
    while first < len(pairs_q):
        before = total_q[first] - pairs_q[first]
        last = int(np.searchsorted(total_q, before + _PAIRS, side="right"))
        last = min(max(last, first + 1), first + most_rows)
        yield slice(first, last)
        first = last
