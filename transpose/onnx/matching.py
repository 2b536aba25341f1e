"""Keypoints matched to landmarks in NumPy, as `transpose.localization.landmarks` does with PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_SLAB = 1024  # landmarks at once
Pairs = tuple[np.ndarray, np.ndarray]  # numbers of keypoints and of landmarks, (m,) each
# Of queries (n, c) among rows (l, c): index (n,) of the most similar row to each, and the similarity (n,).
Similar = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def match_everywhere(
    descriptors_nc: np.ndarray, landmarks_lc: np.ndarray, min_similarity: float, most_similar: Similar | None = None
) -> Pairs:
    """Pairs of unit descriptors that are each other's most similar.

    Args:
        descriptors_nc, landmarks_lc: of keypoints and of landmarks.
        min_similarity: of a pair.
        most_similar: finds them; by NumPy without.
    """
    most_similar = most_similar or most_similar_by_numpy
    if len(descriptors_nc) == 0 or len(landmarks_lc) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    best_n, value_n = most_similar(descriptors_nc, landmarks_lc)
    # Mutual: of all keypoints, the one most similar to the landmark is the one that chose it.
    chosen_n, _ = most_similar(landmarks_lc[best_n], descriptors_nc)
    kept_m = np.flatnonzero((chosen_n == np.arange(len(best_n))) & (value_n > min_similarity))
    return kept_m, best_n[kept_m]


def most_similar_by_numpy(query_nc: np.ndarray, among_lc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the most similar row to each query (n,), and the similarity (n,), slab by slab: all at once, the
    similarities cost more by their memory than by their arithmetic."""
    every_n = np.arange(len(query_nc))
    best_n, value_n = np.zeros(len(query_nc), np.int64), np.full(len(query_nc), -np.inf, np.float32)
    buffer_ns = np.empty((len(query_nc), min(_SLAB, len(among_lc))), np.float32)
    for first in range(0, len(among_lc), _SLAB):
        slab_sc = among_lc[first : first + _SLAB]
        whole = len(slab_sc) == buffer_ns.shape[1]
        similarity_ns = np.matmul(query_nc, slab_sc.T, out=buffer_ns) if whole else query_nc @ slab_sc.T
        index_n = similarity_ns.argmax(1)
        found_n = similarity_ns[every_n, index_n]
        better_n = found_n > value_n
        best_n[better_n], value_n[better_n] = first + index_n[better_n], found_n[better_n]
    return best_n, value_n


def match_near(
    px_n2: np.ndarray,
    descriptors_nc: np.ndarray,
    landmark_px_l2: np.ndarray,
    landmarks_lc: np.ndarray,
    radius_px: float,
    min_similarity: float,
) -> Pairs:
    """As `match_everywhere`, among pairs that are near each other in the image.

    Args:
        px_n2, descriptors_nc: keypoints.
        landmark_px_l2: where a pose puts the landmarks; NaN out of sight.
        landmarks_lc: their descriptors.
        radius_px: that is near.
        min_similarity: of a pair.
    """
    keypoint_p, landmark_p = pairs_within(px_n2, landmark_px_l2, radius_px)
    similarity_p = np.einsum("pc,pc->p", descriptors_nc[keypoint_p], landmarks_lc[landmark_p])
    best_n, best_l = np.full(len(px_n2), -1.0), np.full(len(landmark_px_l2), -1.0)
    np.maximum.at(best_n, keypoint_p, similarity_p)
    np.maximum.at(best_l, landmark_p, similarity_p)
    mutual_p = (similarity_p >= best_n[keypoint_p]) & (similarity_p >= best_l[landmark_p])
    kept_p = np.flatnonzero(mutual_p & (similarity_p > min_similarity))
    _, first_m = np.unique(keypoint_p[kept_p], return_index=True)  # of equal ones, one
    kept_m = kept_p[first_m]
    return keypoint_p[kept_m], landmark_p[kept_m]


def pairs_within(a_n2: np.ndarray, b_l2: np.ndarray, radius: float) -> Pairs:
    """All pairs of points of two sets that are no farther apart than a radius; points that are NaN have none.

    Points are sorted into squares of that side, so that only those of nine squares are compared.
    """
    known_l = np.flatnonzero(np.isfinite(b_l2).all(1))
    if len(known_l):
        low_2, high_2 = a_n2.min(0, initial=np.inf) - radius, a_n2.max(0, initial=-np.inf) + radius
        known_l = known_l[((b_l2[known_l] >= low_2) & (b_l2[known_l] <= high_2)).all(1)]
    if len(a_n2) == 0 or len(known_l) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    square_a, square_b = (np.floor((each - low_2) / radius).astype(np.int64) for each in (a_n2, b_l2[known_l]))
    width = int(max(square_a[:, 0].max(), square_b[:, 0].max())) + 3
    key_b = square_b[:, 1] * width + square_b[:, 0]
    order_b = np.argsort(key_b, kind="stable")
    found = []
    for down in (-1, 0, 1):  # three neighbouring squares of a row lie side by side in the order
        first_n = (square_a[:, 1] + down) * width + square_a[:, 0] - 1
        start_n = np.searchsorted(key_b[order_b], first_n)
        count_n = np.searchsorted(key_b[order_b], first_n + 2, side="right") - start_n
        which_p = np.repeat(np.arange(len(a_n2)), count_n)
        within_p = np.arange(len(which_p)) - np.repeat(np.cumsum(count_n) - count_n, count_n)
        found.append((which_p, known_l[order_b[start_n[which_p] + within_p]]))
    a_p, b_p = (np.concatenate(each) for each in zip(*found, strict=True))
    near_p = ((a_n2[a_p] - b_l2[b_p]) ** 2).sum(1) <= radius**2
    return a_p[near_p], b_p[near_p]
