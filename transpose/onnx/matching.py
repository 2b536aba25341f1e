"""Keypoints matched to landmarks in NumPy, as `transpose.localization.landmarks` does with PyTorch."""

from __future__ import annotations

import numpy as np

Pairs = tuple[np.ndarray, np.ndarray]  # numbers of keypoints and of landmarks, (m,) each


def match_everywhere(descriptors_nc: np.ndarray, landmarks_lc: np.ndarray, min_similarity: float) -> Pairs:
    """Pairs of unit descriptors that are each other's most similar."""
    if len(descriptors_nc) == 0 or len(landmarks_lc) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    similarity_nl = descriptors_nc @ landmarks_lc.T
    best_n = similarity_nl.argmax(1)
    value_n = similarity_nl[np.arange(len(best_n)), best_n]
    kept_m = np.flatnonzero((similarity_nl[:, best_n].argmax(0) == np.arange(len(best_n))) & (value_n > min_similarity))
    return kept_m, best_n[kept_m]


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
