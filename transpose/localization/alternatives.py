"""Places that look alike: one room, facade or row of vines as good as another, and which of them an image shows.

A search for a pose stops at the one with most support. In a place that repeats itself, about as many of the remaining
correspondences agree on another. So what agrees is taken away and the rest searched again (sequential RANSAC; Torr,
Geometric motion segmentation and model selection, 1998), and each pose found is held against the image: which keypoints
does a landmark explain that the pose puts there? Those that both poses explain tell nothing; which is right, those tell
that one of them alone explains, as in McNemar's test of paired shares (Psychometrika 1947).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.geometry.poses import Pose, transform
from transpose.localization.candidates import Candidate
from transpose.localization.confidence import RIGHT
from transpose.localization.options import LocalizationOptions
from transpose.solvers import RansacOptions, solve_pnp

MOST = 3  # poses that are stated of an image
_WORTH = 0.5  # the probability that a pose is right, if no other is, from which on it counts
_LEAST_SHARE = 0.2  # of the support of the first pose
_MISSED = 0.01  # the probability with which a pose of the least support is missed
_MOST_DRAWS = 4096
_SEES = 0.5  # image diagonals: a prior that shifts things further than that knows nothing of them
_CLUSTER = 4.0  # keypoints that come and go together: variance of a count, in those of independent ones


class Explains(Protocol):
    """The landmarks of a place, held against one image."""

    def refined(self, found: Candidate) -> Candidate:
        """The pose by all keypoints that lie where it puts a landmark."""

    def explained(self, pose: Pose) -> np.ndarray:
        """Which keypoints (n,) bool lie where a pose puts a landmark that looks like them."""


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
    if not others:
        return (Place(first),)
    agreeing_pn = np.stack([_agrees(among, each.pose, camera, options) for each in (first, *others) if each.pose])
    # A match with one of several copies says nothing against the others.
    first = first.unopposed(agreeing_pn[1:].any(0) & ~agreeing_pn[0])
    near = landmarks()
    if near is not None and first.before is not None:
        others = [near.refined(each) for each in others]
    candidates = [first, *others]
    if near is None:
        explained_pn = agreeing_pn
    else:
        explained_pn = np.stack([near.explained(each.pose) for each in candidates if each.pose is not None])
    weight_p = weights(explained_pn)
    if prior is not None:
        weight_p = _by_prior(weight_p, candidates, prior, camera)
    return tuple(Place(candidates[p], float(weight_p[p])) for p in np.argsort(-weight_p, kind="stable"))


def rivals(
    first: Candidate, camera: Camera, judge: Callable[[Candidate], float], options: LocalizationOptions, seed: int
) -> list[Candidate]:
    """Poses of other places that correspondences support which do not agree with the first; see `places`."""
    assert first.pose is not None
    among, found = first.unguided, list[Candidate]()
    left_n = ~_agrees(among, first.pose, camera, options)
    least = max(options.min_landmarks, math.ceil(_LEAST_SHARE * (len(left_n) - left_n.sum())))
    for _ in range(MOST - 1):
        rest = among.only(left_n)
        if len(rest.points_n3) < least:
            break
        ransac = RansacOptions(
            options.landmark_error_px,
            max_iterations=_draws(least / len(rest.points_n3)),
            seed=seed,
            correlation_px=options.correlation_px,
        )
        estimate = solve_pnp(rest.px_n2, rest.points_n3, camera, ransac)
        other = Candidate(replace(estimate, by=first.estimate.by), rest.points_n3, rest.px_n2)
        if other.pose is None or other.support < least:
            break
        left_n &= ~_agrees(among, other.pose, camera, options)
        apart = min(each.shift(other.pose, camera) for each in (first, *found))
        if apart > RIGHT and judge(other) >= _WORTH:
            found.append(other)
    return found


def weights(explained_pn: np.ndarray) -> np.ndarray:
    """Probabilities (p,) that each of p poses is the right one, summing to 1.

    Of two poses, b keypoints are explained by the first alone and c by the second alone. Where they are copies of each
    other, z = (b - c) / sqrt(`_CLUSTER` (b + c)) is a standard normal deviate; of how different they are nothing is
    known beforehand, and the first is then the right one with the probability Phi(z).

    Args:
        explained_pn: which of the keypoints (p, n) bool each pose explains.
    """
    best_n = explained_pn[explained_pn.sum(1).argmax()]
    more_p = (best_n & ~explained_pn).sum(1)
    fewer_p = (explained_pn & ~best_n).sum(1)
    z_p = (more_p - fewer_p) / np.sqrt(_CLUSTER * np.maximum(more_p + fewer_p, 1))
    odds_p = np.array([math.erfc(z / math.sqrt(2)) / math.erfc(-z / math.sqrt(2)) for z in z_p])
    return np.asarray(odds_p / odds_p.sum())


def _by_prior(weight_p: np.ndarray, candidates: Sequence[Candidate], prior: Pose, camera: Camera) -> np.ndarray:
    """All weight for the place that a prior is clearly nearest to; else the weights as they are."""
    shift_p = np.array([each.shift(prior, camera) for each in candidates])
    nearest, next_one = np.argsort(shift_p, kind="stable")[:2]
    if not shift_p[nearest] < min(_SEES, shift_p[next_one] / 2):
        return weight_p
    return (np.arange(len(weight_p)) == nearest).astype(np.float64)


def _agrees(among: Candidate, pose: Pose, camera: Camera, options: LocalizationOptions) -> np.ndarray:
    """Which correspondences (n,) bool a pose puts where they are seen."""
    off_n2 = camera.project(transform(pose.T_cw, among.points_n3)) - among.px_n2
    with np.errstate(invalid="ignore"):
        return np.asarray(np.linalg.norm(off_n2, axis=1) < options.landmark_error_px)


def _draws(share: float) -> int:
    """Triples after which one within such a share was drawn with all probability but `_MISSED`."""
    return min(_MOST_DRAWS, math.ceil(math.log(_MISSED) / math.log1p(-(min(share, 0.99) ** 3))))
