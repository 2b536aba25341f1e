"""Motion models side by side, weighed by how well each foresees a camera's frames.

How briskly a camera moves, and how much of its pose errors is drawn anew with each frame, differs from one video to the
next and changes within one. Instead of being tuned, both run over a grid: every combination is a Kalman filter of its
own and counts by the likelihood of what it foresaw; now and then another one takes over (interacting multiple models,
Blom and Bar-Shalom 1988). Motion is measured in single-frame errors per interval between frames (the tracking index,
Kalata 1984), so that one grid serves a hand in a kitchen and a drone over a town, and times may be seconds or frame
numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from transpose.localization.sequence.kalman import Innovation, Motion, Noise, Sighting, compare, correct, mix, predict, start
from transpose.randomness import stream

# What random acceleration adds to a pose from one frame to the next, in sigmas of a single frame (times the root of
# three): from a camera on a rail to one about which the last frame says nothing. The brisk end is rare, but must be
# there: a drone that turns at the end of its lane is no wrong pose.
_BRISKNESS = np.geomspace(0.01, 150.0, 7)
_BRISKNESS_PRIOR = np.array([1.0, 1.0, 1.0, 1.0, 0.3, 0.1, 0.03])
# Share of the stated covariance that is drawn anew with each frame; what it lacks to one, all frames have in common.
# Above one: the stated covariances are too small.
_WHITE = np.array([0.06, 0.25, 1.0, 4.0])
_WHITE_PRIOR = np.array([0.3, 0.3, 0.3, 0.1])
_SWITCH = 0.03  # probability that from one frame to the next another model takes over
_UNKNOWN = 1e4  # sigma of a velocity that nothing is known of, in single-frame sigmas per interval
# A frame cannot speak louder against a model than by being wrong itself: this share lies anywhere within these sigmas.
_WRONG, _WRONG_SIGMAS = 0.01, 100.0


@dataclass(frozen=True)
class Scale:
    """What is usual in a sequence: sigmas of a single frame about and along an axis, and the time between frames."""

    sigma_rad: float
    sigma_m: float
    seconds: float

    @classmethod
    def usual(cls, sightings: Iterable[Sighting], intervals_s: Iterable[float]) -> Scale:
        """Medians of what was seen."""
        sigma_rad, sigma_m = np.median([(each.sigma_rad, each.sigma_m) for each in sightings], axis=0)
        return cls(float(sigma_rad), float(sigma_m), float(np.median(list(intervals_s))))

    def growth(self, covariance_66: np.ndarray) -> float:
        """How many times as large as a single frame's errors those of a covariance over (rad, m) are."""
        variance_6 = np.diag(covariance_66)
        return float(max(variance_6[:3].mean() / self.sigma_rad**2, variance_6[3:].mean() / self.sigma_m**2) ** 0.5)


@dataclass(frozen=True)
class Bank:
    """Models side by side.

    Attributes:
        turn_g, place_g: briskness of rotation and position, without unit.
        white_g: see `Noise`.
        prior_g: how likely each is before anything was seen; they sum to one.
    """

    turn_g: np.ndarray
    place_g: np.ndarray
    white_g: np.ndarray
    prior_g: np.ndarray

    @classmethod
    def grid(cls) -> Bank:
        """All there are."""
        turn, place, white = np.meshgrid(_BRISKNESS, _BRISKNESS, _WHITE, indexing="ij")
        prior_g = np.einsum("i,j,k->ijk", _BRISKNESS_PRIOR, _BRISKNESS_PRIOR, _WHITE_PRIOR).ravel()
        return cls(turn.ravel(), place.ravel(), white.ravel(), prior_g / prior_g.sum())

    def noise(self, scale: Scale, index: np.ndarray | slice = slice(None)) -> Noise:
        """The models, or those of some indices, in radians, metres and seconds."""
        turn_g = (self.turn_g[index] * scale.sigma_rad) ** 2 / scale.seconds**3
        place_g = (self.place_g[index] * scale.sigma_m) ** 2 / scale.seconds**3
        return Noise(turn_g, place_g, self.white_g[index], np.maximum(1 - self.white_g[index], 0.0))

    def step(self, motion: Motion, weight_g: np.ndarray, noise: Noise, seconds: float) -> tuple[Motion, np.ndarray]:
        """States and weights at the next frame, before it is looked at."""
        stays_g = (1 - _SWITCH) * weight_g
        next_g = stays_g + _SWITCH * self.prior_g
        return predict(mix(motion, weight_g, stays_g / next_g), noise, seconds), next_g

    def weights(self, sightings: Sequence[Sighting | None], intervals_s: np.ndarray, scale: Scale) -> np.ndarray:
        """Weights (n, g) of the models at each frame given the frames up to it; the first frame has a sighting."""
        noise, weight_g = self.noise(scale), self.prior_g
        motion = start_unknown(sightings[0], noise, scale)
        weights = [weight_g]
        for seconds, sighting in zip(intervals_s, sightings[1:], strict=True):
            motion, weight_g = self.step(motion, weight_g, noise, seconds)
            if sighting is not None:
                innovation = compare(motion, noise, sighting)
                motion, weight_g = correct(motion, innovation), reweighed(weight_g, innovation)
            weights.append(weight_g)
        return np.array(weights)

    def histories(self, weight_ng: np.ndarray, count: int) -> np.ndarray:
        """Which model held at each frame, indices (n, count): histories drawn given all frames (Carter and Kohn, 1994).

        Args:
            weight_ng: what `weights` returns.
            count: how many to draw.
        """
        rng = stream(0, "histories of motion models")
        index_s = rng.choice(len(self.prior_g), count, p=weight_ng[-1])
        drawn = [index_s]
        for weight_g in weight_ng[-2::-1]:
            stays_s = (1 - _SWITCH) * weight_g[index_s]
            stays_s /= stays_s + _SWITCH * self.prior_g[index_s]
            others_s = rng.choice(len(self.prior_g), count, p=weight_g)
            index_s = np.where(rng.random(count) < stays_s, index_s, others_s)
            drawn.append(index_s)
        return np.array(drawn[::-1])


def start_unknown(sighting: Sighting | None, noise: Noise, scale: Scale) -> Motion:
    """The state at the first frame, whose velocities nobody knows."""
    if sighting is None:
        raise ValueError("a motion starts with a sighting")
    return start(sighting, noise, _UNKNOWN * scale.sigma_rad / scale.seconds, _UNKNOWN * scale.sigma_m / scale.seconds)


def reweighed(weight_g: np.ndarray, innovation: Innovation) -> np.ndarray:
    """Weights after a sighting, which may also be wrong."""
    anywhere_g66 = _WRONG_SIGMAS**2 * (innovation.shared_g66 @ np.swapaxes(innovation.shared_g66, -1, -2))
    log_weight_g = np.log(weight_g) + np.logaddexp(
        np.log1p(-_WRONG) + innovation.log_likelihood(innovation.P_g66),
        np.log(_WRONG) + innovation.log_likelihood(anywhere_g66),
    )
    weight_g = np.exp(log_weight_g - log_weight_g.max())
    return weight_g / weight_g.sum()


def plausibility(weight_g: np.ndarray, innovation: Innovation) -> float:
    """Share of right sightings that would lie farther off: the chi-square tail of six degrees of freedom."""
    half_g = 0.5 * innovation.squared(innovation.P_g66)
    return float(weight_g @ (np.exp(-half_g) * (1 + half_g + 0.5 * half_g**2)))
