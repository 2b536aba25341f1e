"""Similarities: what brings a reconstruction without scale and frame to points that are known in both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transpose.geometry.poses import Pose, compose
from transpose.randomness import stream

_TRIPLES = 500
_REFITS = 5
_TO_SIGMA = 1.4826  # of a normal distribution: its standard deviation in medians of absolute values
_MOST_SIGMAS = 3.0
_NOT_FIXED = "a similarity needs three points that are not on one line"
_ON_A_LINE = 1e-6  # second singular value of centred points, of the first


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale R x + t."""

    scale: float
    R_33: np.ndarray
    t_3: np.ndarray

    def points(self, points_n3: np.ndarray) -> np.ndarray:
        """Points (..., 3), moved."""
        return self.scale * points_n3 @ self.R_33.T + self.t_3

    def pose(self, pose: Pose) -> Pose:
        """A camera's pose in the frame that the similarity leads to."""
        return Pose(compose(self.R_33 @ pose.R_wc, self.points(pose.center)))


def similarity_between(from_n3: np.ndarray, to_n3: np.ndarray) -> Similarity:
    """The similarity that brings points nearest to others, in the sense of least squares (Umeyama, PAMI 1991).

    Raises:
        ValueError: fewer than three points, or all on one line, about which nothing keeps them from turning.
    """
    if len(from_n3) < 3 or min(_thinness(from_n3), _thinness(to_n3)) < _ON_A_LINE:
        raise ValueError(_NOT_FIXED)
    scale, R_33, t_3 = _umeyama(np.asarray(from_n3, np.float64)[None], np.asarray(to_n3, np.float64)[None])
    return Similarity(float(scale[0]), R_33[0], t_3[0])


def robust_similarity(from_n3: np.ndarray, to_n3: np.ndarray, seed: int = 0) -> tuple[Similarity, np.ndarray, float]:
    """The same where up to half of the points are wrong: least median of squares, then least squares of the others.

    The search is over triples of points, the threshold is Rousseeuw's (JASA 1984).

    Returns:
        The similarity, which points (n,) agree with it, and the standard deviation of these along an axis.

    Raises:
        ValueError: as `similarity_between`, of those that agree.
    """
    n = len(from_n3)
    if n < 3 or min(_thinness(from_n3), _thinness(to_n3)) < _ON_A_LINE:
        raise ValueError(_NOT_FIXED)
    rng = stream(seed, "triples of a similarity")
    triples_k3 = np.stack([rng.choice(n, 3, replace=False) for _ in range(_TRIPLES)])
    scale_k, R_k33, t_k3 = _umeyama(from_n3[triples_k3], to_n3[triples_k3])
    moved_kn3 = scale_k[:, None, None] * np.einsum("kij,nj->kni", R_k33, from_n3) + t_k3[:, None]
    median_k = np.median(np.linalg.norm(moved_kn3 - to_n3, axis=2), axis=1)
    best = int(np.nanargmin(median_k))
    found = Similarity(float(scale_k[best]), R_k33[best], t_k3[best])
    agree_n = np.ones(n, bool)
    for _ in range(_REFITS):
        distance_n = np.linalg.norm(found.points(from_n3) - to_n3, axis=1)
        bound = _MOST_SIGMAS * _TO_SIGMA * (1 + 5 / max(1, n - 3)) * float(np.median(distance_n))
        agree_n = distance_n <= max(bound, np.finfo(float).eps * float(np.abs(to_n3).max()))
        if agree_n.sum() < 3:
            agree_n = distance_n <= np.sort(distance_n)[2]
        found = similarity_between(from_n3[agree_n], to_n3[agree_n])
    error_m3 = found.points(from_n3[agree_n]) - to_n3[agree_n]
    degrees_of_freedom = max(1, error_m3.size - 7)
    return found, agree_n, float(np.sqrt((error_m3**2).sum() / degrees_of_freedom))


def _thinness(points_n3: np.ndarray) -> float:
    """How far points are from lying on one line: the second singular value of the first; 0 of points in one place."""
    values = np.linalg.svd(points_n3 - np.mean(points_n3, 0), compute_uv=False)
    return float(values[1] / values[0]) if values[0] > 0 else 0.0


def _umeyama(from_kn3: np.ndarray, to_kn3: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scales (k,), rotations (k, 3, 3) and translations (k, 3); the scale is NaN of points in one place."""
    mean_k3, to_mean_k3 = from_kn3.mean(1), to_kn3.mean(1)
    a_kn3, b_kn3 = from_kn3 - mean_k3[:, None], to_kn3 - to_mean_k3[:, None]
    U, values_k3, Vt = np.linalg.svd(np.einsum("kni,knj->kij", b_kn3, a_kn3))
    sign_k3 = np.ones_like(values_k3)
    sign_k3[:, 2] = np.sign(np.linalg.det(U @ Vt))
    R_k33 = (U * sign_k3[:, None]) @ Vt
    with np.errstate(invalid="ignore", divide="ignore"):
        scale_k = (values_k3 * sign_k3).sum(1) / (a_kn3**2).sum((1, 2))
    return scale_k, R_k33, to_mean_k3 - scale_k[:, None] * np.einsum("kij,kj->ki", R_k33, mean_k3)
