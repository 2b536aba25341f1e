"""Filtering: each frame's pose also rests on the frames before it.

A frame without a pose is bridged by prediction, as is one whose pose does not pass the gate; where nothing was measured
for too long, there is no pose until one is measured again.
"""

from __future__ import annotations

import math
from dataclasses import replace

from transpose.errors import TransposeError
from transpose.localization.sequence.measurement import PoseMeasurement
from transpose.localization.sequence.options import SequenceOptions
from transpose.localization.sequence.track import StateEstimate, Track
from transpose.solvers import PoseEstimate


class SequenceFilter:
    """Filters the poses of frames as they come in; an answer never changes by what comes after it.

    The motion is that of a camera that keeps its velocity and its angular velocity but for random accelerations. How
    strong they are, and which fraction of the poses' errors is a common bias, is estimated on the way (see `imm`).
    """

    def __init__(self, options: SequenceOptions | None = None) -> None:
        self._options = options or SequenceOptions()
        self._frame, self._time_s = -1, -math.inf
        self._timed: bool | None = None
        self._track: Track | None = None
        self._tentative: Track | None = None  # of the outliers to the track, until either is confirmed
        self._had_pose, self._lost = False, False
        self._single: PoseEstimate | None = None

    @property
    def track(self) -> Track | None:
        """The track that is followed at present."""
        return self._track

    @property
    def single(self) -> PoseEstimate | None:
        """What the last frame said alone, by the one of its alternatives that continues the track."""
        return self._single

    def update(self, estimate: PoseEstimate, time_s: float | None = None) -> PoseEstimate:
        """The pose of the next frame.

        Args:
            estimate: of this frame alone. Without a pose, or without a covariance, it is no measurement.
            time_s: when it was taken; without, frames are equally far apart. The unit does not matter.

        Returns:
            The estimate with pose and covariance of the sequence, and as `reason`: "ok", where the frame's own pose is
            part of it; "predicted", where it has none, and "outlier", where it contradicts the others: then the pose
            follows from the other frames alone. Without a pose: "lost" after such frames have become too many; before
            the first pose, the estimate's own reason, or "no_covariance" where it has a pose and none that is positive
            definite.

        Raises:
            TransposeError: times that do not increase, or are given for some frames only; a pose that is not rigid.
        """
        PoseMeasurement.of(estimate)  # refused before anything changes
        seconds = self._seconds_since(time_s)
        self._frame += 1
        for track in (self._track, self._tentative):
            if track is not None:
                track.predict(seconds)
        self._single = estimate = self._told_apart(estimate)
        measurement = PoseMeasurement.of(estimate)
        if measurement is not None:
            self._associate(measurement, sure=(estimate.confidence or 0.0) >= self._options.sure)
        self._drop_stale_tracks()
        if self._track is None:
            alone = estimate.reason if estimate.pose is None else "no_covariance"
            reason = "lost" if self._had_pose else alone
            return replace(estimate, pose=None, reason=reason, covariance_66=None)
        answer = sequence_estimate(estimate, self._track.estimate(), self._options)
        self._had_pose, self._lost = True, answer.pose is None
        return answer

    def _told_apart(self, estimate: PoseEstimate) -> PoseEstimate:
        """A frame that looks like several places, with the pose that continues the track best, if any does."""
        if estimate.pose is not None or self._track is None:
            return estimate
        best, chance = estimate, self._options.gate
        for each in estimate.alternatives:
            single = replace(estimate, pose=each.pose, covariance_66=each.covariance_66, reason="ok")
            measurement = PoseMeasurement.of(single)
            p_value = 0.0 if measurement is None else self._track.gate(measurement).p_value
            if p_value >= chance:
                best, chance = single, p_value
        return best

    def _associate(self, measurement: PoseMeasurement, sure: bool) -> None:
        """Gives a measurement to the track whose gate it passes; else it starts a tentative one.

        One that is `sure` starts a track at once where the present one knows too little to give a pose itself: after a
        turn that no motion model foresaw, say, it is likelier than not that the frame is right.
        """
        level, frame = self._options.gate, self._frame
        if self._track is not None and (gated := self._track.gate(measurement)).p_value >= level:
            self._track.update(gated, frame)
            self._tentative = None
        elif self._track is None or self._lost or not self._track.confirmed or (sure and self._vague(self._track)):
            self._track, self._tentative = Track(measurement, frame, self._options), None
        elif self._tentative is not None and (gated := self._tentative.gate(measurement)).p_value >= level:
            self._tentative.update(gated, frame)
            if self._tentative.confirmed:
                self._track, self._tentative = self._tentative, None
        else:
            self._tentative = Track(measurement, frame, self._options)

    def _vague(self, track: Track) -> bool:
        """Whether a track is too uncertain to give a pose of its own."""
        return track.estimate().growth > self._options.max_growth

    def _drop_stale_tracks(self) -> None:
        """Drops tracks that had no measurement for too long."""
        if self._tentative is not None and self._tentative.unseen > self._options.max_unseen:
            self._tentative = None
        if self._track is not None and self._track.unseen > self._options.max_unseen:
            self._track, self._tentative = self._tentative, None

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


def sequence_estimate(single: PoseEstimate, state: StateEstimate, options: SequenceOptions) -> PoseEstimate:
    """A frame's answer, from its own estimate and the track's.

    Without a pose where the track has become too uncertain; with the frame's own pose where the models differ so much
    that the track is less certain than the measurement.
    """
    measurement = PoseMeasurement.of(single)
    if not state.measured and state.growth > options.max_growth:
        return replace(single, pose=None, reason="lost", covariance_66=None)
    if state.measured and state.growth > 1 and measurement is not None:
        return replace(single, pose=measurement.pose, reason="ok")
    reason = "ok" if state.measured else "outlier" if measurement else "predicted"
    return replace(single, pose=state.pose, reason=reason, covariance_66=state.covariance_66)
