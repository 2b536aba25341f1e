"""Which pose an image gets: landmarks first, the network's coordinates where those are not sure enough.

Landmarks, matched to a pixel, give the better pose, and cost less than the coordinates of all cells. Where too few are
matched, the coordinates say where to look for more of them, and stand in where none are found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from transpose.geometry.poses import Pose
from transpose.localization.candidates import Candidate
from transpose.localization.options import LocalizationOptions

WORTH_A_LOOK = 0.02  # the probability that a pose is right from which on landmarks are looked for near it


class Landmarks(Protocol):
    """Poses of one image by the landmarks of a place."""

    def everywhere(self) -> Candidate:
        """A pose by matches anywhere in the place."""

    def near(self, pose: Pose) -> Candidate:
        """A pose by matches among landmarks that a pose puts near a keypoint."""


def choose(
    landmarks: Landmarks | None,
    coordinates: Callable[[], Candidate] | None,
    prior: Pose | None,
    options: LocalizationOptions,
    judge: Callable[[Candidate], float],
    min_score: float,
) -> Candidate:
    """The candidate that is given, if any is: by landmarks where these are sure enough, else the surest.

    Args:
        landmarks: None where the place has none.
        coordinates: asks the network for a pose by its coordinates; None where landmarks alone are wanted.
        prior: a pose near which landmarks are looked for as well.
        options: how much support is enough, and which risk is taken.
        judge: the probability that a candidate is right.
        min_score: that a pose by coordinates must have in the end, from validation.

    Raises:
        ValueError: neither landmarks nor coordinates.
    """
    found = _by_landmarks(landmarks, prior, options, judge)
    if coordinates is None:
        if found is None:
            raise ValueError("a pose comes from landmarks or from coordinates, and there is neither")
        return found
    if found is not None and found.unguided_support >= options.enough_landmarks:
        return found
    guess = coordinates().if_scored(options.min_score)
    if landmarks is None or found is None:
        return guess.if_scored(min_score)
    near = found
    if guess.pose is not None and judge(guess) >= WORTH_A_LOOK:
        near = replace(landmarks.near(guess.pose), anywhere=found.unguided)
    best = max(found, near, key=judge)
    if judge(best) >= 1 - options.risk:
        return best
    return max(best, guess.if_scored(min_score), key=judge)


def _by_landmarks(
    landmarks: Landmarks | None, prior: Pose | None, options: LocalizationOptions, judge: Callable[[Candidate], float]
) -> Candidate | None:
    if landmarks is None:
        return None
    found = landmarks.everywhere()
    if prior is not None and found.unguided_support < options.enough_landmarks:
        found = max(found, replace(landmarks.near(prior), anywhere=found.unguided), key=judge)
    return found
