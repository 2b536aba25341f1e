"""Places that look alike: one room, facade or row of vines as good as another, and which of them an image shows.

A search for a pose stops at the one with most support. In a place that repeats itself, about as many of the remaining
correspondences agree on another. So what agrees is taken away and the rest searched again (sequential RANSAC; Torr,
Geometric motion segmentation and model selection, 1998), and each pose found is held against the image: which keypoints
does a landmark explain that the pose puts there? Those that both poses explain tell nothing; which is right, those tell
that one of them alone explains, as in McNemar's test of paired shares (Psychometrika 1947), beyond what the maps of two
copies differ by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import RIGHT
from transpose.localization.options import LocalizationOptions
from transpose.solvers import RansacOptions, draws_to_find, solve_pnp

MOST = 3  # poses that are stated of an image
_WORTH = 0.5  # the probability that a pose is right, if no other is, from which on it counts
_LEAST_SHARE = 0.4  # of the support of the first pose; of a copy as well surveyed, it is about 1
_MISSED = 0.01  # the probability with which a pose of the least support is missed
_MOST_DRAWS = 4096
_AS_ALIKE = 0.5  # what agrees with a copy looks at least so right, against what agrees with the first pose
_NEGLIGIBLE = 0.001  # weight that is not worth stating
_SEES = 0.5  # image diagonals: a prior that shifts things further than that knows nothing of them
_CLUSTER = 4.0  # keypoints that come and go together: variance of a count, in those of independent ones
_SQUARE_PX = 80.0
_MOST_UNKNOWN = 0.6  # share of what one copy's part of the map explains that the other's may not know
_OUTLYING = 3.0  # standard deviations


class Explains(Protocol):
    """The landmarks of a place, held against one image."""

    def refined(self, found: Candidate) -> Candidate:
        """The pose by all keypoints that lie where it puts a landmark."""

    def in_sight(self, found: Candidate) -> Candidate:
        """Refused where most of what agrees was only ever seen from the other side."""

    @property
    def px_n2(self) -> np.ndarray:
        """The strongest keypoints, pixels."""

    def explained(self, pose: Pose) -> np.ndarray:
        """Which of these (n,) bool lie where a pose puts a landmark that looks like them."""


@dataclass(frozen=True, eq=False)
class Place:
    """A pose of an image, and the probability that it is the right one, given that one of its places is."""

    candidate: Candidate
    weight: float = 1.0


def places(
    first: Candidate,
    camera: Camera,
    judge: Callable[[Candidate], float],
    landmarks: Callable[[], Explains | None],
    options: LocalizationOptions,
    seed: int = 0,
    prior: Pose | None = None,
) -> tuple[Place, ...]:
    """Where an image may have been taken, the likeliest place first; one alone where it looks like no other.

    Args:
        first: the pose with most support.
        camera: of the image in which it was found.
        judge: the probability that a candidate is right, if no other is.
        landmarks: of the place, asked for where there are several; None where it has none.
        options: of the search.
        seed: of the search.
        prior: a pose near which the camera is thought to be. It decides where it sees one place much as the image does,
            and shifts it less than half as far as any other.
    """
    if first.pose is None or first.estimate.by == "coordinates" or judge(first) < _WORTH / MOST:
        return (Place(first),)
    among = first.unguided
    others = rivals(first, camera, judge, options, seed)
    near = landmarks() if others else None
    if near is not None:
        others = [each for each in others if near.in_sight(each).pose is not None]
    if not others:
        return (Place(first),)
    error_px = options.landmark_error_px
    agreeing_pn = np.stack([among.agreeing(each.pose, camera, error_px) for each in (first, *others) if each.pose])
    # A match with one of several copies says nothing against the others.
    first = first.unopposed(agreeing_pn[1:].any(0) & ~agreeing_pn[0])
    if near is not None and first.before is not None:
        others = [near.refined(each) for each in others]
    candidates = [first, *others]
    if near is None:
        weight_p = weights(agreeing_pn, among.px_n2)
    else:
        explained_pn = np.stack([near.explained(each.pose) for each in candidates if each.pose is not None])
        weight_p = weights(explained_pn, near.px_n2)
    if prior is not None:
        weight_p = _by_prior(weight_p, candidates, prior, camera)
    weight_p = np.where(weight_p < _NEGLIGIBLE, 0.0, weight_p) / weight_p[weight_p >= _NEGLIGIBLE].sum()
    likely = np.argsort(-weight_p, kind="stable")[: np.count_nonzero(weight_p)]
    return tuple(Place(candidates[p], float(weight_p[p])) for p in likely)


def rivals(
    first: Candidate, camera: Camera, judge: Callable[[Candidate], float], options: LocalizationOptions, seed: int
) -> list[Candidate]:
    """Poses of other places that correspondences support which do not agree with the first; see `places`."""
    assert first.pose is not None
    among, found = first.unguided, list[Candidate]()
    left_n = ~among.agreeing(first.pose, camera, options.landmark_error_px)
    least = max(options.min_landmarks, math.ceil(_LEAST_SHARE * (len(left_n) - left_n.sum())))
    for _ in range(MOST - 1):
        rest = among.only(left_n)
        share = _share_of(least, among, left_n) if len(rest.points_n3) >= least else math.inf
        if share > 1:
            break
        ransac = RansacOptions(
            options.landmark_error_px,
            max_iterations=min(_MOST_DRAWS, draws_to_find(share, _MISSED)),
            min_inliers=least,
            seed=seed,
            correlation_px=options.correlation_px,
        )
        weight_n = rest.draw_weight_n
        estimate = solve_pnp(rest.px_n2, rest.points_n3, camera, ransac, draw_weights_n=weight_n)
        estimate = replace(estimate, by=first.estimate.by)
        other = Candidate(estimate, rest.points_n3, rest.px_n2, draw_weight_n=weight_n)
        if other.pose is None:
            break
        left_n &= ~among.agreeing(other.pose, camera, options.landmark_error_px)
        apart = min(each.shift(other.pose, camera) for each in (first, *found))
        if apart > RIGHT and judge(other) >= _WORTH:
            found.append(other)
    return found


def weights(explained_pn: np.ndarray, px_n2: np.ndarray) -> np.ndarray:
    """Probabilities (p,) that each of p poses is the right one, summing to 1.

    Where two poses are copies of each other, what speaks for the one alone and for the other alone, b and c keypoints,
    is as much, and z = (b - c) / sqrt(`_CLUSTER` (b + c)) a standard normal deviate. Of how different they are nothing
    is known beforehand; the first is then the right one with the probability Phi(z).

    Args:
        explained_pn: which of the keypoints (p, n) bool each pose explains.
        px_n2: where in the image they are.
    """
    _, square_n = np.unique(px_n2 // _SQUARE_PX, axis=0, return_inverse=True)
    best_n = explained_pn[explained_pn.sum(1).argmax()]
    odds = []
    for explained_n in explained_pn:
        for_best = _alone(best_n, explained_n, square_n.reshape(-1))
        against = _alone(explained_n, best_n, square_n.reshape(-1))
        z = (for_best - against) / math.sqrt(_CLUSTER * max(for_best + against, 1.0))
        odds.append(math.erfc(z / math.sqrt(2)) / math.erfc(-z / math.sqrt(2)))
    return np.array(odds) / sum(odds)


def _alone(one_n: np.ndarray, other_n: np.ndarray, square_n: np.ndarray) -> float:
    """How many keypoints one pose explains alone, beyond those of which the other's part of the map may know less.

    Each part of a map was learned from other views, and knows some things that its copy does not: all over the image
    (`usual`). What only one place has, a poster, is where that share is far exceeded; a pose that is no copy at all
    falls short everywhere.

    Args:
        one_n: which keypoints (n,) bool the pose explains.
        other_n: which the other explains.
        square_n: in which square of the image each is.
    """
    if not one_n.any():
        return 0.0
    count_s = np.bincount(square_n[one_n])
    alone_s = np.bincount(square_n[one_n & ~other_n], minlength=len(count_s))
    alone_s, count_s = alone_s[count_s > 0], count_s[count_s > 0]
    usual = float(np.median(np.repeat(alone_s / count_s, count_s)))
    bound = min(usual, _MOST_UNKNOWN)
    excess_s = alone_s - bound * count_s
    sigma_s = np.sqrt(_CLUSTER * bound * (1 - bound) * count_s + 1)
    counted_s = (excess_s > _OUTLYING * sigma_s) | (usual > _MOST_UNKNOWN)
    return max(0.0, float(excess_s[counted_s].sum()))


def _by_prior(weight_p: np.ndarray, candidates: Sequence[Candidate], prior: Pose, camera: Camera) -> np.ndarray:
    """All weight for the place that a prior is clearly nearest to; else the weights as they are."""
    shift_p = np.array([each.shift(prior, camera) for each in candidates])
    nearest, next_one = np.argsort(shift_p, kind="stable")[:2]
    if not shift_p[nearest] < min(_SEES, shift_p[next_one] / 2):
        return weight_p
    return (np.arange(len(weight_p)) == nearest).astype(np.float64)


def _share_of(least: int, among: Candidate, left_n: np.ndarray) -> float:
    """The share of draws from what is left (n,) bool that so many make which look as right as what has been found.

    Where nothing agrees with what has been found, as with a pose that a prior led to, as right as all do. Above 1: what
    is left looks too little right for so many.
    """
    weight_n = np.ones(len(left_n)) if among.draw_weight_n is None else among.draw_weight_n
    found_n = np.ones(len(left_n), bool) if left_n.all() else ~left_n
    return least * _AS_ALIKE * float(weight_n[found_n].mean()) / float(weight_n[left_n].sum())
