"""One uninterrupted motion of a camera: filtered as its frames come in, smoothed once they are all there."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transpose.geometry.poses import Pose
from transpose.localization.sequence.imm import ModelBank, Scale, combine, p_value
from transpose.localization.sequence.kalman import Innovation, innovate, predict, rts_smooth, update
from transpose.localization.sequence.measurement import PoseMeasurement
from transpose.localization.sequence.options import SequenceOptions
from transpose.localization.sequence.state import MotionState, NoiseModel


@dataclass(frozen=True)
class GatedFrame:
    """A frame's measurement compared with a track's prediction.

    Attributes:
        measurement: of the frame alone.
        innovation: against the prediction of each model.
        p_value: probability that a right measurement has a larger innovation.
    """

    measurement: PoseMeasurement
    innovation: Innovation
    p_value: float


@dataclass(frozen=True)
class StateEstimate:
    """The camera's pose at a frame.

    Attributes:
        pose: camera to world, metres.
        covariance_66: over xi in the camera's frame, as `PoseEstimate` has it.
        measured: whether the frame's own measurement is part of it.
        growth: its sigma as a multiple of what single frames typically have.
    """

    pose: Pose
    covariance_66: np.ndarray
    measured: bool
    growth: float


class Track:
    """A camera's motion since some frame.

    Args:
        measurement: the first one.
        frame: its number.
        options: of the sequence.

    Attributes:
        start: number of the first frame.
        measured_frames: numbers of the frames whose measurements were used.
        unseen: how many frames the last of them is ago.
    """

    def __init__(self, measurement: PoseMeasurement, frame: int, options: SequenceOptions) -> None:
        self.start, self.measured_frames, self.unseen = frame, [frame], 0
        self._options = options
        self._bank = ModelBank.grid(options.motion)
        self._weight_g = self._bank.prior_g
        self._measurements: deque[PoseMeasurement] = deque([measurement], options.motion.scale_window)
        self._intervals_s: deque[float] = deque(maxlen=options.motion.scale_window)
        # Without a second frame there is no interval, by which motion is measured.
        self._current: tuple[MotionState, NoiseModel, Scale] | None = None

    @property
    def confirmed(self) -> bool:
        """Whether enough measurements are consistent for the track to replace another one."""
        return len(self.measured_frames) >= self._options.confirmed_after

    def predict(self, seconds: float) -> None:
        """Moves on to the next frame."""
        self._intervals_s.append(seconds)
        scale = Scale.typical(self._measurements, self._intervals_s)
        noise = self._bank.noise(scale)
        first = self._measurements[0]
        state = self._current[0] if self._current else self._bank.initial_state(first, noise, scale)
        state, self._weight_g = self._bank.predict(state, self._weight_g, noise, seconds)
        self._current = state, noise, scale
        self.unseen += 1

    def gate(self, measurement: PoseMeasurement) -> GatedFrame:
        """Compares a measurement with the prediction for the frame that was moved on to."""
        state, noise, _ = self._predicted()
        innovation = innovate(state, noise, measurement)
        # The second measurement is what tells the velocity: it may be anywhere.
        known = len(self.measured_frames) > 1
        return GatedFrame(measurement, innovation, p_value(self._weight_g, innovation) if known else 1.0)

    def update(self, gated: GatedFrame, frame: int) -> None:
        """Takes in the measurement of the frame that was moved on to."""
        state, noise, scale = self._predicted()
        self._weight_g = self._bank.update_model_weights(self._weight_g, gated.innovation)
        self._current = update(state, gated.innovation), noise, scale
        self._measurements.append(gated.measurement)
        self.measured_frames.append(frame)
        self.unseen = 0

    def estimate(self) -> StateEstimate:
        """The pose at the frame that was moved on to, given the frames so far."""
        if self._current is None:
            return _single_frame(self._measurements[0])
        state, noise, scale = self._current
        pose, covariance_66 = combine(state, noise, self._weight_g)
        return StateEstimate(pose, covariance_66, self.unseen == 0, scale.growth(covariance_66))

    def smoothed(
        self, measurements: Sequence[PoseMeasurement | None], times_s: Sequence[float], end: int
    ) -> list[StateEstimate]:
        """The pose at each frame from `start` to before `end`, given all of them.

        Args:
            measurements: of all frames of the sequence; those of `measured_frames` are used.
            times_s: of all frames.
            end: number of the frame after the last.
        """
        measured = set(self.measured_frames)
        used = [measurements[frame] if frame in measured else None for frame in range(self.start, end)]
        present = [measurement for measurement in used if measurement is not None]
        if len(used) == 1:
            return [_single_frame(present[0])]
        intervals_s = np.diff(times_s[self.start : end])
        scale = Scale.typical(present, intervals_s)
        samples = self._options.smoother_samples
        weight_ng = self._bank.filtered_weights(used, intervals_s, scale)
        models_ns = self._bank.sample_model_sequences(weight_ng, samples)
        noise_n = [self._bank.noise(scale, models_s) for models_s in models_ns]
        states = _smoothed_states(self._bank, used, intervals_s, noise_n, scale)
        weight_s = np.full(samples, 1 / samples)
        poses = [combine(state, noise, weight_s) for state, noise in zip(states, noise_n, strict=True)]
        return [
            StateEstimate(pose, covariance_66, measurement is not None, scale.growth(covariance_66))
            for (pose, covariance_66), measurement in zip(poses, used, strict=True)
        ]

    def _predicted(self) -> tuple[MotionState, NoiseModel, Scale]:
        if self._current is None:
            raise ValueError("predict before gating: two measurements cannot be of one time")
        return self._current


def _single_frame(measurement: PoseMeasurement) -> StateEstimate:
    return StateEstimate(measurement.pose, measurement.covariance_66, measured=True, growth=1.0)


def _smoothed_states(
    bank: ModelBank,
    measurements: Sequence[PoseMeasurement | None],
    intervals_s: np.ndarray,
    noise_n: Sequence[NoiseModel],
    scale: Scale,
) -> list[MotionState]:
    """The states at each frame given all frames, one for each sampled sequence of models."""
    state = bank.initial_state(measurements[0], noise_n[0], scale)
    forward = [state]
    for seconds, noise, measurement in zip(intervals_s, noise_n[1:], measurements[1:], strict=True):
        state = predict(state, noise, seconds)
        if measurement is not None:
            state = update(state, innovate(state, noise, measurement))
        forward.append(state)
    smoothed = [state]
    for before, seconds, noise in zip(forward[-2::-1], intervals_s[::-1], noise_n[:0:-1], strict=True):
        smoothed.append(rts_smooth(before, noise, seconds, smoothed[-1]))
    return smoothed[::-1]
