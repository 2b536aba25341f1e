"""One uninterrupted motion of a camera, followed as its frames come in, and smoothed once they are all there."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.poses import Pose
from transpose.localization.sequence.imm import Bank, Scale, plausibility, reweighed, start_unknown
from transpose.localization.sequence.kalman import (
    Innovation,
    Motion,
    Noise,
    Sighting,
    blend,
    compare,
    correct,
    look_back,
    predict,
)

_CONFIRMED = 3  # sightings that agree; any two do, as nothing is known of the velocity before them
_RECENT = 50  # frames over which typical sigmas and intervals are taken
_HISTORIES = 16  # of models, that smoothing averages over


@dataclass(frozen=True)
class Look:
    """A sighting as a track sees it.

    Attributes:
        sighting: what is seen.
        innovation: how far it is from what was expected; None for the first of all.
        plausible: share of right sightings that would be farther.
    """

    sighting: Sighting
    innovation: Innovation
    plausible: float


@dataclass(frozen=True)
class Belief:
    """Where the camera was at a frame.

    Attributes:
        pose: of the camera.
        covariance_66: as `PoseEstimate` has it.
        seen: whether the frame's own pose is part of it.
        growth: its sigma as a multiple of what single frames usually have.
    """

    pose: Pose
    covariance_66: np.ndarray
    seen: bool
    growth: float


class Track:
    """A camera's motion since some frame.

    Args:
        sighting: the first one.
        frame: its number.

    Attributes:
        start: number of the first frame.
        seen: numbers of the frames whose own poses were taken.
        unseen: how many frames the last of them is ago.
    """

    def __init__(self, sighting: Sighting, frame: int) -> None:
        self.start, self.seen, self.unseen = frame, [frame], 0
        self._bank = Bank.grid()
        self._weight_g = self._bank.prior_g
        self._sightings: deque[Sighting] = deque([sighting], _RECENT)
        self._intervals_s: deque[float] = deque(maxlen=_RECENT)
        # Without a second frame there is no interval, by which motion is measured.
        self._moving: tuple[Motion, Noise, Scale] | None = None

    @property
    def confirmed(self) -> bool:
        """Whether enough sightings agree for it to be believed against another one."""
        return len(self.seen) >= _CONFIRMED

    def advance(self, seconds: float) -> None:
        """Moves on to the next frame."""
        self._intervals_s.append(seconds)
        scale = Scale.usual(self._sightings, self._intervals_s)
        noise = self._bank.noise(scale)
        motion = self._moving[0] if self._moving else start_unknown(self._sightings[0], noise, scale)
        motion, self._weight_g = self._bank.step(motion, self._weight_g, noise, seconds)
        self._moving = motion, noise, scale
        self.unseen += 1

    def look(self, sighting: Sighting) -> Look:
        """Compares a sighting with what is expected at the frame that was advanced to."""
        motion, noise, _ = self._advanced()
        innovation = compare(motion, noise, sighting)
        # The second sighting is what tells the velocity: it may be anywhere.
        return Look(sighting, innovation, plausibility(self._weight_g, innovation) if len(self.seen) > 1 else 1.0)

    def take(self, look: Look, frame: int) -> None:
        """Learns from a frame's own pose."""
        motion, noise, scale = self._advanced()
        self._weight_g = reweighed(self._weight_g, look.innovation)
        self._moving = correct(motion, look.innovation), noise, scale
        self._sightings.append(look.sighting)
        self.seen.append(frame)
        self.unseen = 0

    def belief(self) -> Belief:
        """Where the camera is at the frame that was advanced to."""
        if self._moving is None:
            return _as_seen(self._sightings[0])
        motion, noise, scale = self._moving
        pose, covariance_66 = blend(motion, noise, self._weight_g)
        return Belief(pose, covariance_66, self.unseen == 0, scale.growth(covariance_66))

    def smoothed(self, sightings: Sequence[Sighting | None], times_s: Sequence[float], end: int) -> list[Belief]:
        """What is believed of each frame from `start` to before `end` once all of them are known.

        Args:
            sightings: of all frames of the sequence; those of `seen` are used.
            times_s: of all frames.
            end: number of the frame after the last.
        """
        seen = set(self.seen)
        used = [sightings[frame] if frame in seen else None for frame in range(self.start, end)]
        taken = [sighting for sighting in used if sighting is not None]
        if len(used) == 1:
            return [_as_seen(taken[0])]
        intervals_s = np.diff(times_s[self.start : end])
        scale = Scale.usual(taken, intervals_s)
        drawn_ns = self._bank.histories(self._bank.weights(used, intervals_s, scale), _HISTORIES)
        noise_n = [self._bank.noise(scale, drawn_s) for drawn_s in drawn_ns]
        motions = _smoothed_motions(used, intervals_s, noise_n, scale)
        alike_s = np.full(_HISTORIES, 1 / _HISTORIES)
        poses = [blend(motion, noise, alike_s) for motion, noise in zip(motions, noise_n, strict=True)]
        return [
            Belief(pose, covariance_66, sighting is not None, scale.growth(covariance_66))
            for (pose, covariance_66), sighting in zip(poses, used, strict=True)
        ]

    def _advanced(self) -> tuple[Motion, Noise, Scale]:
        if self._moving is None:
            raise ValueError("advance before looking: two sightings cannot be of one time")
        return self._moving


def _as_seen(sighting: Sighting) -> Belief:
    return Belief(sighting.pose, sighting.covariance_66, seen=True, growth=1.0)


def _smoothed_motions(
    sightings: Sequence[Sighting | None], intervals_s: np.ndarray, noise_n: Sequence[Noise], scale: Scale
) -> list[Motion]:
    """The states of histories of models side by side at each frame, each given all frames."""
    motion = start_unknown(sightings[0], noise_n[0], scale)
    forward = [motion]
    for seconds, noise, sighting in zip(intervals_s, noise_n[1:], sightings[1:], strict=True):
        motion = predict(motion, noise, seconds)
        if sighting is not None:
            motion = correct(motion, compare(motion, noise, sighting))
        forward.append(motion)
    smoothed = [motion]
    for before, seconds, noise in zip(forward[-2::-1], intervals_s[::-1], noise_n[:0:-1], strict=True):
        smoothed.append(look_back(before, noise, seconds, smoothed[-1]))
    return smoothed[::-1]
