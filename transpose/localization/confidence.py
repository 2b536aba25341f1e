"""How likely it is that a pose is right, by what it rests on.

Right is a pose that puts what the image shows within a twentieth of the image's diagonal of where it is: in the right
place, looking the right way. By how much it is off then, its covariance says.

A logistic regression on `Evidence`, whose weights are those of `error_models.json`, fitted by
`benchmarks/pretrain_errors.py` on images of several procedural places and of others, right and wrong poses counting
alike. A run's own validation frames move its intercept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from transpose.geometry.cameras import Camera
from transpose.localization.candidates import Candidate
from transpose.localization.error_model import shipped
from transpose.localization.evidence import Evidence

RIGHT = 0.05  # of the image's diagonal
_OFFSET_SIGMA = 1.0  # of a place's intercept, before any of its frames is seen
_DOUBTED = (-1.0, 7.5)  # logits, of probabilities of 0.27 and 0.9994
# Of right poses of the places from which the weights come, 95 % have less.
_BY_CHANCE = 0.2
_LEAST_CONFIRMED = 0.02  # of a pose that nothing confirms
_MOST_LOGIT = 14.0  # a millionth: nobody has seen more images than that


@dataclass(frozen=True)
class ConfidenceModel:
    """Weights of the logit of the probability that a pose is right; see `features`."""

    intercept: float
    agreeing: float
    share: float
    spread: float
    confirmed: float = 0.0

    def logit(self, evidence: Evidence) -> float:
        """Of the probability, of a place of which nothing is known."""
        return float(self.of_features(np.array(features(evidence))))

    def of_features(self, features_nk: np.ndarray) -> np.ndarray:
        """Logits (...) by `features` (..., 4)."""
        weights_k = np.array([self.agreeing, self.share, self.spread, self.confirmed])
        return np.clip(self.intercept + features_nk @ weights_k, -_MOST_LOGIT, _MOST_LOGIT)


def features(evidence: Evidence) -> tuple[float, float, float, float]:
    """What the logit is linear in: the logarithms of how many agree, of which share that is, how widely spread, and of
    how much of what the pose puts into the image is found there.

    Residuals are left out: those of photos are larger than those of renders, from which the weights come, right or not.
    """
    agreeing = max(1, evidence.agreeing)
    share = agreeing / max(agreeing, evidence.correspondences)
    spread, confirmed = max(evidence.spread, 1e-3), max(evidence.confirmed, _LEAST_CONFIRMED)
    return math.log(agreeing), math.log(share), math.log(spread), math.log(confirmed)


def confidence(
    candidate: Candidate,
    camera: Camera,
    offsets: Mapping[str, float],
    rival: Callable[[Candidate], float] | None = None,
) -> float | None:
    """The probability that a candidate's pose is right; 0 without one, None of a kind that has no model.

    Args:
        candidate: as it was found.
        camera: of the image in which it was.
        offsets: of a run's logits, by kind of pose.
        rival: the support of another pose (`contradiction.rival_support`), asked for where it may decide; None: nobody
            looks for one.
    """
    if candidate.pose is None:
        return 0.0
    known = logit(candidate, camera)
    if known is None:
        return None
    known += offsets.get(candidate.estimate.by, 0.0)
    weight = rival_weight(candidate.estimate.by)
    if rival is not None and weight is not None and is_doubted(known):
        known = beside_rival(known, rival(candidate), weight)
    return _sigmoid(known)


def beside_rival(logit: float, rival: float, weight: float) -> float:
    """The logit once another pose was looked for.

    Args:
        logit: before.
        rival: support of the other pose, see `contradiction.rival_support`; what is there by chance says nothing.
        weight: of the rest.
    """
    return logit - weight * max(0.0, rival - _BY_CHANCE)


def is_doubted(logit: float) -> bool:
    """Whether a pose with this logit is worth a search for another one, which takes a fifth of the time of a photo."""
    return _DOUBTED[0] <= logit <= _DOUBTED[1]


def logit(candidate: Candidate, camera: Camera) -> float | None:
    """Of the probability that a pose is right, of a place of which nothing is known; None of a kind without a model."""
    evidence = Evidence.of(candidate, camera)
    model = confidence_model(candidate.estimate.by, evidence.guided)
    return None if model is None else model.logit(evidence)


@cache
def confidence_model(by: str, guided: bool = False) -> ConfidenceModel | None:
    """Of poses of one kind, whose correspondences were looked for near another pose, or anywhere."""
    known = shipped().get(by, {}).get("confidence", {})
    weights = known.get("guided" if guided else "anywhere")
    return None if weights is None else ConfidenceModel(**weights)


def rival_weight(by: str) -> float | None:
    """What another pose counts against one of a kind (`beside_rival`); None of a kind without a model."""
    return shipped().get(by, {}).get("confidence", {}).get("rival")


def offset(judged: Iterable[tuple[float, bool]]) -> float:
    """By how much the logits of one place differ from those of others: the most probable by frames of it.

    Args:
        judged: logits of its frames' poses, and whether each is right.
    """
    known, value = list(judged), 0.0
    for _ in range(50):  # Newton's; the posterior is concave
        chances = [_sigmoid(logit + value) for logit, _ in known]
        slope = sum(right - p for (_, right), p in zip(known, chances, strict=True)) - value / _OFFSET_SIGMA**2
        curvature = sum(p * (1 - p) for p in chances) + 1 / _OFFSET_SIGMA**2
        value += slope / curvature
    return value


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, x))))
