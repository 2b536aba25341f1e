"""Poses of a video or a flight over time: single-frame poses filtered as they come in, or smoothed all together.

SequenceFilter, smooth    filter.py, smoother.py: from single-frame estimates to those of the sequence
Track                     track.py: one uninterrupted motion, gating of its measurements
ModelBank                 imm.py: interacting multiple models (IMM) over process noise and measurement bias
predict, update, ...      kalman.py: error-state Kalman filter and Rauch-Tung-Striebel smoother of each model
MotionState, ...          state.py, measurement.py: states on SE(3) with velocities, pose measurements
"""

from transpose.localization.sequence.filter import SequenceFilter
from transpose.localization.sequence.options import MotionModelOptions, SequenceOptions
from transpose.localization.sequence.smoother import smooth

__all__ = ["MotionModelOptions", "SequenceFilter", "SequenceOptions", "smooth"]
