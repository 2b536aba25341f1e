"""Smoothing: each frame's pose rests on all frames of the sequence."""

from __future__ import annotations

from collections.abc import Sequence

from transpose.errors import TransposeError
from transpose.localization.sequence.filter import SequenceFilter, sequence_estimate
from transpose.localization.sequence.measurement import PoseMeasurement
from transpose.localization.sequence.options import SequenceOptions
from transpose.localization.sequence.track import Track
from transpose.solvers import PoseEstimate


def smooth(
    estimates: Sequence[PoseEstimate],
    times_s: Sequence[float] | None = None,
    options: SequenceOptions | None = None,
) -> list[PoseEstimate]:
    """The poses of a whole sequence, each from the frames before and after it.

    Args:
        estimates: of single frames, in the order in which they were taken.
        times_s: of the frames; equally far apart without.
        options: of gating, tracks and motion models.

    Returns:
        An estimate for each frame, with reasons as `SequenceFilter.update` gives them.

    Raises:
        TransposeError: see `SequenceFilter.update`; another number of times than of estimates.
    """
    if times_s is not None and len(times_s) != len(estimates):
        raise TransposeError(f"{len(estimates)} frames have {len(times_s)} times; each needs one")
    options = options or SequenceOptions()
    answers, tracks, singles = _filtered(estimates, times_s, options)
    measurements = [PoseMeasurement.of(single) for single in singles]
    clock_s = list(range(len(estimates))) if times_s is None else times_s
    open_frames, end = set(range(len(estimates))), len(estimates)
    for track in reversed(list(dict.fromkeys(track for track in tracks if track is not None))):
        # A track begins where it was still tentative, and ends where it was dropped.
        end = min(end, len(tracks) - tracks[::-1].index(track))
        if track.confirmed:
            for frame, state in enumerate(track.smoothed(measurements, clock_s, end), track.start):
                answers[frame] = sequence_estimate(singles[frame], state, options)
                open_frames.discard(frame)
        end = track.start
    return _filled_backward(estimates, times_s, options, answers, open_frames) if open_frames else answers


def _filled_backward(
    estimates: Sequence[PoseEstimate],
    times_s: Sequence[float] | None,
    options: SequenceOptions,
    answers: list[PoseEstimate],
    open_frames: set[int],
) -> list[PoseEstimate]:
    """Answers for frames before the start of a track, by filtering backward in time what was measured after them."""
    mirrored_s = None if times_s is None else [-time_s for time_s in times_s[::-1]]
    backward, tracks, _ = _filtered(estimates[::-1], mirrored_s, options, confirmed=True)
    triples = zip(answers, backward[::-1], tracks[::-1], strict=True)
    return [
        late if frame in open_frames and track is not None and late.pose is not None else early
        for frame, (early, late, track) in enumerate(triples)
    ]


def _filtered(
    estimates: Sequence[PoseEstimate],
    times_s: Sequence[float] | None,
    options: SequenceOptions,
    confirmed: bool = False,
) -> tuple[list[PoseEstimate], list[Track | None], list[PoseEstimate]]:
    """At each frame the filter's answer, the track that it follows, where wanted only if `confirmed` by then, and what
    the frame said alone (`SequenceFilter.single`).
    """
    forward, answers, tracks, singles = SequenceFilter(options), [], [], list[PoseEstimate]()
    for index, estimate in enumerate(estimates):
        answers.append(forward.update(estimate, None if times_s is None else times_s[index]))
        track = forward.track
        tracks.append(None if confirmed and track is not None and not track.confirmed else track)
        singles.append(forward.single or estimate)
    return answers, tracks, singles
