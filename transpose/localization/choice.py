"""Which pose an image gets: landmarks first, the cells' coordinates where those are too few, or none.

Landmarks, matched to a pixel, give the better pose, and cost less than the coordinates of all cells. Where too few are
matched, the coordinates say where to look for more of them, and stand in where none are found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from transpose.geometry.poses import Pose
from transpose.localization.candidates import Candidate
from transpose.localization.options import LocalizationOptions


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
    min_score: float,
) -> Candidate:
    """The candidate that is supported best, refused where that is too little.

    Args:
        landmarks: None where the place has none.
        coordinates: asks the network for a pose by its coordinates; None where landmarks alone are wanted.
        prior: a pose near which landmarks are looked for as well.
        options: how much support is enough.
        min_score: that a pose by coordinates must have in the end, from validation.

    Raises:
        ValueError: neither landmarks nor coordinates.
    """
    found = _by_landmarks(landmarks, prior, options)
    if coordinates is None:
        if found is None:
            raise ValueError("a pose comes from landmarks or from coordinates, and there is neither")
        return found.if_supported(options.min_landmarks)
    if found is not None and found.support >= options.enough_landmarks:
        return found
    guess = coordinates().if_scored(options.min_score)
    if landmarks is not None and found is not None:
        if guess.pose is not None:
            found = _better(found, landmarks.near(guess.pose))
        if found.support >= options.min_landmarks:
            return found
    return guess.if_scored(min_score)


def _by_landmarks(landmarks: Landmarks | None, prior: Pose | None, options: LocalizationOptions) -> Candidate | None:
    if landmarks is None:
        return None
    found = landmarks.everywhere()
    if prior is not None and found.support < options.enough_landmarks:
        found = _better(found, landmarks.near(prior))
    return found


def _better(first: Candidate, second: Candidate) -> Candidate:
    return max(first, second, key=lambda candidate: candidate.support)
