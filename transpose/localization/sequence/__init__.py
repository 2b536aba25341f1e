"""Poses of a video or a flight over time: filtering and smoothing of what single frames give."""

from transpose.localization.sequence.filter import SequenceFilter, SequenceOptions, smooth

__all__ = ["SequenceFilter", "SequenceOptions", "smooth"]
