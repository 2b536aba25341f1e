"""Poses of a video or a flight over time: each frame's pose also rests on the frames before it, or on all.

`SequenceFilter` works as frames come in, `smooth` on all of them at once. Both take and return what a localizer says of
single frames. A frame without a pose is bridged, as is one whose pose contradicts the camera's motion; where nothing
was seen for too long, there is no pose until one is seen again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from transpose.errors import TransposeError
from transpose.geometry.poses import Pose, compose, project_to_rotation, rigid_defect
from transpose.localization.sequence.kalman import Sighting
from transpose.localization.sequence.track import Belief, Track
from transpose.solvers import PoseEstimate


@dataclass(frozen=True)
class SequenceOptions:
    """When to disbelieve a frame, and when to give up.

    Attributes:
        gate: share of right poses that may be taken for wrong ones.
        max_growth: a bridged pose is given while its sigma is at most so many times that of a single frame.
        max_unseen: after more frames in a row without a pose that fits, the motion before them is forgotten.
    """

    gate: float = 1e-4
    max_growth: float = 10.0
    max_unseen: int = 10

    def __post_init__(self) -> None:
        if not (0 < self.gate < 1 and self.max_growth > 0 and self.max_unseen >= 0):
            raise ValueError(f"need a gate between 0 and 1, a growth above 0 and a count of frames, got {self}")


class SequenceFilter:
    """Filters the poses of frames as they come in; an answer never changes by what comes after it.

    The motion is that of a camera that keeps its velocity and its turning rate but for random accelerations. How strong
    they are, and how much of the poses' errors neighbouring frames share, is learned on the way (see `bank`).
    """

    def __init__(self, options: SequenceOptions | None = None) -> None:
        self._options = options or SequenceOptions()
        self._frame, self._time_s = -1, -math.inf
        self._timed: bool | None = None
        self._track: Track | None = None
        self._rival: Track | None = None  # of the frames that contradict the track, until either proves right
        self._placed, self._lost = False, False

    @property
    def track(self) -> Track | None:
        """The motion that is followed at present."""
        return self._track

    def update(self, estimate: PoseEstimate, time_s: float | None = None) -> PoseEstimate:
        """The pose of the next frame.

        Args:
            estimate: of this frame alone. Without a pose, or without a covariance, it says nothing of where it is.
            time_s: when it was taken; without, frames are equally far apart. The unit does not matter.

        Returns:
            The estimate with pose and covariance of the sequence, and as `reason`: "ok", where the frame's own pose is
            part of it; "predicted", where it has none, and "outlier", where it contradicts the others: then the pose
            follows from the other frames alone. Without a pose: "lost" after such frames have become too many; before
            the first pose, what the estimate says.

        Raises:
            TransposeError: times that do not increase, or are given for some frames only; a pose that is not rigid.
        """
        sighting, seconds = _sighting(estimate), self._seconds_since(time_s)
        self._frame += 1
        for track in (self._track, self._rival):
            if track is not None:
                track.advance(seconds)
        if sighting is not None:
            self._settle(sighting)
        self._forget()
        if self._track is None:
            reason = "lost" if self._placed else estimate.reason
            return replace(estimate, pose=None, reason=reason, covariance_66=None)
        answer = _answer(estimate, self._track.belief(), self._options)
        self._placed, self._lost = True, answer.pose is None
        return answer

    def _settle(self, sighting: Sighting) -> None:
        """Gives a sighting to the track that it belongs to."""
        gate, frame = self._options.gate, self._frame
        if self._track is not None and (look := self._track.look(sighting)).plausible >= gate:
            self._track.take(look, frame)
            self._rival = None
        elif self._track is None or self._lost or not self._track.confirmed:
            self._track, self._rival = Track(sighting, frame), None
        elif self._rival is not None and (look := self._rival.look(sighting)).plausible >= gate:
            self._rival.take(look, frame)
            if self._rival.confirmed:
                self._track, self._rival = self._rival, None
        else:
            self._rival = Track(sighting, frame)

    def _forget(self) -> None:
        """Drops what was out of sight for too long."""
        if self._rival is not None and self._rival.unseen > self._options.max_unseen:
            self._rival = None
        if self._track is not None and self._track.unseen > self._options.max_unseen:
            self._track, self._rival = self._rival, None

    def _seconds_since(self, time_s: float | None) -> float:
        """Time since the last frame; 1 where frames have no times."""
        number = self._frame + 2
        if self._timed is None:
            self._timed = time_s is not None
        if self._timed != (time_s is not None):
            raise TransposeError(f"frame {number} has {'no' if self._timed else 'a'} time, unlike those before it")
        if time_s is None:
            return 1.0
        if not math.isfinite(time_s):
            raise TransposeError(f"frame {number} has the time {time_s}; times are finite numbers")
        if time_s <= self._time_s:
            raise TransposeError(
                f"frame {number} has the time {time_s:g}, the one before it {self._time_s:g}; "
                "give frames in the order in which they were taken, each once"
            )
        seconds, self._time_s = time_s - self._time_s, time_s
        return seconds


def smooth(
    estimates: Sequence[PoseEstimate],
    times_s: Sequence[float] | None = None,
    options: SequenceOptions | None = None,
) -> list[PoseEstimate]:
    """The poses of a whole sequence, each from the frames before and after it.

    Args:
        estimates: of single frames, in the order in which they were taken.
        times_s: of the frames; equally far apart without.
        options: when to disbelieve a frame, and when to give up.

    Returns:
        An estimate for each frame, with reasons as `SequenceFilter.update` gives them.

    Raises:
        TransposeError: see `SequenceFilter.update`; another number of times than of estimates.
    """
    if times_s is not None and len(times_s) != len(estimates):
        raise TransposeError(f"{len(estimates)} frames have {len(times_s)} times; each needs one")
    options = options or SequenceOptions()
    answers, tracks = _filtered(estimates, times_s, options)
    sightings = [_sighting(estimate) for estimate in estimates]
    clock_s = list(range(len(estimates))) if times_s is None else times_s
    open_frames, end = set(range(len(estimates))), len(estimates)
    for track in reversed(list(dict.fromkeys(track for track in tracks if track is not None))):
        # A track begins where it was still a rival, and ends where it was given up.
        end = min(end, len(tracks) - tracks[::-1].index(track))
        if track.confirmed:
            for frame, belief in enumerate(track.smoothed(sightings, clock_s, end), track.start):
                answers[frame] = _answer(estimates[frame], belief, options)
                open_frames.discard(frame)
        end = track.start
    return _from_behind(estimates, times_s, options, answers, open_frames) if open_frames else answers


def _from_behind(
    estimates: Sequence[PoseEstimate],
    times_s: Sequence[float] | None,
    options: SequenceOptions,
    answers: list[PoseEstimate],
    open_frames: set[int],
) -> list[PoseEstimate]:
    """Answers for frames before which too little was seen, by filtering backwards in time what was seen after them."""
    mirrored_s = None if times_s is None else [-time_s for time_s in times_s[::-1]]
    backward, tracks = _filtered(estimates[::-1], mirrored_s, options, confirmed=True)
    pairs = zip(answers, backward[::-1], tracks[::-1], strict=True)
    return [
        late if frame in open_frames and track is not None and late.pose is not None else early
        for frame, (early, late, track) in enumerate(pairs)
    ]


def _filtered(
    estimates: Sequence[PoseEstimate],
    times_s: Sequence[float] | None,
    options: SequenceOptions,
    confirmed: bool = False,
) -> tuple[list[PoseEstimate], list[Track | None]]:
    """What the filter says of each frame, and the track that it follows, where wanted only if `confirmed` by then."""
    forward, answers, tracks = SequenceFilter(options), [], []
    for index, estimate in enumerate(estimates):
        answers.append(forward.update(estimate, None if times_s is None else times_s[index]))
        track = forward.track
        tracks.append(None if confirmed and track is not None and not track.confirmed else track)
    return answers, tracks


def _answer(estimate: PoseEstimate, belief: Belief, options: SequenceOptions) -> PoseEstimate:
    """What is said of a frame; its own pose, where the models disagree so much that they know less than it does."""
    sighting = _sighting(estimate)
    if not belief.seen and belief.growth > options.max_growth:
        return replace(estimate, pose=None, reason="lost", covariance_66=None)
    if belief.seen and belief.growth > 1 and sighting is not None:
        return replace(estimate, pose=sighting.pose, reason="ok")
    reason = "ok" if belief.seen else "outlier" if sighting else "predicted"
    return replace(estimate, pose=belief.pose, reason=reason, covariance_66=belief.covariance_66)


def _sighting(estimate: PoseEstimate) -> Sighting | None:
    """What an estimate says of where its frame is; None where it says nothing that can be weighed."""
    if estimate.pose is None or estimate.covariance_66 is None:
        return None
    if defect := rigid_defect(estimate.pose.T_wc):
        raise TransposeError(f"a pose of the sequence is not rigid: {defect}")
    try:
        L_66 = np.linalg.cholesky(np.asarray(estimate.covariance_66, dtype=np.float64))
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(L_66).all():
        return None
    return Sighting(Pose(compose(project_to_rotation(estimate.pose.R_wc), estimate.pose.center)), L_66)
